"""`import furiosa_models` loads nothing heavy; a prediction loads only what it needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from furiosa_models.artifacts import Store
from furiosa_models.artifacts.descriptor import zoo
from furiosa_models.runtime.sync import Precision
from furiosa_models.vision import EfficientNetLite0
from furiosa_models.weights import _recipe_key


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        (
            "import furiosa_models",
            ["numpy", "pydantic", "onnx", "onnxruntime", "PIL", "requests", "yaml", "_native"],
        ),
        ("import furiosa_models.vision", ["numpy", "onnxruntime", "onnx", "PIL"]),
        ("import furiosa_models.data", ["numpy", "PIL", "yaml", "xml", "torch"]),
        ("from furiosa_models.data import AutoDataset, read_dataset", ["PIL", "yaml", "torch"]),
        ("from furiosa_models.vision import SSDMobileNet", ["onnx", "requests", "torch", "cv2"]),
        ("from furiosa_models.vision import SSDMobileNet; SSDMobileNet()", ["requests", "onnx"]),
    ],
)
def test_imports_load_no_heavy_packages(statement: str, forbidden: list[str]) -> None:
    code = (
        f"import sys; {statement}; loaded = {{m.removeprefix('furiosa_models.') for m in "
        f"sys.modules}}; print(sorted(loaded & set({forbidden!r})))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


HEAVY = ("numpy", "onnx", "onnxruntime", "PIL", "pydantic", "requests", "rich", "tqdm", "yaml")


def loaded_by(code: str) -> set[str]:
    """Return the packages that a process has loaded after running some code."""
    whole = (
        "import contextlib, io, sys\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        f"    {code}\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    out = subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True, check=True)
    return set(out.stdout.split())


@pytest.mark.parametrize("arguments", [["list"], ["list", "detect", "--json"], ["--help"]])
def test_listing_models_loads_nothing_heavy(arguments: list[str]) -> None:
    code = f"sys.argv[1:] = {arguments!r}; from furiosa_models.cli import main; main()"
    loaded = loaded_by(code)
    assert {"click", "furiosa_models"} <= loaded
    assert loaded & {*HEAVY, "asyncio", "platformdirs"} == set()


@pytest.mark.parametrize("weights", ["random", "own file"])
def test_cached_prediction_loads_only_what_it_needs(
    weights: str, photos: list[Path], tmp_path: Path
) -> None:
    model = EfficientNetLite0(weights="random")
    if weights == "own file":
        weights = str(tmp_path / "own.onnx")
        Path(weights).write_bytes(model.origin)
    EfficientNetLite0(weights=weights).predict(photos[0], device="cpu")  # fills the cache
    loaded = loaded_by(
        "from furiosa_models.vision import EfficientNetLite0;"
        f"EfficientNetLite0(weights={weights!r}).predict({str(photos[0])!r}, device='cpu')"
    )
    assert {"numpy", "onnxruntime", "PIL"} <= loaded
    left_out = {*HEAVY, "asyncio", "filelock", "pip", "click"} - {"numpy", "onnxruntime", "PIL"}
    assert loaded & left_out == set()


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_fetched_weights_need_no_descriptor(
    precision: Precision, monkeypatch: pytest.MonkeyPatch, photos: list[Path]
) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_OFFLINE", "1")
    origin = EfficientNetLite0(weights="random").origin
    store, artifact = Store(), zoo()["EfficientNetLite0"].sets["pytorch"]
    store.derive(_recipe_key(artifact), lambda: origin)
    EfficientNetLite0().predict(photos[0], device="cpu", precision=precision)
    how = f"device='cpu', precision={precision!r}"
    loaded = loaded_by(
        "from furiosa_models.vision import EfficientNetLite0;"
        f"EfficientNetLite0().predict({str(photos[0])!r}, {how})"
    )
    assert "onnxruntime" in loaded
    assert loaded & {"onnx", "pydantic", "requests", "yaml", "filelock"} == set()


def test_unknown_names_raise_attribute_error() -> None:
    import furiosa_models
    from furiosa_models import artifacts, runtime, types, vision

    for module in (furiosa_models, artifacts, runtime, types, vision):
        assert all(hasattr(module, name) for name in module.__all__)
        assert not hasattr(module, "NoSuchName")


def test_onnx_runtime_telemetry_is_disabled(tmp_path: Path, photos: list[Path]) -> None:
    """By default it sends telemetry and stores an identifier in the home folder."""
    code = (
        "from furiosa_models.vision import MobileNetV2\n"
        f"MobileNetV2('random').predict({str(photos[0])!r})"
    )
    home = tmp_path / "home"
    environment = {name: v for name, v in os.environ.items() if not name.startswith(("ORT_", "CI"))}
    environment |= {"HOME": str(home), "FURIOSA_MODELS_CACHE_HOME": str(tmp_path / "cache")}
    environment.pop("XDG_CACHE_HOME", None)
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert not home.exists()


def test_telemetry_setting_of_the_user_is_kept() -> None:
    code = "import furiosa_models, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "0"}
    said = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    assert said.stdout == "0\n"
