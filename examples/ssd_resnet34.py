from furiosa_models.runtime.sync import create_runner
from furiosa_models.vision import SSDResNet34

image = ["examples/images/coffee.png"]

model = SSDResNet34(postprocessor_type="Python")
with create_runner(model.model_source()) as runner:
    inputs, contexts = model.preprocess(image)
    outputs = runner.run(inputs)
    print(model.postprocess(outputs, contexts))
