"""The NPU backend, tested with a fake vendor runtime."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from furiosa_models import runtime
from furiosa_models.runtime import sync
from furiosa_models.runtime.errors import (
    DeviceBusy,
    FuriosaRuntimeError,
    QueueWaitTimeout,
    SessionClosed,
)
from furiosa_models.runtime.source import Precision

from .fake_vendor import forget, install_with_device
from .tiny import make_model

X = np.array([1], np.uint8)


class ZooModel:
    """A fake zoo model."""

    def cpu_program(self, *, precision: Precision = "fp32") -> Path:  # noqa: ARG002
        raise AssertionError

    def npu_program(self, num_pe: Literal[1, 2] = 2) -> bytes:
        return f"{num_pe} PE".encode()


@pytest.fixture(autouse=True)
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[Any]]:
    forget()
    yield install_with_device(monkeypatch, tmp_path)
    forget()


def test_runner_is_passed_through(calls: list[Any]) -> None:
    config = {"anything": "the vendor checks it"}
    with sync.create_runner(b"ENF", worker_num=3, batch_size=2, compiler_config=config) as runner:
        assert runner.backend == "furiosa"
        assert not runner.takes_batches
        assert runner.model.summary() == "the vendor's summary"
        assert runner.allocate()[0].shape == (1,)
        assert runner.run(X)[0] == runner.run([X])[0] == runner.run_with(["out"], {"in": X})[0]
        with pytest.raises(TypeError, match="the vendor wants uint8"):
            runner.run(np.array([1.0]))
    assert calls == [(b"ENF", {"worker_num": 3, "batch_size": 2, "compiler_config": config})]
    with pytest.raises(SessionClosed):
        runner.run(X)


@pytest.mark.parametrize(
    ("device", "num_pe", "passed"),
    [
        (None, 2, {}),
        ("npu", 2, {}),
        ("warboy(2)*1", 2, {"device": "warboy(2)*1"}),
        ("warboy*1", 1, {"device": "warboy*1"}),
        ("npu:0:0-1", 2, {"device": "npu:0:0-1"}),
        ("npu0pe1", 1, {"device": "npu0pe1"}),
    ],
)
def test_zoo_model_gives_its_npu_program(
    calls: list[Any], device: str | None, num_pe: int, passed: dict[str, str]
) -> None:
    sync.create_runner(ZooModel(), device=device).close()
    sync.create_queue(ZooModel(), device=device).receiver.close()
    assert calls == [(f"{num_pe} PE".encode(), passed)] * 2


def test_npu_rejects_other_precisions(calls: list[Any]) -> None:
    sync.create_runner(ZooModel(), precision="int8").close()
    for create in (sync.create_runner, sync.create_queue):
        with pytest.raises(FuriosaRuntimeError, match="needs device='cpu'"):
            create(ZooModel(), precision="fp32")
    assert len(calls) == 1


def test_onnx_graph_is_passed_as_bytes(calls: list[Any]) -> None:
    sync.create_runner(make_model())
    assert calls[0][0] == make_model().SerializeToString()


def test_queue_is_passed_through(calls: list[Any]) -> None:
    with sync.create_queue(b"ENF", input_queue_size=5, output_queue_size=6) as (sub, rec):
        sub.submit(X, "context")
        context, outputs = rec.recv(timeout=1)
        assert (context, outputs[0][0]) == ("context", 255)
        assert sub.allocate()[0].shape == (1,)
        assert rec.model.summary() == sub.model.summary()
        with pytest.raises(QueueWaitTimeout, match="none in time"):
            rec.recv(timeout=0)
    assert calls == [(b"ENF", {"input_queue_size": 5, "output_queue_size": 6})]


def test_vendor_errors_become_our_errors_of_the_same_name() -> None:
    with pytest.raises(DeviceBusy, match="furiosa-runtime: in use"):
        sync.create_runner(b"busy")
    with pytest.raises(FuriosaRuntimeError, match="something else"):
        sync.create_queue(b"odd")


def test_runtime_of_the_vendor_is_used(calls: list[Any]) -> None:
    with sync.Runtime("warboy(2)*1") as shared:
        runner = shared.create_runner(b"one")
        queue = shared.create_queue(b"two")
        assert runner.run(X)[0] == 255
        queue.submitter.submit(X)
    assert calls == [("Runtime", "warboy(2)*1"), (b"one", {}), (b"two", {}), "Runtime closed"]


def test_async_versions_are_passed_through(calls: list[Any]) -> None:
    async def main() -> None:
        async with runtime.create_runner(b"ENF", device="warboy*1") as runner:
            assert runner.backend == "furiosa"
            assert (await runner.run(X))[0] == (await runner.run_with(["out"], {"in": X}))[0]
            assert runner.allocate()[0].shape == (1,)
            with pytest.raises(TypeError, match="the vendor wants uint8"):
                await runner.run(np.array([1.0]))
        async with runtime.create_queue(ZooModel(), output_queue_size=2) as (sub, rec):
            await sub.submit([X], 3)
            assert (await rec.recv())[0] == 3
            assert sub.allocate()[0].shape == (1,)
        with pytest.raises(DeviceBusy):
            await runtime.create_runner(b"busy")
        async with runtime.Runtime() as shared:
            async with shared.create_runner(b"one"):
                pass
            await shared.create_queue(b"two")

    asyncio.run(main())
    assert calls == [
        (b"ENF", {"device": "warboy*1"}),
        (b"2 PE", {"output_queue_size": 2}),
        (b"busy", {}),
        ("Runtime", None),
        (b"one", {}),
        (b"two", {}),
        "Runtime closed",
    ]
