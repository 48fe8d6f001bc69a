"""Pre- and postprocessors as objects, as in furiosa-models 0.8 to 0.10.

Models do both themselves: `model.preprocessor` calls `model.preprocess`, and so on. Objects that
users assign instead are called wherever the model's own would be.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, ClassVar, Protocol, TypeAlias, TypeVar, cast

from .enums import Platform
from .spec import ImageContext

__all__ = [
    "Context",
    "PostProcessor",
    "PreProcessor",
    "PythonPostProcessor",
    "RustPostProcessor",
    "postprocessor_class",
    "postprocessor_of",
    "preprocessor_class",
    "preprocessor_of",
    "takes",
    "takes_one_context",
]

Function = TypeVar("Function", bound=Callable[..., Any])
Context: TypeAlias = Any
"""Context of one photo, which `preprocess` returns with the tensor."""


class PreProcessor(ABC):
    """Converts photos to a network's input."""

    @abstractmethod
    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Return the tensor, and the contexts that `postprocess` needs."""


class PostProcessor(ABC):
    """Converts a network's outputs to results."""

    platform: ClassVar[Platform]

    @abstractmethod
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the results."""


class RustPostProcessor(PostProcessor):
    """A postprocessor in Rust."""

    platform = Platform.RUST


class PythonPostProcessor(PostProcessor):
    """A postprocessor in Python."""

    platform = Platform.PYTHON


class _Model(Protocol):
    """The part of a model that a processor needs."""

    @property
    def platform(self) -> Platform: ...

    @property
    def preprocess(self) -> Any: ...

    @property
    def postprocess(self) -> Any: ...


class _Preprocesses(PreProcessor):
    """Preprocessing of a model."""

    model: _Model

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        found: tuple[Any, Any] = self.model.preprocess(*args, **kwargs)
        return found


class _Postprocesses(PostProcessor):
    """Postprocessing of a model."""

    model: _Model

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.model.postprocess(*args, **kwargs)


class _InRust(_Postprocesses, RustPostProcessor):
    """The postprocessing of a model, in Rust."""


class _InPython(_Postprocesses, PythonPostProcessor):
    """The postprocessing of a model, in numpy."""


_POSTPROCESSORS = {Platform.RUST: _InRust, Platform.PYTHON: _InPython}


def preprocessor_of(model: _Model) -> PreProcessor:
    """Return the preprocessing of a model as an object."""
    made = _Preprocesses()
    made.model = model
    return made


def postprocessor_of(model: _Model) -> PostProcessor:
    """Return the postprocessing of a model as an object, of the class of its platform."""
    made = _POSTPROCESSORS[model.platform]()
    made.model = model
    return made


@cache
def preprocessor_class(model: Any) -> type[PreProcessor]:
    """Return a preprocessor class for a model with its default weights."""

    def __init__(self: _Preprocesses) -> None:
        self.model = model()

    made: type[PreProcessor] = _subclass(model, "PreProcessor", _Preprocesses, __init__)
    return made


@cache
def postprocessor_class(model: Any, platform: Platform) -> type[PostProcessor]:
    """Return a postprocessor class for a model with its default weights.

    Args:
        model: Class of the model.
        platform: Implementation of the postprocessing.
    """

    def __init__(self: _Postprocesses) -> None:
        self.model = model(postprocessor_type=platform)

    kind = {Platform.RUST: "Native", Platform.PYTHON: "Python"}[platform]
    made: type[PostProcessor] = _subclass(
        model, f"{kind}PostProcessor", _POSTPROCESSORS[platform], __init__
    )
    return made


def _subclass(model: type[Any], suffix: str, base: type[Any], init: Any) -> Any:
    doc = f"{base.__doc__} {model.__name__}."
    return type(model.__name__ + suffix, (base,), {"__init__": init, "__doc__": doc})


def takes(**names: str) -> Callable[[Function], Function]:
    """Return a decorator that accepts keywords by other names: `@takes(old="new")`."""

    def decorate(method: Function) -> Function:
        @functools.wraps(method)
        def call(self: Any, *args: Any, **options: Any) -> Any:
            for old in options.keys() & names:
                new = names[old]
                if new in options:
                    msg = f"{new} given twice; {old} is an alias of it"
                    raise TypeError(msg)
                options[new] = options.pop(old)
            return method(self, *args, **options)

        return cast("Function", call)

    return decorate


def takes_one_context(postprocess: Function) -> Function:
    """Decorate a `postprocess` to also accept contexts as in 0.8.

    Native postprocessors of 0.8 take the context of a single photo and return only its result. They
    also accept the keyword `context`.
    """

    @functools.wraps(postprocess)
    def call(self: Any, model_outputs: Any, *args: Any, **options: Any) -> Any:
        contexts = args[0] if args else options.get("contexts")
        if not isinstance(contexts, (ImageContext, Mapping)):
            return postprocess(self, model_outputs, *args, **options)
        if args:
            args = [contexts], *args[1:]
        else:
            options["contexts"] = [contexts]
        return postprocess(self, model_outputs, *args, **options)[0]

    return takes(context="contexts")(cast("Function", call))
