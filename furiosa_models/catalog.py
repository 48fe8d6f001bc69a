"""The catalog: all models by name, those of the zoo and those that users register."""

from __future__ import annotations

import fnmatch
import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

from .artifacts.descriptor import zoo
from .enums import ModelTaskType
from .errors import ModelNotFound, ShapeError, TaskError

if TYPE_CHECKING:
    from .model import Model

__all__ = [
    "Entry",
    "ModelNames",
    "aliases",
    "class_for",
    "class_of_task",
    "entries",
    "find_task",
    "get_model",
    "is_file",
    "list_models",
    "model_class",
    "open_model",
    "register",
]

ModelClass = TypeVar("ModelClass", bound="type[Model[Any]]")

_PACKAGE = "furiosa_models.zoo"
_STEM = 5
_OTHER_WORDS = {
    "instseg": "instance_segmentation",
    "keypoint": "pose_estimation",
    "matting": "matte_estimation",
    "semseg": "semantic_segmentation",
}
"""Words for tasks that begin with none of the words of their names."""
_GRAPHS = frozenset({".onnx", ".tflite"})
_CHECKPOINTS = frozenset({".pt", ".pth", ".safetensors"})

_registered: dict[str, type[Model[Any]]] = {}


class Entry(NamedTuple):
    """Summary of a model for lists.

    Attributes:
        name: Class name.
        task: Name of its task, in lower case.
        summary: One-line description.
        weights: Names of its sets of weights, in order of preference.
    """

    name: str
    task: str
    summary: str
    weights: tuple[str, ...]


class ModelNames(list[str]):
    """A list of model names, which notebooks display as a table with descriptions."""

    def _repr_html_(self) -> str:
        from .tasks.notebook import table

        requested = frozenset(self)
        rows = [entry._asdict() for entry in entries() if entry.name in requested]
        return table(rows, max_rows=len(rows))


@overload
def register(cls: ModelClass) -> ModelClass: ...
@overload
def register(*, name: str | None = None) -> Callable[[ModelClass], ModelClass]: ...
def register(cls: Any = None, *, name: str | None = None) -> Any:
    """Register a model class by name; use it as a decorator.

    ```python
    @register
    class Cats(Detector):
        spec = ModelSpec(NetworkSpec("yolov5", {"variant": "n"}), INPUT, YOLOv5Head(), labels=NAMES)
    ```

    `get_model`, `list_models` and the command (with `--import MODULE`) then find it.

    Args:
        cls: The class, a subclass of `Model` with a `spec`.
        name: Name to use instead of the class name.

    Raises:
        TypeError: The class is not a subclass of `Model`, or has no `spec`.
        ValueError: Another model has that name.
    """
    if cls is None:
        return lambda decorated: _register(decorated, name)
    return _register(cls, name)


def _register(cls: ModelClass, name: str | None) -> ModelClass:
    from .model import Model

    if not (isinstance(cls, type) and issubclass(cls, Model)) or cls.spec is None:
        msg = f"register() needs a subclass of Model that has a spec, got {cls!r}"
        raise TypeError(msg)
    full = name or cls.__name__
    there = _registered.get(full)
    is_zoo = cls.__module__.startswith(f"{_PACKAGE}.")
    if (there is not None and _identity(there) != _identity(cls)) or (
        not is_zoo and _normalized(full) in _known_to_zoo()
    ):
        msg = f"there is another model named {full!r}: choose another name with register(name=...)"
        raise ValueError(msg)
    if is_zoo and cls.__doc__ is None:
        cls.__doc__ = zoo()[full].summary
    _registered[full] = cls
    return cls


def _identity(cls: type) -> tuple[str, str]:
    """Return what identifies a class even if its module is reloaded."""
    return cls.__module__, cls.__qualname__


def entries() -> Iterator[Entry]:
    """Yield a summary of each model, in alphabetical order. Nothing is downloaded."""
    names = sorted({*zoo(), *_registered}, key=str.lower)
    for name in names:
        if name in zoo():
            known = zoo()[name]
            yield Entry(name, known.task.value.lower(), known.summary, tuple(known.sets))
        else:
            cls = _registered[name]
            spec = cls.spec
            metadata = cls.metadata
            yield Entry(
                name,
                spec.head.task.name if spec else "",
                (metadata.description if metadata else None) or "",
                tuple(cls.available_weights()),
            )


