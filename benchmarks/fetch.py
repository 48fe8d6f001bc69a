"""Download of 100 MB from a local server, compared with `curl` and `sha256sum`.

Ours downloads and hashes the file, and commits it with fsync. The peer downloads the file with
`curl`, and then hashes it with `sha256sum`.
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
from collections.abc import Iterator
from pathlib import Path

from common import Contender, Row, Table, interleave, run, timed

from furiosa_models.artifacts import File, Store

SIZE = 100 << 20


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """A file server that does not log requests."""

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


def ours(file: File, folder: Path) -> None:
    """Fetch a file into an empty store."""
    Store(folder / "store", shared=()).fetch([file])
    shutil.rmtree(folder / "store")


def theirs(url: str, folder: Path) -> None:
    """Fetch a file with `curl`, and hash it with `sha256sum`."""
    target = folder / "curl.bin"
    subprocess.run(["curl", "--silent", "--fail", "--output", target, url], check=True)
    subprocess.run(["sha256sum", target], check=True, stdout=subprocess.DEVNULL)
    target.unlink()


def measure() -> Iterator[Table]:
    """Measure both contenders."""
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
        turns = {
            "ours": timed(lambda: ours(file, folder)),
            "curl, sha256sum": timed(lambda: theirs(url, folder)),
        }
        samples = interleave(turns, seconds=4, least_rounds=7)
        server.shutdown()
    yield Table(
        "fetch",
        "Fetching",
        "Time to download 100 MB from a server on the same machine and hash them. Ours also waits "
        "until the data are on the disk (fsync).",
        (Contender("ours", "ours"), Contender("curl, sha256sum", "peer")),
        [Row("100 MB", samples)],
    )


if __name__ == "__main__":
    run(measure)
