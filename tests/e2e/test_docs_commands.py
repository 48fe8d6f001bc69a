"""Every block of commands in the README and the docs runs, in a folder with what they name.

`NOT_RUN` has the commands that cannot run in a test, with the reason. Commands of this package that
need PyTorch or a bucket are parsed instead, so that their arguments are right.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from PIL import Image

from furiosa_models.cli import cli
from furiosa_models.labels import load_labels
from furiosa_models.vision import MobileNetV2, SSDMobileNetV2, YOLOv5s

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = {
    "build/golden/bin/": "clones three repositories",
    "cd examples/notebooks": "opens a browser; `make test-notebooks` runs the notebooks",
    "cd native": "needs a nightly toolchain",
    "docker": "needs Docker",
    "make": "continuous integration runs it",
    "pip": "`make test-wheel` and `make setup` install the package",
    "python -m tests.": "needs the checkout; these are tests themselves",
    "python -m venv": "`make setup` creates environments",
}
PARSED = {
    "furiosa-models convert saved_model/": "needs TensorFlow",
    "furiosa-models push runs/shelves s3:": "needs a bucket",
    "furiosa-models train": "needs PyTorch",
}
SERVERS = ("furiosa-models serve", "python -m http.server")
PORT = re.compile(r"localhost:8000|(?<=--port )\d+|(?<=http.server )\d+")


def blocks() -> Iterator[tuple[str, str]]:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = page.read_text()
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            yield f"{page.relative_to(ROOT)}:{line}", match[1]


def lines(block: str) -> list[str]:
    """Return the commands of a block, without comments."""
    joined = block.replace("\\\n", " ")
    return [re.sub(r"\s+#\s.*$", "", line).strip() for line in joined.splitlines() if line.strip()]


def reason(line: str, table: dict[str, str]) -> str | None:
    return next((why for start, why in table.items() if line.startswith(start)), None)


RUN = {
    name: [line for line in lines(text) if reason(line, NOT_RUN) is None] for name, text in blocks()
}


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, warm_cache: Path) -> Path:
    """A folder with the files that the commands name."""
    folder = tmp_path_factory.mktemp("prepared")
    coffee, cat = (
        Image.open(ROOT / "examples" / "images" / name).convert("RGB").resize((451, 300))
        for name in ("coffee.png", "chelsea.png")
    )
    for name in ("street.jpg", "photo.jpg"):
        coffee.save(folder / name)
    cat.save(folder / "cat.png")
    for turn, part in enumerate(("photos/cat", "photos/dog", "calibration", "val")):
        (folder / part).mkdir(parents=True)
        for number in range(4):
            photo = (coffee if part == "photos/dog" else cat).rotate(4 * number + turn)
            photo.save(folder / part / f"{part.rpartition('/')[2]}{number}.jpg")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FURIOSA_MODELS_CACHE_HOME", str(warm_cache))
        detector, classifier = SSDMobileNetV2(), MobileNetV2()
        (folder / "best.onnx").write_bytes(YOLOv5s().origin)
        (folder / "net.onnx").write_bytes(classifier.origin)
        for name in ("saved", "runs/shelves"):
            detector.save(folder / name)
        classifier.export("onnx_cpu", out_dir=folder / "exported")
        detector.close()
        classifier.close()
    (folder / "names.txt").write_text("\n".join(load_labels("coco80")))
    (folder / "classes.txt").write_text("\n".join(classifier.labels))
    write_labels(folder)
    shutil.copy(ROOT / "tests" / "e2e" / "extension" / "my_zoo.py", folder)
    (folder / "cache.tar").touch()
    return folder


def write_labels(folder: Path) -> None:
    """Write labels of one box for each photo: COCO of `photos` and `val`, YOLO in `shelves`."""
    categories = [{"id": 1, "name": "cat"}]
    for name, part in (("train.json", "photos"), ("val.json", "val")):
        files = sorted((folder / part).rglob("*.jpg"))
        images = [
            {
                "id": i,
                "file_name": str(file.relative_to(folder / part)),
                "width": 451,
                "height": 300,
            }
            for i, file in enumerate(files)
        ]
        boxes = [
            {"id": i, "image_id": i, "category_id": 1, "bbox": [0, 0, 450, 299], "area": 134550}
            for i in range(len(files))
        ]
        for box in boxes:
            box["iscrowd"] = 0
        document = {"images": images, "annotations": boxes, "categories": categories}
        (folder / name).write_text(json.dumps(document))
    names = list(load_labels("coco80"))
    shelves = folder / "shelves"
    for part in ("train", "val"):
        (shelves / "images" / part).mkdir(parents=True)
        (shelves / "labels" / part).mkdir(parents=True)
        for file in sorted((folder / ("calibration" if part == "train" else "val")).iterdir()):
            shutil.copy(file, shelves / "images" / part)
            label = f"{names.index('cat')} 0.5 0.5 0.99 0.99\n"
            (shelves / "labels" / part / f"{file.stem}.txt").write_text(label)
    data = {"path": ".", "train": "images/train", "val": "images/val", "names": names}
    (shelves / "data.yaml").write_text(json.dumps(data))


@pytest.fixture
def workspace(prepared: Path, tmp_path: Path) -> Path:
    """A copy of the folder, and commands that stand for those of the system."""
    folder = tmp_path / "workspace"
    shutil.copytree(prepared, folder)
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "furiosa-models").write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -m furiosa_models "$@"\n'
    )
    (commands / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (commands / "sudo").write_text('#!/bin/sh\nexec env "$@"\n')
    for file in commands.iterdir():
        file.chmod(0o755)
    return folder


def environment(workspace: Path, warm_cache: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{workspace.parent / 'bin'}:{os.environ['PATH']}",
        "FURIOSA_MODELS_CACHE_HOME": str(warm_cache),
        "FURIOSA_MODELS_DEVICE": "cpu",
        "PYTHONPATH": str(ROOT),
        "PART": "1",
    }


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def serve(line: str, folder: Path, variables: dict[str, str], port: int) -> subprocess.Popen[bytes]:
    """Start a server, and wait until it listens."""
    if line.startswith("furiosa-models serve") and "--port" not in line:
        line += " --port 0"
    line = re.sub(r"(?<=--port )\d+|(?<=http.server )\d+", str(port), line)
    server = subprocess.Popen(
        ["bash", "-c", f"exec {line}"], cwd=folder, env=variables, stderr=subprocess.PIPE
    )
    end = time.monotonic() + 120
    while server.poll() is None and time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return server
        time.sleep(0.1)
    server.kill()
    pytest.fail(f"{line}: no server: {server.communicate()[1].decode()}")


def stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()  # Ctrl-C is ignored in the background of a shell
    server.communicate(timeout=60)


def parse(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the arguments of a command without running it."""
    monkeypatch.chdir(folder)
    _, name, *arguments = shlex.split(line)
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    command.make_context(name, arguments)


