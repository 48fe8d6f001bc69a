from __future__ import annotations

from tests.fuzz.all import outcome

STATISTICS = """
stat::number_of_executed_units: 1204
stat::average_exec_per_sec:     100
"""


def test_run_without_a_crash() -> None:
    assert outcome("#2\tINITED\n" + STATISTICS) == (1204, [], True)


def test_run_with_a_crash() -> None:
    log = "artifact_prefix='kept/'; Test unit written to kept/crash-0a9f\nBase64: AA==\n"
    assert outcome(log + STATISTICS) == (1204, ["kept/crash-0a9f"], True)


def test_slow_input_is_not_a_crash() -> None:
    log = "artifact_prefix='kept/'; Test unit written to kept/slow-unit-0a9f\n"
    assert outcome(log + STATISTICS).crashes == []


def test_run_that_did_not_start() -> None:
    assert outcome("error: toolchain 'nightly' is not installed") == (0, [], False)
