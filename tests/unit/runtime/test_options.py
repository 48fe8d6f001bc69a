from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from furiosa_models.runtime.errors import FuriosaRuntimeError
from furiosa_models.runtime.sync import ModelSource, create_queue, create_runner

from .tiny import X, make_model


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"worker_num": 0}, ValueError),
        ({"worker_num": "two"}, TypeError),
        ({"worker_num": True}, TypeError),
        ({"batch_size": 0}, ValueError),
        ({"batch_size": 1.0}, TypeError),
        ({"device": 0}, TypeError),
        ({"precision": "int8"}, FuriosaRuntimeError),
        ({"precision": "int4"}, FuriosaRuntimeError),
        ({"compiler_config": {"INVALID_COMPILER_CONFIG_NAME": True}}, FuriosaRuntimeError),
        ({"compiler_config": {"remove_lower": 1}}, FuriosaRuntimeError),
        ({"compiler_config": {"max_num_partitioning_axes": True}}, FuriosaRuntimeError),
        ({"compiler_config": [("remove_lower", True)]}, FuriosaRuntimeError),
    ],
)
def test_invalid_options_are_rejected(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        create_runner(make_model(), **{"device": "cpu", **options})
    with pytest.raises(error):
        create_queue(make_model(), **{"device": "cpu", **options})


def test_ignored_npu_compiler_options_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    config = {
        "lower_tabulated_dequantize": True,
        "allow_precision_error": False,
        "permute_input": [[0, 3, 1, 2]],
        "without_quantize": {"parameters": [{"input_min": 0.0, "input_max": 1.0}]},
        "max_operation_memory_ratio": 0.9,
    }
    create_runner(make_model(), device="cpu", compiler_config=config).close()
    assert "lower_tabulated_dequantize" in caplog.text
    assert "no effect on the CPU" in caplog.text


def test_invalid_models_are_rejected() -> None:
    with pytest.raises(TypeError, match="expected a model as"):
        create_runner(7, device="cpu")  # type: ignore[arg-type]
    with pytest.raises(FuriosaRuntimeError, match="cannot load the 108 bytes .*TensorFlow Lite"):
        create_runner(b"\x1c\0\0\0TFL3" + bytes(100), device="cpu")


def test_all_kinds_of_bytes_are_accepted() -> None:
    data: bytes = make_model().SerializeToString()

    class Graph:
        def __bytes__(self) -> bytes:
            return data

    models: list[ModelSource] = [bytearray(data), memoryview(data), Graph()]
    for model in models:
        create_runner(model, device="cpu").close()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc")
def test_threads_and_files_do_not_leak_over_a_thousand_rounds() -> None:
    data = make_model().SerializeToString()

    def tasks() -> int:
        return len(os.listdir("/proc/self/task"))  # noqa: PTH208

    def rounds(count: int) -> tuple[int, int]:
        for _ in range(count):
            with create_runner(data, device="cpu", worker_num=2) as runner:
                runner.run(X)
            with create_queue(data, device="cpu", worker_num=2) as (submitter, receiver):
                submitter.submit(X)
                receiver.recv()
        return threading.active_count(), len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    before, tasks_before = rounds(10), tasks()
    assert rounds(1000) == before
    assert tasks() < tasks_before + 20  # native threads may end later
