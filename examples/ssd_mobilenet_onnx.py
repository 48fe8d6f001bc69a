from furiosa_models.runtime.sync import create_runner
from furiosa_models.vision import SSDMobileNet

image = ["examples/images/chelsea.png"]

model = SSDMobileNet()
with create_runner(model.origin) as runner:  # float32 ONNX without normalization
    inputs, contexts = model.preprocess(image, with_scaling=True)
    outputs = runner.run(inputs)
    print(model.postprocess(outputs, contexts))
