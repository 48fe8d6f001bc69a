"""The real vendor runtime in a venv of its own, on a machine without its driver library."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from importlib.metadata import requires
from pathlib import Path

import pytest

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
    """A Python with furiosa-runtime 0.10.2 and what this package needs, on its old numpy."""
    folder = tmp_path_factory.mktemp("vendor")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    ours = [line for line in requires("furiosa-model-zoo") or [] if "extra ==" not in line]
    install = [str(python), "-m", "pip", "install", "--quiet", "furiosa-runtime==0.10.2", *ours]
    subprocess.run(install, check=True)
    return python


def test_the_cpu_is_chosen_and_an_ordered_npu_is_refused(vendor_python: Path) -> None:
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
    assert refusal.startswith("BackendUnavailable: the argument device orders 'warboy(2)*1'")
    assert "libfuriosa_hal.so: cannot open shared object file" in refusal