def list_models(
    pattern: str = "*",
    *,
    task: str | ModelTaskType | None = None,
    license: str | None = None,
) -> ModelNames:
    """Return the names of models, in alphabetical order. Nothing is downloaded.

    Args:
        pattern: A case-insensitive glob for names; if none match, a word for a task:
            `list_models("detect")`.
        task: A task, or a word for one: `"detect"`, `"classify"`, `"pose"`, `"segment"`,
            `"matte"`, or Focoos' name.
        license: Only models with a set of weights under a license: its SPDX name, or
            `"permissive"` for any that only demands attribution.

    Raises:
        ValueError: No model has such a task, or such a license.
    """
    found = [e for e in entries() if fnmatch.fnmatch(e.name.lower(), pattern.lower())]
    if not found and task is None:
        with suppress(ValueError):
            return list_models(task=pattern, license=license)
    if license is not None:
        licensed = _licensed(license)
        found = [entry for entry in found if entry.name in licensed]
    if task is not None:
        requested = _tasks_of(task)
        found = [entry for entry in found if entry.task in requested]
    return ModelNames(entry.name for entry in found)


def _licensed(license: str) -> set[str]:
    """Return the names of models with weights under a license.

    Raises:
        ValueError: No weights are under that license.
    """
    rows = {(entry.class_name, a.license) for entry in zoo().values() for a in entry.sets.values()}
    if license.casefold() == "permissive":
        return {name for name, found in rows if found.is_permissive}
    names = {name for name, found in rows if found.origin.casefold() == license.casefold()}
    if not names:
        known = ", ".join(sorted({found.origin for _, found in rows}))
        msg = f"no weights are under the license {license!r}; known: permissive, {known}"
        raise ValueError(msg)
    return names


def find_task(name: str | ModelTaskType) -> str:
    """Return the name of a task from its full name or the beginning of one of its words.

    Args:
        name: `"object_detection"`, or a word for it such as `"detect"`.

    Raises:
        ValueError: No model has such a task.
    """
    return _tasks_of(name)[0]


def _tasks_of(name: str | ModelTaskType) -> Sequence[str]:
    """Return the names of all tasks with a word: "segment" is for semantic ones and instances.

    Raises:
        ValueError: No model has such a task.
    """
    text = str(getattr(name, "value", name)).casefold()
    text = _OTHER_WORDS.get(text, text)
    ours = (each.task.value.lower() for each in zoo().values())  # before those that users add
    tasks = [*dict.fromkeys([*ours, *(entry.task for entry in entries())])]
    if text in tasks:
        return [text]
    stem = text[:_STEM]
    found = [task for task in tasks if stem and any(w.startswith(stem) for w in task.split("_"))]
    if not found:
        msg = f"unknown task {name!r}; known: {', '.join(tasks)}"
        raise ValueError(msg)
    return found


def aliases() -> dict[str, str]:
    """Return class names by alias: other names of models, from 0.10 and furiosa-artifacts."""
    return {
        alias: entry.class_name
        for entry in zoo().values()
        for alias in (entry.name, *entry.aliases)
    }


def model_class(name: str) -> type[Model[Any]]:
    """Return the class of a model. Case, dashes and underscores in the name are ignored.

    Raises:
        ModelNotFound: There is no such model; the message suggests similar names.
    """
    known = {_normalized(other): full for other, full in aliases().items()}
    known |= {_normalized(full): full for full in (*zoo(), *_registered)}
    full = known.get(_normalized(name))
    if full is None:
        raise ModelNotFound(_unknown(name, known))
    if full in _registered:
        return _registered[full]
    module = importlib.import_module(f"{_PACKAGE}.{zoo()[full].module}")
    found: type[Model[Any]] = getattr(module, full)
    return found


def get_model(name: str | os.PathLike[str], weights: Any = None, **options: Any) -> Model[Any]:
    """Return a model by name, or from a file.

    Args:
        name: See `model_class`; or a graph file (ONNX, TensorFlow Lite) or the folder of a saved
            model, whose outputs determine its task.
        weights: See `Model`.
        options: Other arguments of the model's constructor.

    Raises:
        ModelNotFound: There is no such model or file.
        ShapeError: The outputs of the graph fit no task.
        TypeError: `name` is neither a string nor a path.
    """
    try:
        name = os.fspath(name)
    except TypeError as error:
        msg = f"expected the name or file of a model, got {name!r}"
        raise TypeError(msg) from error
    if weights is None and is_file(name):
        return open_model(name, **options)
    return model_class(name)(weights, **options)


