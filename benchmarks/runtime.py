"""Inference side by side: our runner, plain ONNX Runtime sessions, int8, and loading.

    python benchmarks/runtime.py              # a table, and benchmarks/results/runtime.json
    python benchmarks/runtime.py --networks ResNet50 --seconds 20

Every contestant has a process of its own, since the spinning threads of one would slow down the
next; they take turns, and the least time of each counts. Weights are random.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from furiosa_models import networks
from furiosa_models.runtime import full_version
from furiosa_models.runtime.machine import available_cpus, cpu_name

IMAGENET = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
NETWORKS: dict[str, tuple[str, dict[str, Any], tuple[float, ...], tuple[float, ...], int]] = {
    "SSDMobileNet": ("mobilenet_ssd", {}, (127.5,), (127.5,), 300),
    "ResNet50": ("resnet", {"variant": "50"}, *IMAGENET, 224),
    "EfficientNetB0": ("efficientnet", {"variant": "b0"}, *IMAGENET, 224),
    "EfficientNetV2s": ("efficientnet_v2", {}, *IMAGENET, 384),
    "YOLOv5s": ("yolov5", {"variant": "s"}, (0.0,), (255.0,), 640),
    "YOLOv5m": ("yolov5", {"variant": "m"}, (0.0,), (255.0,), 640),
}
NO_SPIN = {"session.intra_op.allow_spinning": "0"}
TUNINGS: dict[str, Mapping[str, str]] = {
    "plain": {},
    "plain, no spinning": NO_SPIN,
    "plain, no denormals": {"session.set_denormal_as_zero": "1"},
    "plain, fine blocks": {"session.dynamic_block_base": "4"},
}
BACKENDS: dict[str, Any] = {"ours": "onnxruntime", "openvino": "openvino"}
PAUSE_S = 0.03
RESULT = Path(__file__).parent / "results" / "runtime.json"


def main() -> None:
    """Measure and report."""
    options = parse_arguments()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FURIOSA_MODELS_CACHE_HOME"] = folder
        for name in options.networks:
            programs = build(name, Path(folder))
            for threads in range(1, min(2, available_cpus()) + 1):
                rows.append(race(name, programs, threads, options.seconds))
                print(report(rows[-1]), flush=True)
    document = {"machine": cpu_name(), "versions": full_version(), "rows": rows}
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(json.dumps(document, indent=1) + "\n")
    print(f"written to {options.output}")


def parse_arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--seconds", type=float, default=10, help="of each race (10)")
    parser.add_argument("--output", type=Path, default=RESULT)
    return parser.parse_args()


def build(name: str, folder: Path) -> dict[str, Path]:
    """A network's float and int8 programs, as files named by their hashes as in the store."""
    from furiosa_models.quantization import CalibrationMethod, Calibrator, quantize

    network, params, mean, std, size = NETWORKS[name]
    origin = networks.to_bytes(networks.build(network, networks.RandomWeights(), **params))
    program = networks.with_uint8_input(origin, mean, std)
    calibrator = Calibrator(program, CalibrationMethod.MIN_MAX_ASYM)
    calibrator.collect_data([[pixels(size)]])
    int8 = quantize(program, calibrator.compute_range())
    return {"fp32": store(program, folder), "int8": store(int8, folder)}


def store(program: bytes, folder: Path) -> Path:
    """Write a program where the artifact store would."""
    digest = hashlib.sha256(program).hexdigest()
    path = folder / "objects" / "sha256" / digest[:2] / digest
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(program)
    return path


def pixels(size: int) -> Any:
    """One image of noise."""
    return np.random.default_rng(0).integers(0, 256, (1, 3, size, size), np.uint8)


