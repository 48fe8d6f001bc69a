"""Arguments of training, with the names and defaults of Focoos."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, get_args

from ..data.augmentations import DatasetAugmentations

__all__ = ["Optimizer", "Scheduler", "TrainerArgs"]

Optimizer: TypeAlias = Literal["ADAMW", "SGD", "RMSPROP"]
Scheduler: TypeAlias = Literal["MULTISTEP", "POLY", "FIXED", "COSINE"]

_SCHEDULE_OPTIONS = MappingProxyType(
    {
        "MULTISTEP": {"milestones", "gamma"},
        "POLY": {"power", "constant_ending"},
        "FIXED": set[str](),
        "COSINE": set[str](),
    }
)
_WARMUP_OPTIONS = frozenset({"warmup_factor", "warmup_iters", "warmup_method"})


@dataclass
class TrainerArgs:
    """Arguments of `Model.train` and `Model.eval`.

    Attributes:
        run_name: Name of the run, which is the name of its folder.
        output_dir: Folder of all runs.
        ckpt_dir: Folder of this run; by default `output_dir / run_name`.
        init_checkpoint: Checkpoint (`.pth`, `.safetensors`) to start from, rather than the weights
            of the model.
        resume: Whether to continue the run of this name; it continues exactly.
        num_gpus: Number of GPUs; 0 trains on the CPU. By default 1 if there is a GPU. For more than
            one, start the program with `torchrun --nproc-per-node NUM_GPUS`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        workers: Number of threads that read and augment photos.
        amp_enabled: Whether to compute in 16 bits where that is faster: float16 or bfloat16 on a
            GPU, bfloat16 on a CPU that multiplies it.
        ddp_broadcast_buffers: As of `torch.nn.parallel.DistributedDataParallel`.
        ddp_find_unused: As of `DistributedDataParallel` (`find_unused_parameters`).
        checkpointer_period: Number of iterations between two checkpoints.
        checkpointer_max_to_keep: Number of checkpoints to keep.
        eval_period: Number of iterations between two evaluations.
        log_period: Number of iterations between two entries of `metrics.json`.
        samples: Number of validation photos in the pictures of predictions.
        seed: Seed of everything random; a negative one means another one in each run.
        early_stop: Whether to stop when the validation figure does not improve.
        patience: Number of evaluations without improvement before an early stop.
        ema_enabled: Whether to keep an exponential moving average of the weights, which is
            evaluated and saved.
        ema_decay: Part of the average that an iteration keeps.
        ema_warmup: Number of iterations over which the decay grows to `ema_decay`.
        learning_rate: Learning rate after the warm-up.
        weight_decay: Weight decay of kernels and biases.
        max_iters: Number of iterations.
        batch_size: Number of photos of an iteration, over all GPUs.
        scheduler: `MULTISTEP`, `POLY`, `FIXED` or `COSINE`.
        scheduler_extra: Options of the scheduler: `milestones` (parts of `max_iters`) and `gamma`;
            `power` and `constant_ending`; and for all `warmup_factor`, `warmup_iters` and
            `warmup_method` (`linear`, `constant`, `quadratic`).
        optimizer: `ADAMW`, `SGD` or `RMSPROP`.
        optimizer_extra: Further arguments of PyTorch's optimizer.
        weight_decay_norm: Weight decay of normalizations.
        weight_decay_embed: Weight decay of embeddings.
        backbone_multiplier: Factor of the learning rate of the backbone; 0 freezes it.
        decoder_multiplier: Factor of the learning rate between backbone and head; 0 freezes it.
        head_multiplier: Factor of the learning rate of the last layers; 0 freezes them.
        freeze_bn: Whether batch normalization keeps its statistics.
        clip_gradients: Greatest norm of all gradients together; 0 for no limit.
        size_divisibility: Number that height and width of the input must be multiples of; 0 for
            none.
        gather_metric_period: Number of iterations between two averages of the losses over GPUs.
        zero_grad_before_forward: Whether gradients are reset before the forward pass, rather than
            after it.
        sync_to_hub: Whether to report the run to the hub that `Model.train(hub=)` is given.
        time_limit: Seconds after which training ends as if `max_iters` were reached; None for no
            limit.
        augmentations: `DatasetAugmentations` of training photos; by default those of the task;
            False for none.

    Raises:
        ValueError: A value has a wrong type or is out of range, or an option is unknown.
    """

    run_name: str
    output_dir: str | os.PathLike[str] = "runs"
    ckpt_dir: str | os.PathLike[str] | None = None
    init_checkpoint: str | os.PathLike[str] | None = None
    resume: bool = False
    num_gpus: int | None = None
    device: str = "auto"
    workers: int = 4
    amp_enabled: bool = True
    ddp_broadcast_buffers: bool = False
    ddp_find_unused: bool = True
    checkpointer_period: int = 1000
    checkpointer_max_to_keep: int = 1
    eval_period: int = 200
    log_period: int = 20
    samples: int = 9
    seed: int = 42
    early_stop: bool = True
    patience: int = 10
    ema_enabled: bool = False
    ema_decay: float = 0.999
    ema_warmup: int = 2000
    learning_rate: float = 5e-4
    weight_decay: float = 0.02
    max_iters: int = 3000
    batch_size: int = 16
    scheduler: Scheduler = "MULTISTEP"
    scheduler_extra: Mapping[str, Any] | None = None
    optimizer: Optimizer = "ADAMW"
    optimizer_extra: Mapping[str, Any] | None = None
    weight_decay_norm: float = 0.0
    weight_decay_embed: float = 0.0
    backbone_multiplier: float = 0.1
    decoder_multiplier: float = 1.0
    head_multiplier: float = 1.0
    freeze_bn: bool = False
    clip_gradients: float = 0.1
    size_divisibility: int = 0
    gather_metric_period: int = 1
    zero_grad_before_forward: bool = False
    sync_to_hub: bool = False
    time_limit: float | None = None
    augmentations: Any = None

    def __post_init__(self) -> None:
        run = self.run_name
        if not isinstance(run, str) or run in ("", "..") or Path(run).name != run:
            msg = f"run_name must be the name of a folder, got {self.run_name!r}"
            raise ValueError(msg)
        for name in ("scheduler", "optimizer"):
            setattr(self, name, _choice(name, getattr(self, name)))
        for each in fields(self):
            _check(each.name, getattr(self, each.name), each.default)
        if not 0 <= self.ema_decay < 1:
            msg = f"ema_decay must be at least 0 and less than 1, got {self.ema_decay}"
            raise ValueError(msg)
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            msg = f"device must be auto, cpu, cuda or cuda:N, got {self.device!r}"
            raise ValueError(msg)
        if not (self.augmentations in (None, False) or is_dataclass(self.augmentations)):
            msg = f"augmentations must be DatasetAugmentations or False, got {self.augmentations!r}"
            raise ValueError(msg)
        _ = self.schedule  # checks the options of the scheduler

    @property
    def folder(self) -> Path:
        """Folder of the run."""
        return Path(self.ckpt_dir) if self.ckpt_dir else Path(self.output_dir) / self.run_name

    @property
    def schedule(self) -> Callable[[int], float]:
        """Function that returns the factor of the learning rate at an iteration."""
        return _Schedule(self.scheduler, self.max_iters, self.scheduler_extra or {})

    def to_dict(self) -> dict[str, Any]:
        """Return the arguments as values of JSON."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        if is_dataclass(self.augmentations):
            values["augmentations"] = asdict(self.augmentations)  # type: ignore[arg-type]
        return {name: str(v) if isinstance(v, os.PathLike) else v for name, v in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainerArgs:
        """Return arguments from values of JSON.

        Raises:
            ValueError: A name is unknown, or a value is wrong.
        """
        known = [each.name for each in fields(cls)]
        if unknown := [name for name in values if name not in known]:
            msg = f"unknown arguments {', '.join(unknown)}; TrainerArgs has {', '.join(known)}"
            raise ValueError(msg)
        augmentations = values.get("augmentations")
        if isinstance(augmentations, Mapping):
            values = {**values, "augmentations": _augmentations(augmentations)}
        return cls(**values)


_KINDS: Mapping[type, tuple[tuple[type, ...], str]] = MappingProxyType(
    {
        bool: ((bool,), "True or False"),
        int: ((int,), "a whole number"),
        float: ((int, float), "a number"),
        str: ((str, os.PathLike), "a text"),
    }
)
"""Types of the values that fit the type of the default."""

_OPTIONAL: Mapping[str, tuple[tuple[type, ...], str]] = MappingProxyType(
    {
        "ckpt_dir": ((str, os.PathLike), "a path"),
        "init_checkpoint": ((str, os.PathLike), "a path"),
        "num_gpus": _KINDS[int],
        "optimizer_extra": ((Mapping,), "a dictionary"),
        "scheduler_extra": ((Mapping,), "a dictionary"),
        "time_limit": _KINDS[float],
    }
)
"""Types of the values of arguments that are None by default."""

_LEAST: Mapping[str, float] = MappingProxyType(
    {
        "num_gpus": 0,
        "time_limit": 0,
        "ema_decay": 0,
        "workers": 0,
        "checkpointer_period": 1,
        "checkpointer_max_to_keep": 1,
        "eval_period": 1,
        "log_period": 1,
        "samples": 0,
        "patience": 1,
        "ema_warmup": 0,
        "learning_rate": 0,
        "weight_decay": 0,
        "max_iters": 1,
        "batch_size": 1,
        "weight_decay_norm": 0,
        "weight_decay_embed": 0,
        "backbone_multiplier": 0,
        "decoder_multiplier": 0,
        "head_multiplier": 0,
        "clip_gradients": 0,
        "size_divisibility": 0,
        "gather_metric_period": 1,
    }
)
"""Least value of each number."""


def _augmentations(values: Mapping[str, Any]) -> DatasetAugmentations:
    plain: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in values.items()
    }
    try:
        return DatasetAugmentations(**plain)
    except TypeError as error:
        msg = f"augmentations do not fit: {error}"
        raise ValueError(msg) from error


