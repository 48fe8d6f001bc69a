"""Networks as code: ONNX graphs built from named weights.

```python
arrays = read_weights("pytorch", {"lite0.pth": data})        # never executes what it reads
model = build("efficientnet", NamedWeights(arrays), variant="lite0")
```
"""

from __future__ import annotations

import hashlib
import importlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import choose

if TYPE_CHECKING:
    import onnx

    from .edit import head_operations, set_batch_size, signature, with_uint8_input
    from .opset import with_opset
    from .readers import read_weights
    from .weights import NamedWeights, RandomWeights, RecordedWeights, Weights

__all__ = [
    "NETWORKS",
    "NamedWeights",
    "RandomWeights",
    "RecordedWeights",
    "build",
    "fingerprint",
    "head_operations",
    "read_weights",
    "set_batch_size",
    "signature",
    "to_bytes",
    "with_opset",
    "with_uint8_input",
]

# Names that bring in numpy or onnx, which importing this package does not.
_LAZY = {
    "NamedWeights": "weights",
    "RandomWeights": "weights",
    "RecordedWeights": "weights",
    "head_operations": "edit",
    "read_weights": "readers",
    "set_batch_size": "edit",
    "signature": "edit",
    "with_opset": "opset",
    "with_uint8_input": "edit",
}

_BUILDERS = {
    "efficientnet": "furiosa_models.networks.builders.efficientnet:build",
    "efficientnet_v2": "furiosa_models.networks.builders.efficientnet_v2:build",
    "mobilenet_ssd": "furiosa_models.networks.builders.mobilenet_ssd:build",
    "mobilenet_v2": "furiosa_models.networks.builders.mobilenet_v2:build",
    "mobilenet_v2_ssd": "furiosa_models.networks.builders.mobilenet_v2_ssd:build",
    "resnet": "furiosa_models.networks.builders.resnet:build",
    "ssd_resnet34": "furiosa_models.networks.builders.ssd_resnet34:build",
    "yolov5": "furiosa_models.networks.builders.yolov5:build",
    "yolov7_pose": "furiosa_models.networks.builders.yolov7_pose:build",
}

NETWORKS = tuple(_BUILDERS)


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)


def build(network: str, weights: Weights, **params: Any) -> onnx.ModelProto:
    """The ONNX model of a network: float32, NCHW, opset 17.

    Args:
        network: A name of `NETWORKS`.
        weights: Source of the parameters.
        params: What the network's own `build` takes, such as `batch_size`.

    Raises:
        ModelNotFound: No network has that name.
        WeightsError: A parameter is missing, or has the wrong shape.
    """
    module, _, function = choose(_BUILDERS, network, "network").partition(":")
    model: onnx.ModelProto = getattr(importlib.import_module(module), function)(weights, **params)
    return model


def to_bytes(model: onnx.ModelProto) -> bytes:
    """The model's bytes, the same for the same model in every process."""
    data: bytes = model.SerializeToString(deterministic=True)
    return data


@cache
def fingerprint() -> str:
    """sha256 of this package's sources: changes whenever a built model might."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        source = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}:{len(source)}:".encode())
        digest.update(source)
    return digest.hexdigest()
