"""Fuzz one Rust kernel under AddressSanitizer: `python -m tests.fuzz.kernels TARGET [SECONDS]`.

Needs cargo-fuzz (`cargo install cargo-fuzz`) and a nightly toolchain. Inputs that reach new
code are stored in `native/fuzz/corpus/TARGET`, which git ignores, for the next run; inputs that
crash in `native/fuzz/regressions/TARGET/`, where `cargo test` always runs them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "native" / "fuzz"
TARGETS = sorted(path.stem for path in (FOLDER / "fuzz_targets").glob("*.rs"))


def main() -> None:
    """Fuzz until the time limit or the first crash."""
    name = sys.argv[1]
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    grown, kept = (FOLDER / folder / name for folder in ("corpus", "regressions"))
    for folder in (grown, kept):
        folder.mkdir(parents=True, exist_ok=True)
    folders = [str(grown), str(kept)]  # libFuzzer writes only to the first one
    command = ["cargo", "+nightly", "fuzz", "run", "--features", "libfuzzer", name, *folders]
    options = [f"-max_total_time={seconds}", "-max_len=1024", "-rss_limit_mb=2048", "-timeout=10"]
    options += [f"-artifact_prefix={kept}/", "-print_final_stats=1"]
    sys.exit(subprocess.run([*command, "--", *options], cwd=FOLDER, check=False).returncode)


if __name__ == "__main__":
    main()
