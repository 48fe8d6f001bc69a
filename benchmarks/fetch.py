"""Fetching 100 MB from a local server, beside `curl` and `sha256sum`: seconds and ratio.

Ours downloads, hashes and commits with fsync; theirs downloads to a file and hashes it. The two
alternate; the minimum of the rounds is compared.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from furiosa_models.artifacts import File, Store

ROUNDS = 7
SIZE = 100 << 20


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def ours(file: File, folder: Path) -> float:
    """Seconds of a cold fetch through the store."""
    start = time.perf_counter()
    Store(folder / "store", shared=()).fetch([file])
    elapsed = time.perf_counter() - start
    shutil.rmtree(folder / "store")
    return elapsed


def theirs(url: str, folder: Path) -> float:
    """Seconds of `curl` and `sha256sum`."""
    target = folder / "curl.bin"
    start = time.perf_counter()
    subprocess.run(["curl", "--silent", "--fail", "--output", target, url], check=True)
    subprocess.run(["sha256sum", target], check=True, stdout=subprocess.DEVNULL)
    elapsed = time.perf_counter() - start
    target.unlink()
    return elapsed


def main() -> None:
    """Measure and print."""
    os.environ["FURIOSA_MODELS_PROGRESS"] = "0"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = os.urandom(SIZE)
        (folder / "w.bin").write_bytes(data)
        handler = functools.partial(QuietHandler, directory=name)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/w.bin"
        digest = hashlib.sha256(data).hexdigest()
        file = File(name="w.bin", size=SIZE, sha256=digest, sources=(url,))
        rounds = [(ours(file, folder), theirs(url, folder)) for _ in range(ROUNDS)]
        server.shutdown()
    a, b = (min(column) for column in zip(*rounds, strict=True))
    print(f"furiosa_models {a:.3f} s, curl + sha256sum {b:.3f} s, ratio {a / b:.2f}")


if __name__ == "__main__":
    main()
