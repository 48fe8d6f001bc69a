from furiosa_models.runtime.sync import create_runner
from furiosa_models.vision import YOLOv5l

image = ["examples/images/coffee.png"]

model = YOLOv5l(weights="coco")  # the published BDD100K weights may be unreachable
with create_runner(model.model_source()) as runner:
    inputs, contexts = model.preprocess(image)
    outputs = runner.run(inputs)
    print(model.postprocess(outputs, contexts))
