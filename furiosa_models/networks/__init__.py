"""Networks as code: ONNX graphs built from named weights.

```python
arrays = read_weights("pytorch", {"lite0.pth": data})        # never executes what it reads
model = build("efficientnet", NamedWeights(arrays), variant="lite0")
```
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .._lazy import lazy

if TYPE_CHECKING:
    import onnx

    from .checkpoint_params import params_of
    from .edit import (
        head_operations,
        set_batch_size,
        signature,
        to_bytes,
        with_opset,
        with_uint8_input,
    )
    from .readers import read_names, read_weights
    from .weights import NamedWeights, RandomWeights, Weights

__all__ = [
    "EDITS",
    "NETWORKS",
    "RECIPES",
    "NamedWeights",
    "RandomWeights",
    "build",
    "head_operations",
    "params_of",
    "read_names",
    "read_weights",
    "recipe",
    "set_batch_size",
    "signature",
    "to_bytes",
    "with_opset",
    "with_uint8_input",
]

RECIPES = {
    "efficientnet": 1,
    "efficientnet_v2": 1,
    "mobilenet_ssd": 1,
    "mobilenet_v2": 1,
    "mobilenet_v2_ssd": 1,
    "resnet": 1,
    "ssd_resnet34": 1,
    "yolov5": 1,
    "yolov7_pose": 1,
}
"""Recipe number of each builder: raise it when another graph comes of the same weights, because of
the builder, of what it shares with others, or of how the weights are read."""

EDITS = 1
"""Recipe number of `edit`: raise it when an edit gives other bytes, or a question another answer.
What was built with an older number is built again, once."""

NETWORKS = tuple(RECIPES)

# Names that bring in numpy or onnx, which importing this package does not.
__getattr__, __dir__ = lazy(
    __name__,
    {
        "edit": [
            "head_operations",
            "set_batch_size",
            "signature",
            "to_bytes",
            "with_opset",
            "with_uint8_input",
        ],
        "checkpoint_params": ["params_of"],
        "readers": ["read_names", "read_weights"],
        "weights": ["NamedWeights", "RandomWeights"],
    },
    modules=["edit"],
)


def build(network: str, weights: Weights, **params: Any) -> onnx.ModelProto:
    """Return the ONNX model of a network: float32, NCHW, opset 17.

    Args:
        network: A name of `NETWORKS`.
        weights: Source of the parameters.
        params: What the network's own `build` takes, such as `batch_size`.

    Raises:
        ModelNotFound: No network has that name.
        WeightsError: A parameter is missing, or has the wrong shape.
    """
    recipe(network)
    builder = importlib.import_module(f".builders.{network}", __name__)
    model: onnx.ModelProto = builder.build(weights, **params)
    return model


def recipe(network: str) -> int:
    """Return the number of a network's recipe: another one where the built graph is another.

    Raises:
        ModelNotFound: No network has that name.
    """
    if network not in RECIPES:
        from .options import choose

        choose(RECIPES, network, "network")
    return RECIPES[network]
