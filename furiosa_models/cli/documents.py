"""What commands print with `--json`: one type for each document.

Only `furiosa-models schema` and the tests import this module; commands name its types for the type
checker. Sizes are in bytes, durations in the unit that the name ends in, boxes and sizes of images
in pixels, scores and accuracies between 0 and 1.
"""

from __future__ import annotations

from typing import Any

# Types for pydantic must be those of typing_extensions on Python older than 3.12.
from typing_extensions import NotRequired, TypedDict

from ..hub.records import DatasetPreview, ModelPreview, RemoteModelInfo

__all__ = ["DOCUMENTS", "Failed"]


class Failure(TypedDict):
    """An error."""

    type: str
    message: str


class Failed(TypedDict):
    """What every command prints with `--json` when it fails as a whole."""

    error: Failure


class ListedModel(TypedDict):
    """A model of `list`."""

    model: str
    task: str
    description: str
    postprocessors: list[str]
    weights: list[str]


class Figure(TypedDict):
    """A published or measured accuracy."""

    metric: str
    value: float
    dataset: str
    measured_by: str


class ScaledInput(TypedDict):
    """How photos enter a network: value = (pixel - mean) / std, for each channel."""

    height: int
    width: int
    resize: str
    mean: list[float]
    std: list[float]
    color: str


class WeightsSet(TypedDict):
    """A set of weights of `desc`."""

    weights: str
    labels: str
    accuracy: list[Figure]
    size: int
    license: str
    terms: str
    cached: bool


class Described(TypedDict):
    """The document of `desc`; `metadata` is that of the model's publication."""

    model: str
    name: str
    task_type: str
    format: str
    family: str
    version: str
    metadata: NotRequired[dict[str, Any]]
    tags: NotRequired[dict[str, str]]
    input: ScaledInput
    classes: int
    postprocessors: list[str]
    weights: list[WeightsSet]


class UnreadPhoto(TypedDict):
    """A photo that could not be read, and why."""

    image: str
    error: str


class PhotoResults(TypedDict):
    """Results of a photo, or of a frame of a video at a time in seconds.

    The task decides what an item of `results` has: a classifier's has `label`, `index` and `score`;
    a detector's also `box`, [left, top, right, bottom]; a pose has `score`, `box` and `keypoints`,
    {name: {x, y, confidence}}. A class of a map, and a matte, have `label`, `index`, `area` in
    pixels, `fraction` of the photo, `box`, and `mask`, COCO's run lengths, {size, counts}; an
    instance has what a detector's item has, and `area` and `mask`. With `--track`, an item has
    `track_id`; -1 if it has no track.
    """

    image: str
    image_size: list[int] | None
    time: NotRequired[float | None]
    results: list[dict[str, Any]]
    files: list[str]


class Timing(TypedDict):
    """Time that `predict` took."""

    load_s: float
    predict_s: float
    photos_per_second: float


class Predicted(TypedDict):
    """The document of `predict`."""

    model: str
    weights: str
    precision: str
    photos: list[PhotoResults]
    errors: list[UnreadPhoto]
    timing: Timing


class Verified(TypedDict):
    """The document of `verify`: value of each metric, by precision; and what is known."""

    model: str
    weights: str
    photos: int
    figures: dict[str, dict[str, float]]
    published: list[Figure]
    in_the_catalog: list[Figure]


class DataProblem(TypedDict):
    """A problem of a data set; `severity` is error or warning."""

    severity: str
    message: str
    examples: list[str]


class CheckedData(TypedDict):
    """The document of `check-data`: photos by part, labels by part and class, and problems."""

    photos: dict[str, int]
    counts: dict[str, dict[str, int]]
    problems: list[DataProblem]


class Latency(TypedDict):
    """Latencies in milliseconds."""

    mean: float
    p50: float
    p90: float
    p99: float
    max: float


class Section(TypedDict):
    """A section of furiosa-models 0.10: total, photos per second, and average."""

    total_s: float
    qps: float
    average_s: float


class Benched(TypedDict):
    """The document of `bench`: latency by stage, and throughput."""

    model: str
    weights: str
    backend: str
    photos: int
    load_ms: float
    first_ms: float
    latency_ms: dict[str, Latency]
    sections: dict[str, Section]
    streamed_photos_per_second: float
    peak_memory_bytes: int | None
    precision: str


class TunedSetting(TypedDict):
    """How a program runs; `threads` are those of an inference."""

    backend: str
    device: str
    threads: int


class TunedTime(TunedSetting):
    """The time of a setting; `use` is "one" inference at a time, or a "stream" of them."""

    use: str
    median_ms: float
    low_ms: float
    high_ms: float
    rounds: int
    difference: float


