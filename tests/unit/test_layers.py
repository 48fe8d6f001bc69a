"""Imports go one way: every import of every form, in every file, by the order of the layers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "furiosa_models"

LAYERS = (
    "errors enums _native",
    "settings progress _lazy",
    "spec labels processors",
    "ops artifacts",
    "networks",
    "frameworks runtime",
    "images",
    "tasks data",
    "heads focoos quantization",
    "saved weights",
    "programs",
    "evaluation benchmark export training",
    "model",
    "task_models",
    "catalog",
    "zoo",
    "registry hub",
    "manager",
    "compressor serving integrations",
    "types quantizer vision __init__",
    "cli client __main__",
)
"""A room imports rooms of the lines above its own, and those to its left on its own line."""

ORDER = {
    room: (line, place)
    for line, rooms in enumerate(LAYERS)
    for place, room in enumerate(rooms.split())
}


def modules() -> dict[str, Path]:
    """Every module of the package by its name in it; the package itself is ``."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def room(module: str) -> str:
    return module.partition(".")[0] or "__init__"


def imported(path: Path, module: str, known: dict[str, Path]) -> Iterator[str]:
    """Modules of the package that a file imports, wherever in it and in whatever form."""
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
    """Name inside the package, or one that no module has."""
    if name == "furiosa_models":
        return ""
    return name.removeprefix("furiosa_models.") if name.startswith("furiosa_models.") else "?"


def wrong_way() -> set[str]:
    known = modules()
    found = set()
    for module, path in known.items():
        mine = room(module)
        for target in imported(path, module, known):
            theirs = room(target)
            if mine == theirs:
                continue
            (line, place), (other, other_place) = ORDER[mine], ORDER[theirs]
            if not (other < line or (other == line and other_place < place)):
                found.add(
                    f"{module or '__init__'} ({mine}) imports {target or '__init__'} ({theirs})"
                )
    return found


def test_every_module_has_a_place_in_the_order() -> None:
    assert {room(module) for module in modules()} <= set(ORDER)


def test_imports_go_one_way() -> None:
    assert wrong_way() == set()
