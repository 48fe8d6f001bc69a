from __future__ import annotations

import os
from pathlib import Path

import pytest

from furiosa_models.runtime import machine
from furiosa_models.runtime.machine import available_cpus, cpu_quota

V1, V1_BOTH = "sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct"


def files(root: Path, texts: dict[str, str]) -> Path:
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "texts", "expected"),
    [
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ("0::/a/b\n", {"sys/fs/cgroup/a/b/cpu.max": "50000 100000\n"}, 0.5),
        (  # the minimum of all parent groups applies
            "0::/a/b\n",
            {
                "sys/fs/cgroup/a/b/cpu.max": "400000 100000\n",
                "sys/fs/cgroup/a/cpu.max": "200000 100000\n",
            },
            2.0,
        ),
        ("0::/host/path\n", {"sys/fs/cgroup/cpu.max": "300000 100000\n"}, 3.0),  # in a container
        (
            "4:memory:/x\n3:cpu,cpuacct:/x\n0::/\n",
            {f"{V1_BOTH}/x/cpu.cfs_quota_us": "250000", f"{V1_BOTH}/x/cpu.cfs_period_us": "100000"},
            2.5,
        ),
        (
            "1:cpu:/docker/abc\n",
            {f"{V1}/cpu.cfs_quota_us": "100000\n", f"{V1}/cpu.cfs_period_us": "100000\n"},
            1.0,
        ),
        ("1:cpu:/\n", {f"{V1}/cpu.cfs_quota_us": "-1", f"{V1}/cpu.cfs_period_us": "100000"}, None),
        ("0::/\n", {"sys/fs/cgroup/unified/cpu.max": "100000 100000"}, 1.0),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "0 0"}, None),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "many\n"}, None),
        ("nonsense\n\n", {"sys/fs/cgroup/cpu.max": "100000 100000"}, None),
        ("", {}, None),
    ],
)
def test_cpu_quota_of_control_groups(
    tmp_path: Path, groups: str, texts: dict[str, str], expected: float | None
) -> None:
    assert cpu_quota(files(tmp_path, {"proc/self/cgroup": groups, **texts})) == expected


def test_cpu_quota_without_control_groups(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None
    files(tmp_path, {"proc/self/cgroup": ""}).joinpath("proc/self/cgroup").write_bytes(b"\xff")
    assert cpu_quota(tmp_path) is None


@pytest.mark.parametrize(("quota", "expected"), [(0.5, 1), (1.5, 2), (2.0, 2), (99.0, 8)])
def test_threads_follow_quota_and_affinity(
    monkeypatch: pytest.MonkeyPatch, quota: float, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(machine, "_own_quota", lambda: quota)
    assert available_cpus() == expected
