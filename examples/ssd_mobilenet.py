from furiosa_models.runtime.sync import create_runner
from furiosa_models.vision import SSDMobileNet

image = ["examples/images/chelsea.png"]

model = SSDMobileNet(postprocessor_type="Python")
with create_runner(model.model_source()) as runner:
    inputs, contexts = model.preprocess(image)
    outputs = runner.run(inputs)
    print(model.postprocess(outputs, contexts))
