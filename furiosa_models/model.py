"""The `Model` class: weights, programs, and prediction from photos to results."""

from __future__ import annotations

import itertools
import json
import logging
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    Literal,
    TypeAlias,
    TypeVar,
    overload,
)

import numpy as np
import numpy.typing as npt

from .artifacts.descriptor import ModelEntry, zoo
from .artifacts.store import Built
from .enums import Format, ModelTaskType, Platform, Precision, RuntimeType, Task
from .errors import (
    BackendUnavailable,
    ConfigurationError,
    ConversionError,
    FuriosaModelsError,
    ShapeError,
)
from .images.pipeline import (
    OnError,
    Steps,
    check_on_error,
    in_threads,
    one_by_one,
    pipelined,
)
from .images.preprocess import normalize, prepare
from .images.read import Background, Color, DecodedImage, ImageSource, read_image
from .images.sources import check_finite, count, expand_sources, is_single, is_static
from .labels import given_names, table_of
from .ops.checks import check_at_least, check_choice, check_unit
from .processors import (
    PostProcessor,
    PreProcessor,
    postprocessor_class,
    postprocessor_of,
    preprocessor_of,
    takes,
    takes_one_context,
)
from .programs import FilePrograms, Programs, dequantize, feed, run_in_batches
from .progress import Bar, progress_bar
from .runtime.devices import makes_npu_programs
from .runtime.source import ScaledSource
from .runtime.sync import Runner, create_runner
from .spec import (
    GraphFacts,
    Head,
    ImageContext,
    ImageInput,
    Metadata,
    ModelRecord,
    ModelSpec,
    ModelTensor,
    NetworkSpec,
    Tags,
    as_context,
)
from .tasks.base import VisionTask
from .weights import Weights, WeightSet, WeightsSource, is_available_offline

if TYPE_CHECKING:
    from typing_extensions import Self, TypedDict

    from .artifacts.descriptor import Artifact
    from .data.records import LabeledPhotos
    from .evaluation import Evaluation
    from .focoos import LatencyMetrics
    from .model_info import ModelInfo
    from .quantization.post_training import Quantization
    from .runtime.tune import Tuning
    from .saved import SavedParts
    from .tiles import Tiles, Tiling
    from .tracking.streams import Tracking
    from .tracking.tracker import Tracker
    from .training.args import TrainerArgs
    from .training.fit_head import FittedHead
    from .training.trainer import Trained

    class PredictOptions(TypedDict, total=False):
        """Options of `predict` that every task has; `Model.predict` explains them."""

        batch_size: int
        device: str | None
        precision: Precision
        color: Color
        draft: bool
        background: Background | None
        on_error: OnError
        progress: bool | None
        track: bool | str | Tracker
        tiles: Tiles | None
        overlap: float | None


__all__ = ["InferModel", "Model", "Outputs", "Photos", "built_in"]

logger = logging.getLogger(__name__)

_ZOO = "furiosa_models.zoo."
_MAX_EMBEDDED = 4
"""Number of sessions of an embedded graph, one for each combination of options."""

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    R = TypeVarWithDefault("R", default=Any)
else:
    R = TypeVar("R")
Function = TypeVar("Function", bound=Callable[..., Any])
Tensor: TypeAlias = npt.NDArray[Any]
Photos: TypeAlias = "ImageSource | Iterable[ImageSource] | int"
Outputs: TypeAlias = "npt.NDArray[Any] | Sequence[npt.NDArray[Any]]"


def built_in(function: Function) -> Function:
    """Mark a `preprocess` or `postprocess` of this package; any other one is a user's override."""
    function._built_in = True  # type: ignore[attr-defined]
    return function


_FIELDS = MappingProxyType(
    {
        "name": "name of the model",
        "task_type": "its task",
        "format": "format of origin",
        "family": "family of networks",
        "version": "version of the model",
        "metadata": "description and publication",
        "tags": "tags",
        "preprocessor": "`preprocess` as an object",
        "postprocessor": "`postprocess` as an object",
    }
)
_COMPUTED_FIELDS = MappingProxyType(
    {
        "origin": "the network as float32 ONNX",
        "tensor_name_to_range": "calibrated range of each tensor of origin",
    }
)


class _PostprocessorMap:
    """Descriptor of the attribute `postprocessor_map` of classes and instances."""

    def __get__(
        self, model: object, owner: type[Model[Any]]
    ) -> dict[Platform, type[PostProcessor]]:
        platforms = sorted(owner.platforms, key=lambda platform: platform.name)
        cls: Any = owner
        return {platform: postprocessor_class(cls, platform) for platform in platforms}


class _FromCatalog:
    """A class attribute whose value is in the catalog, unless a subclass overrides it.

    Args:
        field: Field of `ModelEntry`.
        default: Returns the value for a class without a catalog entry.
    """

    def __init__(self, field: str, default: Callable[[type[Model[Any]]], Any]) -> None:
        self._field = field
        self._default = default

    def __get__(self, model: object, owner: type[Model[Any]]) -> Any:
        entry = owner._entry()
        return self._default(owner) if entry is None else getattr(entry, self._field)


