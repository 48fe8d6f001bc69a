"""`furiosa-models predict`."""

from __future__ import annotations

import io
import re
import signal
import sys
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from time import perf_counter
from typing import Any

import click

from ..errors import ImageError
from ..images.live import LiveFrame, Stream
from ..images.sources import count, is_live, list_files
from ..images.video import VideoFrame, is_video
from ..model import Model
from ..progress import is_terminal
from ..tasks.base import Result
from . import options
from .messages import note
from .models import open_model
from .outputs import AnnotatedVideo, OutputFolder, seconds
from .table import print_json, short

__all__ = ["command"]

_TASK_OPTIONS = ("score_threshold", "iou_threshold", "top_k")
_FRAME = re.compile(r"(?P<video>.+)#(?P<index>\d+)")
_STDIN = "-"


def _tiles(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> str | tuple[int, int] | None:
    """Parse `--tiles`."""
    del context, parameter
    if value is None or value == "auto":
        return value
    if match := re.fullmatch(r"(\d{1,6})x(\d{1,6})", value, re.ASCII):
        return int(match[1]), int(match[2])
    msg = f"expected 'auto' or WIDTHxHEIGHT, such as 640x480, got {value!r}"
    raise click.BadParameter(msg)


@click.command("predict")
@options.model
@click.argument("images", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help=(
        "Folder to write to: an annotated image (for mattes, a cutout) and a JSON file for each "
        "photo, and an annotated video and a JSON file for each video. Existing files are not "
        "replaced."
    ),
)
@click.option(
    "--frames", is_flag=True, help="Write an image and a JSON file for each frame of a video."
)
@click.option(
    "--save-masks",
    is_flag=True,
    help="Write the mask of each photo, too: a PNG file of class ids, or of opacities.",
)
@click.option(
    "--overwrite", is_flag=True, help="Replace earlier results, but never a source photo."
)
@options.weights
@options.labels
@options.task
@click.option("--score-threshold", type=float, help="Minimum score of a detection, 0 to 1.")
@click.option(
    "--iou-threshold", type=float, help="Maximum overlap (IoU) of two detections, 0 to 1."
)
@click.option(
    "--top-k", type=click.IntRange(min=1), help="Number of classes to return for a photo."
)
@click.option(
    "--track", is_flag=True, help="Follow objects through the frames, and give each one an id."
)
@click.option(
    "--tiles",
    callback=_tiles,
    help=(
        "Run large photos in tiles, too, to see small things: 'auto', or the size of a tile as "
        "WIDTHxHEIGHT."
    ),
)
@click.option("--classes", help="Keep only detections of these classes (comma-separated names).")
@options.draft
@options.background
@options.precision
@options.device
@options.postprocess
@options.json_output
def command(
    model: str,
    images: tuple[str, ...],
    output: Path | None,
    frames: bool,
    save_masks: bool,
    overwrite: bool,
    weights: str | None,
    labels: str | None,
    task: str | None,
    track: bool,
    tiles: str | tuple[int, int] | None,
    classes: str | None,
    postprocess: str,
    as_json: bool,
    **arguments: Any,
) -> None:
    """Run a MODEL on IMAGES: files, videos, folders, globs, URLs, cameras or streams.

    MODEL is a name, a file (ONNX, TensorFlow Lite) or a saved folder. The image `-` is read from
    standard input. A number is the index of a camera; cameras and streams (rtsp://..., or http://
    with .mjpg or .m3u8) run until Ctrl-C, which finishes the output. If a photo cannot be read, the
    error is reported, the other photos are still processed, and the exit code is 1.
    """
    if frames and output is None:
        msg = "--frames needs --output, the folder to write the frames to"
        raise click.UsageError(msg)
    if save_masks and output is None:
        msg = "--save-masks needs --output, the folder to write the masks to"
        raise click.UsageError(msg)
    task_options = {name: arguments.pop(name) for name in _TASK_OPTIONS}
    start = perf_counter()
    with open_model(model, weights, labels=labels, task=task, postprocess=postprocess) as network:
        if save_masks and not network.vision_task.has_masks:
            msg = f"--save-masks does not apply to {type(network).__name__}, which gives no masks"
            raise click.UsageError(msg)
        if save_masks and not frames and any(map(_is_moving, images)):
            msg = "--save-masks of a video needs --frames, which writes each frame"
            raise click.UsageError(msg)
        set_options = _applicable(network, task_options, track=track, tiles=tiles)
        report = _Report(
            OutputFolder(output, images, overwrite=overwrite) if output else None,
            frames=frames,
            masks=save_masks,
            classes=_chosen(classes, network),
            as_json=as_json,
        )
        sources = [*_sources(images, output)]
        streams = [source for source in sources if isinstance(source, Stream)]
        is_quiet = output is not None and not frames
        only_videos = is_quiet and all(isinstance(s, Stream) or is_video(s) for s in sources)
        results = network.predict(
            sources,
            stream=True,
            on_error=report.report_error,
            progress=_shows_progress(images, silent=as_json or only_videos),
            **arguments,
            **set_options,
        )
        loaded = perf_counter()
        with report, _ending(streams):
            for result in results:
                report.add(result)
        for each in streams:
            note(
                f"{each.name}: {each.received} frames, {each.dropped} left out, connected again "
                f"{each.reconnects} times"
            )
        if as_json:
            elapsed = perf_counter() - loaded
            done = len(report.entries)
            timing = {
                "load_s": loaded - start,
                "predict_s": elapsed,
                "photos_per_second": done / elapsed if done else 0.0,
            }
            facts = {"model": type(network).__name__, "weights": network.weights}
            facts["precision"] = arguments["precision"]
            document = {**facts, "photos": report.entries, "errors": report.errors}
            print_json({**document, "timing": timing})
    sys.exit(1 if report.errors else 0)


def _applicable(
    network: Model[Any],
    task_options: Mapping[str, Any],
    *,
    track: bool,
    tiles: str | tuple[int, int] | None,
) -> dict[str, Any]:
    """Return the options that are given.

    Args:
        network: The model.
        task_options: Options that some tasks have.
        track: Whether to follow objects.
        tiles: How to cut photos into tiles.

    Raises:
        click.UsageError: The task of the model does not have one of them.
    """
    given = {name: value for name, value in task_options.items() if value is not None}
    task_name = f"{type(network).__name__} ({network.vision_task.name})"
    if unknown := given.keys() - {*network.vision_task.options}:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(unknown))
        msg = f"{names} does not apply to {task_name}"
        raise click.UsageError(msg)
    if track and not network.vision_task.has_boxes:
        msg = f"--track does not apply to {task_name}, which has no boxes"
        raise click.UsageError(msg)
    if tiles is not None and not network.vision_task.merges_tiles:
        msg = f"--tiles does not apply to {task_name}, which has neither boxes nor masks"
        raise click.UsageError(msg)
    return {**given, **({"track": track} if track else {}), **({"tiles": tiles} if tiles else {})}


