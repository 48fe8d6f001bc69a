"""Record what refactoring must not change: graphs, tensor names, outputs, imports.

`python -m tests.pins.measure` writes the values of this checkout to `pins.json` in the same
folder; `--network` also measures the weights from packages. The tests compare a checkout with these
values. After an intended change, run this again and explain the reason in the commit.

Graphs and tensor names are the same on every machine. Outputs are bitwise equal with the
versions and CPU features in `pins.json`, and close to the recorded samples elsewhere.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "PATH",
    "START_UP",
    "environment",
    "graph_pin",
    "loaded_packages",
    "output_pins",
    "package_sets",
    "recipes",
    "unraised",
]

PATH = Path(__file__).with_name("pins.json")
ROOT = Path(__file__).parents[2]
PHOTOS = ("astronaut.png", "rocket.jpg")
SAMPLES = 8
SEED_SETS = "random"

START_UP = {
    "import furiosa_models": "import furiosa_models",
    "import furiosa_models.vision": "import furiosa_models.vision",
    "class": "from furiosa_models.vision import SSDMobileNet",
    "list": (
        "import contextlib, io, sys; sys.argv = ['furiosa-models', 'list']\n"
        "from furiosa_models.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit): main()"
    ),
    "warm prediction": (
        "from furiosa_models.vision import SSDMobileNet\n"
        "SSDMobileNet(weights='random').predict({photo!r}, device='cpu', score_threshold=0.9)"
    ),
}
"""Code whose imports are pinned, by name."""


def environment() -> dict[str, str]:
    """Return what outputs depend on besides the code: versions and vector units of the CPU."""
    import onnxruntime

    flags: set[str] = set()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = [line for line in info.read_text().splitlines() if line.startswith("flags")]
        flags = set(lines[0].split()) if lines else set()
    units = sorted(flag for flag in flags if flag.startswith(("avx", "amx", "fma", "f16c")))
    return {
        "onnxruntime": onnxruntime.__version__,
        "numpy": np.__version__,
        "cpus": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0),
        "units": " ".join(units),
    }


def photos() -> list[str]:
    """Return the example photos of the pinned outputs."""
    return [str(ROOT / "examples" / "images" / name) for name in PHOTOS]


def recipes() -> dict[str, int]:
    """Return the numbers of all recipes: of each builder, of edits and of quantization."""
    from furiosa_models import networks
    from furiosa_models.quantization import calibrated

    numbers = {f"builder {name}": networks.recipe(name) for name in networks.NETWORKS}
    return {**numbers, "edits": networks.EDITS, "quantization": calibrated.RECIPE}


def unraised(old: dict[str, Any], new: dict[str, Any]) -> set[str]:
    """Return the recipes whose bytes changed, but whose number did not.

    Caches store results of recipes by number: changed bytes need a new number.
    """
    changed = set()
    for name in old["graphs"].keys() & new["graphs"].keys():
        before, after = old["graphs"][name], new["graphs"][name]
        if before["origin"] != after["origin"]:
            changed.add(f"builder {after['builder']}")
        elif before["uint8_program"] != after["uint8_program"]:
            changed.add("edits")
    for group in ("seeded", "packages"):
        for pair in old[group].keys() & new[group].keys():
            before, after = old[group][pair], new[group][pair]
            pins = [
                each.get(p, {}).get("program") for p in ("fp32", "int8") for each in (before, after)
            ]
            same_library = old["environment"]["onnxruntime"] == new["environment"]["onnxruntime"]
            if same_library and pins[0] == pins[1] and pins[2] != pins[3]:
                changed.add("quantization")
    return {name for name in changed if old["recipes"].get(name) == new["recipes"].get(name)}


def graph_pin(name: str) -> dict[str, Any]:
    """Return hashes of a model's graph with seeded weights, and of its tensors' names."""
    import onnx

    from furiosa_models import get_model

    model = get_model(name, weights="random")
    network = model.network
    assert network is not None
    origin, program = model.origin, model.model_source(precision="fp32")
    graph = onnx.load_from_string(origin).graph
    names = [output for node in graph.node for output in node.output]
    names += [tensor.name for tensor in graph.initializer]
    return {
        "builder": network.name,
        "origin": _sha256(origin),
        "uint8_program": _sha256(program),
        "tensors": len(names),
        "tensor_names": _sha256("\n".join(names).encode()),
        "outputs": [value.name for value in graph.output],
    }


def output_pins(name: str, weights: str) -> dict[str, Any]:
    """Return the outputs of a model for the example photos, in float32 and int8.

    Seeded weights have no calibration: the ranges of the photos themselves are used.
    """
    from furiosa_models import get_model

    with get_model(name, weights=weights) as model:
        tensor, contexts = model.preprocess(photos())
        pins: dict[str, Any] = {"input": _sha256(tensor.tobytes())}
        for precision in ("fp32", "int8"):
            program = _program(model, tensor, precision)
            if program is None:
                continue
            outputs = _run(program, tensor)
            pins[precision] = {
                "program": _sha256(program),
                "outputs": [_array(output) for output in outputs],
            }
            if weights != SEED_SETS:  # results of random networks are meaningless
                results = model.postprocess(outputs, contexts)
                pins[precision]["results"] = [_result(result) for result in results]
    return pins


def package_sets() -> list[tuple[str, str]]:
    """Return (model, weights) of all weights from packages."""
    from furiosa_models import get_model, list_models

    found = []
    for name in list_models():
        names = get_model(name).available_weights()
        found += [(name, weights) for weights in names if weights != "published"]
    return found


def loaded_packages(name: str) -> list[str]:
    """Return the packages beyond the standard library that a start-up loads."""
    code = START_UP[name].format(photo=photos()[0])
    whole = (
        f"import sys; before = set(sys.modules)\n{code}\n"
        "after = {m.partition('.')[0] for m in set(sys.modules) - before}\n"
        "print(*sorted(m for m in after - sys.stdlib_module_names if not m.startswith('_')))"
    )
    run = [sys.executable, "-W", "ignore", "-c", whole]
    subprocess.run(run, check=True, capture_output=True)  # fills the cache
    return subprocess.run(run, check=True, capture_output=True, text=True).stdout.split()


def _program(model: Any, tensor: npt.NDArray[np.uint8], precision: str) -> bytes | None:
    from furiosa_models.errors import ArtifactNotFound
    from furiosa_models.quantization import CalibrationMethod, Calibrator, quantize

    if precision == "fp32":
        return bytes(model.model_source(precision="fp32"))
    if model.weights != SEED_SETS:
        try:
            return bytes(model.model_source(precision="int8"))
        except ArtifactNotFound:
            return None
    program = model.model_source(precision="fp32")
    calibrator = Calibrator(program, CalibrationMethod.MIN_MAX_ASYM)
    for image in tensor:
        calibrator.collect_data([[image[None]]])
    means = calibrator.compute_channel_means()
    return quantize(program, calibrator.compute_range(), channel_means=means)


def _run(program: bytes, tensor: npt.NDArray[np.uint8]) -> list[npt.NDArray[Any]]:
    """Return the outputs of both photos, run one at a time like `predict`."""
    from furiosa_models.runtime.sync import create_runner

    with create_runner(program, device="cpu") as runner:
        parts = [runner.run(image[None]) for image in tensor]
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]


def _array(array: npt.NDArray[Any]) -> dict[str, Any]:
    flat = array.ravel()
    places = np.linspace(0, flat.size - 1, min(SAMPLES, flat.size)).astype(int)
    numbers = flat.astype(np.float64)
    return {
        "sha256": _sha256(np.ascontiguousarray(array).tobytes()),
        "shape": list(array.shape),
        "dtype": str(array.dtype),
        "samples": [float(flat[place]) for place in places],
        "rms": float(np.sqrt(np.mean(numbers * numbers))),
    }


def _result(result: Any) -> dict[str, Any]:
    items = result.to_dict()
    return {
        "count": len(items),
        "labels": [item.get("label", "person") for item in items[:5]],
        "scores": [item.get("score") for item in items[:5]],
        "sha256": _sha256(json.dumps(items).encode()),
    }


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def _measured(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    pins = {}
    for name, weights in pairs:
        _say(f"outputs of {name}/{weights}")
        pins[f"{name}/{weights}"] = output_pins(name, weights)
    return pins


def seeded_models() -> list[str]:
    """Return the smallest model of each builder that no package has weights for.

    The graphs of the other models are pinned; their operations are those of a pinned model.
    Networks that keep the best queries are left out: another CPU may choose others.
    """
    from furiosa_models import get_model, list_models
    from furiosa_models.heads.queries import QueryHead

    models = {name: get_model(name, weights=SEED_SETS) for name in list_models()}
    builders = {name: model.network.name for name, model in models.items() if model.network}
    published = {builders[name] for name, _ in package_sets()}
    rest = [
        name
        for name, model in models.items()
        if builders.get(name, "") not in {"", *published} and not isinstance(model.head, QueryHead)
    ]
    smallest: dict[str, str] = {}
    for name in sorted(rest, key=lambda name: len(models[name].origin)):
        smallest.setdefault(builders[name], name)
    return sorted(smallest.values())


def main() -> None:
    """Write the values of this checkout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", action="store_true", help="the packages' sets, too")
    arguments = parser.parse_args()
    from furiosa_models import list_models

    old = json.loads(PATH.read_text())
    pins = {**old, "recipes": recipes()}
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("FURIOSA_MODELS_CACHE_HOME", folder)
        pins["environment"] = environment()
        pins["graphs"] = {name: graph_pin(name) for name in list_models()}
        pins["start_up"] = {name: loaded_packages(name) for name in START_UP}
        pins["seeded"] = _measured((name, SEED_SETS) for name in seeded_models())
        if arguments.network:
            pins["packages"] = _measured(package_sets())
    if names := unraised(old, pins):
        _say(f"nothing is written: raise the recipe number of {', '.join(sorted(names))}")
        sys.exit(1)
    PATH.write_text(json.dumps(pins, indent=1) + "\n")


if __name__ == "__main__":
    main()
