"""`fit`: quantize a model of any framework, and keep its accuracy."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from ..errors import CalibrationWarning, ConfigurationError, ConversionError
from ..frameworks.base import FrameworkModel, feed_by_name
from ..networks import edit
from ..quantization.calibrator import Calibrator
from ..quantization.fit import Limits
from ..quantization.fit import fit as fit_program
from ..quantization.fitted import Criterion, Fitted, Trial
from ..quantization.float_model import float_model
from ..quantization.methods import CalibrationMethod
from ..quantization.without_data import quantize_dynamic, quantize_weights
from .config import PostTrainingQuantConfig
from .data import (
    arrays_of,
    check_dataloader,
    count_samples,
    fixed_batch,
    split_batch,
    split_feed,
    with_types,
)
from .metric import metric_of
from .model import BaseModel, Model
from .operations import OperationSettings, settings_of

__all__ = ["CalibrationWarning", "fit"]

logger = logging.getLogger(__name__)

Array = npt.NDArray[Any]
Feed = Mapping[str, Array]

_NO_DATA = (
    "no calibration data, so that activations stay float: only weights are stored in 8 bits. "
    "With calib_dataloader= (about a hundred samples) convolutions compute in 8 bits, too, which "
    "is two to four times faster. approach='dynamic' asks for this form without a warning"
)


def fit(
    model: Any,
    conf: PostTrainingQuantConfig,
    calib_dataloader: Any = None,
    calib_func: Callable[[Any], Any] | None = None,
    eval_func: Callable[[Any], float] | None = None,
    eval_dataloader: Any = None,
    eval_metric: Any = None,
    **kwargs: Any,
) -> Any:
    """Quantize a model, and return it in its own framework; never None.

    Without an evaluation, everything is quantized. With one, operations stay float until the
    accuracy criterion is met; see `furiosa_models.quantization.fit`. If it cannot be met, the
    result is the most accurate model, whose `met` is False.

    Args:
        model: A `Model`, or anything that `Model` takes.
        conf: Settings.
        calib_dataloader: Data to calibrate on; see `furiosa_models.compressor.data`. By default
            `eval_dataloader`.
        calib_func: Function that runs the model on calibration data; for PyTorch modules.
        eval_func: Function from the model, an object of its framework, to its accuracy.
        eval_dataloader: Labeled data, for `eval_metric`.
        eval_metric: See `furiosa_models.compressor.metric.metric_of`.
        kwargs: None are known.

    Raises:
        ConfigurationError: An argument or a setting is wrong.
        FuriosaModelsError: The model cannot be converted, quantized or run.
    """
    if kwargs:
        msg = f"fit has no arguments {', '.join(kwargs)}"
        raise ConfigurationError(msg)
    given: object = conf
    if not isinstance(given, PostTrainingQuantConfig):
        msg = f"conf: expected a PostTrainingQuantConfig, got {type(conf).__name__}"
        raise ConfigurationError(msg)
    if (eval_dataloader is None) != (eval_metric is None):
        msg = "eval_dataloader and eval_metric belong together: pass both or none"
        raise ConfigurationError(msg)
    functions: dict[str, object] = {"calib_func": calib_func, "eval_func": eval_func}
    for name, function in functions.items():
        if function is not None and not callable(function):
            msg = f"{name}: expected a function, got {function!r}"
            raise ConfigurationError(msg)
    for loader in (calib_dataloader, eval_dataloader):
        if loader is not None:
            check_dataloader(loader)
    wrapped: BaseModel = Model(model, conf=conf)
    conf.framework = wrapped.framework()
    loader = eval_dataloader if calib_dataloader is None else calib_dataloader
    data = _Data(wrapped.source, conf, loader, calib_func)
    evaluation = _Evaluation(eval_func, eval_dataloader, eval_metric)
    report, source = _Job(wrapped, conf, data, evaluation).run()
    result = type(wrapped)(source)
    result.report = report
    result.fitted_from = wrapped.source
    result.framework_specific_info = wrapped.framework_specific_info
    result.q_config = _q_config(report, conf, wrapped)
    return result


class _Data:
    """Calibration data.

    Args:
        source: The model.
        conf: Settings.
        loader: A data loader, or None.
        function: `calib_func`.
    """

    def __init__(
        self,
        source: FrameworkModel,
        conf: PostTrainingQuantConfig,
        loader: Any,
        function: Callable[[Any], Any] | None,
    ) -> None:
        self._source = source
        self._loader = loader
        if conf.inputs:
            source.input_names = conf.inputs
        if conf.outputs:
            source.output_names = conf.outputs
        if function is not None and loader is None:
            record = getattr(source, "record_inputs", None)
            if record is None:
                msg = f"calib_func: models of {source.framework} need a calib_dataloader"
                raise ConfigurationError(msg)
            self._loader = [(inputs, None) for inputs in record(function)]
        self._give_example(conf.example_inputs)

    @property
    def exists(self) -> bool:
        """Whether there is calibration data."""
        return self._loader is not None

    def _give_example(self, given: Any) -> None:
        """Give a PyTorch module an example of its inputs, which its conversion needs."""
        if getattr(self._source, "example_inputs", given) is not None:
            return
        if self._loader is not None:
            given = next((split_batch(batch)[0] for batch in self._loader), None)
        if given is not None:
            self._source.example_inputs = given  # type: ignore[attr-defined]

    def batches(self, program: onnx.ModelProto, samples: int) -> Iterator[Feed]:
        """Yield the inputs of at least some samples, in batches that a program takes."""
        if self._loader is None:
            return
        names = [info.name for info in edit.signature(program)[0]]
        fixed = fixed_batch(program)
        seen = 0
        for batch in self._loader:
            feed = with_types(feed_by_name(arrays_of(split_batch(batch)[0]), names), program)
            count = count_samples(feed)
            if count:
                yield from split_feed(feed, fixed)
            seen += count
            if seen >= samples:
                return


class _Evaluation:
    """Measures the accuracy of a model of a framework.

    Args:
        function: `eval_func`.
        loader: `eval_dataloader`.
        metric: `eval_metric`.
    """

    def __init__(self, function: Callable[[Any], float] | None, loader: Any, metric: Any) -> None:
        self._function = function
        self._loader = loader
        self._metric = None if metric is None or function is not None else metric_of(metric)
        self.exists = function is not None or self._metric is not None

    def measure(self, model: FrameworkModel, program: onnx.ModelProto) -> float:
        """Return the accuracy of a model.

        Args:
            model: The model.
            program: It or its float model as ONNX, with the types of the inputs.
        """
        if self._function is not None or self._metric is None:
            return _scalar(self._function(_own(model.raw))) if self._function else math.nan
        self._metric.reset()
        fixed, is_empty = fixed_batch(program), True
        for batch in self._loader:
            is_empty = False
            inputs, labels = split_batch(batch)
            feed = with_types(feed_by_name(arrays_of(inputs), model.input_names), program)
            parts = [model.run(part) for part in split_feed(feed, fixed)]
            outputs = [np.concatenate(column) for column in zip(*parts, strict=True)]
            self._metric.update(outputs[0] if len(outputs) == 1 else outputs, labels)
        if is_empty:
            msg = "eval_dataloader yields no batches; it must begin anew each time it is iterated"
            raise ConfigurationError(msg)
        return _scalar(self._metric.result())


def _warn_if_float(program: onnx.ModelProto) -> None:
    """Warn if nothing is quantized in a result."""
    kinds = {node.op_type for node in program.graph.node}
    if kinds.isdisjoint({"DequantizeLinear", "MatMulInteger"}):
        msg = (
            "nothing was quantized: the network has no convolution or matrix product whose weights "
            "are constants of a thousand numbers or more, or all of them are excluded"
        )
        warnings.warn(msg, CalibrationWarning, stacklevel=5)


class _Job:
    """One call of `fit`."""

    def __init__(
        self,
        wrapped: BaseModel,
        conf: PostTrainingQuantConfig,
        data: _Data,
        evaluation: _Evaluation,
    ) -> None:
        self._source = wrapped.source
        self._conf = conf
        self._data = data
        self._evaluation = evaluation
        # Nodes keep the names of `edit.named`, by which a result is written back and loaded.
        self._program = float_model(edit.named(_optimized(self._source.to_onnx(), conf)))
        self._baseline: float | None = None

    def run(self) -> tuple[Fitted, FrameworkModel]:
        """Return the report and the quantized model."""
        names = self._source.operations(self._program)
        settings = settings_of(self._program.graph, self._conf, names)
        is_static = "dynamic" not in self._conf.approach
        if is_static and not self._data.exists and "static" in self._conf.approach:
            warnings.warn(_NO_DATA, CalibrationWarning, stacklevel=3)
        if not is_static or not self._data.exists:
            return self._without_data(settings)
        return self._of_sizes(settings, self._conf.calibration_sampling_size)

    def _of_sizes(
        self, settings: OperationSettings, sizes: Sequence[int]
    ) -> tuple[Fitted, FrameworkModel]:
        """Try numbers of calibration samples in turn; return the best result."""
        start, trials = perf_counter(), 0
        tuning = self._conf.tuning_criterion
        found: tuple[Fitted, FrameworkModel] | None = None
        for size in sizes:
            spent = perf_counter() - start
            if found is not None and (trials >= tuning.max_trials or 0 < tuning.timeout <= spent):
                break
            left = max(tuning.timeout - spent, 1e-9) if tuning.timeout else 0
            most = 1 if self._conf.diagnosis else tuning.max_trials - trials
            other = self._static(settings, size, Limits(most, left))
            trials += other[0].evaluations
            if found is None or self._loss(other[0]) < self._loss(found[0]):
                found = other
            if found[0].met is not False:
                break
        assert found is not None  # there is a size at least
        return found

    def _loss(self, report: Fitted) -> float:
        """Return the loss of accuracy of a result; minus infinity if it was not measured."""
        if report.accuracy is None or report.float_accuracy is None:
            return -math.inf
        return self._criterion().loss(report.float_accuracy, report.accuracy)

    def _static(
        self, settings: OperationSettings, size: int, limits: Limits
    ) -> tuple[Fitted, FrameworkModel]:
        feeds = list(self._data.batches(self._program, size))
        if not feeds:
            msg = (
                "the calibration data has no samples: a data loader must yield some, and begin "
                "anew each time it is iterated"
            )
            raise ConfigurationError(msg)
        calibrator = Calibrator(self._program, CalibrationMethod.PERCENTILE_ASYM)
        calibrator.collect_data([list(feed.values()) for feed in feeds])
        ranges = calibrator.compute_range()
        ranges |= {
            name: calibrator.range_of(name, method)
            for name, method in settings.methods.items()
            if name in ranges
        }
        report = fit_program(
            self._program,
            ranges,
            feeds,
            self._evaluate if self._evaluation.exists else None,
            channel_means=calibrator.compute_channel_means(),
            baseline=self._float_accuracy(),
            criterion=self._criterion(),
            limits=limits,
            exclude=settings.floats,
            reduce_range=self._conf.reduce_range is not False,
            quantizer_options=settings.options,
        )
        return report, self._written_back(report.program)

    def _without_data(self, settings: OperationSettings) -> tuple[Fitted, FrameworkModel]:
        """Quantize without calibration data; see `without_data`."""
        start = perf_counter()
        is_onnx = self._source.framework == "onnx"
        self._check_without_data(settings)
        quantize = quantize_dynamic if is_onnx else quantize_weights
        quantized = quantize(self._program, exclude=settings.floats)
        _warn_if_float(quantized)
        program = edit.to_bytes(quantized)
        model = self._written_back(program)
        sizes = len(program), edit.byte_size(self._program)
        baseline = self._float_accuracy()
        if baseline is None:
            report = Fitted(program, None, None, None, *sizes, seconds=perf_counter() - start)
            return report, model
        accuracy, criterion = self._measured(model), self._criterion()
        loss = criterion.loss(baseline, accuracy)
        met = criterion.is_met(baseline, accuracy)
        seconds = perf_counter() - start
        trial = Trial((), accuracy, loss, met, len(program), seconds)
        report = Fitted(program, met, accuracy, baseline, *sizes, seconds=seconds, trials=(trial,))
        return report, model

    def _check_without_data(self, settings: OperationSettings) -> None:
        """Check that no setting is for ranges, which only calibration data gives.

        Raises:
            ConfigurationError: There is such a setting.
        """
        unused = {
            "act_algo, or the algorithm or scheme of an activation": settings.methods,
            "the type or scheme of weights or activations": settings.options,
            "reduce_range": self._conf.reduce_range,
            "quant_format='QOperator'": self._conf.quant_format == "QOperator",
        }
        if found := [name for name, value in unused.items() if value]:
            msg = (
                f"{'; '.join(found)}: these settings need calib_dataloader, as they are for ranges "
                "that calibration finds; without it only weights are quantized"
            )
            raise ConfigurationError(msg)

    def _float_accuracy(self) -> float | None:
        if self._baseline is None and self._evaluation.exists:
            self._baseline = self._measured(self._source)
        return self._baseline

    def _evaluate(self, program: bytes) -> float:
        return self._measured(self._written_back(program))

    def _measured(self, model: FrameworkModel) -> float:
        return self._evaluation.measure(model, self._program)

    def _written_back(self, program: bytes) -> FrameworkModel:
        proto = edit.parse(program)
        if self._source.framework == "onnx" and self._conf.quant_format == "QOperator":
            proto = _with_quantized_operators(proto)
        return self._source.quantized(proto)

    def _criterion(self) -> Criterion:
        given = self._conf.accuracy_criterion
        kind: Any = given.criterion
        return Criterion(given.tolerable_loss, kind, given.higher_is_better)


def _optimized(program: onnx.ModelProto, conf: PostTrainingQuantConfig) -> onnx.ModelProto:
    """Return a program after ONNX Runtime's optimization, if a recipe asks for it."""
    level = conf.recipes["graph_optimization_level"]
    return program if level in (None, "DISABLE_ALL") else _rewritten(program, level)


