"""Detection from photo file to boxes, compared with other complete detection libraries.

All contenders run the same trained YOLO11n from an ONNX file, at 640 x 640 pixels. rtmlib does not
support YOLO11, so its file has additional layers: they convert YOLOX's input to that of YOLO11, and
the boxes to the output format of YOLOX. The overhead of a contender is its time minus the time of
the network alone: a plain session of the same engine with the same file.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
import onnx
import photos
from common import (
    ROOT,
    Contender,
    Goal,
    Row,
    Samples,
    Table,
    Worker,
    interleave,
    run,
    samples_of,
    serve,
    timed,
)
from onnx import helper, numpy_helper

SIZE = 640
FOLDER = ROOT / "build" / "bench-data" / "yolo11n"
BARE_ORT, BARE_OV = "ONNX Runtime alone", "OpenVINO alone"
BARE_OURS, BARE_OURS_OV = "our runner alone", "our runner alone, OpenVINO"
BARE_ORT_X, BARE_OV_X = "ONNX Runtime alone, YOLOX form", "OpenVINO alone, YOLOX form"
ORT, OV = "by ONNX Runtime", "by OpenVINO"
CONTENDERS = (
    Contender("ours", "ours", ORT, "`Detector(file).predict(photo)`"),
    Contender("ultralytics", "peer", ORT, "`YOLO(file).predict(photo)`"),
    Contender("rtmlib", "peer", ORT, "`YOLOX(file)(cv2.imread(photo))`"),
    Contender("ours, OpenVINO", "ours", OV, '`predict(photo, device="openvino")`'),
    Contender(
        "ultralytics, OpenVINO", "peer", OV, "the same network, converted to OpenVINO's format"
    ),
    Contender("Model API", "peer", OV, "`YOLO11` of openvino-model-api, with `cv2.imread`"),
    Contender("rtmlib, OpenVINO", "peer", OV),
    Contender(
        BARE_OURS, "baseline", ORT, "`create_runner(file)`, with an input that is already scaled"
    ),
    Contender(BARE_OURS_OV, "baseline", OV),
    Contender(BARE_ORT, "baseline", ORT, "`InferenceSession(file)` with default options"),
    Contender(BARE_OV, "baseline", OV),
    Contender(BARE_ORT_X, "baseline", ORT),
    Contender(BARE_OV_X, "baseline", OV),
)
BARE = {
    "ours": BARE_OURS,
    "ultralytics": BARE_ORT,
    "rtmlib": BARE_ORT_X,
    "ours, OpenVINO": BARE_OURS_OV,
    "ultralytics, OpenVINO": BARE_OV,
    "Model API": BARE_OV,
    "rtmlib, OpenVINO": BARE_OV_X,
}
"""Name of the baseline (the network alone) of each contender."""

PAUSE_S = 0.02
ZOO_GOALS = {"SSDMobileNet": (1.12, 1.4), "EfficientNetB0": (1.21, 1.9), "ResNet50": (1.04, 1.16)}
"""Maximum time of a prediction relative to the network alone, for VGA and FHD photos."""


# --- The network --------------------------------------------------------------------------------


def networks() -> tuple[str, str]:
    """Return the paths of the network and of its version in the format of YOLOX."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    plain, yolox = FOLDER / "yolo11n.onnx", FOLDER / "yolo11n_as_yolox.onnx"
    if not plain.exists():
        model = fixed(onnx.load(photos.detector()))
        onnx.save(model, plain)
        onnx.save(as_yolox(model), yolox)
    return str(plain), str(yolox)


def fixed(model: Any) -> Any:
    """Fix the dynamic input size, so that all contenders run at the same size; modify the model."""
    graph = model.graph
    for value, shape in ((graph.input[0], (1, 3, SIZE, SIZE)), (graph.output[0], (1, 84, 8400))):
        for dimension, size in zip(value.type.tensor_type.shape.dim, shape, strict=True):
            dimension.dim_value = size
    for entry in model.metadata_props:
        if entry.key == "args":
            entry.value = repr({**ast.literal_eval(entry.value), "dynamic": False})
    del graph.value_info[:]
    return model


