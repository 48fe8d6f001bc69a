from furiosa_models.runtime.sync import create_runner
from furiosa_models.types import Platform
from furiosa_models.vision import SSDMobileNet

image = ["examples/images/chelsea.png"]

model = SSDMobileNet(postprocessor_type=Platform.RUST)
with create_runner(model.model_source()) as runner:
    inputs, contexts = model.preprocess(image)
    outputs = runner.run(inputs)
    for result in model.postprocess(outputs, contexts=contexts)[0]:
        print(result.label, result.score, list(result.boundingbox))
