"""One ONNX graph that takes a photo and gives its results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper, version_converter

from ...errors import ConversionError, ShapeError
from ...networks import edit
from ...spec import ImageInput, ModelSpec
from .builder import Builder
from .decoders import decode, default_options
from .outputs import Raw, Scene
from .photo import canvas
from .values import Value

__all__ = ["embed"]

INPUT = "image"
"""Name of the input."""

_OLDEST_OPSET = 13
_OLDEST_IR_VERSION = 8
_PREFIX = "network/"
_SHAPES: Mapping[str, list[int | str]] = {
    "boxes": ["found", 4],
    "scores": ["found"],
    "classes": ["found"],
    "keypoints": ["found", 17, 3],
    "class_map": ["height", "width"],
    "alpha": ["height", "width"],
}


def embed(origin: bytes, spec: ModelSpec, labels: Sequence[str]) -> onnx.ModelProto:
    """Return one ONNX graph with preprocessing, network and postprocessing.

    The graph takes `image`, `(height, width, 3)` uint8 RGB of any size, and returns the results of
    `predict` for it, best first:

    - of detectors: `boxes` `(n, 4)` float32, left, top, right and bottom in pixels of the photo,
      `scores` `(n,)` float32 and `classes` `(n,)` int64, indices into the labels;
    - of pose estimators: `boxes`, `scores` and `keypoints` `(n, 17, 3)` float32, x, y and
      confidence;
    - of classifiers: `scores` `(k,)` float32 and `classes` `(k,)` int64;
    - of semantic segmentation: `class_map` `(height, width)` of the photo, uint8 or, for more than
      255 classes, uint16, whose largest value is no class;
    - of mattes: `alpha` `(height, width)` of the photo, uint8.

    Options of `predict` and the limit of detections are further inputs, which may be left out:
    their defaults are initializers of that name. All operations are of the standard domain, in the
    opset of the network, at least 13.

    The network's uint8 input has the bits of `preprocess`, and the results are decoded by the same
    rules in the same precision, also where scores are equal. With the ONNX Runtime of `predict`,
    results were equal bit for bit on all photos measured, except for MoveNet, whose joints differ
    by 6e-5 pixels and scores by 3e-7. Elsewhere exponentials and the network itself differ in their
    last bits: by 1.4e-6 in scores and 1e-4 pixels in boxes with ONNX Runtime 1.16. OpenVINO
    computes float64 in float32: 4 % of the pixels differ, by 1 or 2 gray levels, and scores by up
    to 0.003.

    Args:
        origin: The network as ONNX: one image as input, of float32, float16 or uint8. Other than
            uint8, it is scaled as the specification says.
        spec: The specification that belongs to it, with the head that decodes its outputs.
        labels: The names of the classes.

    Raises:
        ConversionError: The head cannot be expressed in a graph, or the network has an old opset
            that cannot be updated, or an output that is not a tensor of numbers.
        ShapeError: The network has another kind or size of input, must process several photos at
            once, or does not have the outputs of its head.
        WeightsError: The bytes are not an ONNX model.
    """
    options = default_options(spec.head)
    network = _network(origin, spec.input)
    opset = next(o.version for o in network.opset_import if o.domain in ("", "ai.onnx"))
    g = Builder(opset)
    with g.stage("photo"):
        pixels, placement = canvas(g, g.value(INPUT, np.uint8), spec.input)
        g.rename(pixels, edit.get_pure_input_names(network)[0])
    g.nodes.extend(network.graph.node)
    with g.stage("results"):
        inputs = {name: g.value(name, default.dtype) for name, default in options.items()}
        scene = Scene(g, _outputs(g, network), spec.input, placement, inputs, len(labels))
        results = decode(scene, spec.head)
        for name, value in results.items():
            g.rename(value, name)
    graph = helper.make_graph(
        g.nodes,
        "embedded",
        [helper.make_tensor_value_info(INPUT, onnx.TensorProto.UINT8, ["height", "width", 3])],
        [_described(value, name, _SHAPES[name]) for name, value in results.items()],
        [*network.graph.initializer, *g.constants],
        sparse_initializer=network.graph.sparse_initializer,
    )
    for name, default in options.items():
        graph.input.append(_described(inputs[name], name, []))
        graph.initializer.append(numpy_helper.from_array(default, name))
    return _model(network, graph, edit.metadata(origin), _facts(spec, labels, options))


def _network(origin: bytes, spec: ImageInput) -> onnx.ModelProto:
    """Return the network with a uint8 input for one photo, and names that begin with the prefix."""
    model = edit.parse(edit.with_uint8_input(origin, *spec.channel_scaling))
    batch = edit.signature(model)[0][0].shape[0]
    if isinstance(batch, int) and batch > 1:
        model = edit.parse(edit.set_batch_size(model, 1))
    _fix_input(model, spec)
    version = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if version < _OLDEST_OPSET:
        model = _updated(model, version)
    return onnx.compose.add_prefix(model, _PREFIX)


def _fix_input(model: onnx.ModelProto, spec: ImageInput) -> None:
    """Set the lengths that the input leaves open, from which those of the outputs follow."""
    info, expected = edit.signature(model)[0][0], (1, 3, *spec.size)
    value = next(each for each in model.graph.input if each.name == info.name)
    for dim, got, size in zip(value.type.tensor_type.shape.dim, info.shape, expected, strict=True):
        if isinstance(got, int) and got != size:
            msg = (
                f"the input specification has the size {spec.size}, so the network must take "
                f"{expected}, got {info.name!r} of shape {list(info.shape)}"
            )
            raise ShapeError(msg)
        dim.dim_value = size


def _updated(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
    try:
        return version_converter.convert_version(model, _OLDEST_OPSET)
    except Exception as error:  # the converter raises many types of errors
        msg = (
            f"the network has opset {version} and cannot be updated to {_OLDEST_OPSET}, which the "
            f"steps around it need ({error}): export it with opset {_OLDEST_OPSET} or newer"
        )
        raise ConversionError(msg) from error


def _outputs(g: Builder, network: onnx.ModelProto) -> list[Raw]:
    """Return the outputs of the network; floats of any precision are float32."""
    found = []
    for output in edit.describe(network).outputs:
        if not output.dtype.startswith(("float", "int", "uint")):
            name = output.name.removeprefix(_PREFIX)
            msg = f"expected tensors of numbers as outputs, got {name!r} of type {output.dtype}"
            raise ConversionError(msg)
        value = g.value(output.name, output.dtype)
        is_float = output.dtype.startswith("float")
        found.append(Raw(value.cast(np.float32) if is_float else value, output.shape))
    return found


def _described(value: Value, name: str, shape: list[int | str]) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(value.dtype)
    return helper.make_tensor_value_info(name, kind, shape)


def _facts(
    spec: ModelSpec, labels: Sequence[str], options: Mapping[str, npt.NDArray[Any]]
) -> dict[str, str]:
    """Return the metadata of the graph."""
    return {
        "names": json.dumps([*labels], ensure_ascii=False),
        "task": spec.head.task.name,
        "input": f"{INPUT}: uint8 (height, width, 3), RGB, a photo of any size",
        "options": json.dumps({name: default.item() for name, default in options.items()}),
    }


def _model(
    network: onnx.ModelProto,
    graph: onnx.GraphProto,
    metadata: Mapping[str, str],
    facts: Mapping[str, str],
) -> onnx.ModelProto:
    outputs = ", ".join(value.name for value in graph.output)
    options = ", ".join(value.name for value in graph.input[1:])
    model = helper.make_model(
        graph,
        opset_imports=network.opset_import,
        functions=network.functions,
        ir_version=max(network.ir_version, _OLDEST_IR_VERSION),
        producer_name="furiosa_models",
        doc_string=(
            "Takes a photo as decoded, in the input 'image': uint8 (height, width, 3), RGB, upright"
            f". Gives the final results, best first: {outputs}. Boxes are left, top, right and "
            "bottom in pixels of the photo; classes are indices into the JSON list 'names' in the "
            f"metadata. Optional scalar inputs with defaults: {options or 'none'}."
        ),
    )
    helper.set_model_props(model, {**metadata, **facts})
    return model
