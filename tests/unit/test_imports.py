"""Imports go one way, and `import furiosa_models` loads nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "furiosa_models"

LAYERS = [
    {"errors", "types", "_native"},
    {"artifacts", "networks", "runtime", "quantization"},
    {
        "vision.native",
        "vision.checks",
        "vision.images",
        "vision.jpeg",
        "vision.labels",
        "vision.resize",
        "vision.preprocess",
    },
    {"vision.boxes", "vision.nms", "vision.anchors", "vision.maps", "vision.scores"},
    {"vision.ssd", "vision.yolo", "vision.yolov5", "vision.pose", "vision.classification"},
    {"vision.results", "vision.draw", "vision.postprocess"},
    {"vision.heads"},
    {"vision.video"},
    {"vision.pipeline"},
    {"weights"},
    {"conventions"},
    {"programs"},
    {"npu_programs"},
    {"model"},
    {"vision.tasks"},
    {"vision.models", "benchmark", "evaluation", "registry", "serving"},
    {"catalog", "vision", ""},
    {"cli", "__main__"},
]


def layer_of(module: str) -> int:
    while module not in set().union(*LAYERS):
        module = module.rpartition(".")[0]
    return next(i for i, names in enumerate(LAYERS) if module in names)


def top_level_imports(path: Path) -> list[str]:
    """Modules of this package that a file imports when it is imported itself."""
    relative = path.relative_to(PACKAGE).with_suffix("")
    parts = list(relative.parts)
    base = parts[:-1]
    found = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            target = base[: len(base) - node.level + 1]
            target += node.module.split(".") if node.module else []
            names = [] if node.module else [alias.name for alias in node.names]
            found += [".".join([*target, name]) for name in names] or [".".join(target)]
    return found


def test_imports_go_one_way() -> None:
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        relative = path.relative_to(PACKAGE).with_suffix("")
        module = ".".join(part for part in relative.parts if part != "__init__")
        wrong += [
            f"{module} imports {target}"
            for target in top_level_imports(path)
            if layer_of(target) > layer_of(module)
        ]
    assert wrong == []


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        (
            "import furiosa_models",
            ["numpy", "pydantic", "onnx", "onnxruntime", "PIL", "requests", "yaml", "_native"],
        ),
        ("import furiosa_models.vision", ["numpy", "onnxruntime", "onnx", "PIL"]),
        ("from furiosa_models.vision import SSDMobileNet", ["onnx", "requests", "torch", "cv2"]),
        ("from furiosa_models.vision import SSDMobileNet; SSDMobileNet()", ["requests", "onnx"]),
    ],
)
def test_imports_are_light(statement: str, forbidden: list[str]) -> None:
    code = (
        f"import sys; {statement}; loaded = {{m.removeprefix('furiosa_models.') for m in "
        f"sys.modules}}; print(sorted(loaded & set({forbidden!r})))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_unknown_names_raise_attribute_error() -> None:
    import furiosa_models
    from furiosa_models import types, vision

    for module in (furiosa_models, vision, types):
        assert not hasattr(module, "NoSuchName")
