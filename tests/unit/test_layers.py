"""The order of layers: every import in every file must follow it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from layers import LAYERS

PACKAGE = Path(__file__).parents[2] / "furiosa_models"

ORDER = {
    component: (line, place)
    for line, components in enumerate(LAYERS)
    for place, component in enumerate(components.split())
}


def modules() -> dict[str, Path]:
    """Return every module of the package by its name; the name of the package itself is ``."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def component(module: str) -> str:
    return module.partition(".")[0] or "__init__"


def imported(path: Path, module: str, known: dict[str, Path]) -> Iterator[str]:
    """Yield the modules of the package that a file imports anywhere, in any form."""
    own = ["furiosa_models", *(module.split(".") if module else [])]
    base = own if path.name == "__init__.py" else own[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = base[: len(base) - node.level + 1] if node.level else []
            stem = ".".join([*start, *([node.module] if node.module else [])])
            inside = [f"{stem}.{alias.name}" for alias in node.names]
            names = [name if _inner(name) in known else stem for name in inside]
        else:
            continue
        for name in names:
            if name == "furiosa_models._native":
                yield "_native"
            elif _inner(name) in known:
                yield _inner(name)


def _inner(name: str) -> str:
    """Return the name inside the package, or a name that no module has."""
    if name == "furiosa_models":
        return ""
    return name.removeprefix("furiosa_models.") if name.startswith("furiosa_models.") else "?"


def forbidden_imports() -> set[str]:
    known = modules()
    found = set()
    for module, path in known.items():
        mine = component(module)
        for target in imported(path, module, known):
            theirs = component(target)
            if mine == theirs:
                continue
            (line, place), (other, other_place) = ORDER[mine], ORDER[theirs]
            if not (other < line or (other == line and other_place < place)):
                found.add(
                    f"{module or '__init__'} ({mine}) imports {target or '__init__'} ({theirs})"
                )
    return found


def test_every_module_belongs_to_a_layer() -> None:
    assert {component(module) for module in modules()} <= set(ORDER)


def test_imports_follow_the_layers() -> None:
    assert forbidden_imports() == set()
