"""Graphs for readers that know older operator sets."""

from __future__ import annotations

import logging

import onnx

from .edit import parse, serialised

__all__ = ["with_opset"]

logger = logging.getLogger(__name__)

_DEFAULT_DOMAIN = ("", "ai.onnx")
_CHANGED = frozenset({"RoiAlign"})  # another default between 13 and 17
_LEAST_IR_VERSION = 7


def with_opset(model: bytes, version: int) -> bytes:
    """The model in an older operator set, where all its operations mean the same in that.

    A model that needs the newer one, or is in an old enough one, stays as it is.

    Args:
        model: Bytes of ONNX.
        version: Version of the operator set.

    Raises:
        WeightsError: The bytes are no ONNX model.
    """
    proto = parse(model)
    (current,) = [opset for opset in proto.opset_import if opset.domain in _DEFAULT_DOMAIN]
    if current.version <= version:
        return model
    newer = sorted({node.op_type for node in proto.graph.node if not _is_old(node, version)})
    if newer:
        logger.info("%s needs a newer operator set than %d", ", ".join(newer), version)
        return model
    current.version = version
    proto.ir_version = min(proto.ir_version, _LEAST_IR_VERSION)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        logger.info("not valid in operator set %d: %s", version, error)
        return model
    return serialised(proto)


def _is_old(node: onnx.NodeProto, version: int) -> bool:
    """Whether an operation, with these attributes, was there in a version."""
    if node.domain not in _DEFAULT_DOMAIN:
        return True
    try:
        schema = onnx.defs.get_schema(node.op_type, version)
    except onnx.defs.SchemaError:
        return False
    known = {attribute.name for attribute in node.attribute} <= schema.attributes.keys()
    return known and node.op_type not in _CHANGED
