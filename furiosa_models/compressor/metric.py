"""Metrics with Neural Compressor's contract: `update(preds, labels)`, `reset()`, `result()`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError
from ..networks.options import choose

__all__ = ["METRICS", "BaseMetric", "Metric", "metric_of"]

Array = npt.NDArray[Any]


class BaseMetric(Protocol):
    """A metric."""

    def update(self, preds: Any, labels: Any, sample_weight: Any = None) -> None:
        """Add the predictions and the labels of a batch."""

    def reset(self) -> None:
        """Forget all batches."""

    def result(self) -> float:
        """Return the value for all batches."""


class _Mean:
    """A mean over values, which `values` returns for each batch."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        self._sum, self._count = 0.0, 0

    def update(self, preds: Any, labels: Any, sample_weight: Any = None) -> None:
        """Add the predictions and the labels of a batch.

        Raises:
            ConfigurationError: There are weights of samples, or the shapes do not fit.
        """
        if sample_weight is not None:
            msg = "sample_weight is not supported"
            raise ConfigurationError(msg)
        values = self.values(_single(preds), np.asarray(labels))
        self._sum += float(np.sum(values))
        self._count += np.size(values)

    def values(self, preds: Array, labels: Array) -> Array:
        """Return the values of a batch."""
        raise NotImplementedError

    def result(self) -> float:
        """Return the value for all batches.

        Raises:
            ConfigurationError: There were none.
        """
        if not self._count:
            msg = "the metric has no values: update was not called"
            raise ConfigurationError(msg)
        return self._sum / self._count


class TopK(_Mean):
    """Share of samples whose label is among the best classes.

    Args:
        k: Number of classes.
    """

    def __init__(self, k: int = 1) -> None:
        super().__init__()
        if not isinstance(k, int) or k < 1:
            msg = f"topk: expected a number of classes of at least 1, got {k!r}"
            raise ConfigurationError(msg)
        self.k = k

    def values(self, preds: Array, labels: Array) -> Array:
        """Return whether the label of each sample is among the best classes."""
        _check_labels(labels)
        flat = labels.argmax(-1) if labels.ndim == 2 and labels.shape[1] > 1 else labels.reshape(-1)
        if preds.ndim == 1 or preds.shape[-1] == 1:  # classes, not scores
            best = preds.reshape(-1, 1)
        else:
            best = np.argsort(-preds, axis=-1, kind="stable")[:, : self.k]
        if len(best) != len(flat):
            msg = f"expected one label for each of {len(best)} predictions, got {len(flat)}"
            raise ConfigurationError(msg)
        return np.asarray((best == flat[:, None]).any(1))


class Accuracy(TopK):
    """Share of samples whose class is the label."""

    def __init__(self) -> None:
        super().__init__(1)


class MSE(_Mean):
    """Mean squared error.

    Args:
        compare_label: Must be True: predictions are compared with labels.
    """

    def __init__(self, compare_label: bool = True) -> None:
        super().__init__()
        if not compare_label:
            msg = "compare_label: expected True, got False: the float model's outputs are not kept"
            raise ConfigurationError(msg)

    def values(self, preds: Array, labels: Array) -> Array:
        """Return the squared errors."""
        return self.errors(preds, labels) ** 2

    def errors(self, preds: Array, labels: Array) -> Array:
        """Return the differences of predictions and labels.

        Raises:
            ConfigurationError: Their shapes differ.
        """
        _check_labels(labels)
        if preds.shape != labels.shape:
            msg = f"expected labels of the shape {preds.shape}, got {labels.shape}"
            raise ConfigurationError(msg)
        return preds.astype(np.float64) - labels


class RMSE(MSE):
    """Root of the mean squared error."""

    def result(self) -> float:
        """Return the value for all batches."""
        return float(np.sqrt(super().result()))


class MAE(MSE):
    """Mean absolute error."""

    def values(self, preds: Array, labels: Array) -> Array:
        """Return the absolute errors."""
        return np.abs(self.errors(preds, labels))


class Loss(_Mean):
    """Mean of the predictions, for models that compute a loss."""

    def values(self, preds: Array, labels: Array) -> Array:
        """Return the predictions."""
        del labels
        return preds


_METRICS: dict[str, Callable[..., BaseMetric]] = {
    "Accuracy": Accuracy,
    "Loss": Loss,
    "MAE": MAE,
    "MSE": MSE,
    "RMSE": RMSE,
    "topk": TopK,
}
_SETTINGS = ("weight", "higher_is_better")


