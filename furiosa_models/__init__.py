"""A vision model zoo that needs nothing but pip.

Names are imported when they are first used: `import furiosa_models` loads nothing else.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers know the name; importing it takes longer than all the rest

if TYPE_CHECKING:
    from .catalog import get_model, list_models

__all__ = ["__version__", "get_model", "list_models"]

__version__: str


def __getattr__(name: str) -> object:
    if name in ("get_model", "list_models"):
        from . import catalog

        return getattr(catalog, name)
    if name == "__version__":
        from importlib.metadata import version

        return version("furiosa-model-zoo")
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return __all__
