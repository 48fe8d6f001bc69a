"""Photos of a folder, a bucket or Parquet files through a model, on one or many machines with Ray.

```python
from furiosa_models.integrations.ray import predict_dataset

predict_dataset("photos/", "SSDMobileNetV2", output="found/")  # Parquet; run it again to resume
```
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._lazy import require
from ..errors import ConfigurationError
from ..images.formats import suffixes
from .batch import ERROR, BatchPredictor

if TYPE_CHECKING:
    from ..model import Model
    from ..runtime.sync import Precision

__all__ = ["BatchPredictor", "predict_dataset"]

_ROWS = 16
"""Rows of a batch whose photos are in memory."""
_FILES = 64
"""Most rows of a batch of files: decoding and computing overlap in a batch, not between batches."""
_BATCHES = 16
"""Most batches of a block of files, which is the unit of an output file."""
_PATH = "path"


def predict_dataset(
    source: Any,
    model: str | os.PathLike[str] | Model[Any],
    weights: str | None = None,
    *,
    output: str | os.PathLike[str] | None = None,
    device: str | None = None,
    precision: Precision = "fp32",
    concurrency: int | None = None,
    threads: int | None = None,
    num_gpus: float = 0,
    batch_size: int | None = None,
    key: str = _PATH,
    **options: Any,
) -> Any:
    """Run a model on the photos of a data set, and return a data set of the results.

    An actor holds the model. By default there is one for each CPU of the cluster but one, which is
    left for Ray; on two CPUs that is one actor that computes with both, so that reading and
    computing never wait for each other's CPU. Photos in a folder are read by the actors themselves,
    while they compute: their bytes never pass between processes. An actor that dies is started
    again, and its batch is repeated. Weights are fetched once on each machine.

    Args:
        source: A folder (that each machine has under this name) or bucket of photos (`photos/`,
            `s3://...`), Parquet files, or a `ray.data.Dataset` with a column that `BatchPredictor`
            reads.
        model: See `BatchPredictor`.
        weights: See `BatchPredictor`.
        output: Folder or bucket for Parquet files. Photos whose key is in them already are left
            out, so that a run that was interrupted continues; the result is the data set of all
            files.
        device: See `BatchPredictor`.
        precision: See `BatchPredictor`.
        concurrency: Number of actors.
        threads: Threads of an actor; by default the CPUs of the cluster over the number of actors.
        num_gpus: GPUs of an actor, for devices such as `cuda`.
        batch_size: Photos of a batch. By default 16, and up to 64 for photos in a folder, which
            are read one after another.
        key: Column that identifies a photo, for `output`.
        options: Options of the task, such as `score_threshold`.

    Returns:
        A `ray.data.Dataset` with the columns of `BatchPredictor`; without `output` it is computed
        when it is read.

    Raises:
        ConfigurationError: A number is not positive, or the data set has no column `key`.
        ExtraRequired: Ray is not installed.
    """
    ray = require("ray", "predict_dataset() needs Ray", extra="ray")
    data = require("ray.data", "predict_dataset() needs Ray Data", extra="ray")
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    cpus = int(ray.cluster_resources().get("CPU", 1))
    actors = max(1, cpus - 1) if concurrency is None else concurrency
    threads = max(1, cpus // actors) if threads is None and not num_gpus else threads
    for name, value in (("concurrency", actors), ("batch_size", batch_size)):
        if value is not None and value < 1:
            msg = f"{name} must be at least 1, got {value}"
            raise ConfigurationError(msg)
    done = set() if output is None else _finished(os.fspath(output), key)
    photos, rows = _read(data, source, key, done, batch_size, actors)
    if photos is None and output is not None:  # nothing is left to do
        return data.read_parquet(os.fspath(output))
    predictor = BatchPredictor(model, weights, device, precision, threads, **options)
    found = photos.map_batches(
        _Actor,
        fn_constructor_args=(predictor,),
        batch_size=rows,
        batch_format="pyarrow",
        num_cpus=1,
        num_gpus=num_gpus,
        concurrency=actors,
    )
    if output is None:
        return found
    found.write_parquet(os.fspath(output))
    return data.read_parquet(os.fspath(output))


class _Actor:
    """Runs a predictor on tables of Arrow, whose types do not depend on what is found."""

    def __init__(self, predictor: BatchPredictor) -> None:
        self._predictor = predictor

    def __call__(self, table: Any) -> Any:
        import pyarrow as pa

        given = {name: _values(table.column(name)) for name in table.column_names}
        found = self._predictor(given)
        kinds = _types(pa)
        columns = {
            name: pa.array(values, kinds[name]) if name in kinds else table.column(name)
            for name, values in found.items()
        }
        return pa.table(columns)


def _values(column: Any) -> list[Any]:
    """Return the values of a column of Arrow; those of Ray's tensors as arrays."""
    return [*column.to_numpy()] if "tensor" in str(column.type).lower() else column.to_pylist()


