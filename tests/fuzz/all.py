"""Fuzz readers and kernels, one after another: `python -m tests.fuzz.all [SECONDS [TARGET...]]`.

Without TARGET, all targets run. Prints the number of inputs and crashes of each; a target stops at
its first crash. The exit code is nonzero if a target crashed or did not run.
"""

from __future__ import annotations

import re
import subprocess
import sys
from typing import NamedTuple

from tests.fuzz import kernels
from tests.fuzz.targets import TARGETS

_INPUTS = re.compile(r"^stat::number_of_executed_units:\s*(\d+)$", re.MULTILINE)
_CRASH = re.compile(r"Test unit written to (\S*(?:crash|leak|oom|timeout)-\w+)")


class Outcome(NamedTuple):
    """The result of one run of libFuzzer."""

    inputs: int
    crashes: list[str]
    ran: bool


def outcome(log: str) -> Outcome:
    """Parse the output of libFuzzer, which ends with its statistics even after a crash."""
    found = _INPUTS.search(log)
    return Outcome(int(found[1]) if found else 0, _CRASH.findall(log), found is not None)


def fuzz(module: str, name: str, seconds: int) -> Outcome:
    """Run one target and print its line."""
    command = [sys.executable, "-m", module, name, str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    log = done.stdout + done.stderr
    result = outcome(log)
    print(f"{name:12}{result.inputs:>12} inputs{len(result.crashes):>4} crashes", flush=True)
    if result.crashes or done.returncode or not result.ran:
        print(log[-4000:], *(f"kept: {path}" for path in result.crashes), sep="\n", flush=True)
    return result._replace(ran=result.ran and not done.returncode)


def main() -> None:
    """Fuzz all targets, or the given ones."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    runs = [("tests.fuzz.run", name) for name in TARGETS]
    runs += [("tests.fuzz.kernels", name) for name in kernels.TARGETS]
    wanted = sys.argv[2:] or [name for _, name in runs]
    runs = [(module, name) for module, name in runs if name in wanted]
    outcomes = [fuzz(module, name, seconds) for module, name in runs]
    sys.exit(not all(result.ran and not result.crashes for result in outcomes))


if __name__ == "__main__":
    main()
