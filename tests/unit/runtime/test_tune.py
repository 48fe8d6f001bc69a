"""The measurement of the fastest setting, and its use."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from furiosa_models import settings
from furiosa_models.cli.cache_ import command as cache_command
from furiosa_models.cli.tune_ import command
from furiosa_models.errors import BackendUnavailable, CacheNotWritable, ConfigurationError
from furiosa_models.model import InferModel
from furiosa_models.runtime import backends, doctor, tune, tuned, tuning_process
from furiosa_models.runtime.backends import Backend, Session, Setup, find_backend, register_backend
from furiosa_models.runtime.errors import FuriosaRuntimeError, FuriosaRuntimeWarning
from furiosa_models.runtime.machine import available_cpus, cpus_per_worker
from furiosa_models.runtime.source import Use, program_digest
from furiosa_models.runtime.sync import create_queue, create_runner
from furiosa_models.runtime.tune import Measured, Tuning
from furiosa_models.runtime.tuned import Setting
from furiosa_models.runtime.tuning_process import Job, Process, ProcessFailed
from furiosa_models.vision import EfficientNetLite0

from .tiny import X, make_model

PROGRAM = make_model().SerializeToString()
DIGEST = program_digest(PROGRAM)
VINO = Setting("openvino", "openvino", 1)
CPU = Setting("onnxruntime", "cpu", 1)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("FURIOSA_MODELS_DEVICE", "FURIOSA_DEVICES", "NPU_DEVNAME"):
        monkeypatch.delenv(name, raising=False)


def keep(one: Setting, stream: Setting = CPU) -> Path:
    best: dict[Use, Setting] = {"one": one, "stream": stream}
    return tuned.keep(DIGEST, best, [])


def test_every_device_and_number_of_threads_is_measured_and_the_fastest_kept() -> None:
    found = tune.tune(PROGRAM, seconds=0.1)
    threads = {available_cpus(), -(-available_cpus() // 2), -(-available_cpus() // 4)}
    assert {(m.use, m.setting) for m in found.measured} == {
        *(("one", Setting("onnxruntime", "cpu", count)) for count in threads),
        *(("one", Setting("openvino", "openvino", count)) for count in threads),
        ("stream", Setting("onnxruntime", "cpu", cpus_per_worker())),
        ("stream", Setting("openvino", "openvino", available_cpus())),
    }
    for one in found.measured:
        assert 0 < one.low <= one.median <= one.high < 1
        assert one.rounds >= 5
        assert one.difference == 0  # doubling and negating are exact
    for use, setting in found.best.items():
        fastest = next(one for one in found.measured if one.use == use)
        assert setting in (fastest.setting, found.usual[use])
        assert found.gain(use) >= 1
    assert not found.left_out
    with create_runner(PROGRAM) as runner:
        assert runner.choice.device == found.best["one"].device
        assert f"measured by `tune` to be the fastest: {found.best['one']}" in runner.choice.reason
        np.testing.assert_array_equal(runner.run(X)[0], 2 * X)
    assert json.loads(found.path.read_text())["program"] == found.program == DIGEST


def test_an_answer_is_used_where_nothing_is_requested(monkeypatch: pytest.MonkeyPatch) -> None:
    keep(one=VINO)
    opened: list[int] = []
    backend = find_backend("openvino")
    assert backend is not None
    load = backend.load

    def recorded(program: Any, setup: Setup) -> Session:
        opened.append(setup.threads)
        return load(program, setup)

    monkeypatch.setattr(backend, "load", recorded)
    for device in (None, "auto"):
        with create_runner(PROGRAM, device=device) as runner:
            assert runner.backend == "openvino"
            np.testing.assert_array_equal(runner.run(X)[1], -X)
    assert opened == [1, 1]
    with create_runner(PROGRAM, shared=True) as runner:
        assert runner.backend == "onnxruntime"
        assert "fastest" in runner.choice.reason
    requests: list[dict[str, Any]] = [{"device": "cpu"}, {"worker_num": 2}, {"batch_size": 1}]
    for request in requests:
        with create_runner(PROGRAM, **request) as runner:
            assert runner.backend == "onnxruntime"
            assert "fastest" not in runner.choice.reason
    with create_runner(make_model(2)) as runner:
        assert runner.backend == "onnxruntime"
    with create_queue(PROGRAM) as (submitter, receiver):
        submitter.submit(X)
        np.testing.assert_array_equal(receiver.recv()[1][0], 2 * X)
    assert opened == [1, 1]
    monkeypatch.setenv("FURIOSA_MODELS_DEVICE", "cpu")
    with create_runner(PROGRAM) as runner:
        assert runner.backend == "onnxruntime"


def test_an_answer_of_another_version_or_machine_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = keep(one=VINO)
    backend = find_backend("openvino")
    assert backend is not None
    assert tuned.find(PROGRAM, "one") == VINO
    with monkeypatch.context() as other:
        other.setattr(backend, "fingerprint", lambda: "OpenVINO 1999.1")
        caplog.set_level("INFO")
        assert tuned.find(PROGRAM, "one") is None
        assert "another version" in caplog.text
        assert tuned.find(PROGRAM, "stream") == CPU
        assert [entry.is_current for entry in tuned.entries()] == [False]
    with monkeypatch.context() as other:
        other.setattr(backend, "problem", lambda _=None: "it is gone")
        with create_runner(PROGRAM) as runner:
            assert runner.backend == "onnxruntime"
    with monkeypatch.context() as other:
        other.setattr(tuned, "available_cpus", lambda: 64)
        assert tuned.find(PROGRAM, "one") is None
    assert [entry.is_current for entry in tuned.entries()] == [True]
    assert tuned.forget(PROGRAM)
    assert not path.exists()
    assert not tuned.forget(PROGRAM)


VALUES: tuple[Any, ...] = ({}, [], 1)
DAMAGED: list[dict[str, Any]] = [
    *({"threads": threads} for threads in (0, -1, "2", 1.5, None, 100_000, True)),
    *({"device": device} for device in ("bogus", None, ["cpu"], "cpu")),
    *({"backend": backend} for backend in ("bogus", None, ["cpu"], "onnxruntime")),
]


@pytest.mark.parametrize(
    "damage",
    [
        *("", "[]", "{", '{"best": {"one": {"device": 1}}}', "null", "[" * 100_000),
        *DAMAGED,
        *({name: value} for name in ("best", "fingerprints", "program") for value in VALUES),
    ],
    ids=str,
)
def test_a_damaged_answer_is_none(damage: str | dict[str, Any]) -> None:
    path = keep(one=VINO)
    if isinstance(damage, str):
        path.write_text(damage)
    else:
        kept = json.loads(path.read_text())
        (kept["best"]["one"] if damage in DAMAGED else kept).update(damage)
        path.write_text(json.dumps(kept))
    assert tuned.find(PROGRAM, "one") is None
    with create_runner(PROGRAM) as runner:
        assert runner.backend == "onnxruntime"
    (entry,) = tuned.entries()
    assert not entry.is_current
    fact = next(fact for fact in doctor.diagnose() if fact.topic == "tuned programs")
    assert fact.finding == "0 on this machine, 1 of another machine or version"
    assert CliRunner().invoke(cache_command, ["prune"]).exit_code == 0
    assert tuned.entries() == []


def test_a_gain_within_the_noise_changes_nothing() -> None:
    def took(setting: Setting, seconds: float) -> Measured:
        return Measured(setting, "one", seconds, seconds, seconds, 5, 0.0)

    assert tune._best([took(VINO, 1.0), took(CPU, 1.02)], CPU) == CPU
    assert tune._best([took(VINO, 1.0), took(CPU, 1.04)], CPU) == VINO
    assert tune._best([took(CPU, 1.0), took(VINO, 1.04)], CPU) == CPU


def test_a_device_with_other_outputs_is_chosen_only_by_name(tmp_path: Path) -> None:
    def run(setting: Setting, factor: float) -> Process:
        made = Process.__new__(Process)
        made.job = Job(setting, "one")
        made._outputs = tmp_path / f"{setting.device}.npz"
        np.savez(made._outputs, X * factor, np.zeros(0), X * 1e-6 * factor)
        return made

    usual, closed = run(CPU, 1.0), []
    for factor, count in ((1.0005, 1), (1.01, 0), (np.nan, 0)):
        other = run(VINO, factor)
        other.close = lambda: closed.append(1)  # type: ignore[method-assign]
        left_out: dict[str, str] = {}
        taken = [
            *tune._started(
                [other.job], {other.job: other}.__getitem__, usual, left_out, is_named=False
            )
        ]
        assert len(taken) == count
        assert ("openvino" in left_out) == (count == 0)
        named = [
            *tune._started([other.job], {other.job: other}.__getitem__, usual, {}, is_named=True)
        ]
        assert named == [other]
    assert len(closed) == 2


def test_a_device_that_fails_is_left_out_unless_it_was_named() -> None:
    def start(_: Job) -> Process:
        raise ProcessFailed("no such operation")

    usual = Process.__new__(Process)
    left_out: dict[str, str] = {}
    jobs = [Job(VINO, "one"), Job(VINO, "stream")]
    assert [*tune._started(jobs, start, usual, left_out, is_named=False)] == []
    assert left_out == {"openvino": "no such operation"}
    with pytest.raises(
        FuriosaRuntimeError, match="cannot be measured on openvino: no such operation"
    ):
        [*tune._started(jobs, start, usual, {}, is_named=True)]


def test_errors_say_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for seconds in (0, -1, float("nan"), float("inf"), "10", True):
        with pytest.raises(ConfigurationError, match="seconds must be a positive number"):
            tune.tune(PROGRAM, seconds=seconds)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must be a list of device strings"):
        tune.tune(PROGRAM, devices="openvino")
    with pytest.raises(ValueError, match="'abacus' is not a device"):
        tune.tune(PROGRAM, devices=["abacus"])
    with pytest.raises(FuriosaRuntimeError, match="cannot be measured on cpu: .*cannot load"):
        tune.tune(b"no model", devices=[])
    with monkeypatch.context() as machine:
        machine.setattr(tune, "defaults_to_npu", lambda: True)
        with pytest.raises(BackendUnavailable, match="has an NPU"):
            tune.tune(PROGRAM)
    register_backend(type("Mine", (Backend,), {"name": "mine", "load": None})())
    with pytest.raises(ConfigurationError, match="registered backend.*bench"):
        tune.tune(PROGRAM, devices=["mine"])
    backends._registered.clear()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FURIOSA_MODELS_CACHE_HOME", str(tmp_path / "file"))
    for keeping in (lambda: keep(one=VINO), lambda: tune.tune(PROGRAM)):
        with pytest.raises(CacheNotWritable, match="FURIOSA_MODELS_CACHE_HOME"):
            keeping()


def test_a_process_that_dies_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "program"
    file.write_bytes(PROGRAM)
    with Process(Job(CPU, "stream"), file, tmp_path) as process:
        assert 0 < process.turn(0.01) < 1
        os.kill(process._process.pid, signal.SIGKILL)
        with pytest.raises(ProcessFailed, match="cpu with 1 thread ended with the code -9"):
            process.turn(0.01)
    assert process._process.returncode == -signal.SIGKILL


def test_a_candidate_that_dies_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "program"
    file.write_bytes(PROGRAM)
    fewer = Job(Setting("onnxruntime", "cpu", 2), "one")
    with (
        Process(Job(CPU, "one"), file, tmp_path) as usual,
        Process(fewer, file, tmp_path) as other,
    ):
        os.kill(other._process.pid, signal.SIGKILL)
        left_out: dict[str, str] = {}
        (found,) = tune._measured([usual], [other], 0.1, left_out)
        assert found.setting == CPU
        assert "ended with the code -9" in left_out["cpu with 2 threads"]
        os.kill(usual._process.pid, signal.SIGKILL)
        with pytest.raises(FuriosaRuntimeError, match="ended with the code -9"):
            tune._measured([usual], [], 0.1, {})


def test_what_a_process_says_last_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning_process, "_CODE", "raise RuntimeError('no such library')")
    with pytest.raises(ProcessFailed, match="the code 1: RuntimeError: no such library"):
        Process(Job(CPU, "one"), tmp_path / "program", tmp_path)


def test_modules_of_the_current_folder_are_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "queue.py").write_text("raise RuntimeError('not yours')")
    file = tmp_path / "program"
    file.write_bytes(PROGRAM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [path for path in sys.path if path])
    with Process(Job(CPU, "one"), file, tmp_path) as process:
        assert process.turn(0.01) > 0


def test_a_network_for_any_size_cannot_be_measured() -> None:
    model = make_model()
    for value in (*model.graph.input, *model.graph.output):
        for axis in (2, 3):
            value.type.tensor_type.shape.dim[axis].dim_param = f"size{axis}"
    with pytest.raises(FuriosaRuntimeError, match="its input 'x' takes any size"):
        tune.tune(model.SerializeToString(), devices=[])


def test_an_environment_variable_that_requests_a_device_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FURIOSA_DEVICES", "cpu")
    with pytest.warns(FuriosaRuntimeWarning, match="FURIOSA_DEVICES requests a device"):
        tune.tune(PROGRAM, devices=[], seconds=0.05)


def test_a_file_that_was_opened_for_a_device_is_not_measured(tmp_path: Path) -> None:
    with EfficientNetLite0(weights="random") as model:
        exported = model.export("onnx_cpu", out_dir=tmp_path / "exported")
        with pytest.raises(ConfigurationError, match="always runs on 'cpu': open the file without"):
            exported.tune()
        opened = InferModel(exported.model_path)
        found = opened.tune(devices=[], seconds=0.05)
        assert "measured by `tune`" in opened.steps().where
        assert found.best["one"].device == "cpu"


def test_what_a_library_prints_is_no_reply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "program"
    file.write_bytes(PROGRAM)
    code = f"print('a banner')\n{tuning_process._CODE}"
    monkeypatch.setattr(tuning_process, "_CODE", code)
    with Process(Job(CPU, "one"), file, tmp_path) as process:
        assert process.turn(0.01) > 0


def test_a_model_uses_what_was_measured(photos: list[Path]) -> None:
    with EfficientNetLite0(weights="random") as model:
        before = model.predict(photos[0])
        found = model.tune(devices=[], seconds=0.1)
        assert isinstance(found, Tuning)
        steps = model.steps()
        assert "measured by `tune`" in steps.where
        after = model.predict(photos[0])
        np.testing.assert_array_equal(after.scores, before.scores)
        with pytest.raises(ValueError, match="precision must be"):
            model.tune(precision="int4")  # type: ignore[arg-type]


@pytest.mark.skipif(os.name == "nt", reason="processes end at once")
def test_a_command_that_is_terminated_leaves_no_files(tmp_path: Path) -> None:
    arguments = ["tune", "efficientnet-lite0", "--weights", "random", "--seconds", "300"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "furiosa_models", *arguments]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("furiosa-tune-*/*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert list(tmp_path.glob("furiosa-tune-*/*"))
        process.terminate()
        assert process.wait(timeout=60) == -signal.SIGTERM
    assert not list(tmp_path.glob("furiosa-tune-*"))


def test_the_command_prints_a_table_or_json() -> None:
    arguments = ["efficientnet-lite0", "--weights", "random", "--seconds", "0.1", "--device", "cpu"]
    shown = CliRunner().invoke(command, arguments)
    assert shown.exit_code == 0, shown.output
    for text in ("EfficientNetLite0/random, fp32", "usual, fastest", "one at a time: ", "stream: "):
        assert text in shown.output
    document = json.loads(CliRunner().invoke(command, [*arguments, "--json"]).output)
    assert document["model"] == "EfficientNetLite0"
    assert Path(document["path"]).parent == settings.tuned_home()
    assert document["best"]["one"]["device"] == "cpu"
    failed = CliRunner().invoke(command, [*arguments, "--seconds", "0"])
    assert failed.exit_code == 2
    for answer in ("forgotten", "no answer"):
        assert answer in CliRunner().invoke(command, [*arguments, "--forget"]).output
