"""One model in many processes, with every start method."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import multiprocessing, sys
from furiosa_models.vision import EfficientNetLite0

MODEL = EfficientNetLite0(weights="random")


def label(photo):
    return MODEL.predict(photo, device="cpu").label


if __name__ == "__main__":
    here = label(sys.argv[2])  # before the others start
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        there = pool.map_async(label, [sys.argv[2]] * 4).get(timeout=60)
    assert there == [here] * 4, there
    assert [found.label for found in MODEL.predict([sys.argv[2]] * 3, device="cpu")] == [here] * 3
"""


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_used_model_also_works_in_other_processes(
    method: str, tmp_path: Path, photos: list[Path]
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, script, method, photos[0]],
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="needs root")
def test_user_without_home_directory_or_name(tmp_path: Path, photos: list[Path]) -> None:
    """As in a container with `--user 12345`; the first prediction imports root-only files."""
    code = (
        "import os, sys; from furiosa_models.vision import EfficientNetLite0;"
        "photo = open(sys.argv[1], 'rb').read();"
        "first = EfficientNetLite0(weights='random').predict(photo, device='cpu').label;"
        "os.environ.pop('HOME', None); os.environ.pop('FURIOSA_MODELS_CACHE_HOME', None);"
        "os.setgid(12345); os.setuid(12345);"
        "again = EfficientNetLite0(weights='random').predict(photo, device='cpu').label;"
        "assert again == first, again\n"
        "from furiosa_models.errors import ArtifactUnavailable\n"
        "os.environ['FURIOSA_MODELS_OFFLINE'] = '1'\n"
        "try: EfficientNetLite0('pytorch').origin\n"
        "except ArtifactUnavailable: pass\n"
        "else: raise AssertionError"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, photos[0]],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