def _choice(name: str, value: object) -> str:
    choices = get_args({"scheduler": Scheduler, "optimizer": Optimizer}[name])
    found = str(value).upper()
    if found not in choices:
        msg = f"{name} must be one of {', '.join(choices)}, got {value!r}"
        raise ValueError(msg)
    return found


def _check(name: str, value: object, default: object) -> None:
    """Check that a value has the type of the default, or the optional one, and its range."""
    if value is None and default is None:
        return
    expected = _OPTIONAL.get(name) or _KINDS.get(type(default))
    if expected is None:
        return
    kinds, what = expected
    if not isinstance(value, kinds) or isinstance(value, bool) != isinstance(default, bool):
        msg = f"{name} must be {what}, got {value!r}"
        raise ValueError(msg)
    if name in _LEAST:
        _check_least(name, value, _LEAST[name])


def _check_least(name: str, value: Any, least: float) -> None:
    if not (math.isfinite(value) and value >= least):
        msg = f"{name} must be a number of at least {least:g}, got {value!r}"
        raise ValueError(msg)


class _Schedule:
    """Factor of the learning rate: a warm-up, and then what the scheduler says.

    Args:
        kind: Name of the scheduler.
        iterations: Number of iterations.
        extra: Options.

    Raises:
        ValueError: An option is unknown, or has a wrong value.
    """

    def __init__(self, kind: str, iterations: int, extra: Mapping[str, Any]) -> None:
        known = _SCHEDULE_OPTIONS[kind] | _WARMUP_OPTIONS
        if unknown := sorted(extra.keys() - known):
            msg = (
                f"scheduler_extra has {', '.join(unknown)}, but the options of {kind} "
                f"are {', '.join(sorted(known))}"
            )
            raise ValueError(msg)
        self._kind = kind
        self._iterations = iterations
        parts = extra.get("milestones", ())
        if isinstance(parts, str) or not isinstance(parts, Sequence):
            msg = f"milestones must be a list of parts of max_iters, got {parts!r}"
            raise ValueError(msg)
        self._milestones = [_option("milestones", part, 0) * iterations for part in parts]
        if any(not 0 <= float(m) <= 1 for m in extra.get("milestones", ())):
            msg = f"milestones must be parts of max_iters, in 0..1, got {extra['milestones']}"
            raise ValueError(msg)
        self._gamma = _option("gamma", extra.get("gamma", 0.1), 0)
        self._power = _option("power", extra.get("power", 0.9), 0)
        self._ending = _option("constant_ending", extra.get("constant_ending", 0.0), 0)
        self._warmup = _option("warmup_iters", extra.get("warmup_iters", 0), 0)
        self._start = _option("warmup_factor", extra.get("warmup_factor", 1.0), 0)
        self._method = extra.get("warmup_method", "linear")
        if self._method not in ("linear", "constant", "quadratic"):
            msg = f"warmup_method must be linear, constant or quadratic, got {self._method!r}"
            raise ValueError(msg)

    def __call__(self, iteration: int) -> float:
        """Return the factor at an iteration, counted from 0."""
        return self._warmed(iteration) * self._planned(iteration)

    def _warmed(self, iteration: int) -> float:
        if iteration >= self._warmup:
            return 1.0
        if self._method == "constant":
            return self._start
        part = iteration / self._warmup
        part = part * part if self._method == "quadratic" else part
        return self._start * (1 - part) + part

    def _planned(self, iteration: int) -> float:
        progress = min(iteration / self._iterations, 1.0)
        if self._kind == "COSINE":
            return 0.5 * (1 + math.cos(math.pi * progress))
        if self._kind == "POLY":
            return max(math.pow(1 - progress, self._power), self._ending)
        if self._kind == "MULTISTEP":
            passed = sum(iteration >= milestone for milestone in self._milestones)
            return float(self._gamma**passed)
        return 1.0


def _option(name: str, value: Any, least: float) -> float:
    """Return an option of the scheduler, which is a number."""
    _check(name, value, 0.0)
    _check_least(name, value, least)
    return float(value)