class Model(Generic[R]):
    """Base class of all models.

    A zoo class defines `spec`. The constructor does no I/O: artifacts are downloaded on first use,
    and cached. A subclass may override `preprocess` and `postprocess`; `predict`, streams,
    `evaluate`, `benchmark` and the server call the overrides.

    Attributes:
        spec: Network, input, head and labels.
        default_weights: Weights for `weights=None`; None means the first available set of the
            catalog.
        name: Name of the model.
        family: Family of networks.
        version: Version of the model.
        metadata: Description and publication.
        tags: Tags.
        quantization: Report of `quantize`, for models that it returned.
        fitted_head: Report of `fit_head`, for models that it returned.
        platforms: Supported implementations of pre- and postprocessing.
        postprocessor_map: Postprocessor class of each platform, as in 0.10.
        compiler_config: Options of the NPU compiler, as in 0.8; none are needed.
        model_fields: Names and descriptions of the fields that need no download, as in 0.10.
        model_computed_fields: Names and descriptions of the fields that are downloaded on access.
    """

    spec: ClassVar[ModelSpec | None] = None
    default_weights: ClassVar[WeightsSource] = None

    name: ClassVar[str] = _FromCatalog("name", lambda cls: cls.__name__)  # type: ignore[assignment]
    family: ClassVar[str | None] = _FromCatalog("family", lambda _: None)  # type: ignore[assignment]
    version: ClassVar[str | None] = _FromCatalog("version", lambda _: None)  # type: ignore[assignment]
    metadata: ClassVar[Metadata | None] = _FromCatalog("metadata", lambda cls: cls._described())  # type: ignore[assignment]
    tags: ClassVar[Tags | None] = None
    quantization: Quantization | None = None
    fitted_head: FittedHead | None = None
    platforms: ClassVar[tuple[Platform, ...]] = (Platform.RUST, Platform.PYTHON)
    postprocessor_map: ClassVar[Mapping[Platform, type[PostProcessor]]] = _PostprocessorMap()  # type: ignore[assignment]
    compiler_config: ClassVar[Mapping[str, Any] | None] = None
    model_fields: ClassVar[Mapping[str, str]] = _FIELDS
    model_computed_fields: ClassVar[Mapping[str, str]] = _COMPUTED_FIELDS

    def __init__(
        self,
        weights: WeightsSource = None,
        *,
        spec: ModelSpec | None = None,
        labels: str | os.PathLike[str] | Iterable[str] | Mapping[int, str] | None = None,
        input: ImageInput | Mapping[str, Any] | None = None,
        head: Head | Mapping[str, Any] | None = None,
        postprocessor_type: str | Platform = Platform.RUST,
    ) -> None:
        """Create a model. Nothing is downloaded yet.

        Args:
            weights: A named set (`available_weights()`), an ONNX file, its bytes, a `ModelProto`,
                or `"random"`; the published set by default.
            spec: Specification that replaces the class's.
            labels: Name of a table of labels or of a file, or the class names, in order or by class
                id; by default the labels of the weights.
            input: Input specification, or some of its fields, which override those of the weights.
            head: Head, or some of its fields, which override those of the weights.
            postprocessor_type: Implementation of pre- and postprocessing: `Platform.RUST`, or
                `Platform.PYTHON` (numpy). Pixels agree bit for bit, scores
                and boxes to 1e-6.

        Raises:
            TypeError: The class has no specification, and the arguments do not define one.
            ValueError: The platform is not supported.
        """
        platform = Platform(postprocessor_type)
        if platform not in self.platforms:
            names = ", ".join(p.name for p in self.platforms)
            msg = f"{type(self).__name__} has no {platform.name} postprocessor; it has {names}"
            raise ValueError(msg)
        own = spec or type(self).spec
        if own is None:
            own = self._specified(input, head)
        overridden = {"labels": labels, "input": input, "head": head}
        overrides = {name: value for name, value in overridden.items() if value is not None}
        if labels is not None:
            overrides["labels"] = given_names(labels)
        source = self.default_weights if weights is None else weights
        self._platform = platform
        self._weights = Weights(self._catalog_name(), source, own, overrides)
        self._programs = Programs(self.name, self._weights)
        self._runners: dict[tuple[str | None, Precision, bool], Runner] = {}
        self._lock = threading.RLock()

    @classmethod
    def _specified(
        cls, input: ImageInput | Mapping[str, Any] | None, head: Head | Mapping[str, Any] | None
    ) -> ModelSpec:
        """Return the specification that the arguments define, for a class without one."""
        if isinstance(head, Head) and isinstance(input, ImageInput):
            return ModelSpec(None, input, head)
        msg = f"{cls.__name__} has no specification: pass spec=, or input= and head="
        raise TypeError(msg)

    @classmethod
    def load(
        cls, use_native: bool | None = None, *, version: str | None = None, **options: Any
    ) -> Self:
        """Return a model and download its weights.

        Args:
            use_native: As in 0.8: False is `Platform.PYTHON`, True is `Platform.RUST`.
            version: As in 0.8: `"rust"` or `"cpp"`, both of which mean `Platform.RUST` here, or
                `"python"`.
            options: Other arguments of the constructor.

        Raises:
            ArtifactError: The weights are not available.
        """
        if use_native is None and version is not None:
            use_native = Platform(version) is not Platform.PYTHON
        if use_native is not None:
            options["postprocessor_type"] = Platform.RUST if use_native else Platform.PYTHON
        model = cls(**options)
        model._weights.resolve()
        return model

    @classmethod
    async def load_async(cls, use_native: bool | None = None, **options: Any) -> Self:
        """Run `load` without blocking the event loop."""
        import asyncio

        return await asyncio.to_thread(cls.load, use_native, **options)

    # --- What it is -----------------------------------------------------------------------------

    @classmethod
    def available_weights(cls) -> list[str]:
        """Return the names of the sets of weights in the catalog, in order of preference."""
        return list(cls.catalog())

    @classmethod
    def catalog(cls) -> Mapping[str, Artifact]:
        """Return the model's sets of weights by name, in order of preference."""
        entry = cls._entry()
        return entry.sets if entry else {}

    @classmethod
    def _entry(cls) -> ModelEntry | None:
        return zoo().get(cls._catalog_name())

    @classmethod
    def _catalog_name(cls) -> str:
        """Return the name of the model in the catalog.

        A user's subclass has the name of its base class, unless it defines its own `spec`: then it
        is another network, which the weights of the base class do not fit.
        """
        for base in cls.__mro__:
            if base.__module__.startswith(_ZOO) and base.__name__ in zoo():
                return base.__name__
            if vars(base).get("spec") is not None:
                break
        return cls.__name__

    @classmethod
    def _described(cls) -> Metadata | None:
        """Return the metadata of a class without a catalog entry: its docstring's first line."""
        lines = (cls.__doc__ or "").strip().splitlines()
        return Metadata(description=lines[0]) if lines else None

    @property
    def vision_task(self) -> VisionTask[R]:
        """The task: its options, labels and metric."""
        task: VisionTask[R] = self._weights.declared_spec.head.task
        return task

    @property
    def task(self) -> str:
        """The task: a `furiosa_models.enums.Task` if there is one for it."""
        return self.vision_task.task or self.vision_task.name

    @property
    def task_type(self) -> ModelTaskType | None:
        """The task by its name in 0.10; None for a task that 0.10 does not have."""
        return self.vision_task.task_type

    @property
    def input(self) -> ImageInput:
        """Input specification."""
        return self._weights.known.input

    @property
    def head(self) -> Head:
        """Head, which converts outputs to results."""
        return self._weights.known.head

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names by class id."""
        return table_of(self._weights.known.labels)

    @property
    def names(self) -> dict[int, str]:
        """Class names by class id, as a dictionary."""
        return dict(enumerate(self.labels))

    @property
    def network(self) -> NetworkSpec | None:
        """Network that checkpoints are loaded into."""
        return self._weights.declared_spec.network

    @property
    def format(self) -> Format:
        """Format of `origin`."""
        graph = self._weights.own_graph if self._weights.is_own else None
        return graph.format if graph else Format.ONNX

    def model_dump(self, **options: Any) -> dict[str, Any]:
        """Return the metadata as a dictionary; for options see `Record.model_dump`."""
        return self._record().model_dump(**options)

    def model_dump_json(self, **options: Any) -> str:
        """Return the metadata as JSON; for options see `Record.model_dump_json`."""
        return self._record().model_dump_json(**options)

    def _record(self) -> ModelRecord:
        return ModelRecord(
            name=self.name,
            task_type=self.task_type,
            format=self.format,
            family=self.family,
            version=self.version,
            metadata=self.metadata,
            tags=self.tags,
        )

    @property
    def platform(self) -> Platform:
        """Implementation of pre- and postprocessing."""
        return self._platform

    # --- What it runs ---------------------------------------------------------------------------

    @property
    def weights(self) -> str:
        """Name of the weights in use; before first use, of the requested ones."""
        return self._weights.name

    @property
    def origin(self) -> bytes:
        """The network as float32 ONNX; it takes `preprocess(..., with_scaling=True)`."""
        return self._weights.origin

    @property
    def source(self) -> bytes:
        """`origin` by its name in 0.8. Sessions of it also accept uint8 from `preprocess`."""

        def scale(tensor: Tensor) -> Tensor:
            return normalize(tensor, self._weights.scaling, self.platform)

        return ScaledSource.of(self.origin, scale)

    @property
    def tensor_name_to_range(self) -> dict[str, list[float]]:
        """Calibrated range (minimum, maximum) of each tensor of `origin`.

        Raises:
            ArtifactNotFound: The weights in use have none.
        """
        return self._programs.tensor_ranges()

    @property
    def calib_range(self) -> dict[str, list[float]]:
        """`tensor_name_to_range` by its first name in 0.10.

        Raises:
            ArtifactNotFound: The weights in use have none.
        """
        return self.tensor_name_to_range

    @property
    def calib_yaml(self) -> str:
        """`tensor_name_to_range` as YAML, as in 0.9.

        Raises:
            ArtifactNotFound: The weights in use have none.
        """
        import yaml

        text: str = yaml.safe_dump(self.tensor_name_to_range, sort_keys=False)
        return text

    @property
    def inputs(self) -> list[ModelTensor]:
        """Descriptions of the inputs of `origin`, as in 0.8."""
        return self._programs.tensors()[0]

    @property
    def outputs(self) -> list[ModelTensor]:
        """Descriptions of the outputs of `origin`, as in 0.8."""
        return self._programs.tensors()[1]

    @property
    def enf(self) -> bytes:
        """The program for sessions of 0.8 and 0.9: the result of `model_source()`.

        It is an ENF if the machine has an NPU or its compiler, or else a program for the CPU.
        `fetch_enf` returns an ENF on every machine, or raises.
        """
        return self.model_source()

    @property
    def dfg(self) -> bytes:
        """The quantized graph published with 0.8, an intermediate format of the vendor's compiler.

        Raises:
            ArtifactNotFound: None was published for this model and these weights.
        """
        return self._programs.dfg()

    def published_int8(self, *, truncated: bool = False) -> bytes:
        """Return the quantized ONNX graph published with 0.8, where it was called `source`.

        Args:
            truncated: Return the graph without its last steps, which the native postprocessors of
                0.8 computed.

        Raises:
            ArtifactNotFound: None was published for this model and these weights.
            ArtifactUnavailable: It is unreachable.
        """
        return self._programs.published_int8(truncated=truncated)

    def model_source(
        self, num_pe: Literal[1, 2] = 2, *, precision: Precision | None = None
    ) -> bytes:
        """Return the best program for this machine. Its input is the uint8 output of `preprocess`.

        With the vendor's compiler or an NPU it is an NPU program, as in 0.10. Otherwise, or if the
        environment requests the CPU, it is ONNX that includes the scaling.

        Args:
            num_pe: Number of processing elements of the NPU: 1 or 2.
            precision: `"fp32"` or `"int8"` to get the CPU program on every machine.

        Raises:
            ValueError: `num_pe` is neither 1 nor 2.
            ArtifactNotFound: The weights in use have no int8 calibration.
            CompilationError: The vendor's compiler failed.
        """
        return self._programs.best(num_pe, precision=precision)

    def fetch_enf(self, num_pe: Literal[1, 2] = 2, ir_version: str | None = None) -> bytes:
        """Return the NPU program: published, or compiled on this machine and cached.

        Args:
            num_pe: Number of processing elements: 1 or 2.
            ir_version: Version of the compiler, such as `0.10.1_8b00177dc`; by default that of the
                installed compiler, or else the newest published version.

        Raises:
            ValueError: `num_pe` is neither 1 nor 2.
            ArtifactNotFound: None was published for the weights and version, and this machine
                cannot compile it.
            ArtifactUnavailable: It was published, but is unreachable.
            CompilationError: The vendor's compiler failed.
        """
        return self._programs.enf(num_pe, ir_version)

    def cpu_program(self, *, precision: Precision = "fp32") -> Built:
        """Return the builder of the ONNX program that takes uint8 and includes the scaling.

        `create_runner` accepts it; its `read_bytes()` returns the program.

        Args:
            precision: `"int8"` for the quantized program.

        Raises:
            ArtifactNotFound: The weights in use have no int8 calibration.
        """
        return self._programs.cpu(precision=precision)

    def npu_program(self, num_pe: Literal[1, 2] = 2) -> bytes:
        """Return the program for the vendor runtime: an ENF, or else quantized ONNX.

        Args:
            num_pe: Number of processing elements: 1 or 2.

        Raises:
            ArtifactNotFound: There is no ENF, and the weights have no int8 calibration.
            CompilationError: The vendor's compiler failed.
        """
        return self._programs.npu(num_pe)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Save the model to a new folder, from which any class of its task can load it.

        The folder contains the graph and `model_info.json`: class, input, head, labels, and the
        origin of the weights. `Detector(folder)`, or the model's own class, gives the same results.

        Args:
            folder: A folder that does not exist yet, or is empty.

        Raises:
            FuriosaModelsError: The folder is not empty or cannot be written, or the head is
                user-defined and therefore code.
        """
        from .saved import write_saved

        return write_saved(folder, self._saved_parts())

    def _saved_parts(self, **facts: Any) -> SavedParts:
        """Return what a saved model consists of; `facts` are fields of `model_info.json`."""
        from .saved import SavedParts

        spec, checkpoint = self._weights.spec, self._weights.checkpoint()
        labels = table_of(spec.labels)
        return SavedParts(self.origin, spec, labels, self._info(**facts), checkpoint)

    def _info(self, **facts: Any) -> dict[str, Any]:
        """Return fields of `model_info.json`: of the class, of the weights, and more facts."""
        from .saved import FILE_FACTS

        own, found = self._facts(), self._weights.resolve().info
        kept = {k: v for k, v in found.get("config", {}).items() if k not in FILE_FACTS}
        config = {**own["config"], **kept}
        return {**own, **found, **facts, "config": config}

    def _facts(self) -> dict[str, Any]:
        """Return the fields of `model_info.json` that the class and the catalog know."""
        weights = self._weights.resolve()
        accuracy = weights.artifact.accuracy if weights.artifact else ()
        return {
            "name": self.name,
            "model_family": self.family or self._catalog_name(),
            "task": str(getattr(self.task, "value", self.task)),
            "description": self.metadata.description if self.metadata else None,
            "ref": None,
            "focoos_model": None,
            "status": None,
            "train_args": None,
            "val_dataset": None,
            "val_metrics": {each.metric: each.value for each in accuracy} or None,
            "focoos_version": None,
            "latency": None,
            "training_info": None,
            "config": {
                "class": self._catalog_name(),
                "weights": self.weights,
                **weights.provenance["config"],
            },
        }

    @property
    def model_info(self) -> ModelInfo:
        """What is known about the model, with the names of Focoos. Downloads the weights.

        Raises:
            FuriosaModelsError: The head or the task is user-defined.
        """
        from .model_info import ModelInfo
        from .saved import SavedParts

        spec = self._weights.spec
        is_file = self._weights.is_own and Path(self.weights).exists()
        parts = SavedParts(b"", spec, table_of(spec.labels), self._info())
        info = json.dumps(parts.info(self.weights if is_file else None))
        return ModelInfo.from_json(json.loads(info))  # tuples become lists, as in a file

    def resized(self, image_size: int | Sequence[int]) -> Self:
        """Return the model for another size of the network's input.

        Args:
            image_size: Height and width in pixels, or one number for both.

        Raises:
            ShapeError: The network does not take images of that size.
            ValueError: It is not a size.
        """
        from .resized import resized

        return self._with_weights(resized(self._weights, image_size))

    def export(
        self,
        runtime_type: RuntimeType | str | None = None,
        onnx_opset: int | None = None,
        out_dir: str | os.PathLike[str] | None = None,
        device: str = "auto",
        simplify_onnx: bool = True,
        overwrite: bool = True,
        image_size: int | Sequence[int] | None = None,
        dynamic_axes: bool = True,
        *,
        embed: bool = False,
    ) -> InferModel[R]:
        """Write the network to a file for another runtime, and return the model that runs it.

        The file contains the input, head, labels and license, so that `InferModel(file)`, or the
        class of the task, gives the same results. The runtime itself is needed only to run it.

        Args:
            runtime_type: What to export for: a `RuntimeType` or its value; by default the setting
                `RUNTIME_TYPE`, else TorchScript if PyTorch is installed, else ONNX.
            onnx_opset: Version of the ONNX operations; by default that of the graph.
            out_dir: Folder of the file; by default `~/FocoosAI/models` and the model's name.
            device: Device of the returned model; see `InferModel`.
            simplify_onnx: Argument of Focoos. Graphs are simple already: they contain folded
                normalization and no shape arithmetic.
            overwrite: Whether to replace a file that exists; otherwise it is kept if it is an
                export of the same network, and an error if not.
            image_size: Height and width of the input, or one number for both, if not the model's.
            dynamic_axes: Whether the file takes batches of any size, if the network does. Height
                and width are fixed, which is faster.
            embed: Whether the file, `model_embedded.onnx`, takes a uint8 RGB photo of any size and
                gives boxes, scores and classes, or a class map or matte of the photo's size, so
                that other programs need nothing but an ONNX runtime; see
                `furiosa_models.export.embedded.embed`.

        Raises:
            ArtifactNotFound: The weights have no int8 calibration (`quantize` makes one), or no
                ENF.
            ConfigurationError: The runtime type is unknown, or not for that device.
            ConversionError: An operation has no form in the format or opset, or `embed` is used
                with a head or methods of your own.
            ExtraRequired: The converter to the format is not installed.
            FuriosaModelsError: The folder contains another model, or cannot be written.
            ShapeError: The network does not take that size.
        """
        from .export.files import Options, export
        from .export.targets import default_folder, device_of, runtime_type_of

        del simplify_onnx
        kind = runtime_type_of(runtime_type)
        device_of(kind, device)  # report a wrong device before the work
        model = self if image_size is None else self.resized(image_size)
        folder = default_folder(model.name) if out_dir is None else Path(out_dir)
        own = [method for method in ("preprocess", "postprocess") if self._overrides(method)]
        if embed and own:
            msg = f"{type(self).__name__} overrides {' and '.join(own)}, which is code: embed=False"
            raise ConversionError(msg)
        options = Options(kind, folder, overwrite, onnx_opset, dynamic_axes, embed)
        digest = model._weights.resolve().digest
        path = export(model._saved_parts(), model._programs, digest, options)
        made: InferModel[R] = InferModel(path, kind, device, postprocessor_type=self.platform)
        for method in own:
            setattr(made, method, getattr(model, method))
        if own:
            logger.warning(
                "%s overrides %s, which is code that %s does not contain: models opened from it "
                "do not have it",
                type(self).__name__,
                " and ".join(own),
                path,
            )
        return made

    def benchmark(
        self,
        iterations: int = 50,
        size: int | Sequence[int] | None = None,
        device: str | None = None,
    ) -> LatencyMetrics:
        """Measure how long the network takes for a photo, without pre- and postprocessing.

        Args:
            iterations: Number of inferences, after five to warm up.
            size: Height and width of the input, or one number for both, if not the model's.
            device: As for `predict`.

        Raises:
            BackendUnavailable: The device is not available.
            ShapeError: The network does not take that size.
        """
        from .benchmark import latency, metrics_of

        model = self if size is None else self.resized(size)
        steps = model.steps(device=device)
        height, width = model.input.size
        tensor, _ = steps.prepare([DecodedImage(_noise(height, width), False, "")])
        times = latency(lambda: steps.run(tensor), iterations)
        return metrics_of(times, height=height, backend=steps.backend, device=steps.device)

    def end2end_benchmark(
        self,
        iterations: int = 50,
        size: int | Sequence[int] | None = None,
        device: str | None = None,
    ) -> LatencyMetrics:
        """Measure how long `infer` takes for a photo in memory.

        Args:
            iterations: Number of inferences, after five to warm up.
            size: Height and width of the photo, or one number for both; by default those of the
                input.
            device: As for `predict`.

        Raises:
            BackendUnavailable: The device is not available.
        """
        from .benchmark import latency, metrics_of
        from .resized import as_size

        height, width = self.input.size if size is None else as_size(size)
        steps = self.steps(device=device)
        photo = _noise(height, width)
        times = latency(lambda: self.infer(photo, device=device), iterations)
        return metrics_of(times, height=height, backend=steps.backend, device=steps.device)

    def tune(
        self,
        *,
        precision: Precision = "fp32",
        devices: Sequence[str] | None = None,
        seconds: float | None = None,
    ) -> Tuning:
        """Measure what runs this model the fastest on this machine, and use it from now on.

        The answer is kept in the cache, for this program, machine and version of the backend.
        Predictions, streams and servers for which nobody requests a device use it, in this process
        and in others.

        Args:
            precision: As in `predict`. Each program has an answer of its own: int8 is never chosen
                in place of float32.
            devices: Device strings to try beside the usual one; by default all that are installed
                and compute the same. A device that changes results, such as `"openvino:bf16"`, is
                chosen only if it is named here.
            seconds: Time for the measurement, 10 by default.

        Raises:
            ArtifactError: The weights or the int8 program are not available.
            BackendUnavailable: A device of `devices` is not available, or the machine has an NPU,
                for which programs are compiled.
            CacheNotWritable: The answer cannot be kept.
            ConfigurationError: `seconds` is not a positive number.
            FuriosaRuntimeError: The model does not run on the usual device, or on one of `devices`.
            ValueError: A device string or the precision is not valid.
        """
        from .runtime.tune import SECONDS, tune

        check_choice("precision", precision, ("fp32", "int8"))
        found = tune(
            self,
            precision=None if precision == "fp32" else precision,
            devices=devices,
            seconds=SECONDS if seconds is None else seconds,
        )
        with self._lock:  # predictions that run keep their runners until they end
            self._runners = {
                key: kept for key, kept in self._runners.items() if key[0] not in (None, "auto")
            }
        return found

    def quantize(
        self,
        photos: Photos,
        *,
        labels: str | os.PathLike[str] | LabeledPhotos | None = None,
        images: str | os.PathLike[str] | None = None,
        max_loss: float | None = None,
        max_photos: int = 200,
        max_trials: int = 20,
        timeout: float = 0,
        method: Any = "PERCENTILE_ASYM",
        percentage: float = 99.99,
        reduce_range: bool = True,
        device: str | None = None,
    ) -> Self:
        """Return the model in int8, calibrated on photos; `quantization` is the report.

        With `max_loss`, the layers that lose most stay float until the accuracy is kept; see
        `furiosa_models.quantization.fit`. If it cannot be kept, the result is the most accurate
        model, and `quantization.fitted.met` is False.

        Args:
            photos: Photos similar to those the model will process, a hundred or more; preferably
                none that accuracy is measured on.
            labels: Labels, as for `evaluate`, to measure the accuracy before and after.
            images: Folder of the labeled photos, if the labels do not tell; for a COCO or CSV file,
                `photos` by default, if that is a folder.
            max_loss: Greatest loss of accuracy, relative to the float model: 0.01 for one percent.
                It needs labels.
            max_photos: Maximum number of photos to calibrate on.
            max_trials: Maximum number of int8 models to evaluate for `max_loss`.
            timeout: Seconds after which no further int8 model is evaluated; 0 for no limit.
            method: How to choose ranges: a `CalibrationMethod` or its name.
            percentage: Percentage of values that the percentile methods keep.
            reduce_range: Whether weights have 7 bits, so that results are the same on all CPUs;
                False for NPUs. See `furiosa_models.quantization.quantize`.
            device: Device to measure the accuracy on, as for `predict`.

        Raises:
            FuriosaModelsError: There are no photos, or the network cannot be quantized.
            ImageError: A photo cannot be read.
            ValueError: The method is unknown, or `max_loss` is given without labels.
        """
        from .data.recognize import is_bare_file
        from .evaluation import evaluate
        from .quantization.fit import Limits
        from .quantization.fitted import Criterion
        from .quantization.post_training import Quantization, fit_on

        check_at_least("max_photos", max_photos, 1)
        check_at_least("max_trials", max_trials, 1)
        if images is None and isinstance(photos, (str, os.PathLike)) and is_bare_file(labels):
            images = photos
        if max_loss is not None and labels is None:
            msg = "max_loss= needs labels=, to measure the accuracy with"
            raise ValueError(msg)
        figures: dict[bytes, Mapping[str, float]] = {}

        def measure(model: Model[Any]) -> Mapping[str, float]:
            return evaluate(model, images, labels, device=device).figures

        def accuracy_of(int8: bytes) -> float:
            """Return the first figure of an int8 program."""
            with self._in_int8(int8) as model:
                figures[int8] = measure(model)
            return next(iter(figures[int8].values()))

        before = None if labels is None else measure(self)
        steps = self.steps(device="cpu")
        tensors = (
            steps.prepare([steps.read(photo)])[0]
            for photo in itertools.islice(expand_sources(photos), max_photos)
        )
        program = self._programs.onnx().read_bytes()
        fitted, count = fit_on(
            program,
            tensors,
            method=method,
            percentage=percentage,
            evaluate=accuracy_of if max_loss is not None else None,
            baseline=None if before is None else next(iter(before.values())),
            criterion=None if max_loss is None else Criterion(max_loss),
            limits=Limits(max_trials, timeout),
            reduce_range=reduce_range,
        )
        if labels is not None and fitted.program not in figures:
            accuracy_of(fitted.program)
        copy = self._in_int8(fitted.program)
        after = figures.get(fitted.program)
        copy.quantization = Quantization(count, len(program), fitted.size, before, after, fitted)
        return copy

    def torch_module(self) -> Any:
        """Return the network as a `torch.nn.Module`, in evaluation mode.

        It takes what `preprocess(..., with_scaling=True)` returns, as a tensor, and returns the
        outputs of `origin`. Its state has the names of the public checkpoint, or of the
        initializers of your own graph. `torch.jit.trace(module, example)` makes TorchScript of it.

        Raises:
            ConversionError: An operation has no PyTorch form.
            ExtraRequired: PyTorch is not installed.
        """
        from .training.trainable import trainable_of

        return trainable_of(self.origin, self._weights.checkpoint()).module().eval()

    def fit_head(
        self,
        data: Any,
        data_val: Any = None,
        *,
        device: str | None = None,
    ) -> Self:
        """Return the classifier with a new last layer, fitted to labeled photos.

        All other layers stay as they are: their features are computed once, and the new layer is a
        logistic regression on them, whose penalty is chosen by cross-validation. This needs no
        PyTorch, and takes a minute for a thousand photos. `fitted_head` of the result is a report.

        Args:
            data: Labeled photos in any layout of `furiosa_models.data.read_dataset`, such as a
                folder with a folder for each class, or a data set that was read. Crops of the
                objects, if the labels are boxes.
            data_val: Photos to measure the accuracy on; by default the validation part of `data`,
                or else a cross-validation.
            device: Device that computes the features, as for `predict`.

        Raises:
            ConversionError: The network does not end in a layer that can be replaced.
            DatasetError: The photos cannot be read, or are of less than two classes.
            ImageError: A photo cannot be read.
        """
        from .data.arguments import labeled_parts
        from .training.fit_head import fit_head

        parts = labeled_parts(data, data_val, self.vision_task.task)
        program = self._programs.float_onnx()
        report, weights = fit_head(
            program, self._weights, self._with_weights, *parts, device=device
        )
        copy = self._with_weights(weights)
        copy.fitted_head, copy.quantization = report, None
        return copy

    def train(
        self,
        args: TrainerArgs,
        data_train: Any,
        data_val: Any = None,
        hub: Any = None,
        *,
        loss: Any = None,
        class_sources: Mapping[str, str | Sequence[str]] = MappingProxyType({}),
    ) -> Trained:
        """Train the network on labeled photos; afterwards this model has the trained weights.

        The classes of the data become those of the model. A class that the network has already
        keeps its weights. The run's folder gets the trained model, which any class of its task can
        load: `Detector(folder)`.

        Args:
            args: Arguments of the run.
            data_train: Photos to train on: a folder or file in any layout of
                `furiosa_models.data.read_dataset`, or a data set that was read.
            data_val: Photos to evaluate on; by default the validation part of `data_train`.
            hub: Hub that the run is reported to, `FocoosHUB()`, if `args.sync_to_hub` is set. A hub
                that fails during the run does not stop it.
            loss: What is minimized, for heads without a loss of their own: a function of outputs,
                targets and size, see `furiosa_models.training.losses.Loss`.
            class_sources: Names of present classes that a new class starts from, by its name:
                `{"vehicle": ["car", "truck"]}`; by default the class of its name.

        Raises:
            ConfigurationError: No loss is known for the head.
            ConversionError: An operation has no PyTorch form, or the classes cannot be replaced.
            DatasetError: The photos cannot be read, are for another task, or have no validation
                part.
            LabelsError: A name in `class_sources` is unknown.
            ExtraRequired: PyTorch is not installed.
            TrainingError: The run exists already, cannot be resumed, or does not converge.
            HubError: The hub does not take the run at its start.
            ValueError: An argument does not fit the machine or the data; or there is a hub without
                `sync_to_hub`, or the other way round.
        """
        from .data.arguments import own_augment, training_parts
        from .data.datasets import MapDataset
        from .training import require_torch
        from .training.args import TrainerArgs
        from .training.reports import report_to

        given: object = args
        if not isinstance(given, TrainerArgs):
            msg = f"expected TrainerArgs first, and then the photos, got {type(args).__name__}"
            raise TypeError(msg)
        report = report_to(hub, args, lambda: self._saved_parts().info(None))
        require_torch()
        from .training.run import save_run, train

        parts = training_parts(data_train, data_val, self.vision_task.task)
        options: dict[str, Any] = {"loss": loss, "class_sources": class_sources}
        if isinstance(data_train, MapDataset) and args.augmentations is None:
            args = replace(args, augmentations=False)
            options["augment"] = own_augment(data_train)
        with report:
            trained, weights = train(
                self._weights, self._with_weights, args, *parts, report=report, **options
            )
            self._adopt(weights)
            if trained.is_first_process:
                save_run(args, trained, self._saved_parts(val_dataset=str(parts[1].source)))
                report.finish(trained.iterations)
        return trained

    def eval(self, args: TrainerArgs, data_test: Any, save_json: bool = True) -> Evaluation:
        """Measure the accuracy on labeled photos; see `furiosa_models.evaluation.evaluate`.

        Args:
            args: Arguments of the run; its name and folder are used.
            data_test: Labeled photos, as for `train`.
            save_json: Whether to write the figures to `metrics.json` in the folder
                `<run_name>_eval`.

        Raises:
            DatasetError: The photos cannot be read, or have none of the model's classes.
            ExtraRequired: pycocotools, which computes mAP, is not installed.
        """
        from .data.arguments import test_part
        from .evaluation import evaluate
        from .training.figures import write_figures

        found = evaluate(self, labels=test_part(data_test, self.vision_task.task))
        if save_json:
            folder = args.folder.with_name(f"{args.folder.name}_eval")
            write_figures(folder, found.figures, self.vision_task)
        return found

    def _adopt(self, weights: Weights) -> None:
        """Replace the weights of this model."""
        self.close()
        self._weights = weights
        self._programs = Programs(self.name, weights)
        self.quantization = self.fitted_head = None

    def _in_int8(self, program: bytes) -> Self:
        """Return a copy of the model that runs an int8 program."""
        spec, origin = self._weights.spec, self._weights.resolve()
        name = f"<{len(program)} bytes>"
        return self._with_weights(
            Weights(
                self._weights.model,
                WeightSet(name, program, info=origin.provenance),
                ModelSpec(None, spec.input, spec.head, spec.labels),
                {"input": spec.input, "head": spec.head, "labels": spec.labels},
            )
        )

    def _with_weights(self, weights: Weights) -> Self:
        """Return a copy of the model with other weights."""
        copy = type(self).__new__(type(self))
        copy.__setstate__(self.__getstate__())
        copy._weights = weights
        copy._programs = Programs(self.name, weights)
        copy._runners = {}
        return copy

    def built(self) -> dict[str, str]:
        """Return what the cache contains that was built from the weights: descriptions by hash.

        Nothing is downloaded.
        """
        return self._programs.built() if self._is_available_offline() else {}

    def check_built(self) -> list[str]:
        """Build everything that `built` lists again; return the descriptions of what has changed.

        The recorded hashes are updated.
        """
        return self._programs.check_built() if self._is_available_offline() else []

    def _is_available_offline(self) -> bool:
        artifact = self._weights.sets.get(self._weights.name)
        return artifact is None or is_available_offline(artifact, self._weights.store)

    def fitted(self) -> Self:
        """Return the model after checking that its graph, head and labels fit together.

        Raises:
            ArtifactError: The weights are not available.
            ShapeError: No head can decode the graph's outputs.
            LabelsError: The number of labels differs from the graph's number of classes.
        """
        _ = self._weights.spec
        return self

    def resolve_all(self) -> None:
        """Download everything that `origin`, `model_source` and `tensor_name_to_range` need."""
        self._programs.cpu()
        if makes_npu_programs():
            self._programs.npu(1)
            self._programs.npu(2)
        artifact = self._weights.resolve().artifact
        if artifact is not None and artifact.tensor_ranges is not None:
            self._weights.store.fetch([artifact.tensor_ranges])

    # --- From a photo to a result ---------------------------------------------------------------

    @property
    def preprocessor(self) -> PreProcessor:
        """`preprocess` as an object; assign another one to replace it."""
        own: PreProcessor | None = vars(self).get("preprocess")
        return own or preprocessor_of(self)

    @preprocessor.setter
    def preprocessor(self, value: PreProcessor) -> None:
        vars(self)["preprocess"] = value

    @property
    def postprocessor(self) -> PostProcessor:
        """`postprocess` as an object; assign another one to replace it."""
        own: PostProcessor | None = vars(self).get("postprocess")
        return own or postprocessor_of(self)

    @postprocessor.setter
    def postprocessor(self, value: PostProcessor) -> None:
        vars(self)["postprocess"] = value

    @built_in
    @takes(with_quantize="with_scaling")
    def preprocess(
        self,
        images: Photos,
        with_scaling: bool = False,
        *,
        color: Color = "bgr",
        draft: bool = False,
        background: Background | None = None,
    ) -> tuple[Tensor, Any]:
        """Convert photos to the network's input.

        Args:
            images: A photo, or a sequence, folder or glob of photos.
            with_scaling: Return scaled float32, which `origin` takes, instead of uint8.
            color: Channel order of numpy arrays.
            draft: Decode large JPEGs at a fraction of their size; see `predict`.
            background: Color to composite photos with an alpha channel onto; see `predict`.

        Returns:
            A contiguous tensor (n, 3, h, w), uint8 or float32, and a context for each photo, which
            `postprocess` needs.

        Raises:
            ImageError: A photo cannot be read.
        """
        check_finite(images)
        spec = self._weights.pixels()
        reading: dict[str, Any] = {
            "color": color,
            "draft": spec.resized if draft else None,
            "needed": spec.resized,
            "background": background,
        }

        def place(source: ImageSource, out: npt.NDArray[np.uint8]) -> ImageContext:
            image = read_image(source, reuse_buffer=True, **reading)
            return self._place(image, spec, out)

        if is_static(images):
            sources = list(expand_sources(images))
            tensor = np.empty((len(sources), 3, *spec.size), np.uint8)
            contexts = in_threads(place, sources, tensor) if sources else []
        else:  # read each photo before the source may overwrite it with the next one
            inputs: list[npt.NDArray[np.uint8]] = []
            contexts = []
            for source in expand_sources(images):
                inputs.append(np.empty((3, *spec.size), np.uint8))
                contexts.append(place(source, inputs[-1]))
            tensor = np.stack(inputs) if inputs else np.empty((0, 3, *spec.size), np.uint8)
        if not contexts:
            msg = "expected at least one photo, got none"
            raise ShapeError(msg)
        if with_scaling:
            return normalize(tensor, self._weights.scaling, self.platform), contexts
        return tensor, contexts

    def scaled_input(self, photos: Sequence[Tensor]) -> tuple[npt.NDArray[np.float32], Any]:
        """Return the network's scaled input for photos, and a context for each; for training.

        An overridden `preprocess` is called as in predictions: with BGR arrays.

        Args:
            photos: (h, w, 3) uint8 RGB arrays.

        Returns:
            (n, 3, h, w) float32, and the contexts.
        """
        if not self._overrides("preprocess"):
            return self.preprocess(list(photos), with_scaling=True, color="rgb")
        tensor, contexts = self._own_tensor([DecodedImage(p, False, "") for p in photos])
        if tensor.dtype == np.uint8:
            tensor = normalize(tensor, self._weights.scaling, self.platform)
        return tensor.astype(np.float32, copy=False), contexts

    @built_in
    @takes_one_context
    def postprocess(
        self,
        model_outputs: Outputs,
        contexts: Sequence[ImageContext | Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> Any:
        """Convert the network's outputs to one result per photo.

        Args:
            model_outputs: Outputs of the runner.
            contexts: Contexts from `preprocess`.
            options: Options of the task.

        Raises:
            ShapeError: Outputs or contexts have the wrong count, shape or dtype.
            TypeError: The task has no such option.
        """
        return self._decode(model_outputs, contexts, self.vision_task.resolve_options(options))

    @overload
    def predict(
        self,
        source: ImageSource,
        *,
        stream: Literal[False] = False,
        **options: Any,
    ) -> R: ...
    @overload
    def predict(
        self,
        source: Iterable[ImageSource],
        *,
        stream: Literal[False] = False,
        **options: Any,
    ) -> list[R]: ...
    @overload
    def predict(
        self,
        source: Photos,
        *,
        stream: Literal[True],
        **options: Any,
    ) -> Iterator[R]: ...
    def predict(self, source: Photos, *, stream: bool = False, **options: Any) -> Any:
        """Return the results of photos: read, preprocess, run, postprocess.

        Args:
            source: A photo in any form of `furiosa_models.images.read.read_image`, or a sequence,
                iterator, folder or glob of photos. A video file counts as one photo per frame. With
                `stream=True` also the index of a camera, the URL of a stream (`rtsp://...`,
                `http://.../stream.mjpg`), or a `furiosa_models.images.live.Stream`: always the
                newest frame.
            stream: Return a generator instead of a list. It processes files a few batches ahead,
                and keeps only these in memory. An iterator may be a camera: it is asked for the
                next photo only after the previous results were taken.
            options: Options of the task (thresholds, `top_k`), and for every task:

                - batch_size: Number of photos per batch; 1 by default.
                - device: `"cpu"`, an NPU device string, or None for the best available.
                - precision: `"int8"` for the quantized program on the CPU.
                - color: Channel order of numpy arrays: `"bgr"` (as in OpenCV) or `"rgb"`.
                - draft: Decode JPEGs of at least twice the network's input size at a half, a
                  quarter or an eighth of their size. This is faster and changes pixels slightly.
                - background: Color (a name, `#rrggbb`, or red, green and blue) to composite photos
                  with an alpha channel onto; by default alpha is dropped.
                - on_error: What to do if one of many photos cannot be read: `"raise"` after the
                  results of those before it; `"skip"` it with a log message; or call a function
                  with the photo and the error.
                - progress: Show a progress bar; by default only when returning a list.
                - tiles: Run large photos in tiles, too, for tasks with boxes or masks, so that
                  small objects are found: `"auto"` for about the size of the network's input (at
                  most 64 tiles), or width and height of a tile in pixels. The results of the photo
                  and of all tiles are merged by suppression within classes; boxes that a tile cuts
                  off are left out, and masks are joined across its edge. Of class maps, the tile
                  counts at whose edges a pixel is farthest away; mattes of tiles fade into each
                  other.
                - overlap: Part of a tile that the next one shares, 0 to 0.9; 0.2 by default.
                - track: Follow objects through the frames, for tasks with boxes: True or the name
                  of an algorithm (`"bytetrack"`), or a `furiosa_models.tracking.Tracker`. Each
                  video has tracks of its own; all other photos are frames of one video. Detections
                  of lower scores than `score_threshold` are added if they continue a track. A
                  tracker that you pass keeps its objects between calls, so that it can be fed frame
                  by frame.

        Returns:
            One result for a single photo. For many photos, which includes the name of a folder,
            glob or video: a list, or a generator with `stream=True`.

        Raises:
            ImageError: A photo cannot be read.
            ArtifactError: The weights are not available.
            BackendUnavailable: The requested device is not available.
            ValueError: A threshold, `top_k` or `batch_size` is out of range.
            TypeError: The task has no such option.
            ExtraRequired: The source is a video, and PyAV is not installed.
        """
        return self._predict(source, stream=stream, **options)

    def __call__(self, source: Photos, **options: Any) -> Any:
        """Call `predict`."""
        return self.predict(source, **options)

    def infer(
        self,
        image: Any,
        threshold: float | None = 0.5,
        annotate: bool = False,
        keypoints_threshold: float | None = None,
        *,
        color: Color = "rgb",
        **options: Any,
    ) -> Any:
        """Return what is found in a photo, under the names of Focoos.

        Args:
            image: A photo in any form that `predict` takes, a PyTorch tensor or array (3, h, w) or
                (h, w, 3) with values in 0..255; or a list of photos.
            threshold: Score that detections must exceed; None for the model's own threshold.
            annotate: Whether `image` of the result is the photo with the detections drawn on it.
            keypoints_threshold: Visibility of the keypoints to draw; by default 0.5.
            color: Channel order of arrays and tensors.
            options: Options of `predict`, such as `device` or `iou_threshold`.

        Returns:
            `FocoosDetections` for a photo, and a list of them for a list.

        Raises:
            ImageError: The photo cannot be read.
            ValueError: A threshold is not between 0 and 1.
            TypeError: The task has no such option, or no keypoints.
        """
        from .focoos import as_photo, detections_of

        if threshold is not None:
            check_unit("threshold", threshold)
        drawing: dict[str, Any] = {}
        if keypoints_threshold is not None:
            check_unit("keypoints_threshold", keypoints_threshold)
            if self.vision_task.task is not Task.KEYPOINT:
                msg = f"the task {self.vision_task.name!r} has no keypoints to draw"
                raise TypeError(msg)
            drawing["keypoint_threshold"] = keypoints_threshold
        given = {**self._all_above(threshold), **options}
        several = isinstance(image, (list, tuple)) or getattr(image, "ndim", 0) == 4
        results: list[Any] = []
        for each in image if several else [image]:
            result = self.predict(as_photo(each), color=color, **given)
            is_many = isinstance(result, list)  # of a folder, glob or video
            several = several or is_many
            results += result if is_many else [result]
        found = []
        for result in results:
            begin = perf_counter()
            picture = np.asarray(result.plot(**drawing)) if annotate else None
            seconds = perf_counter() - begin if annotate else None
            found.append(
                detections_of(result, threshold=threshold, image=picture, annotate_seconds=seconds)
            )
        return found if several else found[0]

    def _all_above(self, threshold: float | None) -> dict[str, Any]:
        """Return the options of `predict` that return all that may exceed a threshold."""
        names = self.vision_task.options
        if "top_k" in names:
            return {"top_k": max(len(self.labels), 1)}
        if threshold is None or "score_threshold" not in names:
            return {}
        return {"score_threshold": threshold}

    def run_batch(self, images: Sequence[ImageSource], **options: Any) -> dict[str, list[Tensor]]:
        """Return the results of a batch as columns, for programs that work on arrays.

        Args:
            images: Photos; they are run in one batch.
            options: Options of `predict`, except `stream`, `batch_size`, `on_error` and `progress`.

        Returns:
            Arrays of the results by name (`boxes`, `scores`, `class_ids`, ...): a list with one
            array per image.
        """
        steps = self.steps(**options)
        results = steps.results([steps.read(image) for image in images])
        rows = [result.columns() for result in results]
        return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}

    def steps(
        self,
        *,
        device: str | None = None,
        precision: Precision = "fp32",
        color: Color = "bgr",
        draft: bool = False,
        background: Background | None = None,
        shared: bool = False,
        **options: Any,
    ) -> Steps[Any]:
        """Return the steps of a prediction: read, prepare, run, decode.

        Overridden `preprocess` and `postprocess` methods are called in their steps: `preprocess`
        with a list of (h, w, 3) uint8 BGR arrays; `postprocess` with the outputs, the contexts from
        `preprocess`, and the task options that were given.

        Args:
            device: As for `predict`.
            precision: As for `predict`.
            color: As for `predict`.
            draft: As for `predict`.
            background: As for `predict`.
            shared: Whether several threads will run the steps at the same time. On a CPU each
                inference then uses its share of the CPUs, which has a higher total throughput.
            options: Options of the task.

        Raises:
            TypeError: The task has no such option.
            ValueError: `draft` is used with an overridden `preprocess`.
        """
        task_options = self.vision_task.resolve_options(options)
        own_input, own_results = self._overrides("preprocess"), self._overrides("postprocess")
        if draft and own_input:
            msg = f"{type(self).__name__} has a preprocess of its own: draft=True is not supported"
            raise ValueError(msg)
        runner = self._runner(device, precision, shared=shared)
        resized = None if own_input else self._weights.pixels().resized
        return Steps(
            color=color,
            draft=resized if draft else None,
            needed=resized,
            background=background,
            prepare=self._own_tensor if own_input else self._tensor,
            run=self._runs(runner),
            decode=lambda outputs, contexts: (
                self._own_results(outputs, contexts, task_options)
                if own_results
                else self._decode(outputs, contexts, task_options)
            ),
            backend=runner.backend,
            device=runner.choice.device,
            where=f"{runner.backend} ({runner.choice.reason})",
        )

    def _predict(
        self,
        source: Photos,
        *,
        stream: bool,
        batch_size: int = 1,
        device: str | None = None,
        precision: Precision = "fp32",
        color: Color = "bgr",
        draft: bool = False,
        background: Background | None = None,
        on_error: OnError = "raise",
        progress: bool | None = None,
        track: bool | str | Tracker = False,
        tiles: Tiles | None = None,
        overlap: float | None = None,
        **options: Any,
    ) -> Any:
        check_at_least("batch_size", batch_size, 1)
        check_choice("precision", precision, ("fp32", "int8"))
        check_on_error(on_error)
        # Not in a worker thread, so that warnings and errors point to the caller.
        if not stream:
            check_finite(source)
        photos, fixed = count(source), is_static(source)
        is_one = is_single(source) and not stream
        tracking = self._tracking(track, options, is_one=is_one)
        if tracking is not None:
            options = {**tracking.options}
        tiling = None if tiles is None and overlap is None else self._tiling(tiles, overlap, draft)
        steps = self.steps(
            device=device,
            precision=precision,
            color=color,
            draft=draft,
            background=background,
            shared=fixed and (photos is None or photos > batch_size),
            **options,
        )
        if tiling is not None:
            steps = self._tiled(steps, tiling, options)
        if is_one:
            result = steps.predict_one(source)
            return result if tracking is None else tracking.update(result)
        shown = not stream if progress is None else progress
        bar = progress_bar(type(self).__name__, photos, unit="photo") if shown else None
        work = pipelined if fixed else one_by_one
        results = _streamed(work, source, steps, batch_size, on_error, bar)
        if tracking is not None:
            results = tracking.follow(results)
        return results if stream else list(results)

    def _tiling(self, tiles: Tiles | None, overlap: float | None, draft: bool) -> Tiling | None:
        """Return how photos are cut into tiles.

        Raises:
            TypeError: The task has neither boxes nor masks, or an argument has another type.
            ValueError: An argument has a wrong value, or excludes another one.
        """
        from .tiles import Tiling  # not needed for whole photos

        tiling = Tiling.of(tiles, overlap)
        if not self.vision_task.merges_tiles:
            msg = f"tiles: results of {self.vision_task.name} in parts of a photo cannot be merged"
            raise TypeError(msg)
        if draft:
            msg = "tiles are cut from photos at full size: draft=True is not supported"
            raise ValueError(msg)
        return tiling

    def _tiled(self, steps: Steps[R], tiling: Tiling, options: Mapping[str, Any]) -> Steps[R]:
        from .tiles import TiledSteps

        height, width = self.input.size
        own = self.vision_task.resolve_options(options).get("iou_threshold")
        heads = getattr(self.head, "iou_threshold", None)
        return TiledSteps.of(steps, tiling, (width, height), own, heads)

    def _tracking(
        self, track: bool | str | Tracker, options: Mapping[str, Any], *, is_one: bool
    ) -> Tracking | None:
        """Return how to track, or None if it is off.

        Raises:
            TypeError: The task has no boxes, or `track` has another type.
            ValueError: There is no such tracker, or nothing to track in one photo.
        """
        if track is False or track is None:
            return None
        task = self.vision_task
        if not task.has_boxes:
            msg = f"track: results of {task.name} have no boxes to track"
            raise TypeError(msg)
        from .tracking.streams import Tracking  # not needed for photos

        threshold = getattr(self.head, "score_threshold", None)
        own = Tracking.of(track, task, task.resolve_options(options), threshold)
        if is_one and own.starts_anew:
            msg = (
                "track needs a video or many frames, got one photo: pass a Tracker, which "
                "remembers the frames before"
            )
            raise ValueError(msg)
        return own

    def _runs(self, runner: Runner) -> Callable[[Tensor], list[Tensor]]:
        """Return a function that runs the output of `prepare`, scaled if the program does not."""
        graph = self._weights.own_graph
        if graph is None or graph.format not in (Format.TFLite, Format.TORCHSCRIPT):
            return lambda tensor: run_in_batches(runner, tensor)
        spec, platform = self._weights.spec.input, self.platform

        def run(tensor: Tensor) -> list[Tensor]:
            fed = feed(tensor, graph.inputs[0], lambda x: normalize(x, spec, platform))
            outputs = zip(run_in_batches(runner, fed), graph.outputs, strict=True)
            return [dequantize(output, facts) for output, facts in outputs]

        return run

    def _overrides(self, method: str) -> bool:
        """Return whether a subclass or the user has replaced a method."""
        return not getattr(getattr(self, method), "_built_in", False)

    def _tensor(
        self, images: Sequence[DecodedImage]
    ) -> tuple[npt.NDArray[np.uint8], list[ImageContext]]:
        spec = self._weights.pixels()
        tensor = np.empty((len(images), 3, *spec.size), np.uint8)
        pairs = zip(images, tensor, strict=True)
        return tensor, [self._place(image, spec, out) for image, out in pairs]

    def _own_tensor(self, images: Sequence[DecodedImage]) -> tuple[Tensor, Any]:
        """Return the network's input from an overridden `preprocess`."""
        photos = [np.ascontiguousarray(image.rgb[:, :, ::-1]) for image in images]
        made: Any = self.preprocess(photos)
        if not isinstance(made, (tuple, list)) or len(made) != 2:
            msg = (
                f"preprocess of {type(self).__name__} must return a tensor and contexts, got "
                f"{type(made).__name__}"
            )
            raise ShapeError(msg)
        return made[0], made[1]

    def _place(
        self, image: DecodedImage, spec: ImageInput, out: npt.NDArray[np.uint8]
    ) -> ImageContext:
        """Write the input of one photo into `out`; return its context."""
        options: Any = {"bgr": image.bgr, "size": image.drafted_from}
        return prepare(image.pixels, spec, platform=self.platform, out=out, **options)[1]

    def _decode(
        self,
        outputs: Outputs,
        contexts: Sequence[ImageContext | Mapping[str, Any]] | None,
        options: Mapping[str, Any],
    ) -> list[R]:
        """Return the results of the head."""
        spec = self._weights.known
        arrays = [outputs] if isinstance(outputs, np.ndarray) else list(outputs)
        arrays = [a.astype(np.float32) if a.dtype == np.float16 else a for a in arrays]
        known = [as_context(context) for context in contexts or ()]
        head_options, keep = self.vision_task.filter_of(options)
        found: list[R] = spec.head.decode(
            arrays, known, table_of(spec.labels), self.platform, **head_options
        )
        return found if keep is None else [keep(result) for result in found]

    def _own_results(
        self, outputs: Sequence[Tensor], contexts: Any, options: Mapping[str, Any]
    ) -> list[Any]:
        """Return the results of an overridden `postprocess`; wrap a single result in a list."""
        found = self.postprocess(outputs, contexts, **options)
        return list(found) if isinstance(found, (list, tuple)) else [found]

    def _runner(
        self, device: str | None, precision: Precision = "fp32", *, shared: bool = False
    ) -> Runner:
        """Return the cached runner of `predict` for a device."""
        with self._lock:
            key = device, precision, shared
            if key not in self._runners:
                order = None if precision == "fp32" else precision
                self._runners[key] = create_runner(
                    self, device=device, precision=order, shared=shared
                )
            return self._runners[key]

    def close(self) -> None:
        """Free the cached runners of `predict`."""
        with self._lock:
            runners, self._runners = self._runners, {}
        for runner in runners.values():
            runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_runners": {}, "_lock": None}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        self._lock = threading.RLock()

    def _repr_html_(self) -> str:
        """Return a summary of the model for notebooks. Nothing is downloaded."""
        from .tasks.notebook import facts

        values: dict[str, Any] = {"task": self.vision_task.name}
        if self.metadata is not None:
            values["what"] = self.metadata.description
        values["weights"] = self.weights
        try:
            known = self._weights.known
            values |= {
                "input": "{1} x {0}".format(*known.input.size),
                "classes": len(table_of(known.labels)),
            }
        except FuriosaModelsError as error:  # a problem with the user's file; show it
            values["problem"] = error
        values["sets of weights"] = self.available_weights()
        return facts(repr(self), values)

    def __repr__(self) -> str:
        if self._weights.is_missing:
            return f"{type(self).__name__}(without weights: pass a file)"
        note = (
            ", seeded random weights: results are meaningless" if self.weights == "random" else ""
        )
        return f"{type(self).__name__}(weights={self.weights!r}{note})"


class InferModel(Model[R]):
    """A model in an exported file, on the runtime that it was exported for.

    `predict`, `infer` and all else are those of `Model`, on this runtime by default.

    Attributes:
        model_path: Path of the file.
        runtime_type: What it runs on.
    """

    def __init__(
        self,
        model_path: str | os.PathLike[str],
        runtime_type: RuntimeType | str | None = None,
        device: str = "auto",
        *,
        postprocessor_type: str | Platform = Platform.RUST,
    ) -> None:
        """Open an exported file. The runtime is needed only when it runs.

        Args:
            model_path: A file that `Model.export` wrote or its folder, or an ONNX or TensorFlow
                Lite file of another program.
            runtime_type: What to run it on: a `RuntimeType` or its value; by default what the
                folder was exported for, or else the best device that runs such files.
            device: `auto`; `cpu`, `cuda` or `cuda:N` if the runtime leaves the choice; or a device
                string of `predict`.
            postprocessor_type: As for `Model`.

        Raises:
            ArtifactNotFound: There is no such file.
            ConfigurationError: The runtime does not run such files, or not on that device.
            ShapeError: No head can decode the outputs of a graph of another program.
            WeightsError: The file cannot be read, or does not say what it contains.
        """
        from .export.opened import open_exported
        from .export.targets import device_of, runtime_of_file

        opened = open_exported(model_path, runtime_type)
        self.model_path = opened.path
        self.runtime_type = opened.runtime_type or runtime_of_file(opened.path)
        is_open = opened.runtime_type is None and self.runtime_type is RuntimeType.ONNX_CPU
        if is_open:
            self._device = None if device == "auto" else device
        else:
            self._device = device_of(self.runtime_type, device)
        vars(self)["name"] = opened.weights.info.get("name", opened.path.stem)
        super().__init__(opened.weights, spec=opened.spec, postprocessor_type=postprocessor_type)
        self._embedded: dict[tuple[Any, ...], Runner] | None = {} if opened.is_embedded else None
        if opened.is_program:
            self._programs = FilePrograms(self.name, self._weights, opened.path)

    def steps(self, *, device: str | None = None, **options: Any) -> Steps[Any]:
        """Return the steps of a prediction, by default on the runtime; see `Model.steps`.

        Raises:
            BackendUnavailable: The runtime is not installed.
            ConversionError: An embedded graph cannot have the precision, or `draft`.
            ValueError: The value of an option is out of range.
        """
        if self._embedded is not None:
            return self._embedded_steps(device or self._device, **options)
        if self.runtime_type is RuntimeType.TFLITE:
            from .runtime.backends import find_backend

            backend = find_backend("litert")
            if backend is not None and (problem := backend.problem()):
                raise BackendUnavailable(problem)
        return super().steps(device=device or self._device, **options)

    def tune(
        self,
        *,
        precision: Precision = "fp32",
        devices: Sequence[str] | None = None,
        seconds: float | None = None,
    ) -> Tuning:
        """Measure what runs the file the fastest on this machine; see `Model.tune`.

        Raises:
            ConfigurationError: The file runs on the device that it was opened for.
        """
        if self._device is not None:
            msg = (
                f"{self} always runs on {self._device!r}: open the file without a runtime type and "
                f"a device, InferModel({str(self.model_path)!r}), to choose the fastest one"
            )
            raise ConfigurationError(msg)
        return super().tune(precision=precision, devices=devices, seconds=seconds)

    def _tiled(self, steps: Steps[R], tiling: Tiling, options: Mapping[str, Any]) -> Steps[R]:
        if self._embedded is not None and getattr(self.head, "normalize", False):
            msg = (
                "tiles cannot be merged: this embedded graph stretches each matte to the whole "
                "range, which makes a foreground of the noise of an empty tile. Predict without "
                "tiles, or with the model that was exported"
            )
            raise ConversionError(msg)
        return super()._tiled(steps, tiling, options)

    def _embedded_steps(
        self,
        device: str | None,
        *,
        precision: Precision = "fp32",
        color: Color = "bgr",
        draft: bool = False,
        background: Background | None = None,
        shared: bool = False,
        **options: Any,
    ) -> Steps[Any]:
        """Return the steps of a graph that takes photos and gives results."""
        if draft or precision != "fp32":
            msg = "an embedded graph has its own precision, and takes photos as they are: no draft"
            raise ConversionError(msg)
        given, keep = self.vision_task.filter_of(self.vision_task.resolve_options(options))
        runner = self._embedded_runner(device, given, shared=shared)
        facts = GraphFacts.of_description(self._weights.resolve().info)
        names = [output.name for output in facts.outputs]

        def decode(outputs: Sequence[Any], contexts: object) -> list[Any]:
            del contexts
            found: list[Any] = [
                results_of(dict(zip(names, each, strict=True)), self.labels) for each in outputs
            ]
            return found if keep is None else [keep(result) for result in found]

        from .export.embedded.results import results_of

        return Steps(
            color=color,
            draft=None,
            background=background,
            prepare=lambda images: ([np.ascontiguousarray(i.rgb) for i in images], None),  # type: ignore[arg-type,return-value]
            run=lambda photos: [runner.run([photo]) for photo in photos],  # type: ignore[misc]
            decode=decode,
            backend=runner.backend,
            device=runner.choice.device,
            where=f"{runner.backend} ({runner.choice.reason})",
        )

    def _embedded_runner(
        self, device: str | None, options: Mapping[str, Any], *, shared: bool
    ) -> Runner:
        """Return the cached runner of the graph with some values of its options."""
        from .export.embedded.results import with_options

        runners: Any = self._embedded
        with self._lock:
            key = (device, shared, *sorted(options.items()))
            if key not in runners:
                while len(runners) >= _MAX_EMBEDDED:  # options of requests may have any value
                    runners.pop(next(iter(runners)))  # freed when its last prediction ends
                program = with_options(self.model_path.read_bytes(), options)
                runners[key] = create_runner(program, device=device, shared=shared)
            runner: Runner = runners[key]
            return runner

    def close(self) -> None:
        """Free the cached runners."""
        super().close()
        with self._lock:
            runners, self._embedded = self._embedded, None if self._embedded is None else {}
        for runner in (runners or {}).values():
            runner.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_embedded": None if self._embedded is None else {}}

    def __repr__(self) -> str:
        return f"InferModel({str(self.model_path)!r}, {self.runtime_type.value!r})"


def _noise(height: int, width: int) -> npt.NDArray[np.uint8]:
    """Return a photo to measure with."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def _streamed(
    work: Callable[..., Generator[R, None, None]],
    source: Photos,
    steps: Steps[R],
    batch_size: int,
    on_error: OnError,
    bar: AbstractContextManager[Bar] | None,
) -> Iterator[R]:
    with ExitStack() as stack:
        entered = stack.enter_context(bar) if bar else None
        results = work(steps, source, batch_size=batch_size, on_error=on_error, bar=entered)
        yield from stack.enter_context(closing(results))
