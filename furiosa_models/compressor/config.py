"""Settings, with the names and defaults of Neural Compressor.

Every value is checked when it is set. A setting that has no effect here raises an error instead of
being ignored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, ClassVar

from ..errors import ConfigurationError

__all__ = [
    "AccuracyCriterion",
    "BenchmarkConfig",
    "ONNXQlinear2QDQConfig",
    "Options",
    "PostTrainingQuantConfig",
    "TF2ONNXConfig",
    "Torch2ONNXConfig",
    "TuningCriterion",
    "options",
    "set_random_seed",
    "set_resume_from",
    "set_tensorboard",
    "set_workspace",
]

Check = Callable[[str, Any], Any]

_BACKENDS = ("default", "itex", "ipex")
_OBJECTIVES = ("performance", "accuracy", "modelsize", "footprint")
_STRATEGIES = (
    *("basic", "bayesian", "exhaustive", "hawq_v2", "mse", "mse_v2", "random", "sigopt", "tpe"),
)
_APPROACHES = {
    "static": "post_training_static_quant",
    "dynamic": "post_training_dynamic_quant",
    "auto": "post_training_auto_quant",
    "weight_only": "post_training_weight_only",
}
_OPERATION = {
    "weight": {
        "granularity": ("per_channel", "per_tensor"),
        "scheme": ("asym", "sym"),
        "dtype": ("int8", "uint8", "fp32"),
        "algorithm": ("minmax",),
    },
    "activation": {
        "granularity": ("per_tensor",),
        "scheme": ("asym", "sym"),
        "dtype": ("int8", "uint8", "fp32"),
        "algorithm": ("minmax", "kl", "percentile"),
    },
}
"""Values of op_type_dict and op_name_dict. Neural Compressor also has those of language models (4
bits, RTN, AWQ, GPTQ, TEQ, AUTOROUND) and half precision."""

_RECIPES = {
    "first_conv_or_matmul_quantization": True,
    "last_conv_or_matmul_quantization": True,
    "pre_post_process_quantization": True,
    "add_qdq_pair_to_weight": False,
    "dedicated_qdq_pair": False,
    "optypes_to_exclude_output_quant": (),
    "graph_optimization_level": None,
}
_FIXED_RECIPES: dict[str, Any] = {
    "smooth_quant": False,
    "smooth_quant_args": {},
    "layer_wise_quant": False,
    "layer_wise_quant_args": {},
    "fast_bias_correction": None,
    "weight_correction": None,
    "gemm_to_matmul": None,
    **{f"{name}_args": {} for name in ("rtn", "awq", "gptq", "teq", "autoround")},
}
"""Recipes with a single value here; None accepts both, because the result is the same: biases and
weights are always corrected, and Gemm is quantized as it is."""
_LEVELS = ("DISABLE_ALL", "ENABLE_BASIC")
"""Levels of optimization that fuse nothing into operations that cannot be quantized."""


class _Checked:
    """Base of settings whose values are checked when they are set."""

    _checks: ClassVar[Mapping[str, Check]] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        check = self._checks.get(name)
        super().__setattr__(name, value if check is None else check(name, value))

    def keys(self) -> tuple[str, ...]:
        """Return the names of the settings."""
        return tuple(each.name for each in fields(self))  # type: ignore[arg-type]

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)


def _fail(name: str, value: object, expected: str) -> ConfigurationError:
    return ConfigurationError(f"{name}: expected {expected}, got {value!r}")


def _one_of(*choices: str) -> Check:
    def check(name: str, value: Any) -> Any:
        if not isinstance(value, str) or value not in choices:
            raise _fail(name, value, f"one of {', '.join(choices)}")
        return value

    return check


def _is(*kinds: type, least: float | None = None, none: bool = False) -> Check:

    def check(name: str, value: Any) -> Any:
        if none and value is None:
            return value
        fits = isinstance(value, kinds) and not (isinstance(value, bool) and bool not in kinds)
        fits = fits and not (isinstance(value, float) and math.isnan(value))
        if not fits or (least is not None and float(value) < least):
            limit = "" if least is None else f" of at least {least:g}"
            raise _fail(name, value, " or ".join(k.__name__ for k in kinds) + limit)
        return value

    return check


def _names(name: str, value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, Sequence) or not all(isinstance(each, str) for each in value):
        raise _fail(name, value, "a list of names")
    return list(value)


def _only(*allowed: object, why: str) -> Check:
    def check(name: str, value: Any) -> Any:
        if value not in allowed:
            raise _fail(name, value, f"{' or '.join(map(repr, allowed))} ({why})")
        return value

    return check


def _sizes(name: str, value: Any) -> list[int]:
    sizes = [value] if isinstance(value, int) else value
    if not isinstance(sizes, (list, tuple)) or not sizes:
        raise _fail(name, value, "a number of samples, or a list of them")
    return [_is(int, least=1)(name, size) for size in sizes]


def _objective(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        if unknown := value.keys() - {"objective", "weight", "higher_is_better"}:
            raise _fail(name, sorted(unknown), "the keys objective, weight, higher_is_better")
        chosen = value.get("objective", [])
    else:
        chosen = value = [value] if isinstance(value, str) else value
    if not isinstance(chosen, list) or not chosen or any(c not in _OBJECTIVES for c in chosen):
        raise _fail(name, value, f"some of {', '.join(_OBJECTIVES)}")
    if isinstance(value, dict) and len(value.get("weight", chosen)) != len(chosen):
        raise _fail(name, value, "as many weights as objectives")
    return value


def _operations(name: str, value: Any) -> dict[str, dict[str, dict[str, list[str]]]] | None:
    """Check op_type_dict or op_name_dict; wrap single values in lists."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise _fail(name, value, "a dict")
    return {key: _operation(f"{name}[{key!r}]", each) for key, each in value.items()}


