"""The training loop."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch

from ..data.records import LabeledPhotos
from ..errors import FuriosaModelsError, TrainingError
from ..images.pipeline import in_threads
from ..progress import progress_bar
from ..spec import ImageInput
from ..tasks.base import Truth, VisionTask
from .args import TrainerArgs
from .batches import Augment, Batches, Sampler, load_photo
from .checkpoints import Checkpoints
from .figures import focoos_figures
from .interrupts import Interrupts
from .losses.table import Loss
from .optimization import Average, make_optimizer
from .processes import Processes
from .records import Metrics
from .reports import Report
from .trainable import Trainable

__all__ = ["Job", "Network", "Trained", "Trainer"]

_EVALUATION_BATCH = 8
_LAYOUT = torch.channels_last
"""Layout of images and kernels in memory, in which convolutions are faster: 1.2 to 1.5 times."""


class Network(Protocol):
    """The part of a `Model` that training needs."""

    @property
    def vision_task(self) -> VisionTask[Any]:
        """The task, which computes metrics."""

    @property
    def input(self) -> ImageInput:
        """Input specification of the network."""

    @property
    def labels(self) -> Sequence[str]:
        """Names of the classes."""

    @property
    def scaled_input(self) -> Callable[..., tuple[npt.NDArray[np.float32], Any]]:
        """Function that converts RGB photos to the network's input; see `Model.scaled_input`."""

    @property
    def postprocess(self) -> Callable[..., Any]:
        """Function that converts outputs to results; see `Model.postprocess`."""


class Job(NamedTuple):
    """What is trained, and on what.

    Attributes:
        network: Model with the classes to train, for its pre- and postprocessing.
        trainable: Its network.
        loss: What is minimized.
        train: Photos to train on.
        val: Photos to evaluate on.
        augment: Changes training photos; None for no change.
    """

    network: Network
    trainable: Trainable
    loss: Loss
    train: LabeledPhotos
    val: LabeledPhotos
    augment: Augment | None = None


@dataclass(frozen=True)
class Trained:
    """Result of a training run.

    Attributes:
        folder: Folder of the run.
        trainable: The network with the best weights.
        iterations: Number of iterations that were run, over all sessions of the run.
        best: Figures of the best evaluation, between 0 and 1.
        best_iteration: Its iteration.
        stopped: Why training ended: `iterations`, `patience` or `time`.
        seconds: Duration of this session.
        photos_per_second: Training speed of this session, without evaluations.
        figures: The best figures by the names of Focoos, in percent.
        is_first_process: Whether this process writes the files of the run.
    """

    folder: Path
    trainable: Trainable = field(repr=False)
    iterations: int
    best: Mapping[str, float]
    best_iteration: int
    stopped: str
    seconds: float
    photos_per_second: float
    figures: Mapping[str, float]
    is_first_process: bool = True


@dataclass
class _Progress:
    """State of a run, which checkpoints contain."""

    iteration: int = 0
    best: dict[str, float] = field(default_factory=dict)
    best_iteration: int = 0
    without_improvement: int = 0


