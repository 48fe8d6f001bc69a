"""Arguments of training, with the names and defaults of Focoos."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, get_args

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
        sync_to_hub: Whether to report the run to a hub, which `train(hub=)` must give.
        time_limit: Seconds after which training ends as if `max_iters` were reached; None for no
            limit.
        augmentations: `DatasetAugmentations` of training photos; by default those of the task;
            False for none.

    Raises:
        ValueError: A value is out of range, or an option is unknown.
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
        if not self.run_name or Path(self.run_name).name != self.run_name:
            msg = f"run_name must be the name of a folder, got {self.run_name!r}"
            raise ValueError(msg)
        for name in ("scheduler", "optimizer"):
            setattr(self, name, _choice(name, getattr(self, name)))
        for name, least in _LEAST.items():
            _check_number(name, getattr(self, name), least)
        for name in ("ema_decay",):
            if not 0 <= getattr(self, name) < 1:
                msg = f"{name} must be at least 0 and less than 1, got {getattr(self, name)}"
                raise ValueError(msg)
        extra = dict(self.scheduler_extra or {})
        known = _SCHEDULE_OPTIONS[self.scheduler] | _WARMUP_OPTIONS
        if unknown := sorted(extra.keys() - known):
            msg = (
                f"scheduler_extra has {', '.join(unknown)}, but the options of {self.scheduler} "
                f"are {', '.join(sorted(known))}"
            )
            raise ValueError(msg)

    @property
    def folder(self) -> Path:
        """Folder of the run."""
        return Path(self.ckpt_dir) if self.ckpt_dir else Path(self.output_dir) / self.run_name

    @property
    def schedule(self) -> Callable[[int], float]:
        """Function that returns the factor of the learning rate at an iteration."""
        return _Schedule(self.scheduler, self.max_iters, dict(self.scheduler_extra or {}))

    def to_dict(self) -> dict[str, Any]:
        """Return the arguments as values of JSON."""
        values = asdict(self)
        return {name: str(v) if isinstance(v, os.PathLike) else v for name, v in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainerArgs:
        """Return arguments from values of JSON.

        Raises:
            ValueError: A name is unknown.
        """
        known = [each.name for each in fields(cls)]
        if unknown := [name for name in values if name not in known]:
            msg = f"unknown arguments {', '.join(unknown)}; TrainerArgs has {', '.join(known)}"
            raise ValueError(msg)
        return cls(**values)


_LEAST: Mapping[str, float] = MappingProxyType(
    {
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


def _choice(name: str, value: object) -> str:
    choices = get_args({"scheduler": Scheduler, "optimizer": Optimizer}[name])
    found = str(value).upper()
    if found not in choices:
        msg = f"{name} must be one of {', '.join(choices)}, got {value!r}"
        raise ValueError(msg)
    return found


def _check_number(name: str, value: object, least: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= least:
        msg = f"{name} must be a number of at least {least:g}, got {value!r}"
        raise ValueError(msg)
    if isinstance(value, float) and not math.isfinite(value):
        msg = f"{name} must be finite, got {value!r}"
        raise ValueError(msg)


class _Schedule:
    """Factor of the learning rate: a warm-up, and then what the scheduler says."""

    def __init__(self, kind: str, iterations: int, extra: Mapping[str, Any]) -> None:
        self._kind = kind
        self._iterations = iterations
        self._milestones = [float(m) * iterations for m in extra.get("milestones", ())]
        self._gamma = float(extra.get("gamma", 0.1))
        self._power = float(extra.get("power", 0.9))
        self._ending = float(extra.get("constant_ending", 0.0))
        self._warmup = int(extra.get("warmup_iters", 0))
        self._start = float(extra.get("warmup_factor", 1.0))
        self._method = str(extra.get("warmup_method", "linear"))
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
