"""Calibrate a model on photos: make furiosa_models/quantization/ranges/MODEL-SET.yaml.

    python artifacts/calibrate.py SSDMobileNetV2 --images ../photos

The photos go through the model's own `preprocess` and its uint8 program. Beside the ranges come
the means of the convolutions' inputs, by channel, with which `quantize` corrects biases. Take
photos that no accuracy is measured on.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import onnx
import yaml

from furiosa_models.catalog import get_model
from furiosa_models.quantization import CalibrationMethod, Calibrator

RANGES = Path(__file__).parents[1] / "furiosa_models" / "quantization" / "ranges"
SUFFIXES = {".jpeg", ".jpg", ".png"}
DIGITS = 3


def main() -> None:
    """Calibrate one model and write its two files."""
    options = parse_arguments()
    paths = sorted(path for path in options.images.iterdir() if path.suffix.lower() in SUFFIXES)
    with get_model(options.model, weights=options.weights) as model:
        program = model.model_source(precision="fp32")
        calibrator = Calibrator(program, options.method, percentage=options.percentage)
        inputs = [[model.preprocess([path])[0]] for path in paths[: options.count]]
        calibrator.collect_data(inputs)
        stem = f"{type(model).__name__}-{model.weights}"
    method = options.method.name + (
        f" {options.percentage}" if options.method.kind == "PERCENTILE" else ""
    )
    head = f"# Made by artifacts/calibrate.py from {len(inputs)} photos; {method}.\n"
    ranges = {name: list(pair) for name, pair in calibrator.compute_range().items()}
    write(RANGES / f"{stem}.yaml", head, ranges, DIGITS + 2)
    means = calibrator.compute_channel_means()
    used = {name: means[name] for name in convolution_inputs(program) if name in means}
    write(RANGES / f"{stem}.means.yaml", head, used, DIGITS)


def parse_arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", help="name of a model")
    parser.add_argument("--weights", help="a set of weights; the default one by default")
    parser.add_argument("--images", type=Path, required=True, help="folder of photos")
    parser.add_argument("--count", type=int, default=50, help="how many of them (50)")
    parser.add_argument("--method", type=CalibrationMethod.__getitem__, default="ENTROPY_ASYM")
    parser.add_argument("--percentage", type=float, default=99.99, help="for PERCENTILE (99.99)")
    return parser.parse_args()


def convolution_inputs(program: bytes) -> list[str]:
    """Names of the tensors that convolutions take."""
    nodes = onnx.load_from_string(program).graph.node
    return sorted({node.input[0] for node in nodes if node.op_type == "Conv"})


def write(path: Path, head: str, numbers: Mapping[str, Iterable[float]], digits: int) -> None:
    """Write lists of numbers by name, with few digits: they are estimates."""
    rounded: dict[str, Any] = {
        name: [float(f"{value:.{digits}g}") for value in values] for name, values in numbers.items()
    }
    path.parent.mkdir(exist_ok=True)
    text = yaml.safe_dump(rounded, default_flow_style=None, width=1000, sort_keys=True)
    path.write_text(head + text)
    print(f"{path}: {len(rounded)} tensors, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