def race(name: str, programs: Mapping[str, Path], threads: int, seconds: float) -> dict[str, Any]:
    """Least times, in ms, of all contestants."""
    size = NETWORKS[name][-1]
    entries = {
        "ours": ("ours", programs["fp32"], threads, {}),
        "ours, int8": ("ours", programs["int8"], threads, {}),
        "OpenVINO": ("openvino", programs["fp32"], threads, {}),
        "OpenVINO, int8": ("openvino", programs["int8"], threads, {}),
        "default": ("plain", programs["fp32"], 0 if threads == available_cpus() else threads, {}),
        **{label: ("plain", programs["fp32"], threads, t) for label, t in TUNINGS.items()},
    }
    workers, loads = {}, {}
    for label, entry in entries.items():  # one after the other, for loading is measured too
        workers[label] = start(*entry, size)
        loads[label] = json.loads(read(workers[label]))
    times: dict[str, list[float]] = {label: [] for label in entries}
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for label, worker in workers.items():
            times[label] += ask(worker)
            time.sleep(PAUSE_S)
    for worker in workers.values():
        worker.communicate()
    least = {label: 1e3 * min(found) for label, found in times.items()}
    medians = {label: 1e3 * float(np.median(found)) for label, found in times.items()}
    return {"network": name, "threads": threads, "ms": least, "median_ms": medians, "load": loads}


def start(kind: str, path: Path, threads: int, tuning: object, size: int) -> Any:
    """A process that waits to be told to run."""
    arguments = [kind, str(path), str(threads), json.dumps(tuning), str(size)]
    command = [sys.executable, __file__, "--contestant", *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(worker: Any) -> list[float]:
    """Times, in seconds, of a few inferences."""
    worker.stdin.write("run\n")
    worker.stdin.flush()
    times: list[float] = json.loads(read(worker))
    return times


def read(worker: Any) -> str:
    """What a process says next."""
    return str(worker.stdout.readline())


def contestant(kind: str, path: str, threads: int, tuning: Mapping[str, str], size: int) -> None:
    """Load a program, say how long that took and how much memory, and run it when told."""
    import onnxruntime

    from furiosa_models.runtime.backends import Setup, find_backend

    def load() -> Any:
        if kind in BACKENDS:
            backend = find_backend(BACKENDS[kind])
            assert backend is not None
            return backend.load(path, Setup(threads, device=BACKENDS[kind])).run
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        for name, value in tuning.items():
            options.add_session_config_entry(name, value)
        session = onnxruntime.InferenceSession(data, options)
        return lambda image: session.run(None, {session.get_inputs()[0].name: image})

    data = b"" if kind in BACKENDS else Path(path).read_bytes()
    if kind in BACKENDS:
        load()  # the first time it is compiled
    before, times = resident(), []
    for _ in range(5):
        began = time.perf_counter()
        run = load()
        times.append(time.perf_counter() - began)
        after = resident()
    image = pixels(size)
    run(image)
    print(json.dumps({"ms": 1e3 * min(times), "mb": (after - before) / 1e6}), flush=True)
    for _ in sys.stdin:
        print(json.dumps([timed(run, image) for _ in range(5)]), flush=True)


def timed(run: Any, image: Any) -> float:
    """Seconds that one inference takes."""
    began = time.perf_counter()
    run(image)
    return time.perf_counter() - began


def resident() -> int:
    """Bytes of memory in use; 0 where the system does not say."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * 4096 if statm.exists() else 0


def report(row: Mapping[str, Any]) -> str:
    """A row of the table, in words; ratios are of least times, and of medians."""
    load = row["load"]
    return (
        f"{row['network']:15} {row['threads']} thread(s): ours {row['ms']['ours']:7.2f} ms"
        f" | default / ours {ratios(row, 'default')}"
        f" | best tuned / ours {ratios(row, *TUNINGS)}"
        f" | int8 / ours {ratios(row, 'ours, int8')}"
        f" | OpenVINO / ours {ratios(row, 'OpenVINO')}"
        f" | load {load['ours']['ms']:6.1f} ms, {load['default']['ms'] / load['ours']['ms']:5.1f}x"
        f" faster, {load['ours']['mb']:.0f} MB instead of {load['default']['mb']:.0f}"
    )


def ratios(row: Mapping[str, Any], *labels: str) -> str:
    """Least and median time of the best of some contestants, over ours."""
    least, median = (
        min(row[kind][label] for label in labels) / row[kind]["ours"]
        for kind in ("ms", "median_ms")
    )
    return f"{least:5.2f} ({median:5.2f})"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contestant"]:
        kind, path, threads, tuning, size = sys.argv[2:]
        contestant(kind, path, int(threads), json.loads(tuning), int(size))
    else:
        main()
