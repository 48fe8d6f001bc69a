"""What a run writes for people: `metrics.json`, a log, curves, and pictures of predictions."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .._lazy import require
from ..errors import TrainingError
from ..output import replace_file, replacement
from ..tasks.base import VisionTask
from .args import TrainerArgs
from .figures import focoos_figures

__all__ = ["DATA_REPORT", "Metrics", "files_of", "recorded_seed"]

DATA_REPORT = "data_report.txt"
"""File with what is wrong with the data."""

_ARGS, _METRICS, _LOG, _CURVES = "train_args.json", "metrics.json", "log.txt", "curves.png"
_PREVIEW = "preview"


class Metrics:
    """The records in the folder of a run.

    `metrics.json` is an array with an entry for each log period (iteration, losses, learning rate,
    seconds of an iteration) and for each evaluation (iteration, figures in percent).

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._entries: list[dict[str, Any]] = []

    @property
    def entries(self) -> list[dict[str, Any]]:
        """All entries of `metrics.json`."""
        return self._entries

    def check_new(self) -> None:
        """Check that the folder is that of a new run.

        Raises:
            TrainingError: The folder contains a run already, or other files, or cannot be written.
        """
        if any(path.name != DATA_REPORT for path in files_of(self._folder)):
            msg = (
                f"{self._folder} is not empty: expected a new run; choose another run_name, or set "
                "resume=True to continue it"
            )
            raise TrainingError(msg)

    def start(self, args: TrainerArgs) -> None:
        """Start the records of a new run."""
        self._write_args(args.to_dict())
        self._write()

    def resume(self, args: TrainerArgs, iteration: int) -> None:
        """Continue the records of a run; drop entries after its newest checkpoint."""
        self._write_args({**args.to_dict(), "seed": recorded_seed(self._folder)})
        path = self._folder / _METRICS
        if path.is_file():
            entries = json.loads(path.read_text(encoding="utf-8"))
            self._entries = [entry for entry in entries if entry["iteration"] <= iteration]
        self._write()

    def add_losses(
        self, iteration: int, losses: Mapping[str, float], rate: float, seconds: float
    ) -> None:
        """Record the losses of an iteration."""
        values = {name: float(value) for name, value in losses.items()}
        self._entries.append({"iteration": iteration, **values, "lr": rate, "time": seconds})
        self._write()
        shown = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
        self._say(f"iteration {iteration}  {shown}  lr {rate:.3g}  {seconds:.3f} s")

    def add_figures(
        self, iteration: int, figures: Mapping[str, float], task: VisionTask[Any]
    ) -> None:
        """Record the figures of an evaluation."""
        named = focoos_figures(figures, task)
        self._entries.append({"iteration": iteration, **named})
        self._write()
        shown = "  ".join(f"{name} {value:.2f}" for name, value in named.items())
        self._say(f"iteration {iteration}  {shown}")

    def draw_curves(self) -> None:
        """Draw the losses and figures over the iterations into `curves.png`."""
        losses = [entry for entry in self._entries if "total_loss" in entry]
        figures = [entry for entry in self._entries if "total_loss" not in entry]
        require("matplotlib", "curves of a training run need matplotlib", extra="train")
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10, 4), layout="constrained")
        FigureCanvasAgg(figure)
        for axes, rows, title in zip(
            figure.subplots(1, 2), (losses, figures), ("loss", "validation, %"), strict=True
        ):
            names = [name for name in (rows[0] if rows else {}) if name not in _NOT_DRAWN]
            for name in names:
                points = [(row["iteration"], row[name]) for row in rows if name in row]
                x, y = zip(*points, strict=True)
                axes.plot(x, y, marker="." if len(x) < 30 else None, label=name)
            axes.set(xlabel="iteration", title=title)
            axes.grid(alpha=0.3)
            if names:
                axes.legend()
        with replacement(self._folder / _CURVES) as file:
            figure.savefig(file, format="png", dpi=110)

    def draw_samples(self, iteration: int, pictures: Iterable[Any]) -> None:
        """Draw predictions on validation photos into one picture."""
        from PIL import Image

        tiles = [picture.convert("RGB") for picture in pictures]
        if not tiles:
            return
        columns = math.ceil(math.sqrt(len(tiles)))
        side = 400
        rows = math.ceil(len(tiles) / columns)
        sheet = Image.new("RGB", (columns * side, rows * side), "white")
        for index, tile in enumerate(tiles):
            tile.thumbnail((side, side))
            sheet.paste(tile, (index % columns * side, index // columns * side))
        folder = self._folder / _PREVIEW
        folder.mkdir(exist_ok=True)
        sheet.save(folder / f"samples_iter_{iteration}.jpg", quality=90)

    def _write_args(self, values: Mapping[str, Any]) -> None:
        replace_file(self._folder / _ARGS, json.dumps(values, indent=4).encode())

    def _write(self) -> None:
        text = json.dumps(self._entries, indent=1)
        replace_file(self._folder / _METRICS, text.encode())

    def _say(self, line: str) -> None:
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        with (self._folder / _LOG).open("a", encoding="utf-8") as file:
            file.write(f"{now}  {line}\n")


def files_of(folder: Path) -> list[Path]:
    """Return the files in the folder of a run, which is created if it is not there.

    Raises:
        TrainingError: It cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [*folder.iterdir()]
    except OSError as error:
        msg = f"the folder of the run, {folder}, cannot be written: {error}"
        raise TrainingError(msg) from error


def recorded_seed(folder: Path) -> int:
    """Return the seed of the run in a folder.

    Raises:
        TrainingError: Its arguments cannot be read.
    """
    path = folder / _ARGS
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["seed"])
    except (KeyError, OSError, TypeError, ValueError) as error:
        msg = f"{path} does not tell the seed of the run to resume: {type(error).__name__}: {error}"
        raise TrainingError(msg) from error


_NOT_DRAWN = frozenset({"iteration", "lr", "time"})