def as_yolox(model: Any) -> Any:
    """Return a copy of the network with the input (BGR, 0..255) and the raw output of YOLOX."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    grids, strides = [], []
    for stride in (8, 16, 32):
        side = SIZE // stride
        rows, columns = np.mgrid[:side, :side]
        grids.append(np.stack((columns, rows), 2).reshape(-1, 2))
        strides.append(np.full((side * side, 1), stride))
    constants = {
        "x_grid": np.concatenate(grids)[None].astype(np.float32),
        "x_stride": np.concatenate(strides)[None].astype(np.float32),
        "x_one": np.ones((1, 8400, 1), np.float32),
        "x_most": np.array(255, np.float32),
        "x_bgr": np.array([2, 1, 0]),
        "x_0": np.array([0]), "x_2": np.array([2]), "x_4": np.array([4]), "x_84": np.array([84]),
    }  # fmt: skip
    graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in constants.items())
    image, output = graph.input[0].name, graph.output[0].name
    for node in graph.node:
        node.input[:] = ["x_input" if name == image else name for name in node.input]
    node = helper.make_node
    before = [
        node("Gather", [image, "x_bgr"], ["x_rgb"], axis=1),
        node("Div", ["x_rgb", "x_most"], ["x_input"]),
    ]
    after = [
        node("Transpose", [output], ["x_rows"], perm=[0, 2, 1]),
        node("Slice", ["x_rows", "x_0", "x_2", "x_2"], ["x_xy"]),
        node("Slice", ["x_rows", "x_2", "x_4", "x_2"], ["x_wh"]),
        node("Slice", ["x_rows", "x_4", "x_84", "x_2"], ["x_scores"]),
        node("Div", ["x_xy", "x_stride"], ["x_cells"]),
        node("Sub", ["x_cells", "x_grid"], ["x_raw_xy"]),
        node("Div", ["x_wh", "x_stride"], ["x_sides"]),
        node("Log", ["x_sides"], ["x_raw_wh"]),
        node("Concat", ["x_raw_xy", "x_raw_wh", "x_one", "x_scores"], ["yolox"], axis=2),
    ]
    nodes = [*before, *graph.node, *after]
    del graph.node[:], graph.output[:]
    graph.node.extend(nodes)
    graph.output.append(helper.make_tensor_value_info("yolox", 1, (1, 8400, 85)))
    return changed


# --- Contenders ---------------------------------------------------------------------------------


def contend(name: str) -> None:
    """Load a contender, report the number of detections in each group, and serve turns."""
    if "OpenVINO" in name or name == "Model API":
        in_float32()
    predict = LOADERS[name](name)
    groups = {group: photos.group(group) for group in photos.GROUPS}
    found = {group: sum(map(predict, paths)) for group, paths in groups.items()}
    turns = {
        group: timed(partial(_each, predict, paths), items=len(paths))
        for group, paths in groups.items()
    }
    serve(lambda group: turns[group](), found)


def _each(predict: Callable[[str], int], paths: Sequence[str]) -> None:
    for path in paths:
        predict(path)


def in_float32() -> None:
    """Make OpenVINO compute in float32; peers use its default, which is bfloat16 on some CPUs."""
    import openvino

    class Float32Core(openvino.Core):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.set_property("CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    openvino.Core = Float32Core


def ours(name: str) -> Callable[[str], int]:
    """Return a function that returns the number of our detections in a photo."""
    from furiosa_models import Detector

    device = "openvino" if name.endswith("OpenVINO") else "cpu"
    model = Detector(networks()[0])
    return lambda path: len(model.predict(path, device=device))


def ultralytics(name: str) -> Callable[[str], int]:
    """Return the same function for Ultralytics, with our thresholds."""
    from ultralytics import YOLO
    from ultralytics.utils import YAML

    file = networks()[0]
    if name.endswith("OpenVINO"):
        import openvino

        folder = FOLDER / "yolo11n_openvino_model"
        if not folder.exists():
            folder.mkdir()
            openvino.save_model(openvino.convert_model(file), folder / "yolo11n.xml", False)
            facts = {p.key: p.value for p in onnx.load(file).metadata_props}
            for key in ("imgsz", "names", "args"):
                facts[key] = ast.literal_eval(facts[key])
            facts |= {key: int(facts[key]) for key in ("stride", "batch", "channels")}
            YAML.save(folder / "metadata.yaml", facts)
        file = str(folder)
    model = YOLO(file, task="detect")
    options = {"verbose": False, "conf": 0.25, "iou": 0.45, "imgsz": SIZE, "device": "cpu"}
    return lambda path: len(model.predict(path, **options)[0].boxes)


def model_api(name: str) -> Callable[[str], int]:
    """Return the same function for OpenVINO's Model API."""
    import cv2
    from model_api.models import Model

    del name
    configuration = {"confidence_threshold": 0.25, "iou_threshold": 0.45}
    model = Model.create_model(
        networks()[0],
        model_type="YOLO11",
        configuration=configuration,
        preload=True,
        device="CPU",
        max_num_requests=1,
    )
    return lambda path: len(model(cv2.imread(path)).scores)


def rtmlib(name: str) -> Callable[[str], int]:
    """Return the same function for rtmlib."""
    import cv2
    from rtmlib import YOLOX

    backend = "openvino" if name.endswith("OpenVINO") else "onnxruntime"
    options = {"det_mode": "multiclass", "score_thr": 0.25, "nms_thr": 0.45, "backend": backend}
    model = YOLOX(networks()[1], (SIZE, SIZE), **options)
    return lambda path: len(model(cv2.imread(path))[0])


