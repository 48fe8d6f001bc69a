from furiosa_models.runtime.sync import create_runner
from furiosa_models.vision import EfficientNetLite0

image = "examples/images/chelsea.png"

model = EfficientNetLite0()
with create_runner(model.model_source()) as runner:
    inputs, _ = model.preprocess(image)
    outputs = runner.run(inputs)
    print(model.postprocess(outputs))
