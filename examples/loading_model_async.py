import asyncio

from furiosa_models.types import Model
from furiosa_models.vision import SSDMobileNet

model: Model = asyncio.run(SSDMobileNet.load_async())  # does not block the event loop
print(model)
