"""Reports of a training run to a hub: what a hub must provide, and when it is told what."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from .args import TrainerArgs

__all__ = ["Report", "Reporter", "report_to"]

logger = logging.getLogger(__name__)

_FIRST_PAUSE_S, _MAX_PAUSE_S = 10.0, 600.0

Entries = Sequence[Mapping[str, Any]]


class Reporter(Protocol):
    """What reports a run to a hub. Its methods may fail: the run goes on."""

    def start(self, folder: Path, info: Mapping[str, Any], *, resume: bool) -> None:
        """Create the model on the hub, or find the one of a run that is continued.

        Args:
            folder: Folder of the run.
            info: Fields of `model_info.json`.
            resume: Whether the run is continued.

        Raises:
            Exception: The hub does not take it: the run does not start.
        """

    def update(self, iteration: int, entries: Entries) -> None:
        """Report the progress.

        Args:
            iteration: Number of iterations so far.
            entries: All entries of `metrics.json`.
        """

    def finish(self, iteration: int) -> None:
        """Report the end, and upload the files of the run."""

    def fail(self, error: BaseException) -> None:
        """Report that the run was interrupted, or failed."""


class Report:
    """Tells a reporter about a run. Only `start` fails: later errors are logged as warnings.

    A hub that fails is not asked again for a while, so that it does not slow the run down.

    Args:
        reporter: The reporter; None reports nothing.
        describe: Returns the fields of `model_info.json` of the model.
    """

    def __init__(
        self,
        reporter: Reporter | None = None,
        describe: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self._reporter = reporter
        self._describe = describe
        self._is_started = False
        self._is_finished = False
        self._pause = _FIRST_PAUSE_S
        self._silent_until = 0.0

    def start(self, args: TrainerArgs, classes: Sequence[str], *, resume: bool) -> None:
        """Report the start of a run.

        Args:
            args: Arguments of the run.
            classes: Names of its classes.
            resume: Whether it is continued.

        Raises:
            Exception: The hub does not take it.
        """
        if self._reporter is None:
            return
        info = self._describe()
        own = {
            "name": args.run_name,
            "classes": [*classes],
            "config": {**info["config"], "num_classes": len(classes)},
            "train_args": args.to_dict(),
        }
        self._reporter.start(args.folder, {**info, **own}, resume=resume)
        self._is_started = True

    def update(self, iteration: int, entries: Entries) -> None:
        """Report the progress, unless the hub has failed a short time ago."""
        if self._is_started and time.monotonic() >= self._silent_until:
            self._tell(lambda reporter: reporter.update(iteration, entries))

    def finish(self, iteration: int) -> None:
        """Report the end of the run, whose files are complete."""
        self._is_finished = True
        if self._is_started:
            self._tell(lambda reporter: reporter.finish(iteration))

    def __enter__(self) -> Report:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Report an error of the run."""
        if error is not None and self._is_started and not self._is_finished:
            self._tell(lambda reporter: reporter.fail(error))

    def _tell(self, what: Callable[[Reporter], None]) -> None:
        if self._reporter is None:
            return
        try:
            what(self._reporter)
        except Exception as error:  # whatever the reporter of a user raises
            self._silent_until = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, _MAX_PAUSE_S)
            logger.warning("the run is not reported to the hub: %s", error)
        else:
            self._pause = _FIRST_PAUSE_S


def report_to(hub: Any, args: TrainerArgs, describe: Callable[[], Mapping[str, Any]]) -> Report:
    """Return the report of a run, as its arguments ask for it.

    Args:
        hub: Hub with a method `reporter()`, such as `FocoosHUB`; None for none.
        args: Arguments of the run.
        describe: Returns the fields of `model_info.json` of the model.

    Raises:
        ValueError: `sync_to_hub` is True without a hub, or False with one.
        TypeError: `hub` is not a hub.
    """
    if args.sync_to_hub != (hub is not None):
        msg = (
            "sync_to_hub=True needs a hub: pass hub=FocoosHUB()"
            if args.sync_to_hub
            else "hub= was given, but sync_to_hub is False: set it to True to report the run"
        )
        raise ValueError(msg)
    if hub is None:
        return Report()
    if not callable(getattr(hub, "reporter", None)):
        msg = f"expected a FocoosHUB, got {type(hub).__name__}"
        raise TypeError(msg)
    return Report(hub.reporter(), describe)