class METRICS:
    """Metrics of a framework by name: `METRICS("onnxruntime")["topk"](k=5)`.

    Neural Compressor also has those of language (GLUE, SquadF1, F1, ROC) and of detection
    (COCOmAP). Detection has them here in `model.evaluate(images, labels)`.

    Args:
        framework: Name of the framework, for compatibility.
    """

    def __init__(self, framework: str) -> None:
        self.framework = framework

    def __getitem__(self, name: str) -> Callable[..., BaseMetric]:
        """Return a type of metric.

        Raises:
            ConfigurationError: There is no such metric.
        """
        return choose(_METRICS, name, "metric", ConfigurationError)


class Metric:
    """A metric by name, or of a class of the user.

    Args:
        name: Name of the metric.
        metric_cls: A class with `update`, `reset` and `result`; by default that of the name.
        kwargs: Arguments of the class.
    """

    def __init__(
        self, name: str = "user_metric", metric_cls: type | None = None, **kwargs: Any
    ) -> None:
        self.name, self.metric_cls, self.kwargs = name, metric_cls, kwargs

    def create(self) -> BaseMetric:
        """Return a new metric."""
        made: BaseMetric = (self.metric_cls or METRICS("")[self.name])(**self.kwargs)
        return made


def metric_of(given: Any) -> BaseMetric:
    """Return the metric that `eval_metric` describes.

    Args:
        given: `{"topk": 1}`, `{"MSE": {}, "topk": 1, "weight": [0.5, 0.5], "higher_is_better":
            [False, True]}`, a `Metric`, or an object with `update`, `reset` and `result`.

    Raises:
        ConfigurationError: It is something else.
    """
    if isinstance(given, Metric):
        return given.create()
    if isinstance(given, Mapping):
        named = {name: value for name, value in given.items() if name not in _SETTINGS}
        metrics = [_named(name, value) for name, value in named.items()]
        if len(metrics) == 1:
            return metrics[0]
        return _Weighted(metrics, given.get("weight"), given.get("higher_is_better"))
    if all(callable(getattr(given, name, None)) for name in ("update", "reset", "result")):
        made: BaseMetric = given
        return made
    expected = "a dict, a Metric, or an object with update, reset and result"
    msg = f"eval_metric: expected {expected}, got {given!r}"
    raise ConfigurationError(msg)


def _named(name: str, value: Any) -> BaseMetric:
    make = METRICS("")[name]
    if isinstance(value, Mapping):
        try:
            return make(**value)
        except TypeError as error:
            msg = f"eval_metric[{name!r}]: {error}"
            raise ConfigurationError(msg) from error
    return make(value) if name == "topk" else make()


class _Weighted:
    """A weighted mean of metrics; those of which a lower value is better count negative."""

    def __init__(
        self,
        metrics: Sequence[BaseMetric],
        weights: Sequence[float] | None,
        higher_is_better: Sequence[bool] | None,
    ) -> None:
        count = len(metrics)
        self._metrics = metrics
        self._weights = list(weights or [1 / count] * count if count else ())
        signs = list(higher_is_better or [True] * count)
        if not count or len(self._weights) != count or len(signs) != count:
            msg = (
                f"eval_metric: expected a weight and a higher_is_better for each of {count} metrics"
            )
            raise ConfigurationError(msg)
        self._signs = [1.0 if sign else -1.0 for sign in signs]

    def update(self, preds: Any, labels: Any, sample_weight: Any = None) -> None:
        """Add the predictions and the labels of a batch."""
        for metric in self._metrics:
            metric.update(preds, labels, sample_weight)

    def reset(self) -> None:
        """Forget all batches."""
        for metric in self._metrics:
            metric.reset()

    def result(self) -> float:
        """Return the value for all batches."""
        parts = zip(self._weights, self._signs, self._metrics, strict=True)
        return sum(weight * sign * metric.result() for weight, sign, metric in parts)


def _check_labels(labels: Array) -> None:
    """Raise ConfigurationError if there are no labels."""
    if labels.dtype == np.object_:
        msg = "the metric needs labels: expected batches of (input, label) from eval_dataloader"
        raise ConfigurationError(msg)


def _single(preds: Any) -> Array:
    """Return predictions as an array.

    Raises:
        ConfigurationError: There are several.
    """
    if isinstance(preds, (list, tuple)):
        if len(preds) != 1:
            msg = f"the metric takes one output, got {len(preds)}: write a metric of your own"
            raise ConfigurationError(msg)
        return np.asarray(preds[0])
    return np.asarray(preds)
