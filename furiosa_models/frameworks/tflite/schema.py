"""Numbers of the TensorFlow Lite schema: operations, types of elements, and fields of options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from ...networks.readers._flatbuffer import Table
from ..base import Array

__all__ = ["ACTIVATIONS", "BUILTINS", "CUSTOM", "DTYPES", "Numbers", "Options", "read_options"]

Options: TypeAlias = "dict[str, Any]"
"""Options of an operation by name: integers, floats, booleans, and lists of integers."""

Numbers: TypeAlias = Callable[[Table, int, str], Array]
"""A function that returns a vector of a table, given its position and the code of its numbers."""

_Fields: TypeAlias = "dict[str, tuple[int, str, float]]"
"""By name: position in the table, code of the type as in `struct` or `v` for a vector, default."""

CUSTOM = 32
"""Code of operations that are identified by name."""

BUILTINS = (
    "ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "DEPTH_TO_SPACE",
    "DEQUANTIZE", "EMBEDDING_LOOKUP", "FLOOR", "FULLY_CONNECTED", "HASHTABLE_LOOKUP",
    "L2_NORMALIZATION", "L2_POOL_2D", "LOCAL_RESPONSE_NORMALIZATION", "LOGISTIC",
    "LSH_PROJECTION", "LSTM", "MAX_POOL_2D", "MUL", "RELU", "RELU_N1_TO_1", "RELU6", "RESHAPE",
    "RESIZE_BILINEAR", "RNN", "SOFTMAX", "SPACE_TO_DEPTH", "SVDF", "TANH", "CONCAT_EMBEDDINGS",
    "SKIP_GRAM", "CALL", "CUSTOM", "EMBEDDING_LOOKUP_SPARSE", "PAD",
    "UNIDIRECTIONAL_SEQUENCE_RNN", "GATHER", "BATCH_TO_SPACE_ND", "SPACE_TO_BATCH_ND",
    "TRANSPOSE", "MEAN", "SUB", "DIV", "SQUEEZE", "UNIDIRECTIONAL_SEQUENCE_LSTM",
    "STRIDED_SLICE", "BIDIRECTIONAL_SEQUENCE_RNN", "EXP", "TOPK_V2", "SPLIT", "LOG_SOFTMAX",
    "DELEGATE", "BIDIRECTIONAL_SEQUENCE_LSTM", "CAST", "PRELU", "MAXIMUM", "ARG_MAX", "MINIMUM",
    "LESS", "NEG", "PADV2", "GREATER", "GREATER_EQUAL", "LESS_EQUAL", "SELECT", "SLICE", "SIN",
    "TRANSPOSE_CONV", "SPARSE_TO_DENSE", "TILE", "EXPAND_DIMS", "EQUAL", "NOT_EQUAL", "LOG",
    "SUM", "SQRT", "RSQRT", "SHAPE", "POW", "ARG_MIN", "FAKE_QUANT", "REDUCE_PROD",
    "REDUCE_MAX", "PACK", "LOGICAL_OR", "ONE_HOT", "LOGICAL_AND", "LOGICAL_NOT", "UNPACK",
    "REDUCE_MIN", "FLOOR_DIV", "REDUCE_ANY", "SQUARE", "ZEROS_LIKE", "FILL", "FLOOR_MOD",
    "RANGE", "RESIZE_NEAREST_NEIGHBOR", "LEAKY_RELU", "SQUARED_DIFFERENCE", "MIRROR_PAD", "ABS",
    "SPLIT_V", "UNIQUE", "CEIL", "REVERSE_V2", "ADD_N", "GATHER_ND", "COS", "WHERE", "RANK",
    "ELU", "REVERSE_SEQUENCE", "MATRIX_DIAG", "QUANTIZE", "MATRIX_SET_DIAG", "ROUND",
    "HARD_SWISH", "IF", "WHILE", "NON_MAX_SUPPRESSION_V4", "NON_MAX_SUPPRESSION_V5",
    "SCATTER_ND", "SELECT_V2", "DENSIFY", "SEGMENT_SUM", "BATCH_MATMUL",
    "PLACEHOLDER_FOR_GREATER_OP_CODES", "CUMSUM", "CALL_ONCE", "BROADCAST_TO", "RFFT2D",
    "CONV_3D", "IMAG", "REAL", "COMPLEX_ABS", "HASHTABLE", "HASHTABLE_FIND", "HASHTABLE_IMPORT",
    "HASHTABLE_SIZE", "REDUCE_ALL", "CONV_3D_TRANSPOSE", "VAR_HANDLE", "READ_VARIABLE",
    "ASSIGN_VARIABLE", "BROADCAST_ARGS", "RANDOM_STANDARD_NORMAL", "BUCKETIZE",
    "RANDOM_UNIFORM", "MULTINOMIAL", "GELU", "DYNAMIC_UPDATE_SLICE", "RELU_0_TO_1",
    "UNSORTED_SEGMENT_PROD", "UNSORTED_SEGMENT_MAX", "UNSORTED_SEGMENT_SUM", "ATAN2",
    "UNSORTED_SEGMENT_MIN", "SIGN", "BITCAST", "BITWISE_XOR", "RIGHT_SHIFT",
    "STABLEHLO_LOGISTIC", "STABLEHLO_ADD", "STABLEHLO_DIVIDE", "STABLEHLO_MULTIPLY",
    "STABLEHLO_MAXIMUM", "STABLEHLO_RESHAPE", "STABLEHLO_CLAMP", "STABLEHLO_CONCATENATE",
    "STABLEHLO_BROADCAST_IN_DIM", "STABLEHLO_CONVOLUTION", "STABLEHLO_SLICE",
    "STABLEHLO_CUSTOM_CALL", "STABLEHLO_REDUCE", "STABLEHLO_ABS", "STABLEHLO_AND",
    "STABLEHLO_COSINE", "STABLEHLO_EXPONENTIAL", "STABLEHLO_FLOOR", "STABLEHLO_LOG",
    "STABLEHLO_MINIMUM", "STABLEHLO_NEGATE", "STABLEHLO_OR", "STABLEHLO_POWER",
    "STABLEHLO_REMAINDER", "STABLEHLO_RSQRT", "STABLEHLO_SELECT", "STABLEHLO_SUBTRACT",
    "STABLEHLO_TANH", "STABLEHLO_SCATTER", "STABLEHLO_COMPARE", "STABLEHLO_CONVERT",
    "STABLEHLO_DYNAMIC_SLICE", "STABLEHLO_DYNAMIC_UPDATE_SLICE", "STABLEHLO_PAD",
    "STABLEHLO_IOTA", "STABLEHLO_DOT_GENERAL", "STABLEHLO_REDUCE_WINDOW", "STABLEHLO_SORT",
    "STABLEHLO_WHILE", "STABLEHLO_GATHER", "STABLEHLO_TRANSPOSE", "DILATE",
    "STABLEHLO_RNG_BIT_GENERATOR", "REDUCE_WINDOW", "STABLEHLO_COMPOSITE",
    "STABLEHLO_SHIFT_LEFT", "STABLEHLO_CBRT", "STABLEHLO_CASE",
)  # fmt: skip
"""Names of the operations by their code."""

DTYPES = (
    "float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64",
    "int8", "float64", "complex128", "uint64", "resource", "variant", "uint32", "uint16",
    "int4", "bfloat16", "int2", "uint4", "float8_e4m3fn", "float8_e5m2",
)  # fmt: skip
"""Names of the types of elements by their code."""

ACTIVATIONS = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")
"""Names of the activations that operations apply to their result, by their code."""

_CONVOLUTION: _Fields = {
    "padding": (0, "b", 0),
    "stride_w": (1, "i", 0),
    "stride_h": (2, "i", 0),
    "activation": (3, "b", 0),
    "dilation_w": (4, "i", 1),
    "dilation_h": (5, "i", 1),
}
_POOL: _Fields = {
    "padding": (0, "b", 0),
    "stride_w": (1, "i", 0),
    "stride_h": (2, "i", 0),
    "filter_w": (3, "i", 0),
    "filter_h": (4, "i", 0),
    "activation": (5, "b", 0),
}
_ACTIVATION: _Fields = {"activation": (0, "b", 0)}
_REDUCER: _Fields = {"keep_dims": (0, "?", 0)}
_BLOCK: _Fields = {"block_size": (0, "i", 0)}

_OPTIONS: dict[str, _Fields] = {
    "ADD": _ACTIVATION,
    "AVERAGE_POOL_2D": _POOL,
    "BATCH_MATMUL": {"adj_x": (0, "?", 0), "adj_y": (1, "?", 0)},
    "CONCATENATION": {"axis": (0, "i", 0), "activation": (1, "b", 0)},
    "CONV_2D": _CONVOLUTION,
    "CUMSUM": {"exclusive": (0, "?", 0), "reverse": (1, "?", 0)},
    "DEPTHWISE_CONV_2D": {
        **_CONVOLUTION,
        "activation": (4, "b", 0),
        "dilation_w": (5, "i", 1),
        "dilation_h": (6, "i", 1),
    },
    "DEPTH_TO_SPACE": _BLOCK,
    "DIV": _ACTIVATION,
    "FULLY_CONNECTED": {
        "activation": (0, "b", 0),
        "weights_format": (1, "b", 0),
        "keep_num_dims": (2, "?", 0),
    },
    "GATHER": {"axis": (0, "i", 0), "batch_dims": (1, "i", 0)},
    "GELU": {"approximate": (0, "?", 0)},
    "L2_NORMALIZATION": _ACTIVATION,
    "L2_POOL_2D": _POOL,
    "LEAKY_RELU": {"alpha": (0, "f", 0)},
    "LOCAL_RESPONSE_NORMALIZATION": {
        "radius": (0, "i", 0),
        "bias": (1, "f", 0),
        "alpha": (2, "f", 0),
        "beta": (3, "f", 0),
    },
    "MAX_POOL_2D": _POOL,
    "MIRROR_PAD": {"mode": (0, "b", 0)},
    "MUL": _ACTIVATION,
    "ONE_HOT": {"axis": (0, "i", 0)},
    "PACK": {"axis": (1, "i", 0)},
    "RESHAPE": {"new_shape": (0, "v", 0)},
    "RESIZE_BILINEAR": {"align_corners": (2, "?", 0), "half_pixel_centers": (3, "?", 0)},
    "RESIZE_NEAREST_NEIGHBOR": {"align_corners": (0, "?", 0), "half_pixel_centers": (1, "?", 0)},
    "SOFTMAX": {"beta": (0, "f", 0)},
    "SPACE_TO_DEPTH": _BLOCK,
    "SQUEEZE": {"squeeze_dims": (0, "v", 0)},
    "STRIDED_SLICE": {
        "begin_mask": (0, "i", 0),
        "end_mask": (1, "i", 0),
        "ellipsis_mask": (2, "i", 0),
        "new_axis_mask": (3, "i", 0),
        "shrink_axis_mask": (4, "i", 0),
        "offset": (5, "?", 0),
    },
    "SUB": _ACTIVATION,
    "TRANSPOSE_CONV": {
        "padding": (0, "b", 0),
        "stride_w": (1, "i", 0),
        "stride_h": (2, "i", 0),
        "activation": (3, "b", 0),
    },
    "UNPACK": {"axis": (1, "i", 0)},
    **dict.fromkeys(
        ("MEAN", "SUM", "REDUCE_ALL", "REDUCE_ANY", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"),
        _REDUCER,
    ),
}


def read_options(kind: str, table: Table | None, numbers: Numbers) -> Options:
    """Return the options of an operation that the converter needs, with the schema's defaults.

    Args:
        kind: Name of the operation.
        table: Its options, or None if all are omitted.
        numbers: Reads a vector of a table.
    """
    fields = _OPTIONS.get(kind, {})
    return {name: _read(table, numbers, *field) for name, field in fields.items()}


def _read(table: Table | None, numbers: Numbers, index: int, code: str, default: float) -> Any:
    if code == "v":
        return [] if table is None else numbers(table, index, "i").tolist()
    if table is None:
        return bool(default) if code == "?" else default
    if code == "f":
        return table.real(index, default)
    value = table.scalar(index, code, int(default))
    return bool(value) if code == "?" else value
