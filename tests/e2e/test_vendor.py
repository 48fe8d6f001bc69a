"""The real vendor runtime in a separate venv, on a machine without its driver library."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
import venv
from importlib.metadata import requires
from pathlib import Path

import pytest

from furiosa_models import runtime
from furiosa_models.runtime import errors, model, profiler, session, sync, tensor

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.network,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        sys.version_info >= (3, 12), reason="furiosa-runtime 0.10.2 has no wheel for this Python"
    ),
]

SCRIPT = """
import logging
logging.basicConfig(level=logging.INFO, format="%(message)s")
import numpy
from furiosa_models.errors import BackendUnavailable
from furiosa_models.runtime.sync import create_runner
from furiosa_models.vision import EfficientNetLite0

model = EfficientNetLite0(weights="random")
with create_runner(model) as runner:
    outputs = runner.run(numpy.zeros((1, 3, 224, 224), "u1"))
    print(numpy.__version__, runner.backend, outputs[0].shape)
try:
    create_runner(model, device="warboy(2)*1")
except BackendUnavailable as error:
    print("BackendUnavailable:", error)
"""


@pytest.fixture(scope="module")
def vendor_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Python with furiosa-runtime 0.10.2, its old numpy and our dependencies."""
    folder = tmp_path_factory.mktemp("vendor")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    ours = [line for line in requires("furiosa-model-zoo") or [] if "extra ==" not in line]
    install = [str(python), "-m", "pip", "install", "--quiet", "furiosa-runtime==0.10.2", *ours]
    subprocess.run(install, check=True)
    return python


def test_cpu_is_the_default_and_a_requested_npu_is_rejected(vendor_python: Path) -> None:
    result = subprocess.run(
        [vendor_python, "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert result.returncode == 0, result.stderr
    version, backend = result.stdout.split()[:2]
    assert version.startswith("1.")
    assert backend == "onnxruntime"
    assert "running on onnxruntime: no NPU: furiosa-runtime is installed" in result.stderr
    assert "libfuriosa_hal.so" in result.stderr
    refusal = result.stdout.splitlines()[-1]
    assert refusal.startswith("BackendUnavailable: the argument device requests 'warboy(2)*1'")
    assert "libfuriosa_hal.so: cannot open shared object file" in refusal


STUBS = {
    "__init__.pyi": runtime,
    "sync.pyi": sync,
    "tensor.pyi": tensor,
    "errors.pyi": errors,
    "model.pyi": model,
    "profiler.pyi": profiler,
}
INTERNAL = {"_T_co", "_Self", "_ContextfulFuture", "__git_short_hash__", "__build_timestamp__"}


@pytest.fixture(scope="module")
def vendor_package(vendor_python: Path) -> Path:
    """Return the folder of the vendor's namespace package."""
    (folder,) = vendor_python.parent.parent.glob("lib/python*/site-packages/furiosa")
    return folder


def definitions(body: list[ast.stmt], prefix: str = "") -> dict[str, ast.stmt]:
    """Return the definitions and exports of a stub, by dotted name."""
    found: dict[str, ast.stmt] = {}
    for node in body:
        match node:
            case ast.ClassDef(name=name):
                found |= {prefix + name: node, **definitions(node.body, f"{prefix}{name}.")}
            case ast.FunctionDef(name=name):
                found[prefix + name] = node
            case ast.AnnAssign(target=ast.Name(id=name)):
                found[prefix + name] = node
            case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.List(elts=names)):
                found |= {str(ast.literal_eval(name)): node for name in names}
            case ast.Assign(targets=[ast.Name(id=name)]):
                found[prefix + name] = node
    return {name: node for name, node in found.items() if not INTERNAL & {*name.split(".")}}


def incompatibilities(module: object, name: str, node: ast.stmt) -> str | None:
    """Return how ours is incompatible with the vendor's definition."""
    path = name.removesuffix(".__new__").split(".")
    ours: object = module
    try:
        for part in path:
            ours = inspect.getattr_static(ours, part) if ours is not module else getattr(ours, part)
    except AttributeError:
        return f"{name} is missing"
    if not isinstance(node, ast.FunctionDef) or not callable(ours):
        return None
    theirs = [a.arg for a in node.args.args if a.arg not in ("self", "cls")]
    parameters = [p for p in inspect.signature(ours).parameters.values() if p.name != "self"]
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    optional = {p.name for p in parameters if p.default is not p.empty}
    required_by_them = len(theirs) - len(node.args.defaults)
    same = positional[: len(theirs)] == theirs and {*positional[len(theirs) :]} <= optional
    if not same or not {*theirs[required_by_them:]} <= optional:
        return f"{name}: {positional} is not {theirs}"
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
    if (lacking := {a.arg for a in node.args.kwonlyargs} - optional) and not takes_all:
        return f"{name} lacks {lacking}"
    return None


@pytest.mark.parametrize("stub", STUBS)
def test_our_signatures_match_the_vendors(vendor_package: Path, stub: str) -> None:
    found = definitions(ast.parse((vendor_package / "native_runtime" / stub).read_text()).body)
    differences = [incompatibilities(STUBS[stub], name, found[name]) for name in found]
    assert [difference for difference in differences if difference] == []
    assert found


def test_legacy_functions_accept_the_old_arguments(vendor_package: Path) -> None:
    source = (vendor_package / "runtime" / "legacy" / "session.py").read_text()
    found = definitions(ast.parse(source).body)
    functions = {name: found[name] for name in ("create", "create_async")}
    for name, node in functions.items():
        assert isinstance(node, ast.FunctionDef)
        ours = [*inspect.signature(getattr(session, name)).parameters]
        theirs = [argument.arg for argument in node.args.args]
        assert ours[: len(theirs)] == theirs
        assert {*ours} - {*theirs} <= {"compile_config"}  # as furiosa-sdk 0.5 called it
