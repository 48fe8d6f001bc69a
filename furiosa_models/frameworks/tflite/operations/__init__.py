"""Converters of all operations: functions that add ONNX nodes, by the name of the operation."""

from __future__ import annotations

from collections.abc import Callable

from ..file import Operator
from ..operation import Operation
from . import convolution, detection, elementwise, reduction, sampling, shape, slicing
from .elementwise import as_clip, as_node, comparison
from .reduction import reduction as reduce_by

__all__ = ["CONVERTERS", "CUSTOM_CONVERTERS", "converter"]

CONVERTERS: dict[str, Callable[[Operation], None]] = {
    "ABS": as_node("Abs"),
    "ADD": as_node("Add"),
    "ADD_N": elementwise.add_all,
    "ARG_MAX": reduction.arg_extremum,
    "ARG_MIN": reduction.arg_extremum,
    "AVERAGE_POOL_2D": convolution.average_pool,
    "BATCH_MATMUL": reduction.batch_matmul,
    "BATCH_TO_SPACE_ND": slicing.batch_to_space,
    "BROADCAST_TO": shape.broadcast,
    "CAST": elementwise.cast,
    "CEIL": as_node("Ceil"),
    "CONCATENATION": shape.concatenate,
    "CONV_2D": convolution.convolution,
    "COS": as_node("Cos"),
    "CUMSUM": reduction.cumulative_sum,
    "DENSIFY": elementwise.densify,
    "DEPTHWISE_CONV_2D": convolution.depthwise_convolution,
    "DEPTH_TO_SPACE": shape.spread,
    "DEQUANTIZE": elementwise.dequantize,
    "DIV": as_node("Div"),
    "ELU": as_node("Elu"),
    "EQUAL": comparison("Equal"),
    "EXP": as_node("Exp"),
    "EXPAND_DIMS": shape.reshape,
    "FILL": shape.fill,
    "FLOOR": as_node("Floor"),
    "FLOOR_DIV": elementwise.floor_division,
    "FLOOR_MOD": elementwise.floor_remainder,
    "FULLY_CONNECTED": convolution.fully_connected,
    "GATHER": sampling.gather,
    "GATHER_ND": sampling.gather_nd,
    "GELU": elementwise.gelu,
    "GREATER": comparison("Greater"),
    "GREATER_EQUAL": comparison("GreaterOrEqual"),
    "HARD_SWISH": as_node("HardSwish"),
    "L2_NORMALIZATION": reduction.l2_normalize,
    "L2_POOL_2D": convolution.l2_pool,
    "LEAKY_RELU": elementwise.leaky_relu,
    "LESS": comparison("Less"),
    "LESS_EQUAL": comparison("LessOrEqual"),
    "LOCAL_RESPONSE_NORMALIZATION": reduction.local_response_normalize,
    "LOG": as_node("Log"),
    "LOGICAL_AND": as_node("And"),
    "LOGICAL_NOT": as_node("Not"),
    "LOGICAL_OR": as_node("Or"),
    "LOGISTIC": as_node("Sigmoid"),
    "LOG_SOFTMAX": reduction.log_softmax,
    "MAXIMUM": as_node("Max"),
    "MAX_POOL_2D": convolution.max_pool,
    "MEAN": reduce_by("ReduceMean"),
    "MINIMUM": as_node("Min"),
    "MIRROR_PAD": slicing.mirror_pad,
    "MUL": as_node("Mul"),
    "NEG": as_node("Neg"),
    "NOT_EQUAL": comparison("Equal", negated=True),
    "ONE_HOT": sampling.one_hot,
    "PACK": shape.pack,
    "PAD": slicing.pad,
    "PADV2": slicing.pad,
    "POW": as_node("Pow"),
    "PRELU": elementwise.parametric_relu,
    "QUANTIZE": elementwise.quantize,
    "RANGE": sampling.number_range,
    "RANK": shape.rank_of,
    "REDUCE_ALL": reduce_by("ReduceAll"),
    "REDUCE_ANY": reduce_by("ReduceAny"),
    "REDUCE_MAX": reduce_by("ReduceMax"),
    "REDUCE_MIN": reduce_by("ReduceMin"),
    "REDUCE_PROD": reduce_by("ReduceProd"),
    "RELU": as_node("Relu"),
    "RELU6": as_clip(0.0, 6.0),
    "RELU_0_TO_1": as_clip(0.0, 1.0),
    "RELU_N1_TO_1": as_clip(-1.0, 1.0),
    "RESHAPE": shape.reshape,
    "RESIZE_BILINEAR": sampling.resize_bilinear,
    "RESIZE_NEAREST_NEIGHBOR": sampling.resize_nearest,
    "REVERSE_V2": slicing.reverse,
    "ROUND": as_node("Round"),
    "RSQRT": elementwise.reciprocal_root,
    "SELECT": elementwise.select,
    "SELECT_V2": elementwise.select,
    "SHAPE": shape.shape_of,
    "SIGN": as_node("Sign"),
    "SIN": as_node("Sin"),
    "SLICE": slicing.slice_tensor,
    "SOFTMAX": reduction.softmax,
    "SPACE_TO_BATCH_ND": slicing.space_to_batch,
    "SPACE_TO_DEPTH": shape.spread,
    "SPLIT": shape.split,
    "SPLIT_V": shape.split_sizes,
    "SQRT": as_node("Sqrt"),
    "SQUARE": elementwise.square,
    "SQUARED_DIFFERENCE": elementwise.squared_difference,
    "SQUEEZE": shape.reshape,
    "STRIDED_SLICE": slicing.strided_slice,
    "SUB": as_node("Sub"),
    "SUM": reduce_by("ReduceSum"),
    "TANH": as_node("Tanh"),
    "TILE": shape.tile,
    "TOPK_V2": reduction.top_k,
    "TRANSPOSE": shape.permute,
    "TRANSPOSE_CONV": convolution.transposed_convolution,
    "UNPACK": shape.unpack,
    "ZEROS_LIKE": elementwise.zeros_like,
}
"""Converters of the operations of TensorFlow Lite."""

CUSTOM_CONVERTERS: dict[str, Callable[[Operation], None]] = {
    "Convolution2DTransposeBias": convolution.transposed_convolution_with_bias,
    "TFLite_Detection_PostProcess": detection.detection_postprocess,
}
"""Converters of custom operations."""


def converter(operator: Operator) -> Callable[[Operation], None] | None:
    """Return the converter of an operation, or None if it is unknown."""
    table = CUSTOM_CONVERTERS if operator.is_custom else CONVERTERS
    return table.get(operator.kind)
