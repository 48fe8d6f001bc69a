"""Graphs of parts, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

from furiosa_models.export.embedded.builder import Builder
from furiosa_models.export.embedded.decoders import decode, default_options
from furiosa_models.export.embedded.outputs import Raw, Scene
from furiosa_models.export.embedded.photo import Placement, canvas
from furiosa_models.export.embedded.values import Value
from furiosa_models.spec import Head, ImageContext, ImageInput

Array = npt.NDArray[Any]

PLACEMENT = {"size": np.float32, "scale": np.float64, "pad": np.float64}


def session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # it warns of initializers that are inputs
    data = model.SerializeToString()
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def run(found: ort.InferenceSession, feeds: Mapping[str, Any]) -> dict[str, Array]:
    names = [output.name for output in found.get_outputs()]
    return dict(zip(names, found.run(None, dict(feeds)), strict=True))


def check(found: Mapping[str, Array], expected: Any) -> int:
    """Compare outputs of a graph with a result of `predict`, and return the number of items."""
    columns = expected.columns()
    for name, array in found.items():
        wanted = columns["class_ids" if name == "classes" else name]
        assert array.dtype == wanted.dtype
        if np.issubdtype(wanted.dtype, np.integer):
            np.testing.assert_array_equal(array, wanted)
        else:
            limit = 1e-6 if name == "scores" else 1e-6 * np.abs(wanted).max(initial=1.0)
            np.testing.assert_allclose(array, wanted, rtol=0, atol=limit, err_msg=name)
    (first, *_) = found.values()
    return len(found.get("scores", first))


def finished(
    g: Builder,
    inputs: Sequence[Value],
    outputs: Mapping[str, Value],
    defaults: Mapping[str, Array] | None = None,
) -> onnx.ModelProto:
    """Return the model of a builder, after checking it."""
    named = [g.rename(value, name) for name, value in outputs.items()]
    defaults = defaults or {}
    values = [*inputs, *(g.value(name, array.dtype) for name, array in defaults.items())]
    infos = [
        [
            helper.make_tensor_value_info(
                value.name,
                helper.np_dtype_to_tensor_dtype(value.dtype),
                [] if value.name in defaults else None,
            )
            for value in part
        ]
        for part in (values, named)
    ]
    constants = [numpy_helper.from_array(array, name) for name, array in defaults.items()]
    taken, given = infos
    graph = helper.make_graph(g.nodes, "part", taken, given, [*g.constants, *constants])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def placing(spec: ImageInput) -> ort.InferenceSession:
    """Return the graph from a photo to the network's input."""
    g = Builder(17)
    photo = g.value("image", np.uint8)
    tensor, placement = canvas(g, photo, spec)
    return session(finished(g, [photo], {"tensor": tensor, **placement._asdict()}))


def decoding(
    head: Head, outputs: Sequence[Array], spec: ImageInput, classes: int
) -> ort.InferenceSession:
    """Return the graph from outputs of these shapes to results; it takes the placement, too."""
    g = Builder(17)
    values = [g.value(f"raw_{i}", output.dtype) for i, output in enumerate(outputs)]
    raw = [Raw(v, output.shape) for v, output in zip(values, outputs, strict=True)]
    placement = Placement(*(g.value(name, dtype) for name, dtype in PLACEMENT.items()))
    defaults = default_options(head)
    options = {name: g.value(name, default.dtype) for name, default in defaults.items()}
    found = decode(Scene(g, raw, spec, placement, options, classes), head)
    used = [value for value in placement if any(value.name in node.input for node in g.nodes)]
    return session(finished(g, [*values, *used], found, defaults))


def feeds(
    graph: ort.InferenceSession, outputs: Sequence[Array], context: ImageContext
) -> dict[str, Array]:
    """Return the inputs of a graph of `decoding` for one photo."""
    scale = context.stretch or (context.scale, context.scale)
    placement = {"size": (context.width, context.height), "scale": scale, "pad": context.pad}
    known = {name: np.array(value, PLACEMENT[name]) for name, value in placement.items()}
    known |= {f"raw_{i}": output for i, output in enumerate(outputs)}
    return {each.name: known[each.name] for each in graph.get_inputs()}
