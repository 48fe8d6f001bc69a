from furiosa_models.runtime.sync import create_runner
from furiosa_models.vision import MobileNetV2

image = "examples/images/chelsea.png"

model = MobileNetV2()
with create_runner(model.model_source()) as runner:
    inputs, _ = model.preprocess(image)
    outputs = runner.run(inputs)
    print(model.postprocess(outputs))
