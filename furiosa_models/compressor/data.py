"""Data loaders and dummy data sets, with the contract of Neural Compressor.

A data loader has `__iter__`, which yields (input, label), and a positive `batch_size`. An input is
an array, a list or tuple of arrays (several inputs), or a dictionary of arrays by name. PyTorch's
`DataLoader` has this contract, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx

from ..errors import ConfigurationError
from ..networks import edit
from ..networks.options import choose
from .config import options

__all__ = [
    "DATALOADERS",
    "DataLoader",
    "Datasets",
    "arrays_of",
    "check_dataloader",
    "count_samples",
    "fixed_batch",
    "split_batch",
    "split_feed",
    "with_types",
]

Array = npt.NDArray[Any]

_FRAMEWORKS = (
    *("keras", "onnxrt_integerops", "onnxrt_qdq", "onnxrt_qlinearops", "onnxruntime", "pytorch"),
    *("pytorch_fx", "pytorch_ipex", "tensorflow", "tensorflow_itex"),
)
_SEED = 9527


def check_dataloader(dataloader: Any) -> bool:
    """Check the contract of a data loader.

    Raises:
        ConfigurationError: It has no `__iter__`, or no positive `batch_size`.
    """
    size = getattr(dataloader, "batch_size", None)
    if not hasattr(dataloader, "__iter__") or not isinstance(size, (int, np.integer)) or size < 1:
        msg = (
            "dataloader must implement __iter__ method and batch_size attribute: expected an "
            f"iterable with a positive batch_size, got {type(dataloader).__name__} with {size!r}"
        )
        raise ConfigurationError(msg)
    return True


def split_batch(batch: Any) -> tuple[Any, Any]:
    """Return the input and the label of a batch; the label is None if there is none."""
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        return batch[0], batch[1]
    return batch, None


def arrays_of(inputs: Any) -> Any:
    """Return the inputs of a batch as numpy arrays; tensors of frameworks are converted."""
    if isinstance(inputs, Mapping):
        return {name: np.asarray(value) for name, value in inputs.items()}
    if isinstance(inputs, (list, tuple)):
        return [np.asarray(value) for value in inputs]
    return np.asarray(inputs)


def with_types(feed: Mapping[str, Array], program: onnx.ModelProto) -> dict[str, Array]:
    """Return inputs by name, those of floats in the types of floats that a program takes."""
    kinds = {info.name: info.dtype for info in edit.signature(program)[0]}
    return {
        name: array.astype(kinds.get(name, array.dtype)) if array.dtype.kind == "f" else array
        for name, array in feed.items()
    }


def count_samples(feed: Mapping[str, Array]) -> int:
    """Return the number of samples of a batch."""
    array = next(iter(feed.values()))
    if not array.ndim:
        msg = f"expected inputs with a batch dimension from the data loader, got {array[()]!r}"
        raise ConfigurationError(msg)
    return len(array)


def fixed_batch(program: onnx.ModelProto) -> int | None:
    """Return the batch size of a program, or None if it takes any."""
    shapes = [info.shape for info in edit.signature(program)[0]]
    sizes = {shape[0] for shape in shapes if shape}
    size = sizes.pop() if len(sizes) == 1 else None
    return size if isinstance(size, int) else None


def split_feed(feed: Mapping[str, Array], size: int | None) -> Iterator[Mapping[str, Array]]:
    """Yield the parts of a batch that a program with a fixed batch size takes."""
    count = count_samples(feed)
    if size is None or count == size:
        yield feed
        return
    if count % size:
        msg = f"the model takes batches of {size}, got one of {count}: choose a multiple of it"
        raise ConfigurationError(msg)
    for start in range(0, count, size):
        yield {name: array[start : start + size] for name, array in feed.items()}


class DataLoader:
    """Loader of batches of a data set.

    Args:
        framework: Accepted for compatibility: batches are numpy arrays for all frameworks.
        dataset: Has `__getitem__` and `__len__`, or `__iter__`; its items are (input, label).
        batch_size: Number of items of a batch.
        collate_fn: Function from a list of items to a batch; by default it stacks arrays.
        last_batch: Whether to yield a last batch that is short (`rollover`) or not (`discard`).
        sampler: Indices of the items, in their order.
        batch_sampler: Lists of indices, one for each batch.
        num_workers: 0: items are loaded in this thread.
        pin_memory: False.
        shuffle: Whether to shuffle the items, with the seed of `options`.
        distributed: False.

    Raises:
        ConfigurationError: An argument has a wrong value.
    """

    def __init__(
        self,
        framework: str,
        dataset: Any,
        batch_size: int = 1,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        last_batch: Literal["rollover", "discard"] = "rollover",
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[Sequence[int]] | None = None,
        num_workers: int = 0,
        pin_memory: bool = False,
        shuffle: bool = False,
        distributed: bool = False,
    ) -> None:
        _check_framework(framework)
        if num_workers or pin_memory or distributed:
            msg = (
                "num_workers, pin_memory and distributed: PyTorch's DataLoader has them; pass that"
            )
            raise ConfigurationError(msg)
        if last_batch not in ("rollover", "discard"):
            msg = f"last_batch: expected rollover or discard, got {last_batch!r}"
            raise ConfigurationError(msg)
        self.dataset = dataset
        self.collate_fn = collate_fn or _stack
        self.last_batch = last_batch
        self._sampler, self._batch_sampler = sampler, batch_sampler
        self._shuffle = shuffle
        self.batch(batch_size)

    def batch(
        self, batch_size: int, last_batch: Literal["rollover", "discard"] | None = None
    ) -> None:
        """Set the batch size, and what happens to a short last batch.

        Raises:
            ConfigurationError: The size is not positive.
        """
        if batch_size < 1:
            msg = f"batch_size: expected at least 1, got {batch_size}"
            raise ConfigurationError(msg)
        self.batch_size = batch_size
        self.last_batch = last_batch or self.last_batch

    def __len__(self) -> int:
        """Return the number of batches."""
        count = len(self.dataset) / self.batch_size
        return math.ceil(count) if self.last_batch == "rollover" else math.floor(count)

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches."""
        if self._batch_sampler is not None:
            for indices in self._batch_sampler:
                yield self.collate_fn([self.dataset[i] for i in indices])
            return
        items: list[Any] = []
        for item in self._items():
            items.append(item)
            if len(items) == self.batch_size:
                yield self.collate_fn(items)
                items = []
        if items and self.last_batch == "rollover":
            yield self.collate_fn(items)

    def _items(self) -> Iterator[Any]:
        if not hasattr(self.dataset, "__getitem__"):
            yield from self.dataset
            return
        order = range(len(self.dataset)) if self._sampler is None else list(self._sampler)
        if self._shuffle:
            order = np.random.default_rng(options.random_seed).permutation(order).tolist()
        for index in order:
            yield self.dataset[index]


