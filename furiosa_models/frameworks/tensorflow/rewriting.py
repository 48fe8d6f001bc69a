"""Operations that ONNX has, but TensorFlow and Keras write as others."""

from __future__ import annotations

from typing import Any

import numpy as np

from .edit import FLOAT, EditableGraph, is_nhwc

__all__ = ["merge_dilation", "replace_erfc"]


def replace_erfc(graph: EditableGraph, node: Any) -> None:
    """Replace `erfc(x)`, which Keras uses for GELU, with `1 - erf(x)`."""
    name = node.name
    one = graph.add_constant(f"{name}/one", np.asarray(1, np.float32))
    graph.rename(name, graph.unused_name(f"{name}/Erf"))
    node.op = "Erf"
    graph.add("Sub", name, [one, node.name], T=FLOAT)


def merge_dilation(graph: EditableGraph, node: Any) -> None:
    """Make the batches around a convolution its dilation.

    TensorFlow writes a dilated convolution as `SpaceToBatchND`, a convolution without dilation, and
    `BatchToSpaceND`.
    """
    before = graph.nodes.get(node.input[0])
    user = graph.only_user(node)
    if before is None or before.op != "SpaceToBatchND" or user is None:
        return
    after = user[0]
    parameters = [*before.input[1:], *after.input[1:]]
    if after.op != "BatchToSpaceND" or not all(map(graph.is_constant, parameters)):
        return
    block, paddings, other, crops = map(graph.value, parameters)
    padding = _padding(graph.value(node.input[1]).shape[:2], block, paddings - crops)
    is_plain = node.attr["padding"].s == b"VALID" and {*node.attr["strides"].list.i} == {1}
    if not (is_plain and is_nhwc(node) and np.array_equal(block, other) and padding):
        return
    node.input[0] = before.input[0]
    node.attr["padding"].s = padding
    node.attr["dilations"].list.i[:] = [1, *map(int, block), 1]
    graph.redirect(after.name, node.name)


def _padding(kernel: Any, block: Any, padding: Any) -> bytes | None:
    """Return the padding of a dilated convolution by its name; None if it has none."""
    if not padding.any():
        return b"VALID"
    total = (np.asarray(kernel) - 1) * block
    same = np.stack([total // 2, total - total // 2], 1)
    return b"SAME" if np.array_equal(padding, same) else None
