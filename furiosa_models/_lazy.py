"""Lazy imports: names that are imported on first use, and optional packages."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # avoids importing typing: `import furiosa_models` runs this file

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from types import ModuleType

__all__ = ["install_hint", "lazy", "require"]

DISTRIBUTION = "furiosa-model-zoo"


def lazy(
    package: str,
    names: Mapping[str, str | Collection[str] | dict[str, str]],
    *,
    modules: Collection[str] = (),
    computed: Mapping[str, Callable[[], object]] | None = None,
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` for a package that imports on demand (PEP 562).

    ```python
    __getattr__, __dir__ = lazy(__name__, {"catalog": ["get_model", "list_models"]})
    ```

    Args:
        package: Name of the package, `__name__` in its `__init__`.
        names: Names provided by each module, or a mapping from names here to names there. Modules
            are relative to the package (or to the package of the module, if `package` is a module),
            with one more leading dot per parent package.
        modules: Submodules that are available as attributes without an explicit import.
        computed: Functions that compute the values of names.
    """
    providers: dict[str, tuple[str, str]] = {}
    for module, provided in names.items():
        exported = [provided] if isinstance(provided, str) else provided
        renamed = (
            exported if isinstance(exported, dict) else dict(zip(exported, exported, strict=True))
        )
        providers |= {name: (module, attribute) for name, attribute in renamed.items()}
    compute = computed or {}

    def home() -> str:
        spec = sys.modules[package].__spec__
        return (spec.parent if spec else None) or package

    def get_attribute(name: str) -> object:
        from importlib import import_module

        if name in providers:
            module, attribute = providers[name]
            return getattr(import_module(f".{module}", home()), attribute)
        if name in modules:
            return import_module(f".{name}", home())
        if name in compute:
            return compute[name]()
        msg = f"module {package!r} has no attribute {name!r}"
        raise AttributeError(msg)

    def directory() -> list[str]:
        namespace = vars(sys.modules[package])
        public = namespace.get("__all__", ())
        return sorted({*public, *providers, *modules, *compute, *namespace})

    return get_attribute, directory


def require(package: str, purpose: str, *, extra: str | None = None) -> ModuleType:
    """Import an optional package.

    Args:
        package: Name of the module to import.
        purpose: What needs it, as the beginning of a sentence: `"videos need PyAV"`.
        extra: The extra of this distribution that installs it, if there is one.

    Raises:
        ExtraRequired: The package is not installed or cannot be imported; the message contains the
            pip command.
    """
    from importlib import import_module

    from .errors import ExtraRequired

    try:
        return import_module(package)
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError)
        state = "is not installed" if missing else f"cannot be imported ({error})"
        hint = install_hint(extra) if extra else f"pip install {package.partition('.')[0]}"
        msg = f"{purpose}, which {state}: {hint}"
        raise ExtraRequired(msg) from error


def install_hint(extra: str) -> str:
    """Return the pip command that installs an extra of this distribution.

    The command lists the packages of the extra, so that it also works for a source checkout and for
    a wheel that is not in a package index.
    """
    from importlib.metadata import PackageNotFoundError, requires

    from packaging.requirements import Requirement

    try:
        lines = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        lines = []
    found = [
        f"{needed.name}{needed.specifier}"
        for needed in map(Requirement, lines)
        if needed.marker is not None
        and needed.marker.evaluate({"extra": extra})
        and not needed.marker.evaluate({"extra": ""})
    ]
    if not found:
        return f"pip install '{DISTRIBUTION}[{extra}]'"
    packages = " ".join(f"'{requirement}'" for requirement in found)
    return f"pip install {packages} (the extra {DISTRIBUTION}[{extra}])"