class Tuned(TypedDict):
    """The document of `tune`; `gain` is how many times as fast the best setting is as the usual."""

    model: str
    weights: str
    precision: str
    program: str
    usual: dict[str, TunedSetting]
    best: dict[str, TunedSetting]
    gain: dict[str, float]
    measured: list[TunedTime]
    left_out: dict[str, str]
    path: str


class FitTrial(TypedDict):
    """A quantized model that was evaluated, with the units that it leaves float."""

    floats: list[str]
    accuracy: float
    loss: float
    met: bool
    size: int
    seconds: float


class FitLayer(TypedDict):
    """A unit of the network; `signal_to_noise` is in decibels."""

    name: str
    kind: str
    signal_to_noise: float | None
    share: float | None
    is_float: bool
    weight_bytes: int


class Fit(TypedDict):
    """How an int8 program was found; latencies are in milliseconds."""

    met: bool | None
    accuracy: float | None
    float_accuracy: float | None
    size: int
    float_size: int
    latency: float | None
    float_latency: float | None
    seconds: float
    trials: list[FitTrial]
    layers: list[FitLayer]


class Quantized(TypedDict):
    """The document of `quantize`; accuracy by metric, if there were labels."""

    model: str
    folder: str
    photos: int
    size_before: int
    size_after: int
    accuracy_before: dict[str, float] | None
    accuracy_after: dict[str, float] | None
    fitted: Fit | None


class Exported(TypedDict):
    """The document of `export`; `input` is [height, width]."""

    model: str
    file: str
    bytes: int
    runtime: str
    input: list[int]


class Tensor(TypedDict):
    """An input or output of a network; a size is a number, a name, or null if it is unknown."""

    name: str
    dtype: str
    shape: list[int | str | None]


class PhotoInput(TypedDict):
    """How photos enter a network."""

    height: int
    width: int
    resize: str
    color: str


class Informed(TypedDict):
    """The document of `info`: what is known of a file or folder."""

    path: str
    bytes: int
    name: NotRequired[str]
    model_family: NotRequired[str]
    task: NotRequired[str]
    description: NotRequired[str]
    val_metrics: NotRequired[dict[str, Any]]
    status: NotRequired[str]
    updated_at: NotRequired[str]
    license: NotRequired[str]
    format: NotRequired[str]
    parameters: NotRequired[int]
    gflops: NotRequired[float]
    inputs: NotRequired[list[Tensor] | list[str] | None]
    outputs: NotRequired[list[Tensor] | list[str] | None]
    model: NotRequired[str]
    head: NotRequired[str]
    input: NotRequired[PhotoInput]
    labels: NotRequired[list[str]]
    framework: NotRequired[str]
    arrays: NotRequired[list[Tensor]]
    problem: NotRequired[str]


class Converted(TypedDict):
    """The document of `convert`."""

    source: str
    framework: str
    form: str
    onnx: str
    inputs: list[Tensor]
    outputs: list[Tensor]


class FittedHead(TypedDict):
    """The document of `fit-head`; rows of `confusion` are the true classes."""

    folder: str
    classes: list[str]
    photos: int
    accuracy: float
    class_accuracy: dict[str, float | None]
    majority: float
    confusion: list[list[int]]
    penalty: float
    is_validated: bool
    seconds: float


class Trained(TypedDict):
    """The document of `train`; `figures` are those of the best iteration, by metric."""

    folder: str
    iterations: int
    best_iteration: int
    stopped: str | None
    seconds: float
    photos_per_second: float
    figures: dict[str, float]


class Pushed(TypedDict):
    """The document of `push`."""

    ref: str
    version: str | None


class Pulled(TypedDict):
    """The document of `pull`."""

    ref: str
    folder: str


class CachedFile(TypedDict):
    """A file of the cache."""

    name: str
    algorithm: str
    digest: str
    size: int


class CachedProgram(TypedDict):
    """A compiled program of the cache."""

    of: str
    made_by: str
    size: int


class Cached(TypedDict):
    """The document of `cache ls`."""

    files: list[CachedFile]
    compiled: list[CachedProgram]


class Finding(TypedDict):
    """A finding of `doctor`; `is_fine` is null where nothing is expected."""

    topic: str
    finding: str
    is_fine: bool | None
    advice: str


DOCUMENTS: dict[str, Any] = {
    "list": list[ListedModel],
    "desc": Described,
    "predict": Predicted,
    "verify": Verified,
    "check-data": CheckedData,
    "bench": Benched,
    "tune": Tuned,
    "quantize": Quantized,
    "export": Exported,
    "info": Informed,
    "convert": Converted,
    "fit-head": FittedHead,
    "train": Trained,
    "push": Pushed,
    "pull": Pulled,
    "hub models": list[ModelPreview],
    "hub datasets": list[DatasetPreview],
    "hub info": RemoteModelInfo,
    "cache ls": Cached,
    "doctor": list[Finding],
}
"""Type of the document that each command prints."""
