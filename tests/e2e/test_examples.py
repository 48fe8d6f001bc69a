"""Every example runs, with real weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXPECTED = {
    "demo.py": "cup 0.9",
    "efficientnet_b0.py": "tabby",
    "loading_model.py": "SSDMobileNet(weights=",
    "loading_model_async.py": "SSDMobileNet(weights=",
    "ssd_mobilenet.py": "cat",
    "ssd_mobilenet_native.py": "cat",
    "ssd_mobilenet_onnx.py": "cat",
}


def test_every_example_is_expected_to_print_something() -> None:
    assert sorted(EXPECTED) == sorted(path.name for path in (ROOT / "examples").glob("*.py"))


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.usefixtures("use_warm_cache")
@pytest.mark.parametrize("name", EXPECTED)
def test_example(name: str, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")  # it writes below the working directory
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, ROOT / "examples" / name],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert result.returncode == 0, result.stderr
    assert EXPECTED[name] in result.stdout
    if name == "demo.py":
        assert len(list((tmp_path / "out").glob("*.jpg"))) == 10