def bare(name: str) -> Callable[[str], int]:
    """Return a function that only runs the network, on random input instead of the photo."""
    file = networks()[name in (BARE_ORT_X, BARE_OV_X)]
    image = np.random.default_rng(0).random((1, 3, SIZE, SIZE), np.float32)
    if name in (BARE_OURS, BARE_OURS_OV):
        from furiosa_models.runtime.sync import create_runner

        runner = create_runner(file, device="cpu" if name == BARE_OURS else "openvino")
        return lambda path: len(runner.run(image)) * bool(path)
    if name in (BARE_ORT, BARE_ORT_X):
        import onnxruntime

        session = onnxruntime.InferenceSession(file)
        feed = {session.get_inputs()[0].name: image}
        return lambda path: len(session.run(None, feed)) * bool(path)
    import openvino

    hints = {"PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(file, "CPU", hints).create_infer_request()
    return lambda path: len(request.infer([image])) * bool(path)


LOADERS: Mapping[str, Callable[[str], Callable[[str], int]]] = {
    "ours": ours,
    "ours, OpenVINO": ours,
    "ultralytics": ultralytics,
    "ultralytics, OpenVINO": ultralytics,
    "Model API": model_api,
    "rtmlib": rtmlib,
    "rtmlib, OpenVINO": rtmlib,
    **dict.fromkeys(sorted(set(BARE.values())), bare),
}


def race() -> Iterator[tuple[str, Samples]]:
    """Measure all contenders on each group of photos; yield the group and its samples."""
    networks()
    with ExitStack() as stack:
        workers = {name: stack.enter_context(Worker("contend", name)) for name in LOADERS}
        for group in photos.GROUPS:
            found = {name: workers[name].facts[group] for name in BARE}
            print(f"{group}: detections {found}", flush=True)
            turns = {name: partial(worker, group) for name, worker in workers.items()}
            yield group, interleave(turns, seconds=1.2, least_rounds=7, pause=PAUSE_S)


# --- The zoo's own networks ---------------------------------------------------------------------


def zoo(name: str, place: int) -> Row:
    """Measure a prediction and its network alone on one thread, for a model of the zoo.

    Args:
        name: Class name of the model.
        place: 0 for VGA photos, 1 for FHD photos.
    """
    from furiosa_models import get_model

    paths = photos.group(("VGA", "FHD")[place])
    options: dict[str, Any] = {"score_threshold": 0.9} if name.startswith("SSD") else {}
    with get_model(name, weights="random") as model:
        runner = one_thread(model)
        tensor, _ = model.preprocess(paths[0])

        def whole() -> None:
            for path in paths:
                inputs, contexts = model.preprocess(path)
                model.postprocess(runner.run(inputs), contexts, **options)

        turns = {
            "network alone": timed(lambda: runner.run(tensor)),
            "ours": timed(whole, items=len(paths)),
        }
        samples = interleave(turns, seconds=1.5)
        runner.close()
    factor = ZOO_GOALS[name][place]
    goal = Goal("ours stays within the share of the network alone that was aimed at", "ours",
                "network alone", factor)  # fmt: skip
    return Row(f"{name}, {('VGA', 'FHD')[place]} (goal x{factor:g})", samples, [goal])


def one_thread(model: Any) -> Any:
    """Return a runner with one thread."""
    from furiosa_models.runtime.sync import create_runner

    return create_runner(model, device="cpu", worker_num=1)


def measure() -> Iterator[Table]:
    """Measure predictions, their overhead over the network, and models of the zoo."""
    totals, own = [], []
    for group, samples in race():
        rounds = [
            {name: values[i] for name, values in samples.items()}
            for i in range(len(samples["ours"]))
        ]
        over = samples_of(
            {name: figures[name] - figures[alone] for name, alone in BARE.items()}
            for figures in rounds
        )
        totals.append(Row(group, samples))
        goals = [
            Goal(
                f"ours takes at most half of what {peer} takes beyond the network", ours, peer, 0.5
            )
            for ours, peers in (
                ("ours", ("ultralytics", "rtmlib")),
                ("ours, OpenVINO", ("ultralytics, OpenVINO", "Model API", "rtmlib, OpenVINO")),
            )
            for peer in peers
        ]
        own.append(Row(group, over, goals))
    text = (
        "Time per photo from a JPEG file to boxes, on all CPUs, compared with other complete "
        "detection libraries. All run the same trained YOLO11n at 640 x 640 pixels in float32, "
        "each in a separate process, with the same thresholds. (rtmlib does not support YOLO11: "
        "its file has a few additional layers, which convert the boxes to the format of YOLOX.)"
    )
    yield Table("end_to_end", "Photo to boxes", text, CONTENDERS, totals)
    yield Table(
        "end_to_end_own",
        "Photo to boxes, without the network",
        "The same times minus the time of the network alone, round by round: of a plain session "
        "of the same engine with the same file, or of our runner for ours.",
        [contender for contender in CONTENDERS if contender.kind != "baseline"],
        own,
    )
    yield Table(
        "end_to_end_zoo",
        "Predictions and their networks",
        "Time from a JPEG file to results with models of the zoo (random weights), on one thread, "
        "compared with the network alone. The goals are ratios that implementations with Pillow, "
        "numpy and C reached elsewhere.",
        (Contender("network alone", "baseline"), Contender("ours", "ours")),
        [zoo(name, place) for name in ZOO_GOALS for place in (0, 1)],
    )


if __name__ == "__main__":
    run(measure, {"contend": contend})