def _types(pa: Any) -> dict[str, Any]:
    """Return the types of the columns of results."""
    numbers, texts, floats = pa.list_(pa.int64()), pa.list_(pa.string()), pa.list_(pa.float64())
    return {
        "width": pa.int64(),
        "height": pa.int64(),
        "labels": texts,
        "class_ids": numbers,
        "scores": floats,
        "boxes": pa.list_(floats),
        "keypoints": pa.list_(pa.list_(floats)),
        "areas": numbers,
        "fractions": floats,
        "masks": texts,
        ERROR: pa.string(),
    }


def _read(
    data: Any,
    source: Any,
    key: str,
    done: Collection[Any],
    batch_size: int | None,
    actors: int,
) -> tuple[Any, int]:
    """Return a data set of what is to be done, or None if that is nothing; and rows of a batch.

    Raises:
        ConfigurationError: There are no photos or Parquet files.
    """
    from pyarrow import fs

    rows = batch_size or _ROWS
    if isinstance(source, data.Dataset):
        return _without(source, key, done), rows
    source = os.fspath(source)
    system, path = _place(source)
    info = system.get_file_info(path)
    files = [info] if info.is_file else system.get_file_info(fs.FileSelector(path, recursive=True))
    names = sorted(file.path for file in files if file.is_file)
    if any(name.endswith(".parquet") for name in names):
        return _without(data.read_parquet(source), key, done), rows
    known = tuple(suffixes(readable=True))
    photos = [name for name in names if name.lower().endswith(known)]
    if not photos:
        msg = f"{source} has neither photos nor Parquet files"
        raise ConfigurationError(msg)
    left = [name for name in photos if name not in done]
    if not left:
        return None, rows
    if not isinstance(system, fs.LocalFileSystem):
        return data.read_binary_files(left, filesystem=system, include_paths=True), rows
    rows = batch_size or min(_FILES, -(-len(left) // actors))
    return _files(data, left, rows, actors), rows


def _files(data: Any, names: Sequence[str], rows: int, actors: int) -> Any:
    """Return a data set of file names, in blocks that keep the actors equally busy."""
    import pyarrow as pa

    size = rows * min(max(1, len(names) // (rows * actors * 4)), _BATCHES)
    blocks = [names[start : start + size] for start in range(0, len(names), size)]
    return data.from_arrow([pa.table({_PATH: block}) for block in blocks])


def _place(uri: str) -> tuple[Any, str]:
    """Return the file system of a path or URI, and the path in it."""
    from pyarrow import fs

    system, path = fs.FileSystem.from_uri(uri if "://" in uri else str(Path(uri).absolute()))
    return system, str(path)


def _without(photos: Any, key: str, done: Collection[Any]) -> Any:
    """Return a data set without the rows whose key is done.

    Raises:
        ConfigurationError: There is no column with the key.
    """
    if not done:
        return photos
    if key not in photos.schema().names:
        msg = f"the data set has no column {key!r}, which says what is done: pass key="
        raise ConfigurationError(msg)
    return photos.map_batches(_Left(key, frozenset(done)), batch_format="pyarrow")


class _Left:
    """Leaves the rows of a table whose key is not done."""

    def __init__(self, key: str, done: frozenset[Any]) -> None:
        self._key = key
        self._done = done

    def __call__(self, table: Any) -> Any:
        import pyarrow as pa

        keep = [value not in self._done for value in table.column(self._key).to_pylist()]
        return table.filter(pa.array(keep, pa.bool_()))


def _finished(output: str, key: str) -> set[Any]:
    """Return the keys of the rows in a folder of Parquet files; empty if there is none.

    A file that was cut by a crash is renamed, so that it is read no more.

    Raises:
        ConfigurationError: A file has no such column.
    """
    import pyarrow as pa
    from pyarrow import fs, parquet

    system, path = _place(output)
    if system.get_file_info(path).type is not fs.FileType.Directory:
        return set()
    done: set[Any] = set()
    for file in system.get_file_info(fs.FileSelector(path)):
        if not file.is_file or not file.path.endswith(".parquet"):
            continue
        try:
            names = parquet.read_schema(file.path, filesystem=system).names
        except pa.ArrowInvalid:
            folder, _, name = file.path.rpartition("/")
            system.move(file.path, f"{folder}/.{name}.incomplete")
            continue
        if key not in names:
            msg = f"{file.path} has no column {key!r}, which says what is done: pass key="
            raise ConfigurationError(msg)
        table = parquet.read_table(file.path, columns=[key], filesystem=system)
        done.update(table.column(key).to_pylist())
    return done