def test_blocks_are_found() -> None:
    assert len(RUN) >= 25
    assert sum(map(len, RUN.values())) >= 40


def test_no_command_is_left_out() -> None:
    unknown = {line.split()[0] for run in RUN.values() for line in run}
    assert unknown <= {"furiosa-models", "curl", "export", "find", "python", "sudo", "xargs"}


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [name for name, run in RUN.items() if run])
def test_commands_run(
    name: str, workspace: Path, warm_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removes = any("cache rm" in line for line in RUN[name])  # not what other tests need
    variables = environment(workspace, workspace / "cache" if removes else warm_cache)
    script: list[str] = []
    port = free_port()
    curls = any(line.startswith("curl") for line in RUN[name])
    server = (
        serve("furiosa-models serve SSDMobileNetV2", workspace, variables, port) if curls else None
    )
    try:
        for line in RUN[name]:
            if reason(line, PARSED) is not None:
                parse(line, workspace, monkeypatch)
            elif line.startswith(SERVERS):
                run(script, workspace, variables)
                script.clear()
                stop(serve(line, workspace, variables, port))
            else:
                script.append(line.replace("localhost:8000", f"localhost:{port}"))
        run(script, workspace, variables)
    finally:
        if server is not None:
            stop(server)


def run(script: list[str], folder: Path, variables: dict[str, str]) -> None:
    """Run commands in one shell, which stops at the first one that fails."""
    if not script:
        return
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", "\n".join(script)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=variables,
    )
    assert done.returncode == 0, f"{script}: {done.stdout[-2000:]}\n{done.stderr[-2000:]}"
