"""Networks: abstract graphs, and ONNX models of them with named weights.

```python
arrays = read_weights("pytorch", {"lite0.pth": data})        # never executes code of a file
model = build("efficientnet", NamedWeights(arrays), variant="lite0")
```
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._lazy import lazy

if TYPE_CHECKING:
    import onnx

    from .checkpoint_params import InferredParams, params_of
    from .edit import (
        head_operations,
        set_batch_size,
        signature,
        to_bytes,
        with_opset,
        with_uint8_input,
    )
    from .graph import Graph
    from .readers import read_names, read_weights
    from .weights import NamedWeights, RandomWeights, Weights

__all__ = [
    "EDITS",
    "NETWORKS",
    "RECIPES",
    "NamedWeights",
    "RandomWeights",
    "build",
    "build_checkpoint",
    "describe",
    "head_operations",
    "params_of",
    "read_names",
    "read_weights",
    "recipe",
    "set_batch_size",
    "signature",
    "state_of",
    "to_bytes",
    "with_opset",
    "with_uint8_input",
]

RECIPES = {
    "deeplab_v3": 1,
    "dfine": 1,
    "efficientnet": 1,
    "efficientnet_v2": 1,
    "fai_cls": 1,
    "maskformer": 1,
    "mobilenet_ssd": 1,
    "mobilenet_v2": 1,
    "mobilenet_v2_ssd": 1,
    "movenet": 1,
    "nanodet": 1,
    "posenet": 1,
    "resnet": 1,
    "rtdetr": 1,
    "selfie_segmentation": 1,
    "ssd_resnet34": 1,
    "u2net": 1,
    "yolov5": 1,
    "yolov7_pose": 1,
    "yolox": 1,
}
"""Recipe number of each builder. Increment it if the same weights give another graph, because the
builder, its shared code, or the reader of the weights has changed."""

AUXILIARY = frozenset({"dfine", "maskformer", "rtdetr", "u2net"})
"""Networks whose `build` has an argument `auxiliary`, which adds outputs that training needs."""

EDITS = 1
"""Recipe number of `edit`. Increment it if an edit or a query returns another result.
Models that were built with an older number are then rebuilt once."""

NETWORKS = tuple(RECIPES)

# These names need numpy or onnx; importing this package must not load them.
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
    """Build the ONNX model of a network: float32, NCHW, opset 17.

    Args:
        network: Name of the network, one of `NETWORKS`.
        weights: Source of the parameters.
        params: Keyword arguments of the network's `build`, such as `batch_size`.

    Raises:
        ModelNotFound: There is no such network.
        WeightsError: A parameter is missing or has the wrong shape.
    """
    from .onnx_sink import runnable

    return runnable(describe(network, **params), weights)


def describe(network: str, **params: Any) -> Graph:
    """Return the abstract graph of a network, which has no weights.

    Args:
        network: Name of the network, one of `NETWORKS`.
        params: Keyword arguments of the network's `build`, such as `batch_size`.

    Raises:
        ModelNotFound: There is no such network.
    """
    recipe(network)
    builder = importlib.import_module(f".builders.{network}", __name__)
    graph: Graph = builder.build(**params)
    return graph


def build_checkpoint(
    network: str, arrays: Mapping[str, Any], **params: Any
) -> tuple[onnx.ModelProto, InferredParams]:
    """Build the ONNX model of a checkpoint, and return it with what the checkpoint told.

    Args:
        network: Name of the network, one of `NETWORKS`.
        arrays: Arrays under the parameter names of the network.
        params: As for `build`; what the checkpoint tells takes precedence.

    Raises:
        ModelNotFound: There is no such network.
        WeightsError: A parameter is missing or has the wrong shape.
    """
    from .checkpoint_params import params_of
    from .weights import NamedWeights

    inferred = params_of(network, arrays)
    return build(network, NamedWeights(arrays), **{**params, **inferred.params}), inferred


def state_of(network: str, arrays: Mapping[str, Any], **params: Any) -> Mapping[str, Any]:
    """Return the state of a network among the arrays of a checkpoint, under the network's names.

    Args:
        network: Name of the network, one of `NETWORKS`.
        arrays: Arrays of a file by name, such as those of `torch.save({"model": state})`.
        params: As for `build`.

    Raises:
        ModelNotFound: There is no such network.
    """
    from .checkpoint_params import state_of as find

    return find(arrays, describe(network, **params).parameters)


def recipe(network: str) -> int:
    """Return the recipe number of a network, which identifies the version of its graph.

    Raises:
        ModelNotFound: There is no such network.
    """
    if network not in RECIPES:
        from .options import choose

        choose(RECIPES, network, "network")
    return RECIPES[network]
