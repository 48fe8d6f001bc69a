"""ONNX operations as functions of PyTorch tensors.

Sizes are Python integers, so that `torch.export` keeps an open batch dimension: `Shape` gives a
list, and the operations that compute new sizes from it work on lists.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F  # its customary name

from ...errors import ConversionError

__all__ = ["OPERATIONS", "SETTINGS", "Pending"]

Tensor = Any
_FAR = 2**31 - 1
OPERATIONS: dict[str, Callable[..., Any]] = {}
SETTINGS: dict[str, Sequence[int]] = {
    **dict.fromkeys(("Expand", "Reshape", "Split", "Squeeze", "Tile", "TopK", "Unsqueeze"), (1,)),
    **dict.fromkeys(("ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum"), (1,)),
    **dict.fromkeys(("Clip", "QuantizeLinear"), (1, 2)),
    "ConstantOfShape": (0,),
    "Pad": (1, 2, 3),
    "Range": (0, 1, 2),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
}
"""Places of the inputs that are settings of an operation, rather than tensors to compute with."""
_DTYPES: dict[int, Any] = {
    onnx.TensorProto.FLOAT: torch.float32,
    onnx.TensorProto.DOUBLE: torch.float64,
    onnx.TensorProto.FLOAT16: torch.float16,
    onnx.TensorProto.BFLOAT16: torch.bfloat16,
    onnx.TensorProto.INT64: torch.int64,
    onnx.TensorProto.INT32: torch.int32,
    onnx.TensorProto.INT16: torch.int16,
    onnx.TensorProto.INT8: torch.int8,
    onnx.TensorProto.UINT8: torch.uint8,
    onnx.TensorProto.BOOL: torch.bool,
}


def _operation(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        OPERATIONS[name] = function
        return function

    return add


def _tensor(value: Any, like: Tensor = None) -> Tensor:
    """Return a value as a tensor, on the device of another one."""
    if isinstance(value, torch.Tensor):
        return value
    device = None if like is None else like.device
    return torch.as_tensor(value, device=device)


def _sizes(value: Any) -> list[Any]:
    """Return sizes, or axes, as a list of integers."""
    if isinstance(value, torch.Tensor):
        value = value.tolist()
    if isinstance(value, np.ndarray):
        value = value.reshape(-1).tolist()
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _is_sizes(*values: Any) -> bool:
    """Return whether values are sizes, and none is a tensor."""
    return any(isinstance(v, list) for v in values) and not any(
        isinstance(v, torch.Tensor) for v in values
    )


# --- Arithmetic -------------------------------------------------------------------------------


def _elementwise(name: str, function: Callable[[Any, Any], Any]) -> None:
    def apply(a: Any, b: Any) -> Any:
        if _is_sizes(a, b):
            left, right = _sizes(a), _sizes(b)
            count = max(len(left), len(right))
            pairs = zip(left * (count // len(left)), right * (count // len(right)), strict=True)
            return [function(x, y) for x, y in pairs]
        if isinstance(a, torch.Tensor):
            return function(a, _tensor(b, a))
        if isinstance(b, torch.Tensor):
            return function(_tensor(a, b), b)
        return np.asarray(function(a, b))

    OPERATIONS[name] = apply


def _divide(a: Any, b: Any) -> Any:
    if isinstance(a, torch.Tensor):
        mode = None if a.is_floating_point() else "trunc"
        return torch.div(a, b, rounding_mode=mode)
    is_integer = isinstance(a, int) or (isinstance(a, np.ndarray) and a.dtype.kind in "iu")
    return a // b if is_integer or isinstance(a, torch.SymInt) else a / b


for _name, _function in {
    "Add": operator.add,
    "Sub": operator.sub,
    "Mul": operator.mul,
    "Div": _divide,
    "Pow": operator.pow,
    "Equal": operator.eq,
    "Greater": operator.gt,
    "GreaterOrEqual": operator.ge,
    "Less": operator.lt,
    "LessOrEqual": operator.le,
    "And": operator.and_,
    "Or": operator.or_,
}.items():
    _elementwise(_name, _function)


for _name, _unary in {
    "Abs": torch.abs,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "Log": torch.log,
    "Mish": F.mish,
    "Neg": torch.neg,
    "Not": torch.logical_not,
    "Reciprocal": torch.reciprocal,
    "Relu": torch.relu,
    "Round": torch.round,
    "Sigmoid": torch.sigmoid,
    "Sin": torch.sin,
    "Softplus": F.softplus,
    "Softsign": F.softsign,
    "Sqrt": torch.sqrt,
    "Tanh": torch.tanh,
    "HardSwish": F.hardswish,
}.items():
    OPERATIONS[_name] = _unary


@_operation("Max")
def _max(*values: Any) -> Any:
    return _reduced_pairs(torch.maximum, values)


@_operation("Min")
def _min(*values: Any) -> Any:
    return _reduced_pairs(torch.minimum, values)


def _reduced_pairs(function: Callable[[Any, Any], Any], values: Sequence[Any]) -> Any:
    like = next((value for value in values if isinstance(value, torch.Tensor)), None)
    result, *rest = (_tensor(value, like) for value in values)
    for value in rest:
        result = function(result, value)
    return result


@_operation("Clip")
def _clip(x: Tensor, low: Any = None, high: Any = None, **bounds: float) -> Tensor:
    low = bounds.get("min", low)
    high = bounds.get("max", high)
    return torch.clamp(x, *(None if bound is None else _number(bound) for bound in (low, high)))


@_operation("LeakyRelu")
def _leaky_relu(x: Tensor, alpha: float = 0.01) -> Tensor:
    return F.leaky_relu(x, alpha)


@_operation("Elu")
def _elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    return F.elu(x, alpha)


@_operation("Gelu")
def _gelu(x: Tensor, approximate: str = "none") -> Tensor:
    return F.gelu(x, approximate=approximate)


@_operation("HardSigmoid")
def _hard_sigmoid(x: Tensor, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    return torch.clamp(alpha * x + beta, 0, 1)


@_operation("PRelu")
def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, x * _tensor(slope, x), x)


@_operation("Softmax")
def _softmax(x: Tensor, axis: int = -1) -> Tensor:
    return torch.softmax(x, axis)


@_operation("LogSoftmax")
def _log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    return torch.log_softmax(x, axis)


@_operation("Where")
def _where(condition: Any, a: Any, b: Any) -> Any:
    if _is_sizes(condition, a, b):
        columns = (_sizes(value) for value in (condition, a, b))
        return [x if c else y for c, x, y in zip(*columns, strict=True)]
    like = next(value for value in (a, b, condition) if isinstance(value, torch.Tensor))
    return torch.where(*(_tensor(value, like) for value in (condition, a, b)))


# --- Layers -----------------------------------------------------------------------------------


def _padded(x: Tensor, pads: Sequence[int], value: float = 0.0) -> tuple[Tensor, list[int]]:
    """Return an input and the symmetric padding that is left to do after an asymmetric one."""
    count = len(pads) // 2
    if [*pads[:count]] == [*pads[count:]]:
        return x, list(pads[:count])
    return F.pad(x, _pairs(pads), value=value), [0] * count


def _pairs(pads: Sequence[int]) -> list[int]:
    """Return ONNX's padding, begins and then ends, in PyTorch's order: pairs from the last axis."""
    count = len(pads) // 2
    return [size for axis in reversed(range(count)) for size in (pads[axis], pads[count + axis])]


def _window(x: Tensor, kernel: Sequence[int], options: dict[str, Any]) -> list[int]:
    """Return the padding of a sliding window: begins, then ends."""
    rank = len(kernel)
    auto = options.get("auto_pad", "NOTSET")
    if auto in ("NOTSET", "VALID"):
        return list(options.get("pads") or [0] * (2 * rank))
    strides = options.get("strides") or [1] * rank
    dilations = options.get("dilations") or [1] * rank
    totals = []
    for size, window, stride, dilation in zip(x.shape[2:], kernel, strides, dilations, strict=True):
        steps = -(-int(size) // stride)
        totals.append(max(0, (steps - 1) * stride + (window - 1) * dilation + 1 - int(size)))
    small = [total // 2 for total in totals]
    large = [total - half for total, half in zip(totals, small, strict=True)]
    return small + large if auto == "SAME_UPPER" else large + small


@_operation("Conv")
def _conv(x: Tensor, weight: Tensor, bias: Tensor = None, **options: Any) -> Tensor:
    rank = weight.ndim - 2
    x, padding = _padded(x, _window(x, weight.shape[2:], options))
    function = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
    return function(
        x,
        weight,
        bias,
        options.get("strides") or [1] * rank,
        padding,
        options.get("dilations") or [1] * rank,
        options.get("group", 1),
    )


@_operation("ConvTranspose")
def _conv_transpose(x: Tensor, weight: Tensor, bias: Tensor = None, **options: Any) -> Tensor:
    rank = weight.ndim - 2
    pads = list(options.get("pads") or [0] * (2 * rank))
    if options.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or "output_shape" in options:
        msg = "ConvTranspose with auto_pad or output_shape has no PyTorch form here"
        raise ConversionError(msg)
    begins, ends = pads[:rank], pads[rank:]
    is_symmetric = begins == ends
    function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[rank - 1]
    result = function(
        x,
        weight,
        bias,
        options.get("strides") or [1] * rank,
        begins if is_symmetric else [0] * rank,
        options.get("output_padding") or [0] * rank,
        options.get("group", 1),
        options.get("dilations") or [1] * rank,
    )
    return result if is_symmetric else F.pad(result, _pairs([-pad for pad in pads]))


@_operation("Gemm")
def _gemm(a: Tensor, b: Tensor, c: Tensor = None, **options: Any) -> Tensor:
    left = a.T if options.get("transA") else a
    right = b.T if options.get("transB") else b
    result = left @ right
    if options.get("alpha", 1.0) != 1.0:
        result = result * options["alpha"]
    if c is None:
        return result
    return result + _tensor(c, a) * options.get("beta", 1.0)


@_operation("MatMul")
def _matmul(a: Tensor, b: Tensor) -> Tensor:
    return torch.matmul(a, _tensor(b, a))


@_operation("Einsum")
def _einsum(*values: Tensor, equation: str) -> Tensor:
    return torch.einsum(equation, *values)


@_operation("BatchNormalization")
def _batch_norm(
    x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor, **options: Any
) -> Tensor:
    return F.batch_norm(x, mean, var, scale, bias, False, 0.0, options.get("epsilon", 1e-5))


@_operation("InstanceNormalization")
def _instance_norm(x: Tensor, scale: Tensor, bias: Tensor, epsilon: float = 1e-5) -> Tensor:
    return F.instance_norm(x, None, None, scale, bias, True, 0.0, epsilon)


@_operation("LayerNormalization")
def _layer_norm(
    x: Tensor,
    scale: Tensor,
    bias: Tensor = None,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Tensor:
    del stash_type  # of mean and deviation, which are not outputs here
    return F.layer_norm(x, x.shape[axis:], scale, bias, epsilon)


@_operation("MaxPool")
def _max_pool(x: Tensor, kernel_shape: Sequence[int], **options: Any) -> Tensor:
    rank = len(kernel_shape)
    strides = options.get("strides") or [1] * rank
    dilations = options.get("dilations") or [1] * rank
    pads, ceil = _pool_pads(x, kernel_shape, options)
    x, padding = _padded(x, pads, -math.inf)
    function = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[rank - 1]
    return function(x, kernel_shape, strides, padding, dilations, ceil)


@_operation("AveragePool")
def _average_pool(x: Tensor, kernel_shape: Sequence[int], **options: Any) -> Tensor:
    rank = len(kernel_shape)
    given = _window(x, kernel_shape, options)
    pads, ceil = _pool_pads(x, kernel_shape, options)
    counts = bool(options.get("count_include_pad", 0))
    function = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[rank - 1]
    strides = options.get("strides") or [1] * rank
    if pads[:rank] == pads[rank:]:
        return function(x, kernel_shape, strides, pads[:rank], ceil, counts)
    ones = torch.ones_like(x[:1, :1])
    if counts:  # without what rounding up adds
        ones = F.pad(ones, _pairs(given), value=1.0)
        pads_left = [pad - had for pad, had in zip(pads, given, strict=True)]
        ones = F.pad(ones, _pairs(pads_left))
    else:
        ones = F.pad(ones, _pairs(pads))
    means = function(F.pad(x, _pairs(pads)), kernel_shape, strides)
    return means / function(ones, kernel_shape, strides)


def _pool_pads(x: Tensor, kernel: Sequence[int], options: dict[str, Any]) -> tuple[list[int], bool]:
    """Return the padding of a pool, and whether PyTorch has to round its size up.

    PyTorch would take asymmetric padding, which is done before the pool, for a part of the input,
    in which windows may begin. So the end is padded to the size of the result.
    """
    rank = len(kernel)
    pads, ceil = _window(x, kernel, options), bool(options.get("ceil_mode", 0))
    if not ceil or pads[:rank] == pads[rank:]:
        return pads, ceil
    strides = options.get("strides") or [1] * rank
    dilations = options.get("dilations") or [1] * rank
    for axis, size in enumerate(x.shape[2:]):
        window = (kernel[axis] - 1) * dilations[axis] + 1
        begin, end = pads[axis], pads[rank + axis]
        last = -(-(int(size) + begin + end - window) // strides[axis]) * strides[axis]
        if last >= int(size) + begin:
            last -= strides[axis]
        pads[rank + axis] = last + window - int(size) - begin
    return pads, False


@_operation("GlobalAveragePool")
def _global_average_pool(x: Tensor) -> Tensor:
    return x.mean(tuple(range(2, x.ndim)), keepdim=True)


@_operation("GlobalMaxPool")
def _global_max_pool(x: Tensor) -> Tensor:
    return x.amax(tuple(range(2, x.ndim)), keepdim=True)


def _reduction(name: str, function: Callable[..., Any]) -> None:
    def reduce(x: Tensor, axes: Any = None, **options: Any) -> Tensor:
        chosen = _sizes(options.get("axes", axes) if axes is None else axes)
        if chosen in ([None], []):
            if options.get("noop_with_empty_axes"):
                return x
            chosen = list(range(x.ndim))
        return function(x, dim=tuple(chosen), keepdim=bool(options.get("keepdims", 1)))

    OPERATIONS[name] = reduce


_reduction("ReduceMean", torch.mean)
_reduction("ReduceSum", torch.sum)
_reduction("ReduceMax", torch.amax)
_reduction("ReduceMin", torch.amin)
_reduction("ReduceL2", lambda x, dim, keepdim: torch.linalg.vector_norm(x, 2, dim, keepdim))


@_operation("ArgMax")
def _arg_max(x: Tensor, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    if select_last_index:
        msg = "ArgMax with select_last_index has no PyTorch form here"
        raise ConversionError(msg)
    return torch.argmax(x, axis, bool(keepdims))


@_operation("TopK")
def _top_k(
    x: Tensor, k: Any, axis: int = -1, largest: int = 1, sorted: int = 1
) -> tuple[Tensor, Tensor]:
    found = torch.topk(x, _sizes(k)[0], axis, bool(largest), bool(sorted))
    return found.values, found.indices


# --- Shapes -----------------------------------------------------------------------------------


@_operation("Shape")
def _shape(x: Tensor, start: int = 0, end: int | None = None) -> list[Any]:
    return list(x.shape)[start:end]


@_operation("Size")
def _size(x: Tensor) -> list[Any]:
    return [x.numel()]


@_operation("Reshape")
def _reshape(x: Any, shape: Any, allowzero: int = 0) -> Any:
    if isinstance(x, (list, np.ndarray)):
        return x
    sizes = _sizes(shape)
    if not allowzero:
        sizes = [
            x.shape[axis] if isinstance(size, int) and size == 0 else size
            for axis, size in enumerate(sizes)
        ]
    return x.reshape(sizes)


@_operation("Flatten")
def _flatten(x: Tensor, axis: int = 1) -> Tensor:
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), -1) if axis != 1 else x.flatten(1)


@_operation("Transpose")
def _transpose(x: Tensor, perm: Sequence[int] | None = None) -> Tensor:
    return x.permute(*(perm or reversed(range(x.ndim))))


@_operation("Squeeze")
def _squeeze(x: Any, axes: Any = None, **options: Any) -> Any:
    if isinstance(x, list):
        return x
    chosen = options.get("axes", axes)
    return x.squeeze() if chosen is None else x.squeeze(tuple(_sizes(chosen)))


@_operation("Unsqueeze")
def _unsqueeze(x: Any, axes: Any = None, **options: Any) -> Any:
    if isinstance(x, list):
        return x
    chosen = _sizes(options.get("axes", axes))
    if isinstance(x, np.ndarray):
        return np.expand_dims(x, tuple(chosen))
    rank = x.ndim + len(chosen)
    for axis in sorted(axis % rank for axis in chosen):
        x = x.unsqueeze(axis)
    return x


@_operation("Expand")
def _expand(x: Tensor, shape: Any) -> Tensor:
    sizes = _sizes(shape)
    like = torch.broadcast_shapes(tuple(x.shape), tuple(sizes))
    return x.expand(like)


@_operation("Tile")
def _tile(x: Tensor, repeats: Any) -> Tensor:
    return x.repeat(_sizes(repeats))


@_operation("Concat")
def _concat(*values: Any, axis: int) -> Any:
    if _is_sizes(*values):
        return [size for value in values for size in _sizes(value)]
    like = next(value for value in values if isinstance(value, torch.Tensor))
    return torch.cat([_tensor(value, like) for value in values], axis)


@_operation("Split")
def _split(x: Tensor, sizes: Any = None, axis: int = 0, count: int = 1, **options: Any) -> Any:
    given = options.get("split", sizes)
    if given is not None:
        return tuple(torch.split(x, _sizes(given), axis))
    return tuple(torch.split(x, -(-x.shape[axis] // count), axis))


@_operation("Slice")
def _slice(
    x: Any, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None, **old: Any
) -> Any:
    begins, stops = (
        [_bounded(bound) for bound in _sizes(bounds)]
        for bounds in (old.get("starts", starts), old.get("ends", ends))
    )
    given = old.get("axes", axes)
    chosen = list(range(len(begins))) if given is None else _sizes(given)
    strides = [1] * len(begins) if steps is None else _sizes(steps)
    for axis, begin, stop, step in zip(chosen, begins, stops, strides, strict=True):
        if isinstance(x, list):
            x = x[begin:stop:step]
        elif step > 0:
            window = [slice(None)] * x.ndim
            window[axis] = slice(begin, stop, step)
            x = x[tuple(window)]
        else:
            x = x.index_select(axis, _indices(_backward(x.shape[axis], begin, stop, step), x))
    return x


def _bounded(bound: Any) -> Any:
    """Return a bound of a slice without the values of 64 bits that stand for "to the end"."""
    return min(max(bound, -_FAR), _FAR) if isinstance(bound, int) else bound


def _backward(size: int, begin: int, stop: int, step: int) -> list[int]:
    """Return the indices of a slice with a negative step, whose bounds ONNX clamps."""
    first = min(max(begin + size if begin < 0 else begin, 0), size - 1)
    last = min(max(stop + size if stop < 0 else stop, -1), size - 1)
    return list(range(first, last, step))


def _indices(order: Sequence[int], like: Tensor) -> Tensor:
    return torch.tensor(order, dtype=torch.int64, device=like.device)


@_operation("Gather")
def _gather(x: Any, indices: Any, axis: int = 0) -> Any:
    if isinstance(x, list):
        return [x[index] for index in _sizes(indices)]
    if isinstance(indices, np.ndarray) and indices.ndim == 0:
        return _tensor(x).select(axis, int(indices))
    index = _tensor(indices, x if isinstance(x, torch.Tensor) else None)
    x = _tensor(x, index)
    axis = axis % x.ndim
    index = torch.where(index < 0, index + x.shape[axis], index)
    found = x.index_select(axis, index.reshape(-1))
    return found.reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


@_operation("GatherElements")
def _gather_elements(x: Tensor, indices: Tensor, axis: int = 0) -> Tensor:
    index = _tensor(indices, x)
    return torch.gather(x, axis, torch.where(index < 0, index + x.shape[axis], index))


@_operation("ConstantOfShape")
def _constant_of_shape(shape: Any, value: Any = None) -> Tensor:
    number = np.zeros(1, np.float32) if value is None else value
    sizes = _sizes(shape)
    return torch.full(sizes, number.item(), dtype=torch.from_numpy(number).dtype)


@_operation("Range")
def _range(start: Any, limit: Any, delta: Any) -> Tensor:
    return torch.arange(*(_sizes(value)[0] for value in (start, limit, delta)))


@_operation("Pad")
def _pad(
    x: Tensor,
    pads: Any = None,
    value: Any = None,
    axes: Any = None,
    mode: Any = "constant",
    **old: Any,
) -> Tensor:
    sizes = _sizes(old.get("pads", pads))
    half = len(sizes) // 2
    chosen = list(range(x.ndim)) if axes is None else [axis % x.ndim for axis in _sizes(axes)]
    begins, ends = [0] * x.ndim, [0] * x.ndim
    for axis, begin, end in zip(chosen, sizes[:half], sizes[half:], strict=True):
        begins[axis], ends[axis] = begin, end
    if mode == "constant":
        number = old.get("value", value)
        fill = 0.0 if number is None else _number(number)
        return F.pad(x, _pairs(begins + ends), value=fill)
    for axis, pair in enumerate(zip(begins, ends, strict=True)):
        if any(pair):
            order = np.pad(np.arange(int(x.shape[axis])), pair, mode=mode)
            x = x.index_select(axis, _indices(order.tolist(), x))
    return x


@_operation("Resize")
def _resize(
    x: Tensor, _roi: Any = None, scales: Any = None, sizes: Any = None, **options: Any
) -> Tensor:
    mode = options.get("mode", "nearest")
    transformation = options.get("coordinate_transformation_mode", "half_pixel")
    given = scales if sizes is None else sizes
    is_unknown = (
        "axes" in options or options.get("keep_aspect_ratio_policy", "stretch") != "stretch"
    )
    if is_unknown or options.get("antialias") or given is None or len(_sizes(given)) != x.ndim:
        msg = "Resize with axes, antialias or a policy has no PyTorch form here"
        raise ConversionError(msg)
    old = [int(size) for size in x.shape[2:]]
    if sizes is None:
        factors = [float(factor) for factor in _sizes(scales)[2:]]
        new = [math.floor(size * factor) for size, factor in zip(old, factors, strict=True)]
    else:
        new = _sizes(sizes)[2:]
        factors = [size / before for size, before in zip(new, old, strict=True)]
    if mode == "nearest":
        rounding = options.get("nearest_mode", "round_prefer_floor")
        return _nearest(x, new, factors, transformation, rounding)
    is_exact = transformation == "half_pixel" or 1 not in new
    align = {"half_pixel": False, "pytorch_half_pixel": False, "align_corners": True}
    if mode != "linear" or x.ndim != 4 or transformation not in align or not is_exact:
        msg = f"Resize {mode} {transformation} of {x.ndim} dimensions has no PyTorch form here"
        raise ConversionError(msg)
    if align[transformation] or sizes is not None:
        return F.interpolate(x, new, mode="bilinear", align_corners=align[transformation])
    return F.interpolate(x, scale_factor=factors, mode="bilinear", align_corners=False)


def _nearest(
    x: Tensor, new: Sequence[int], factors: Sequence[float], transformation: str, rounding: str
) -> Tensor:
    """Return an image whose pixels are those of another one."""
    places = [
        _places(before, after, factor, transformation, rounding)
        for before, after, factor in zip(x.shape[2:], new, factors, strict=True)
    ]
    is_repeated = all(
        after % before == 0 and (each == np.arange(after) // (after // before)).all()
        for before, after, each in zip(x.shape[2:], new, places, strict=True)
    )
    if is_repeated:
        return F.interpolate(x, tuple(new), mode="nearest")
    for axis, each in enumerate(places, start=2):
        x = x.index_select(axis, _indices(each.tolist(), x))
    return x


_ROUNDINGS: dict[str, Callable[[Any], Any]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def _places(before: int, after: int, factor: float, transformation: str, rounding: str) -> Any:
    """Return the index in the old image of each index in the new one, along one axis."""
    index = np.arange(after, dtype=np.float32)
    scale = np.float32(factor)
    if transformation == "asymmetric" or scale == 1:
        places = index if scale == 1 else index / scale
    elif transformation == "align_corners":
        places = index * np.float32((before - 1) / (after - 1)) if after > 1 else index * 0
    elif transformation in ("half_pixel", "pytorch_half_pixel"):
        is_first = transformation == "pytorch_half_pixel" and after == 1
        places = index * 0 if is_first else (index + np.float32(0.5)) / scale - np.float32(0.5)
    else:
        msg = f"Resize nearest {transformation} has no PyTorch form here"
        raise ConversionError(msg)
    return np.clip(_ROUNDINGS[rounding](places), 0, before - 1).astype(np.int64)


@_operation("DepthToSpace")
def _depth_to_space(x: Tensor, blocksize: int, mode: str = "DCR") -> Tensor:
    if mode == "CRD":
        return F.pixel_shuffle(x, blocksize)
    n, c, h, w = x.shape
    parts = x.reshape(n, blocksize, blocksize, c // blocksize**2, h, w)
    return parts.permute(0, 3, 4, 1, 5, 2).reshape(n, -1, h * blocksize, w * blocksize)


@_operation("SpaceToDepth")
def _space_to_depth(x: Tensor, blocksize: int) -> Tensor:
    n, c, h, w = x.shape
    parts = x.reshape(n, c, h // blocksize, blocksize, w // blocksize, blocksize)
    return parts.permute(0, 3, 5, 1, 2, 4).reshape(n, -1, h // blocksize, w // blocksize)


@_operation("Cast")
def _cast(x: Any, to: int, saturate: int = 1) -> Any:
    del saturate
    if isinstance(x, list):
        return x
    if to not in _DTYPES:
        msg = f"Cast to the ONNX type {to} has no PyTorch form here"
        raise ConversionError(msg)
    return _tensor(x).to(_DTYPES[to])


@_operation("Identity")
def _identity(x: Any) -> Any:
    return x


@_operation("Dropout")
def _dropout(x: Any, ratio: Any = None, training_mode: Any = None, **options: Any) -> Any:
    del ratio, training_mode, options
    return x


# --- Quantization -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Pending:
    """A tensor between `QuantizeLinear` and `DequantizeLinear`.

    Attributes:
        x: The float tensor.
        scale: Its scale.
        zero_point: Its zero point.
        low: Least integer.
        high: Greatest integer.
        dtype: Type of the integers.
    """

    x: Tensor
    scale: float
    zero_point: int
    low: int
    high: int
    dtype: Any

    def rounded(self) -> Tensor:
        """Return the float tensor after rounding.

        This is `torch.fake_quantize_per_tensor_affine`, which `torch.export` cannot export with an
        open batch size.
        """
        return (self._numbers() - self.zero_point) * self.scale

    def integers(self) -> Tensor:
        """Return the integers."""
        return self._numbers().to(self.dtype)

    def _numbers(self) -> Tensor:
        numbers = torch.round(self.x / self.scale) + self.zero_point
        return torch.clamp(numbers, self.low, self.high)


@_operation("QuantizeLinear")
def _quantize(x: Tensor, scale: Any, zero_point: Any = None, **options: Any) -> Pending:
    del options
    zero = np.uint8(0) if zero_point is None else zero_point
    kind = np.asarray(zero).dtype if not isinstance(zero, torch.Tensor) else zero.dtype
    limits = torch.iinfo(kind) if isinstance(kind, torch.dtype) else np.iinfo(kind)
    dtype = kind if isinstance(kind, torch.dtype) else torch.from_numpy(np.zeros(1, kind)).dtype
    return Pending(x, _number(scale), int(_number(zero)), int(limits.min), int(limits.max), dtype)


@_operation("DequantizeLinear")
def _dequantize(
    x: Any, scale: Any, zero_point: Any = None, axis: int = 1, **options: Any
) -> Tensor:
    del options
    if isinstance(x, Pending):
        return x.rounded()
    x = _tensor(x)
    factors = _tensor(scale, x)
    zero = 0 if zero_point is None else _tensor(zero_point, x).to(torch.int32)
    if factors.ndim and factors.numel() > 1:
        shape = [1] * x.ndim
        shape[axis] = -1
        factors = factors.reshape(shape)
        zero = zero if isinstance(zero, int) else zero.reshape(shape)
    return (x.to(torch.int32) - zero).to(torch.float32) * factors


def _number(value: Any) -> float:
    """Return the single value of a scale, a zero point, a bound, or padding.

    Raises:
        ConversionError: There are different values, one for each channel.
    """
    array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    if np.unique(array).size != 1:
        msg = "values for each channel, such as scales of activations, have no PyTorch form here"
        raise ConversionError(msg)
    return float(array.reshape(-1)[0])