def is_file(name: str) -> bool:
    """Return whether a name is a graph file or the folder of a saved model."""
    path = Path(name)
    return (path / "model_info.json").is_file() or (
        path.suffix.lower() in _GRAPHS and path.is_file()
    )


def class_of_task(task: Any) -> type[Model[Any]]:
    """Return the class of models of a task, whatever their network.

    Raises:
        ModelNotFound: There is none.
    """
    found = [cls for cls in _generic_classes() if cls.spec and cls.spec.head.task is task]
    if not found:
        msg = f"there is no class for the task {getattr(task, 'name', task)!r}"
        raise ModelNotFound(msg)
    return found[0]


def class_for(word: str) -> type[Model[Any]]:
    """Return the class of models of a task, whatever their network.

    Args:
        word: Name of the task, or a word for it; see `find_task`.

    Raises:
        ValueError: There is no such task.
    """
    named = {cls.spec.head.task.name: cls for cls in _generic_classes() if cls.spec}
    text = word.casefold()
    name = _OTHER_WORDS.get(text, text)
    name = name if name in named else find_task(word)
    if name not in named:
        msg = f"there is no class for the task {name!r}"
        raise ValueError(msg)
    return named[name]


def _generic_classes() -> tuple[type[Model[Any]], ...]:
    from .task_models import (
        Classifier,
        Detector,
        InstanceSegmenter,
        MatteEstimator,
        PoseEstimator,
        Segmenter,
    )

    # Outputs of queries fit instance segmentation before semantic segmentation.
    return PoseEstimator, Classifier, Detector, InstanceSegmenter, Segmenter, MatteEstimator


def open_model(weights: Any, **options: Any) -> Model[Any]:
    """Return the model of a network, whose outputs determine its task.

    Args:
        weights: A graph file, the folder of a saved model, or an object of a framework. An
            exported graph that takes photos becomes an `InferModel`.
        options: Other arguments of the model's constructor.

    Raises:
        ShapeError: The outputs of the network fit no task.
        WeightsError: The file cannot be read.
    """
    tasks = _generic_classes()
    requested = _task_of(weights, options.get("head"))
    if requested is not None:
        tasks = (class_of_task(requested),)
    elif not options and _is_embedded(weights):
        from .model import InferModel

        return InferModel(weights)
    problems = []
    for cls in tasks:
        try:
            return cls(weights, **options).fitted()
        except (ShapeError, TaskError) as error:
            problems.append(error)
    if len(problems) == 1:
        raise problems[0]
    names = [cls.__name__ for cls in tasks]
    problem = problems[names.index("Detector")]  # the most common task
    msg = f"the network fits none of {', '.join(names)}: {problem}"
    raise ShapeError(msg) from problem


def _is_embedded(weights: Any) -> bool:
    """Return whether a file is an exported graph that takes photos."""
    if not isinstance(weights, (str, os.PathLike)):
        return False
    from .export.opened import is_embedded

    return is_embedded(Path(weights))


def _task_of(weights: Any, head: Any) -> Any:
    """Return the task of a given head, or of a saved model; None if only the graph tells it."""
    if hasattr(head, "task"):
        return head.task
    if isinstance(weights, (str, os.PathLike)) and (Path(weights) / "model_info.json").is_file():
        from .saved import read_saved

        return read_saved(weights).description.head.task
    return None


def _unknown(name: str, known: dict[str, str]) -> str:
    path = Path(name)
    suffix = path.suffix.lower()
    if suffix in _CHECKPOINTS and path.is_file():
        return (
            f"{name} contains weights without a graph: name the model, and pass this as its weights"
        )
    if path.is_file():
        return f"{name} is not a graph: expected a file in {', '.join(sorted(_GRAPHS))}"
    if suffix in _GRAPHS | _CHECKPOINTS or len(path.parts) > 1:
        return f"there is no file {name!r}"
    import difflib  # slow to import, and only needed on errors

    close: Iterable[str] = difflib.get_close_matches(_normalized(name), known, n=3, cutoff=0.5)
    names = ", ".join(dict.fromkeys(known[each] for each in close))
    hint = f"did you mean {names}?" if names else f"known: {', '.join(list_models())}"
    return f"unknown model {name!r}; {hint}"


def _known_to_zoo() -> set[str]:
    return {_normalized(name) for name in (*zoo(), *aliases())}


def _normalized(name: str) -> str:
    return "".join(c for c in name if c.isalnum()).casefold()