DATALOADERS: Mapping[str, Callable[..., DataLoader]] = {
    name: (lambda *args, _name=name, **kwargs: DataLoader(_name, *args, **kwargs))
    for name in _FRAMEWORKS
}
"""Data loaders by framework: `DATALOADERS["onnxruntime"](dataset, batch_size=8)`."""


def _check_framework(name: str) -> None:
    if name not in _FRAMEWORKS:
        msg = f"framework: expected one of {', '.join(_FRAMEWORKS)}, got {name!r}"
        raise ConfigurationError(msg)


def _stack(items: list[Any]) -> Any:
    """Return items as one item of arrays with a batch dimension."""
    first = items[0]
    if isinstance(first, Mapping):
        return {key: _stack([item[key] for item in items]) for key in first}
    if isinstance(first, (tuple, list)):
        return [_stack(list(column)) for column in zip(*items, strict=True)]
    return np.stack([np.asarray(item) for item in items])


class _Dummy:
    """Random arrays, with the label 0.

    Args:
        shapes: Shape of each input of an item.
        count: Number of items.
        low: Lower bound of the values, one for all inputs or one each.
        high: Upper bound of the values.
        dtype: Type of the values.
        label: Whether items have a label.
        label_shape: Shape of the label; None for the number 0.
    """

    def __init__(
        self,
        shapes: Sequence[tuple[int, ...]],
        count: int,
        low: Any,
        high: Any,
        dtype: Any,
        *,
        label: bool = True,
        label_shape: tuple[int, ...] | None = None,
    ) -> None:
        rng = np.random.default_rng(_SEED)
        bounds = (_per_input(values, len(shapes)) for values in (low, high, dtype))
        self._inputs = [
            rng.uniform(least, most, (count, *shape)).astype(kind)
            for shape, least, most, kind in zip(shapes, *bounds, strict=True)
        ]
        self._count = count
        self._label: Any = 0 if label_shape is None else np.zeros(label_shape, np.float32)
        self._has_label = label

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < self._count:
            raise IndexError(index)
        arrays = tuple(array[index] for array in self._inputs)
        item = arrays[0] if len(arrays) == 1 else arrays
        return (item, self._label) if self._has_label else item


def _per_input(values: Any, count: int) -> list[Any]:
    listed = list(values) if isinstance(values, (list, tuple)) else [values] * count
    if len(listed) != count:
        msg = f"expected one value, or one for each of {count} inputs, got {values!r}"
        raise ConfigurationError(msg)
    return listed


def _dummy(
    shape: Any, low: Any = -128.0, high: Any = 127.0, dtype: Any = "float32", label: bool = True
) -> _Dummy:
    shapes = list(shape) if isinstance(shape, list) else [shape]
    if len({each[0] for each in shapes}) != 1:
        msg = f"shape: expected the same number of items in each input, got {shape!r}"
        raise ConfigurationError(msg)
    return _Dummy([tuple(s[1:]) for s in shapes], shapes[0][0], low, high, dtype, label=label)


def _dummy_v2(
    input_shape: Any,
    label_shape: Any = None,
    low: Any = -128.0,
    high: Any = 127.0,
    dtype: Any = "float32",
) -> _Dummy:
    shapes = list(input_shape) if isinstance(input_shape, list) else [input_shape]
    return _Dummy(
        [tuple(s) for s in shapes], _DUMMY_ITEMS, low, high, dtype, label_shape=label_shape
    )


_DUMMY_ITEMS = 100
_DATASETS: dict[str, Callable[..., Any]] = {"dummy": _dummy, "dummy_v2": _dummy_v2}


class Datasets:
    """Data sets of a framework: `Datasets("onnxruntime")["dummy"](shape=(10, 3, 224, 224))`.

    Photos with labels are read by `furiosa_models` itself: `model.evaluate(images, labels)`.

    Args:
        framework: Name of the framework, for compatibility.
    """

    def __init__(self, framework: str) -> None:
        _check_framework(framework)

    def __getitem__(self, name: str) -> Callable[..., Any]:
        """Return the type of a data set.

        Raises:
            ConfigurationError: There is no such type.
        """
        return choose(_DATASETS, name, "data set", ConfigurationError)
