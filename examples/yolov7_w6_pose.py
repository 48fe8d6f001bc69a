from furiosa_models.runtime.sync import create_runner
from furiosa_models.vision import YOLOv7w6Pose

image = ["examples/images/astronaut.png"]

model = YOLOv7w6Pose()
with create_runner(model.model_source()) as runner:
    inputs, contexts = model.preprocess(image)
    outputs = runner.run(inputs)
    print(model.postprocess(outputs, contexts))