def _is_moving(image: str) -> bool:
    """Return whether an argument is a video, a camera or a stream."""
    return is_video(image) or is_live(image) or _is_camera(image)


def _is_camera(image: str) -> bool:
    return image.isdecimal() and not Path(image).exists()


class _Stdin(io.BytesIO):
    """A photo from standard input."""

    name = "stdin"  # used in messages and for the names of output files


def _sources(images: Sequence[str], output: Path | None) -> Iterator[Any]:
    """Yield the images for `predict`, without earlier results in the output folder."""
    for image in images:
        if image == _STDIN:
            yield _Stdin(sys.stdin.buffer.read())
        elif _is_camera(image):
            yield Stream(int(image))
        elif is_live(image):
            yield Stream(image)
        elif output is not None and _is_below(output, Path(image)):
            files = list_files(image)
            photos = [file for file in files if not _is_below(Path(file), output)]
            if left_out := len(files) - len(photos):
                note(f"{left_out} images of earlier results in {output} are skipped")
            yield from photos
        else:
            yield image


@contextmanager
def _ending(streams: Sequence[Stream]) -> Iterator[None]:
    """Let Ctrl-C and the signal to terminate end the streams; a second Ctrl-C interrupts."""
    if not streams or threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    earlier = {number: signal.getsignal(number) for number in signals}

    def end(number: int, frame: object) -> None:
        del frame
        for each in streams:
            each.stop()
        signal.signal(number, earlier[signal.Signals(number)])

    for number in signals:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _is_below(path: Path, folder: Path) -> bool:
    """Return whether a path is in a folder, and not the folder itself."""
    return folder.is_dir() and folder.resolve() in path.resolve().parents