class Trainer:
    """Trains a network.

    Args:
        job: What is trained, and on what.
        args: How; the seed is at least 0.
        report: Report of the run to a hub.

    Raises:
        ValueError: An argument does not fit the machine or the data.
        TrainingError: The run exists already, or there is nothing to resume.
    """

    def __init__(self, job: Job, args: TrainerArgs, report: Report | None = None) -> None:
        self._job = job
        self._args = args
        self._processes = Processes.of(args)
        self._report = report if report and self._processes.is_first else Report()
        self._device = self._processes.device
        torch.manual_seed(args.seed)
        self._module = job.trainable.module().to(self._device)
        for parameter in self._module.parameters():
            if parameter.ndim == 4:  # the layout is one of images and kernels
                parameter.data = parameter.data.contiguous(memory_format=_LAYOUT)
        if args.freeze_bn:
            self._module.live_norms = frozenset()
        self._optimizer = make_optimizer(self._module, job.trainable, args)
        self._average = (
            Average(self._module, args.ema_decay, args.ema_warmup) if args.ema_enabled else None
        )
        self._scaler = torch.amp.GradScaler(
            self._device.type, enabled=self._autocast_type() is torch.float16
        )
        self._progress = _Progress()
        self._evaluated = -1
        self._metrics = Metrics(args.folder)
        self._checkpoints = Checkpoints(args.folder, args.checkpointer_max_to_keep)
        sampler = Sampler(
            len(job.train), args.batch_size, args.seed, self._processes.rank, self._processes.world
        )
        self._batches = Batches(
            job.train,
            sampler,
            self._place,
            augment=job.augment,
            workers=args.workers,
            size=job.network.input.size if job.augment is not None else None,
            names=job.network.labels,
        )

    @property
    def is_first(self) -> bool:
        """Whether this process evaluates and writes the files of the run."""
        return self._processes.is_first

    def run(self) -> Trained:
        """Train until the last iteration, an early stop, or the time limit; return the best.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed; a checkpoint of the last iteration was written.
            TrainingError: The loss is not finite.
        """
        self._begin()
        started, trained = time.monotonic(), 0.0
        first = self._progress.iteration
        if not self._progress.iteration:  # so that a run can be resumed from its first second
            self._save_checkpoint()
        if not self._progress.best:  # so that the result is never worse than the start
            self._evaluate_and_keep()
        network = self._processes.wrapped(self._module, self._args)
        self._module.train()
        stopped = "iterations"
        total = self._args.max_iters
        with (
            Interrupts() as interrupts,
            contextlib.closing(self._batches.start(first)) as batches,
            progress_bar(self._args.run_name, total, unit="it") as bar,
        ):
            bar.update(first)
            while self._progress.iteration < total:
                begin = time.monotonic()
                losses = self._step(network, self._next(batches))
                self._progress.iteration += 1
                seconds = time.monotonic() - begin
                trained += seconds
                self._log(losses, seconds)
                _describe(bar, losses)
                bar.update(1)
                if self._is_due(self._args.eval_period):
                    self._evaluate_and_keep()
                if self._is_due(self._args.checkpointer_period):
                    self._save_checkpoint()
                if reason := self._reason_to_stop(time.monotonic() - started):
                    stopped = reason
                    break
                if interrupts.is_pending:
                    self._save_checkpoint()
                    raise KeyboardInterrupt
        self._save_checkpoint()
        steps = self._progress.iteration - first
        return Trained(
            self._args.folder,
            self._best(),
            self._progress.iteration,
            self._progress.best,
            self._progress.best_iteration,
            stopped,
            time.monotonic() - started,
            steps * self._args.batch_size / trained if trained else 0.0,
            focoos_figures(self._progress.best, self._job.network.vision_task),
            self._processes.is_first,
        )

    # --- Iterations -----------------------------------------------------------------------------

    def _next(self, batches: Iterator[Any]) -> Any:
        """Return the next batch; write a checkpoint if a photo cannot be read."""
        try:
            return next(batches)
        except FuriosaModelsError:  # the run goes on from here once the photo is repaired
            self._save_checkpoint()
            raise

    def _step(self, network: Any, batch: Any) -> dict[str, float]:
        """Train on a batch; return its losses."""
        args, iteration = self._args, self._progress.iteration
        factor = args.schedule(iteration)
        for group in self._optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        if args.zero_grad_before_forward:
            self._optimizer.zero_grad(set_to_none=True)
        images = batch.images.to(self._device, non_blocking=True, memory_format=_LAYOUT)
        with self._autocast():
            outputs = network(images)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        outputs = [output.float() for output in outputs]
        targets = [target.to(self._device) for target in batch.targets]
        height, width = images.shape[2:]
        trainable = self._job.trainable
        count = len(outputs) - len(trainable.auxiliary)
        options = {"auxiliary": outputs[count:]} if trainable.auxiliary else {}
        losses = self._job.loss(outputs[:count], targets, (height, width), **options)
        _check_losses(losses)
        total = torch.stack([loss.float() for loss in losses.values()]).sum()
        if not torch.isfinite(total):
            values = ", ".join(f"{name} {float(loss.detach()):g}" for name, loss in losses.items())
            msg = (
                f"the loss of iteration {iteration} is not finite ({values}): expected finite "
                "losses; lower learning_rate, or set amp_enabled=False"
            )
            raise TrainingError(msg)
        self._scaler.scale(total).backward()
        if args.clip_gradients:
            self._scaler.unscale_(self._optimizer)
            learned = [p for group in self._optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(learned, args.clip_gradients)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        if not args.zero_grad_before_forward:
            self._optimizer.zero_grad(set_to_none=True)
        if self._average is not None:
            self._average.update(self._module)
        return {
            "total_loss": float(total.detach()),
            **{name: float(loss.detach()) for name, loss in losses.items()},
        }

    def _is_due(self, period: int) -> bool:
        iteration = self._progress.iteration
        return iteration % period == 0 or iteration == self._args.max_iters

    def _reason_to_stop(self, seconds: float) -> str | None:
        limit = self._args.time_limit
        is_late = limit is not None and seconds >= limit
        if self._processes.any(is_late):
            if self._evaluated != self._progress.iteration:
                self._evaluate_and_keep()
            return "time"
        lost = self._progress.without_improvement >= self._args.patience
        return "patience" if self._args.early_stop and lost else None

    def _autocast_type(self) -> torch.dtype | None:
        """Return the 16-bit type to compute in, or None."""
        if not self._args.amp_enabled:
            return None
        if self._device.type == "cuda":
            return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        return torch.bfloat16 if _multiplies_bfloat16() else None

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        kind = self._autocast_type()
        if kind is None:
            return contextlib.nullcontext()
        context: contextlib.AbstractContextManager[Any] = torch.autocast(
            self._device.type, dtype=kind
        )
        return context

    def _place(self, photos: Sequence[Any]) -> tuple[npt.NDArray[np.float32], Any]:
        return self._job.network.scaled_input(photos)

    # --- Evaluation -----------------------------------------------------------------------------

    def _evaluate_and_keep(self) -> None:
        """Evaluate, log the figures, and keep the weights if they are the best."""
        figures = self.evaluate()
        progress = self._progress
        self._evaluated = progress.iteration
        better = not progress.best or _first(figures) > _first(progress.best)
        progress.without_improvement = 0 if better else progress.without_improvement + 1
        if better:
            progress.best, progress.best_iteration = dict(figures), progress.iteration
        if self._processes.is_first:
            self._metrics.add_figures(progress.iteration, figures, self._job.network.vision_task)
            if better:
                self._checkpoints.save_best(self._final_state())
            self._metrics.draw_curves()
            with self._averaged():
                self._metrics.draw_samples(progress.iteration, self._samples())
            self._report.update(progress.iteration, self._metrics.entries)

    def evaluate(self) -> dict[str, float]:
        """Return the figures of the present (or averaged) weights on the validation photos."""
        figures: dict[str, float] = {}
        if self._processes.is_first:
            task, photos = self._job.network.vision_task, self._job.val
            with self._averaged():
                pairs = self._predicted(len(photos), task.evaluation_options)
                figures = dict(task.measure(Truth.of(photos), (result for _, result in pairs)))
        return dict(self._processes.shared(figures))

    def _samples(self) -> Iterator[Any]:
        """Yield pictures of predictions on some validation photos."""
        count = min(self._args.samples, len(self._job.val))
        for image, result in self._predicted(count, {}):
            yield result.plot(image)

    def _predicted(
        self, count: int, options: Mapping[str, Any]
    ) -> Iterator[tuple[npt.NDArray[np.uint8], Any]]:
        """Yield the first validation photos with their results."""
        for start in range(0, count, _EVALUATION_BATCH):
            some = range(start, min(start + _EVALUATION_BATCH, count))
            photos = in_threads(lambda index: load_photo(self._job.val[index]), some)
            tensor, contexts = self._place(photos)
            with torch.inference_mode():  # it would last if an error left this generator waiting
                outputs = self._module(torch.from_numpy(tensor).to(self._device))
            outputs = outputs if isinstance(outputs, tuple) else (outputs,)
            arrays = [output.float().cpu().numpy() for output in outputs]
            results = self._job.network.postprocess(arrays, contexts, **options)
            yield from zip(photos, results, strict=True)

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """Put the averaged weights into the module, in evaluation mode, for a while."""
        own = None
        if self._average is not None:
            own = {name: tensor.clone() for name, tensor in self._module.state_dict().items()}
            self._module.load_state_dict(dict(self._average.values))
        self._module.eval()
        try:
            yield
        finally:
            self._module.train()
            if own is not None:
                self._module.load_state_dict(own)

    # --- What is kept ---------------------------------------------------------------------------

    def _begin(self) -> None:
        """Start a new run in an empty folder, or continue the one that is there."""
        state = self._checkpoints.newest(self._device) if self._args.resume else None
        if self._args.resume and state is None:
            msg = f"{self._args.folder} has no checkpoint to resume: expected last_checkpoint"
            raise TrainingError(msg)
        if state is None:
            if self._processes.is_first:
                self._metrics.check_new()
                self._report.start(self._args, self._job.train.classes, resume=False)
                self._metrics.start(self._args)
            return
        try:
            self._load(state)
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            msg = (
                f"the newest checkpoint of {self._args.folder} does not fit: expected one of the "
                f"same network, classes and optimizer, got {type(error).__name__}: {error}"
            )
            raise TrainingError(msg) from error
        if self._processes.is_first:
            self._metrics.resume(self._args, self._progress.iteration)
            self._report.start(self._args, self._job.train.classes, resume=True)

    def _load(self, state: Mapping[str, Any]) -> None:
        """Continue with the state of a checkpoint."""
        self._module.load_state_dict(state["model"])
        if state["optimizer_name"] != self._args.optimizer:
            msg = f"the run has the optimizer {state['optimizer_name']}, not {self._args.optimizer}"
            raise ValueError(msg)
        settings = [
            {name: group[name] for name in ("initial_lr", "weight_decay")}
            for group in self._optimizer.param_groups
        ]
        self._optimizer.load_state_dict(state["optimizer"])
        for group, own in zip(self._optimizer.param_groups, settings, strict=True):
            group.update(own)  # of the arguments, which may have changed
        self._scaler.load_state_dict(state["scaler"])
        if self._average is not None and state["ema_state"] is not None:
            self._average.load_state_dict(state["ema_state"])
        torch.set_rng_state(state["random"].cpu())
        self._progress = _Progress(**json.loads(state["progress"]))

    def _save_checkpoint(self) -> None:
        if not self._processes.is_first:
            return
        state = {
            "model": self._module.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "optimizer_name": self._args.optimizer,
            "scaler": self._scaler.state_dict(),
            "ema_state": None if self._average is None else self._average.state_dict(),
            "random": torch.get_rng_state(),
            "progress": json.dumps(vars(self._progress)),
            "iteration": self._progress.iteration,
        }
        self._checkpoints.save(self._progress.iteration, state)

    def _final_state(self) -> dict[str, Any]:
        """Return the tensors that are saved as the model: the averaged ones, if there are any."""
        values = self._module.state_dict() if self._average is None else self._average.values
        return {name: tensor.detach().cpu().clone() for name, tensor in values.items()}

    def _best(self) -> Trainable:
        """Return the network with the best weights."""
        state = self._checkpoints.best()
        if state is None and (arrays := self._checkpoints.final()) is not None:
            return self._job.trainable.with_arrays(arrays)  # of a session that had finished
        self._module.load_state_dict(state or self._final_state())
        return self._job.trainable.with_arrays(self._module.arrays())

    def _log(self, losses: Mapping[str, float], seconds: float) -> None:
        if self._progress.iteration % self._args.gather_metric_period == 0:
            losses = self._processes.averaged(losses)
        if self._is_due(self._args.log_period) and self._processes.is_first:
            rates = [group["lr"] for group in self._optimizer.param_groups]
            self._metrics.add_losses(self._progress.iteration, losses, max(rates), seconds)
            self._report.update(self._progress.iteration, self._metrics.entries)


def _multiplies_bfloat16() -> bool:
    """Return whether the CPU multiplies bfloat16 numbers itself, which is faster than float32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _check_losses(losses: Any) -> None:
    """Check what the user's loss returns.

    Raises:
        TrainingError: It is not a mapping of scalar tensors that depend on the outputs.
    """
    values = losses.values() if isinstance(losses, Mapping) else [losses]
    good = isinstance(losses, Mapping) and len(losses) > 0
    if not good or not all(isinstance(v, torch.Tensor) and v.ndim == 0 for v in values):
        shown = ", ".join(
            f"a tensor of shape {tuple(v.shape)}" if isinstance(v, torch.Tensor) else repr(v)[:60]
            for v in values
        )
        msg = f"a loss must return scalar tensors by name, {{'loss': tensor}}, got {shown or '{}'}"
        raise TrainingError(msg)


def _first(figures: Mapping[str, float]) -> float:
    """Return the figure that decides; one that is not defined is the worst."""
    first = next(iter(figures.values()))
    return -math.inf if math.isnan(first) else first


def _describe(bar: Any, losses: Mapping[str, float]) -> None:
    """Show the losses beside a progress bar."""
    if hasattr(bar, "set_postfix_str"):
        bar.set_postfix_str(" ".join(f"{name} {value:.3f}" for name, value in losses.items()))