def _with_quantized_operators(program: onnx.ModelProto) -> onnx.ModelProto:
    """Return a program with operators such as `QLinearConv` instead of Q/DQ pairs."""
    return _rewritten(program, "ENABLE_EXTENDED")


def _rewritten(program: onnx.ModelProto, level: str) -> onnx.ModelProto:
    import tempfile
    from pathlib import Path

    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_{level}")
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory(prefix="furiosa-models-") as folder:
        options.optimized_model_filepath = str(Path(folder) / "model.onnx")
        try:
            onnxruntime.InferenceSession(
                edit.to_bytes(program), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's exceptions share no public base
            msg = f"ONNX Runtime cannot optimize the model: {error}"
            raise ConversionError(msg) from error
        return onnx.load(options.optimized_model_filepath)


def _own(raw: Any) -> Any:
    """Return a model that a function of the user may modify."""
    return edit.parse(raw) if isinstance(raw, onnx.ModelProto) else raw


def _scalar(value: Any) -> float:
    """Return an accuracy as a number."""
    try:
        array = np.asarray(value, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        array = np.zeros(0)
    if array.size != 1 or not np.isfinite(array[0]):
        msg = f"the evaluation must return one finite number, got {value!r}"
        raise ConfigurationError(msg)
    return float(array[0])


def _q_config(report: Fitted, conf: PostTrainingQuantConfig, wrapped: BaseModel) -> dict[str, Any]:
    """Return the settings of each operation in the form of Neural Compressor."""
    weight = {"dtype": "int8", "scheme": "sym", "granularity": "per_channel", "algorithm": "minmax"}
    activation = {
        "dtype": "uint8",
        "scheme": "asym",
        "granularity": "per_tensor",
        "algorithm": "percentile",
        "quant_mode": "static",
    }
    left = {"weight": {"dtype": "fp32"}, "activation": {"dtype": "fp32"}}
    return {
        "op": {
            (layer.name, layer.kind): left
            if layer.is_float
            else {"weight": dict(weight), "activation": dict(activation)}
            for layer in report.layers
        },
        "approach": conf.approach,
        "calib_sampling_size": conf.calibration_sampling_size[0],
        "recipe_cfgs": dict(conf.recipes),
        "trial_number": report.evaluations,
        "framework_specific_info": {
            "device": conf.device,
            "approach": conf.approach,
            "backend": conf.backend,
            "format": conf.quant_format,
            "domain": conf.domain,
            "recipes": dict(conf.recipes),
            "workspace_path": wrapped.workspace_path,
        },
    }