def _chosen(classes: str | None, network: Model[Any]) -> frozenset[str] | None:
    """Return the names of the classes to keep, or None to keep all."""
    if classes is None:
        return None
    names = frozenset(name.strip() for name in classes.split(",") if name.strip())
    if not names:
        msg = "--classes is empty: expected comma-separated names"
        raise click.UsageError(msg)
    if unknown := sorted(names - {*network.labels}):
        msg = f"{type(network).__name__} has no class {', '.join(map(repr, unknown))}"
        if close := [n for each in unknown for n in get_close_matches(each, network.labels, n=1)]:
            msg += f"; did you mean {', '.join(close)}?"
        raise click.UsageError(msg)
    return names


class _Report:
    """Writes, prints or collects the results.

    Leaving its `with` block finishes the current video, or discards it after an error.

    Attributes:
        entries: Results for the JSON document.
        errors: Photos that could not be read, with the reasons.
    """

    def __init__(
        self,
        output: OutputFolder | None,
        *,
        frames: bool,
        masks: bool,
        classes: Collection[str] | None,
        as_json: bool,
    ) -> None:
        self.entries: list[dict[str, Any]] = []
        self.errors: list[dict[str, str]] = []
        self._output = output
        self._frames = frames
        self._masks = masks
        self._classes = classes
        self._as_json = as_json
        self._video: AnnotatedVideo | None = None

    def __enter__(self) -> _Report:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._finish_video()
        elif self._video is not None:
            self._video.discard()

    def report_error(self, source: object, error: ImageError) -> None:
        """Report a photo that cannot be read."""
        click.echo(f"Error: {short(error)}", err=True)
        name = str(getattr(source, "name", source)) if not isinstance(source, Path) else str(source)
        self.errors.append({"image": name, "error": str(error)})

    def add(self, result: Any) -> None:
        """Write and print a result, or collect it for the JSON document."""
        # Frames of videos and photos from URLs are kept decoded, with a name.
        image: Any = result.image
        frame = image if isinstance(image, VideoFrame) else None
        name = str(image if isinstance(image, Path) else image.name)
        if self._classes is not None:
            result = _keep_classes(result, self._classes)
        files: list[str] = []
        if self._output is not None and frame is not None and not self._frames:
            files = self._add_frame(self._output, result, frame)
        else:
            self._finish_video()
            if self._output is not None:
                files = self._output.write(result, _stem(name), mask=self._masks)
        if self._as_json:
            entry: dict[str, Any] = {"image": name, "image_size": result.image_size}
            if frame is not None:
                entry["time"] = seconds(frame)
            self.entries.append({**entry, "results": result.to_dict(), "files": files})
        elif self._video is None:
            _print(name, list(result.describe()), files)

    def _add_frame(self, output: OutputFolder, result: Result, frame: VideoFrame) -> list[str]:
        """Write the next frame of the current video, or the first one of another video."""
        video = self._video
        if video is None or video.source != frame.path or frame.index <= video.last:
            self._finish_video()
            stem = frame.stem if isinstance(frame, LiveFrame) else Path(frame.path).stem
            video = self._video = AnnotatedVideo(output, frame.path, stem)
        video.add(result, frame)
        return [str(path) for path in video.paths]

    def _finish_video(self) -> None:
        if self._video is None:
            return
        try:
            files = self._video.close()
        except BaseException:
            self._video.discard()
            raise
        if not self._as_json:
            frames = "frame" if self._video.frames == 1 else "frames"
            _print(self._video.source, [f"{self._video.frames} {frames}"], files)
        self._video = None


def _keep_classes(result: Any, classes: Collection[str]) -> Any:
    if not hasattr(result, "filter"):
        msg = "--classes applies only to detectors, and this model is none"
        raise click.UsageError(msg)
    return result.filter(labels=classes)


def _shows_progress(images: tuple[str, ...], *, silent: bool) -> bool:
    """Return whether to show a progress bar: for many photos, unless results go to the terminal."""
    return (silent or not is_terminal(sys.stdout)) and count(images) != 1


def _stem(name: str) -> str:
    """Return the stem of the output files for a photo or for a frame of a video."""
    frame = _FRAME.fullmatch(name)
    if frame is None:
        return Path(name).stem
    return f"{Path(frame['video']).stem}-frame{int(frame['index']):06d}"


def _print(name: str, lines: Sequence[str], files: Sequence[str]) -> None:
    click.secho(name, bold=True)
    for line in lines or ["nothing found"]:
        click.echo(f"  {line}")
    for file in files:
        click.echo(f"  -> {file}")
