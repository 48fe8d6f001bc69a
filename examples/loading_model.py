from furiosa_models.types import Model
from furiosa_models.vision import SSDMobileNet

model: Model = SSDMobileNet.load()  # blocks until the weights are fetched
print(model)
