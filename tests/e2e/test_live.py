"""The command on a live stream: Ctrl-C finishes its output."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from furiosa_models.images.video import decode_video
from tests.mjpeg import camera

pytest.importorskip("av", reason="streams need PyAV (the extra `video`)")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT of one process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_finishes_the_video(tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "out"
    arguments = [
        "predict",
        "ssd-mobilenet",
        "--weights=random",
        "--score-threshold=0.88",
        "--track",
    ]
    with camera() as server:
        process = subprocess.Popen(
            [sys.executable, "-m", "furiosa_models", *arguments, server.url, "-o", str(out)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # no terminal
        )
        name = f"127.0.0.1-{server.server_port}-stream.mjpg"
        end = time.monotonic() + 60
        while not list(out.glob(f".{name}.mp4*")) and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(1)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    document = json.loads((out / f"{name}.json").read_text())
    assert document["video"] == server.url
    assert len(list(decode_video(out / f"{name}.mp4"))) == len(document["frames"]) > 1
    assert "track_id" in document["frames"][0]["results"][0]
    assert f"{server.url}\n  {len(document['frames'])} frames\n" in stdout
    assert "left out, connected again 0 times" in stderr
    assert sorted(path.name for path in out.iterdir()) == [f"{name}.json", f"{name}.mp4"]