def _operation(name: str, value: Any) -> dict[str, dict[str, list[str]]]:
    if not isinstance(value, Mapping) or value.keys() - _OPERATION.keys():
        raise _fail(name, value, "the keys weight and activation")
    found: dict[str, dict[str, list[str]]] = {}
    for part, settings in value.items():
        known = _OPERATION[part]
        if not isinstance(settings, Mapping) or settings.keys() - known.keys():
            raise _fail(name, value, f"in {part} the keys {', '.join(known)}")
        found[part] = {}
        for setting, choices in settings.items():
            listed = list(choices) if isinstance(choices, (list, tuple)) else [choices]
            check = _one_of(*known[setting])
            found[part][setting] = [check(f"{name}[{part!r}][{setting!r}]", c) for c in listed]
    return found


def _recipes(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _fail(name, value, "a dict")
    found = {**_RECIPES, **value}
    for key, each in value.items():
        label = f"{name}[{key!r}]"
        if key in _FIXED_RECIPES:
            fixed = _FIXED_RECIPES[key]
            if fixed is not None and each != fixed:
                raise _fail(label, each, f"{fixed!r} (the others are for language models)")
        elif key == "graph_optimization_level":
            if each is not None:
                _one_of(*_LEVELS)(label, each)
        elif key == "optypes_to_exclude_output_quant":
            found[key] = _names(label, each)
        elif key in _RECIPES:
            _is(bool)(label, each)
        else:
            known = sorted({*_RECIPES, *_FIXED_RECIPES})
            raise _fail(name, key, f"one of {', '.join(known)}")
    return found


def _approach(name: str, value: Any) -> str:
    """Return the approach under the name that Neural Compressor stores."""
    if isinstance(value, str):
        for key, stored in _APPROACHES.items():
            if value in (key, stored) or (key in ("static", "dynamic") and key in value):
                if key == "weight_only":
                    break
                return stored
    raise _fail(name, value, "static, dynamic or auto (weight_only is for language models)")


def _precisions(name: str, value: Any) -> list[str]:
    return [_one_of("bf16", "fp16")(name, each) for each in _names(name, value)]


def _level(name: str, value: Any) -> Any:
    if value not in ("auto", 0, 1):
        raise _fail(name, value, "auto, 0 or 1")
    return value


@dataclass
class AccuracyCriterion(_Checked):
    """How much accuracy a quantized model may lose.

    Attributes:
        higher_is_better: Whether a higher accuracy is better.
        criterion: `relative` or `absolute`.
        tolerable_loss: Greatest loss.
    """

    higher_is_better: bool = True
    criterion: str = "relative"
    tolerable_loss: float = 0.01

    _checks: ClassVar[Mapping[str, Check]] = {
        "higher_is_better": _is(bool),
        "criterion": _one_of("relative", "absolute"),
        "tolerable_loss": _is(float, int),
    }

    @property
    def relative(self) -> float | None:
        """The tolerable loss if it is relative, or None; setting it makes it relative."""
        return self.tolerable_loss if self.criterion == "relative" else None

    @relative.setter
    def relative(self, value: float) -> None:
        self.criterion, self.tolerable_loss = "relative", value

    @property
    def absolute(self) -> float | None:
        """The tolerable loss if it is absolute, or None; setting it makes it absolute."""
        return self.tolerable_loss if self.criterion == "absolute" else None

    @absolute.setter
    def absolute(self, value: float) -> None:
        self.criterion, self.tolerable_loss = "absolute", value


@dataclass
class TuningCriterion(_Checked):
    """Limits of tuning.

    Attributes:
        strategy: Accepted for compatibility. There is one strategy here, which ranks the operations
            by their noise; see `furiosa_models.quantization.fit`.
        strategy_kwargs: Must be None or empty, because that strategy has no arguments.
        timeout: Seconds after which no further trial starts; 0 for no limit.
        max_trials: Most quantized models that are evaluated.
        objective: What to prefer among the models that meet the criterion. Fewer operations left
            float are faster and smaller, so that all objectives but accuracy agree.
    """

    strategy: str = "basic"
    strategy_kwargs: dict[str, Any] | None = None
    timeout: float = 0
    max_trials: int = 100
    objective: Any = "performance"

    _checks: ClassVar[Mapping[str, Check]] = {
        "strategy": _one_of(*_STRATEGIES),
        "strategy_kwargs": _only(None, {}, why="the strategy has no arguments"),
        "timeout": _is(int, float, least=0),
        "max_trials": _is(int, least=1),
        "objective": _objective,
    }


@dataclass
class PostTrainingQuantConfig(_Checked):
    """Settings of `quantization.fit`.

    Attributes:
        device: `cpu`.
        backend: `default`, or `ipex` for the JSON recipe of Intel's extension for PyTorch.
        domain: Accepted for compatibility; every network is calibrated in the same way.
        recipes: Some of the recipes of Neural Compressor.
        quant_format: For ONNX: `QDQ` (the default), or `QOperator`.
        inputs: Names of the inputs, where the model does not tell them.
        outputs: Names of the outputs.
        approach: `static`; `dynamic`, which needs no calibration; `auto` is static if there is
            calibration data. It is stored as `post_training_static_quant` and so on.
        calibration_sampling_size: Number of calibration samples, or numbers to try in turn until
            the criterion is met.
        op_type_dict: Settings of operations by their type.
        op_name_dict: Settings of operations by their name or a regular expression.
        reduce_range: Whether weights have 7 bits, so that products do not overflow on CPUs without
            VNNI. None is True; Neural Compressor decides by the CPU on which it runs.
        example_inputs: Inputs of a PyTorch module; by default those of the first batch.
        excluded_precisions: Accepted for compatibility; there is no half precision to exclude.
        quant_level: Accepted for compatibility; the search begins with all operations in int8.
        accuracy_criterion: How much accuracy may be lost.
        tuning_criterion: Limits of tuning.
        diagnosis: Whether to evaluate only one model; its report has the noise of each layer.
        ni_workload_name: Accepted for compatibility.
    """

    device: str = "cpu"
    backend: str = "default"
    domain: str = "auto"
    recipes: dict[str, Any] = field(default_factory=dict)
    quant_format: str = "default"
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    approach: str = "static"
    calibration_sampling_size: Any = field(default_factory=lambda: [100])
    op_type_dict: dict[str, Any] | None = None
    op_name_dict: dict[str, Any] | None = None
    reduce_range: bool | None = None
    example_inputs: Any = None
    excluded_precisions: list[str] = field(default_factory=list)
    quant_level: Any = "auto"
    accuracy_criterion: AccuracyCriterion = field(default_factory=AccuracyCriterion)
    tuning_criterion: TuningCriterion = field(default_factory=TuningCriterion)
    diagnosis: bool = False
    ni_workload_name: str = "quantization"
    model_name: str = ""
    framework: str | None = None

    _checks: ClassVar[Mapping[str, Check]] = {
        "device": _only("cpu", why="quantization runs on the CPU"),
        "backend": _only(*_BACKENDS, why="int8 ONNX runs on every execution provider"),
        "domain": _one_of("auto", "cv", "object_detection", "nlp", "recommendation_system"),
        "recipes": _recipes,
        "quant_format": _one_of("default", "QDQ", "QOperator"),
        "inputs": _names,
        "outputs": _names,
        "approach": _approach,
        "calibration_sampling_size": _sizes,
        "op_type_dict": _operations,
        "op_name_dict": _operations,
        "reduce_range": _is(bool, none=True),
        "accuracy_criterion": _is(AccuracyCriterion),
        "tuning_criterion": _is(TuningCriterion),
        "diagnosis": _is(bool),
        "ni_workload_name": _is(str),
        "model_name": _is(str),
        "excluded_precisions": _precisions,
        "quant_level": _level,
    }

    @property
    def use_bf16(self) -> bool:
        """Whether bfloat16 is not excluded."""
        return "bf16" not in self.excluded_precisions


@dataclass
class BenchmarkConfig(_Checked):
    """Settings of `benchmark.fit`.

    Attributes:
        inputs: Names of the inputs, where the model does not tell them.
        outputs: Names of the outputs.
        backend: `default`.
        device: `cpu`.
        warmup: Number of inferences before those that are measured.
        iteration: Number of inferences; -1 for a measurement of about ten seconds.
        model_name: Name of a slim network.
        cores_per_instance: CPUs of each instance; by default its share of the physical cores.
        num_of_instance: Number of processes that run side by side.
        inter_num_of_threads: Threads that run operations side by side.
        intra_num_of_threads: Threads of an operation; by default `cores_per_instance`.
        diagnosis: Accepted for compatibility.
        ni_workload_name: Accepted for compatibility.
    """

    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    backend: str = "default"
    device: str = "cpu"
    warmup: int = 5
    iteration: int = -1
    model_name: str = ""
    cores_per_instance: int | None = None
    num_of_instance: int = 1
    inter_num_of_threads: int | None = None
    intra_num_of_threads: int | None = None
    diagnosis: bool = False
    ni_workload_name: str = "profiling"
    framework: str | None = None

    _checks: ClassVar[Mapping[str, Check]] = {
        "inputs": _names,
        "outputs": _names,
        "backend": _only("default", why="the benchmark runs on the CPU"),
        "device": _only("cpu", why="the benchmark runs on the CPU"),
        "warmup": _is(int, least=0),
        "iteration": _is(int, least=-1),
        "model_name": _is(str),
        "cores_per_instance": _is(int, least=1, none=True),
        "num_of_instance": _is(int, least=1),
        "inter_num_of_threads": _is(int, least=1, none=True),
        "intra_num_of_threads": _is(int, least=1, none=True),
        "diagnosis": _is(bool),
        "ni_workload_name": _is(str),
    }


@dataclass
class _ExportConfig(_Checked):
    """Settings of `export` to ONNX.

    Attributes:
        dtype: `int8` or `fp32`: the precision of the model, which export does not change.
        opset_version: Opset of the file; a model that needs a newer one keeps its own.
        quant_format: `QDQ`.
        example_inputs: Inputs of a PyTorch module.
        input_names: Names of the inputs.
        output_names: Names of the outputs.
        dynamic_axes: Names of open dimensions by tensor and axis.
    """

    dtype: str = "int8"
    opset_version: int = 14
    quant_format: str = "QDQ"
    example_inputs: Any = None
    input_names: list[str] | None = None
    output_names: list[str] | None = None
    dynamic_axes: dict[str, Any] | None = None

    _checks: ClassVar[Mapping[str, Check]] = {
        "dtype": _one_of("int8", "fp32"),
        "opset_version": _is(int, least=7),
        "quant_format": _one_of("QDQ"),
        "dynamic_axes": _is(dict, none=True),
    }


class TF2ONNXConfig(_ExportConfig):
    """Settings of the export of a TensorFlow model."""


class Torch2ONNXConfig(_ExportConfig):
    """Settings of the export of a PyTorch model."""


class ONNXQlinear2QDQConfig:
    """Settings of the export of ONNX from operators to Q/DQ pairs; there are none."""


@dataclass
class Options(_Checked):
    """Settings of the process.

    Attributes:
        random_seed: Seed of the order in which random samplers choose data.
        workspace: Folder for `save()` without a path. Nothing is written there otherwise.
        resume_from: Must be None: tuning keeps nothing on disk to resume from.
        tensorboard: Must be False.
    """

    random_seed: int = 1978
    workspace: str = field(
        default_factory=lambda: f"./nc_workspace/{datetime.now():%Y-%m-%d_%H-%M-%S}/"
    )
    resume_from: str | None = None
    tensorboard: bool = False

    _checks: ClassVar[Mapping[str, Check]] = {
        "random_seed": _is(int),
        "workspace": _is(str),
        "resume_from": _only(None, why="tuning keeps nothing to resume from"),
        "tensorboard": _only(False, why="the report has the figures"),
    }


options = Options()
"""The settings of this process."""


def set_random_seed(random_seed: int) -> None:
    """Set the seed of random samplers."""
    options.random_seed = random_seed


def set_workspace(workspace: str) -> None:
    """Set the folder for `save()` without a path."""
    options.workspace = workspace


def set_resume_from(resume_from: str) -> None:
    """Raise an error: tuning keeps nothing on disk to resume from."""
    options.resume_from = resume_from


def set_tensorboard(tensorboard: bool) -> None:
    """Accept only False: the report has the figures."""
    options.tensorboard = tensorboard
