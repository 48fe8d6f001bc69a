r"""Calibrate a model on photos, and write furiosa_models/quantization/ranges/MODEL-SET.yaml.

    python artifacts/calibrate.py SSDMobileNetV2 --images ../photos
    python artifacts/calibrate.py YOLOv5s --images ../photos --method PERCENTILE_ASYM \
        --percentage 99.999 --float '^/?model\.([012]|9|13)[./]'

The photos are preprocessed by the model and run through its uint8 program. The file contains the
ranges, and the channel means of the convolutions' inputs, with which `quantize` corrects biases. Do
not use photos on which accuracy is measured.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import onnx
import yaml

from furiosa_models.catalog import get_model
from furiosa_models.quantization import CalibrationMethod, Calibrator
from furiosa_models.quantization.calibrated import DIGEST_LENGTH
from furiosa_models.vision.tasks import ImageModel

RANGES = Path(__file__).parents[1] / "furiosa_models" / "quantization" / "ranges"
SUFFIXES = {".jpeg", ".jpg", ".png"}
DIGITS = 3


def main() -> None:
    """Calibrate one model, and write its calibration file."""
    options = parse_arguments()
    paths = sorted(path for path in options.images.iterdir() if path.suffix.lower() in SUFFIXES)
    with get_model(options.model, weights=options.weights) as model:
        program = model.model_source(precision="fp32")
        calibrator = Calibrator(program, options.method, percentage=options.percentage)
        inputs = [[model.preprocess([path])[0]] for path in paths[: options.count]]
        calibrator.collect_data(inputs)
        name = f"{type(model).__name__}-{name_of(model)}"
    nodes = onnx.load_from_string(program).graph.node
    means = calibrator.compute_channel_means()
    used = sorted({node.input[0] for node in nodes if node.op_type == "Conv"} & means.keys())
    write(
        RANGES / f"{name}.yaml",
        {
            "method": method_of(options),
            "photos": len(inputs),
            "float": [n.name for n in nodes if options.float and options.float.search(n.name)],
            "ranges": rounded(calibrator.compute_range(), DIGITS + 2),
            "means": rounded({tensor: means[tensor] for tensor in used}, DIGITS),
        },
    )


def name_of(model: ImageModel[Any]) -> str:
    """Return the name of the model's set of weights, or the first digits of its file's sha256."""
    if model.weights in type(model).available_weights():
        return model.weights
    return model._weights.resolve().digest[:DIGEST_LENGTH]


def method_of(options: argparse.Namespace) -> str:
    """Return a description of the method that chose the ranges."""
    method: CalibrationMethod = options.method
    percentage = f" {options.percentage}" if method.kind == "PERCENTILE" else ""
    return method.name + percentage


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", help="name of a model")
    parser.add_argument(
        "--weights", help="set of weights or ONNX file (default: the model's default set)"
    )
    parser.add_argument("--images", type=Path, required=True, help="folder of photos")
    parser.add_argument("--count", type=int, default=50, help="number of photos (50)")
    parser.add_argument("--method", type=CalibrationMethod.__getitem__, default="ENTROPY_ASYM")
    parser.add_argument(
        "--float", type=re.compile, help="pattern of the names of nodes that stay float"
    )
    parser.add_argument("--percentage", type=float, default=99.99, help="for PERCENTILE (99.99)")
    return parser.parse_args()


def rounded(numbers: Mapping[str, Iterable[float]], digits: int) -> dict[str, list[float]]:
    """Round values to some significant digits, and sort them by name."""
    return {
        name: [float(f"{value:.{digits}g}") for value in numbers[name]] for name in sorted(numbers)
    }


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Write a calibration file."""
    text = yaml.safe_dump(document, default_flow_style=None, width=1000, sort_keys=False)
    path.write_text("# Made by artifacts/calibrate.py.\n" + text)
    print(f"{path}: {len(document['ranges'])} tensors, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
