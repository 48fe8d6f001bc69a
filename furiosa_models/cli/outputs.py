"""Files of `predict --output`: images, videos and JSON."""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import FuriosaModelsError, ImageError
from ..images.live import LiveFrame
from ..images.sources import list_files
from ..images.video_writer import VideoWriter
from ..tasks.base import Result

if TYPE_CHECKING:
    from typing import TextIO

    from ..images.video import VideoFrame

__all__ = ["AnnotatedVideo", "OutputFolder", "check_picture"]

_LIVE_RATE = 30  # nominal; determines only how long the last frame is shown


def check_picture(path: Path) -> None:
    """Check that a picture can be written to a path, before the work that makes it.

    Raises:
        FuriosaModelsError: The folder does not exist, or the name has no format of a picture.
    """
    from PIL import Image

    if not path.parent.is_dir():
        msg = f"{path} cannot be written: the folder {path.parent} does not exist"
        raise FuriosaModelsError(msg)
    if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
        msg = f"{path}: {path.suffix!r} is not a picture format: use .jpg, .png or .webp"
        raise FuriosaModelsError(msg)


_MASK = "-mask.png"


class OutputFolder:
    """An output folder that never replaces a source photo or a file of the same run.

    Args:
        folder: Path of the folder.
        images: Source photos and videos, which may be in the folder.
        overwrite: Whether to replace existing files; never the sources or files of this run.
    """

    def __init__(self, folder: Path, images: Sequence[str], *, overwrite: bool) -> None:
        self._folder = folder
        self._written: set[Path] = set()
        self._photos = {*_inodes(images)} if overwrite else None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = f"cannot create the folder {folder}: {error.strerror or error}"
            raise FuriosaModelsError(msg) from error

    def write(self, result: Any, stem: str, *, mask: bool = False) -> list[str]:
        """Write the annotated photo and its JSON as `stem.jpg`, or `stem-2.jpg` and so on.

        Args:
            result: The result, a `Result`.
            stem: Beginning of the names.
            mask: Whether to write its mask, too, as `stem-mask.png`.
        """
        suffixes = (result.picture_suffix, ".json", *([_MASK] if mask else []))
        paths = self.take(stem, suffixes)
        try:
            written = [str(result.save(path)) for path in paths[:2]]
            return written + [str(result.save_mask(path)) for path in paths[2:]]
        except BaseException:
            for path in paths:
                path.unlink(missing_ok=True)
            raise

    def take(self, stem: str, suffixes: Collection[str]) -> list[Path]:
        """Claim files named `stem` with the suffixes, or `stem-2` and so on.

        Missing files are created empty, so that no other process claims them.
        """
        number = 1
        while not (paths := self._claim(stem if number == 1 else f"{stem}-{number}", suffixes)):
            number += 1
        return paths

    def _claim(self, stem: str, suffixes: Collection[str]) -> list[Path]:
        """Claim the files of a stem, or return an empty list if one of them is not free."""
        paths = [self._folder / f"{stem}{suffix}" for suffix in suffixes]
        claimed: list[Path] = []
        for path in paths:
            if not self._claim_file(path):
                break
            claimed.append(path)
        else:
            self._written.update(paths)
            return paths
        release(claimed)
        return []

    def _claim_file(self, path: Path) -> bool:
        try:
            path.open("xb").close()
        except FileExistsError:
            if self._photos is None or path in self._written or not path.is_file():
                return False
            status = path.stat()
            return (status.st_dev, status.st_ino) not in self._photos
        except OSError as error:
            msg = f"cannot write {path}: {error.strerror or error}"
            raise FuriosaModelsError(msg) from error
        return True


def release(paths: Sequence[Path]) -> None:
    """Remove claimed files that are still empty."""
    for path in paths:
        with suppress(FileNotFoundError):
            if path.stat().st_size == 0:
                path.unlink()


class AnnotatedVideo:
    """A video with results drawn on each frame, and a JSON file of the results.

    Both are written under temporary names and renamed when they are complete.

    Args:
        folder: Output folder.
        source: Path of the source video, or name of the stream.
        stem: Name of the files, without extension.

    Attributes:
        source: Path of the source video, or name of the stream.
        paths: Paths of the two files.
        frames: Number of frames written.
        last: Index of the last frame in the source video.
    """

    def __init__(self, folder: OutputFolder, source: str, stem: str) -> None:
        self.source = source
        self.frames = 0
        self.last = -1
        self.paths = folder.take(stem, (".mp4", ".json"))
        path = self.paths[1]
        self._partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        self._json: TextIO | None = None
        self._writer: VideoWriter | None = None

    def add(self, result: Result, frame: VideoFrame) -> None:
        """Write the next frame."""
        if self._writer is None or self._json is None:
            if isinstance(frame, LiveFrame):  # its timestamps come with each frame
                self._writer = VideoWriter(self.paths[0], rate=_LIVE_RATE)
            else:
                self._writer = VideoWriter(self.paths[0], like=self.source)
            self._json = self._partial.open("x", encoding="utf-8")
            self._json.write(f'{{"video": {json.dumps(self.source)},\n "frames": [')
        self._writer.write(result.plot(), time=frame.time)
        entry = {"index": frame.index, "time": seconds(frame), "results": result.to_dict()}
        self._json.write(f"{',' if self.frames else ''}\n  {json.dumps(entry)}")
        self.frames += 1
        self.last = frame.index

    def close(self) -> list[str]:
        """Finish both files, and return their names."""
        if self._writer is not None and self._json is not None:
            self._json.write("\n ]}\n")
            self._json.close()
            self._writer.close()
            self._partial.replace(self.paths[1])
        return [str(path) for path in self.paths]

    def discard(self) -> None:
        """Remove incomplete files."""
        if self._writer is not None:
            self._writer.discard()
        if self._json is not None:
            self._json.close()
        self._partial.unlink(missing_ok=True)
        release(self.paths)


def seconds(frame: VideoFrame) -> float | None:
    """Return the presentation time of a frame in seconds, if known."""
    return None if frame.time is None else float(frame.time)


def _inodes(images: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield the device and inode numbers of the photos, which identify them under any name."""
    for image in images:
        names = [image]
        if not Path(image).is_file():
            with suppress(ImageError):
                names = list_files(image)
        for name in names:
            with suppress(OSError):  # a URL, standard input or a missing photo
                status = Path(name).stat()
                yield status.st_dev, status.st_ino
