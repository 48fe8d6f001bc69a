"""Run the benchmarks that the page "Performance" of the documentation shows, from one commit.

    make bench                                   # all scripts, about forty minutes
    make bench BENCH="decode preprocess"         # some scripts
    make bench BENCH="--quick"                   # a few rounds; results go to build/

This script creates a virtual environment with the peers (`requirements.txt`), and runs the
benchmark scripts in it, one after the other. Their results replace those in `benchmarks/results`
when all scripts are done. Uncommitted changes are rejected, because the measurement could not be
repeated.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "results"
REQUIREMENTS = HERE / "requirements.txt"
VENV = ROOT / "build" / "bench-venv"
SCRIPTS = (
    "postprocess",
    "decode",
    "preprocess",
    "end_to_end",
    "inference",
    "busy",
    "load",
    "throughput",
    "stream",
    "serve",
    "second_session",
    "startup",
    "first_predict",
    "fetch",
    "instructions",
)
TOOLS = {
    "postprocess": ("cc",),
    "fetch": ("curl", "sha256sum"),
    "instructions": ("valgrind",),
}
"""External programs that the scripts need."""


def main() -> None:
    """Run the scripts of the command line, and write their results."""
    options = _arguments()
    scripts = options.scripts or SCRIPTS
    missing = [tool for s in scripts for tool in TOOLS.get(s, ()) if shutil.which(tool) is None]
    if missing:
        sys.exit(f"these programs are missing, install them first: {', '.join(missing)}")
    dirty = _git("status", "--porcelain", "--", ".", ":!benchmarks/results")
    if dirty and not (options.quick or options.dirty):
        sys.exit(
            f"commit these changes first, or pass --dirty (the page will mention it):\n{dirty}"
        )
    facts = {
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(dirty),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "quick": options.quick,
    }
    python = _environment()
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        for script in scripts:
            script_start = time.monotonic()
            done = _measure(python, script, {**facts, "order": SCRIPTS.index(script)}, Path(folder))
            if not done:
                failed = ROOT / "build" / "bench-failed"
                shutil.copytree(folder, failed, dirs_exist_ok=True)
                sys.exit(f"{script} failed; the results so far are in {failed.relative_to(ROOT)}")
            print(f"[{script}: {time.monotonic() - script_start:.0f} s]", flush=True)
        target = ROOT / "build" / "bench-quick" if options.quick else RESULTS
        if not options.scripts:
            shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True, exist_ok=True)
        for path in Path(folder).glob("*.json"):
            shutil.copy(path, target)
    print(f"{time.monotonic() - start:.0f} s in total -> {target.relative_to(ROOT)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scripts", nargs="*", metavar="script", help=" ".join(SCRIPTS))
    parser.add_argument(
        "--quick", action="store_true", help="run a few rounds, with results in build/"
    )
    parser.add_argument("--dirty", action="store_true", help="allow uncommitted changes")
    options = parser.parse_args()
    if unknown := set(options.scripts) - set(SCRIPTS):
        parser.error(f"unknown scripts: {', '.join(sorted(unknown))}; known: {', '.join(SCRIPTS)}")
    return options


def _measure(python: Path, script: str, facts: dict[str, object], folder: Path) -> bool:
    """Run a script, which writes its results into a folder; return whether it succeeded."""
    environment = {
        **os.environ,
        "BENCH_RESULTS": str(folder),
        "BENCH_RUN": json.dumps(facts),
        "BENCH_QUICK": "1" if facts["quick"] else "",
        "FURIOSA_MODELS_PROGRESS": "0",
        "PYTHONPATH": str(ROOT),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    process = subprocess.run(
        [str(python), str(HERE / f"{script}.py")], env=environment, check=False
    )
    return process.returncode == 0


def _environment() -> Path:
    """Return the Python of the environment with the peers; create it if missing or outdated."""
    python = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    ready = VENV / ".ready"
    if not ready.exists() or ready.read_text() != digest:
        print(f"creating {VENV.relative_to(ROOT)} (several gigabytes) ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*install, "--requirement", str(REQUIREMENTS)], check=True)
        ready.write_text(digest)
    return python


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
