"""A model: weights, the programs that run them, and the way from a photo to a result."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path
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
from .enums import Format, ModelTaskType, Platform, Precision
from .errors import FuriosaModelsError, ShapeError
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
from .images.sources import count, expand_sources, is_single, is_static
from .labels import given_names, table_of
from .ops.checks import check_at_least, check_choice
from .processors import (
    PostProcessor,
    PreProcessor,
    postprocessor_class,
    postprocessor_of,
    preprocessor_of,
    takes,
    takes_one_context,
)
from .programs import Programs, dequantize, feed, run_in_batches
from .progress import Bar, progress_bar
from .runtime.devices import is_shareable, makes_npu_programs
from .runtime.machine import cpus_per_worker
from .runtime.source import ScaledSource
from .runtime.sync import Runner, create_runner
from .spec import (
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
from .weights import Weights, WeightsSource, is_there

if TYPE_CHECKING:
    from typing_extensions import Self, TypedDict

    from .artifacts.descriptor import Artifact
    from .quantization.post_training import Quantization

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


__all__ = ["Model", "Outputs", "Photos", "built_in"]

_ZOO = "furiosa_models.zoo."

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    R = TypeVarWithDefault("R", default=Any)
else:
    R = TypeVar("R")
Function = TypeVar("Function", bound=Callable[..., Any])
Tensor: TypeAlias = npt.NDArray[Any]
Photos: TypeAlias = "ImageSource | Iterable[ImageSource]"
Outputs: TypeAlias = "npt.NDArray[Any] | Sequence[npt.NDArray[Any]]"


def built_in(function: Function) -> Function:
    """Mark a `preprocess` or `postprocess` of this package: any other is a user's override."""
    function._built_in = True  # type: ignore[attr-defined]
    return function


_FIELDS = MappingProxyType(
    {
        "name": "name of the model",
        "task_type": "what it does with a photo",
        "format": "format of origin",
        "family": "family of networks",
        "version": "version of the model",
        "metadata": "what it is, in words",
        "tags": "tags",
        "preprocessor": "preprocess, as an object",
        "postprocessor": "postprocess, as an object",
    }
)
_COMPUTED_FIELDS = MappingProxyType(
    {
        "origin": "the network as float32 ONNX",
        "tensor_name_to_range": "calibrated range of each tensor of origin",
    }
)


class _PostprocessorMap:
    """The attribute `postprocessor_map` of a class, and of its instances."""

    def __get__(
        self, model: object, owner: type[Model[Any]]
    ) -> dict[Platform, type[PostProcessor]]:
        platforms = sorted(owner.platforms, key=lambda platform: platform.name)
        cls: Any = owner
        return {platform: postprocessor_class(cls, platform) for platform in platforms}


class _FromCatalog:
    """An attribute of a class whose value is in the entry of the catalog, unless it is overridden.

    Args:
        field: Field of `ModelEntry`.
        default: The value for a class without an entry, given the class.
    """

    def __init__(self, field: str, default: Callable[[type[Model[Any]]], Any]) -> None:
        self._field = field
        self._default = default

    def __get__(self, model: object, owner: type[Model[Any]]) -> Any:
        entry = owner._entry()
        return self._default(owner) if entry is None else getattr(entry, self._field)


class Model(Generic[R]):
    """Base of every model.

    A zoo class binds `spec`; the constructor does no I/O: artifacts are fetched when they are first
    used, and cached. A subclass may have a `preprocess` and a `postprocess` of its own: `predict`,
    streams, `evaluate`, `benchmark` and the server call them.

    Attributes:
        spec: Network, input, head and labels.
        default_weights: What `weights=None` stands for; None is the first set of the catalog that
            can be had.
        name: Name of the model.
        family: Family of networks.
        version: Version of the model.
        metadata: What it is, in words.
        tags: Tags.
        quantization: What `quantize` reported, of a model that it made.
        platforms: What pre- and postprocessing can run on.
        postprocessor_map: A class of postprocessors for each of them, as in 0.10.
        compiler_config: Options of the NPU's compiler, as in 0.8: none are needed.
        model_fields: What there is without fetching anything, by name, as in 0.10.
        model_computed_fields: What is fetched when it is asked for, likewise.
    """

    spec: ClassVar[ModelSpec | None] = None
    default_weights: ClassVar[WeightsSource] = None

    name: ClassVar[str] = _FromCatalog("name", lambda cls: cls.__name__)  # type: ignore[assignment]
    family: ClassVar[str | None] = _FromCatalog("family", lambda _: None)  # type: ignore[assignment]
    version: ClassVar[str | None] = _FromCatalog("version", lambda _: None)  # type: ignore[assignment]
    metadata: ClassVar[Metadata | None] = _FromCatalog("metadata", lambda cls: cls._described())  # type: ignore[assignment]
    tags: ClassVar[Tags | None] = None
    quantization: Quantization | None = None
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
        """Make a model; nothing is fetched.

        Args:
            weights: A named set (`available_weights()`), an ONNX file, its bytes, a `ModelProto`,
                or `"random"`; the published set by default.
            spec: The specification, in place of the class's.
            labels: Name of a table of labels or of a file, or the name of each class, in order or
                by class id, in place of those of the weights.
            input: What the network takes, or some fields of that, in place of what the weights
                say.
            head: What makes results of its outputs, or some fields of that, likewise.
            postprocessor_type: What pre- and postprocessing run on: `Platform.RUST`, or
                `Platform.PYTHON` (numpy). The results are the same.

        Raises:
            TypeError: The class has no specification, and the arguments do not make one.
            ValueError: There is no such platform.
        """
        platform = Platform(postprocessor_type)
        if platform not in self.platforms:
            names = ", ".join(p.name for p in self.platforms)
            msg = f"{type(self).__name__} has no {platform.name} postprocessor; it has {names}"
            raise ValueError(msg)
        own = spec or type(self).spec
        if own is None:
            own = self._specified(input, head)
        stated = {"labels": labels, "input": input, "head": head}
        overrides = {name: value for name, value in stated.items() if value is not None}
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
        """The specification that a user gives to a class without one."""
        if isinstance(head, Head) and isinstance(input, ImageInput):
            return ModelSpec(None, input, head)
        msg = f"{cls.__name__} knows no network of its own: give spec=, or input= and head="
        raise TypeError(msg)

    @classmethod
    def load(
        cls, use_native: bool | None = None, *, version: str | None = None, **options: Any
    ) -> Self:
        """Return a model whose weights are already there.

        Args:
            use_native: As in 0.8: False is `Platform.PYTHON`, True is `Platform.RUST`.
            version: As in 0.8: `"rust"` or `"cpp"`, both of which are `Platform.RUST` here, or
                `"python"`.
            options: Those of the constructor.

        Raises:
            ArtifactError: The weights cannot be had.
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
        """Return what `load` returns, without blocking the event loop."""
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
        """What the catalog calls the model.

        A user's subclass is what it is derived from, unless it has a specification of its own:
        that is another network, and the weights of its base are none of its.
        """
        for base in cls.__mro__:
            if base.__module__.startswith(_ZOO) and base.__name__ in zoo():
                return base.__name__
            if vars(base).get("spec") is not None:
                break
        return cls.__name__

    @classmethod
    def _described(cls) -> Metadata | None:
        """The metadata of a class that the catalog does not have: the first line of its docs."""
        lines = (cls.__doc__ or "").strip().splitlines()
        return Metadata(description=lines[0]) if lines else None

    @property
    def vision_task(self) -> VisionTask[R]:
        """The task: its options, its labels, its metric."""
        task: VisionTask[R] = self._weights.declared_spec.head.task
        return task

    @property
    def task(self) -> str:
        """What the model does with a photo: a `furiosa_models.enums.Task` where there is one."""
        return self.vision_task.task or self.vision_task.name

    @property
    def task_type(self) -> ModelTaskType | None:
        """What the model does with a photo, by 0.10's names; None for a task that 0.10 lacks."""
        return self.vision_task.task_type

    @property
    def input(self) -> ImageInput:
        """What the network takes."""
        return self._weights.known.input

    @property
    def head(self) -> Head:
        """What makes results of its outputs."""
        return self._weights.known.head

    @property
    def labels(self) -> tuple[str, ...]:
        """Name of each class, by class id."""
        return table_of(self._weights.known.labels)

    @property
    def names(self) -> dict[int, str]:
        """Name of each class by class id: `labels` as a dictionary."""
        return dict(enumerate(self.labels))

    @property
    def network(self) -> NetworkSpec | None:
        """What checkpoints are poured into."""
        return self._weights.declared_spec.network

    @property
    def format(self) -> Format:
        """Format of `origin`."""
        graph = self._weights.own_graph if self._weights.is_own else None
        return graph.format if graph else Format.ONNX

    def model_dump(self, **options: Any) -> dict[str, Any]:
        """Return the metadata as a dictionary; `Record.model_dump` has the options."""
        return self._record().model_dump(**options)

    def model_dump_json(self, **options: Any) -> str:
        """Return the metadata as JSON; `Record.model_dump_json` has the options."""
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
        """What pre- and postprocessing run on."""
        return self._platform

    # --- What it runs ---------------------------------------------------------------------------

    @property
    def weights(self) -> str:
        """Name of the weights in use; before the first use, of those that are asked for."""
        return self._weights.name

    @property
    def origin(self) -> bytes:
        """The network as float32 ONNX; takes `preprocess(..., with_scaling=True)`."""
        return self._weights.origin

    @property
    def source(self) -> bytes:
        """`origin` under its name in 0.8; a session of it takes what `preprocess` gives, too."""

        def scale(tensor: Tensor) -> Tensor:
            return normalize(tensor, self._weights.scaling, self.platform)

        return ScaledSource.of(self.origin, scale)

    @property
    def tensor_name_to_range(self) -> dict[str, list[float]]:
        """Calibrated range, [least, greatest], of each tensor of `origin`.

        Raises:
            ArtifactNotFound: The weights in use have none.
        """
        return self._programs.tensor_ranges()

    @property
    def calib_range(self) -> dict[str, list[float]]:
        """`tensor_name_to_range` under its first name in 0.10; raises as it does."""
        return self.tensor_name_to_range

    @property
    def calib_yaml(self) -> str:
        """`tensor_name_to_range` as YAML, as in 0.9; raises as it does."""
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
        """The program of 0.8 and 0.9 for a session: what `model_source()` gives.

        It is an ENF where there is an NPU or its compiler, and a program for the CPU elsewhere;
        `fetch_enf` gives an ENF on every machine, or raises.
        """
        return self.model_source()

    @property
    def dfg(self) -> bytes:
        """The quantized graph that 0.8 published, an intermediate form of the vendor's compiler.

        Raises:
            ArtifactNotFound: None was published for this model and these weights.
        """
        return self._programs.dfg()

    def published_int8(self, *, truncated: bool = False) -> bytes:
        """Return the quantized ONNX graph that 0.8 published, which it called `source`.

        Args:
            truncated: The one without its last steps, which 0.8's native postprocessors took over.

        Raises:
            ArtifactNotFound: None was published for this model and these weights.
            ArtifactUnavailable: It is out of reach.
        """
        return self._programs.published_int8(truncated=truncated)

    def model_source(
        self, num_pe: Literal[1, 2] = 2, *, precision: Precision | None = None
    ) -> bytes:
        """Return the best program for this machine; it takes uint8, as `preprocess` gives it.

        With the vendor's compiler or an NPU it is a program of the NPU, as in 0.10. Elsewhere, or
        where the environment orders the CPU, it is ONNX with the scaling inside.

        Args:
            num_pe: Number of processing elements, for the NPU: 1 or 2.
            precision: `"fp32"` or `"int8"` for that program of the CPU, on every machine.

        Raises:
            ValueError: `num_pe` is neither 1 nor 2.
            ArtifactNotFound: The weights in use were not calibrated for int8.
            CompilationError: The vendor's compiler failed.
        """
        return self._programs.best(num_pe, precision=precision)

    def fetch_enf(self, num_pe: Literal[1, 2] = 2, ir_version: str | None = None) -> bytes:
        """Return the program of the NPU: published, or compiled here and kept.

        Args:
            num_pe: Number of processing elements: 1 or 2.
            ir_version: Version of the compiler that made it, such as `0.10.1_8b00177dc`; that of
                the installed compiler by default, or where there is none the newest published.

        Raises:
            ValueError: `num_pe` is neither 1 nor 2.
            ArtifactNotFound: None was published for the weights and version, and it cannot be
                compiled here.
            ArtifactUnavailable: It was published, and is out of reach.
            CompilationError: The vendor's compiler failed.
        """
        return self._programs.enf(num_pe, ir_version)

    def cpu_program(self, *, precision: Precision = "fp32") -> Built:
        """Return the ONNX program that takes uint8, with the scaling inside: what builds it.

        `read_bytes()` of it builds it, and `create_runner` takes it.

        Args:
            precision: `"int8"` for the quantized program.

        Raises:
            ArtifactNotFound: The weights in use were not calibrated for int8.
        """
        return self._programs.cpu(precision=precision)

    def npu_program(self, num_pe: Literal[1, 2] = 2) -> bytes:
        """Return what the vendor runtime is given: an ENF, or else quantized ONNX.

        Args:
            num_pe: Number of processing elements: 1 or 2.

        Raises:
            ArtifactNotFound: There is no ENF, and the weights were not calibrated for int8.
            CompilationError: The vendor's compiler failed.
        """
        return self._programs.npu(num_pe)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the model into a new folder, from which any class of its task reads it back.

        The folder holds the graph and `model_info.json`: class, input, head, labels, and where the
        weights came from. `Detector(folder)`, or the model's own class, gives the same results.

        Args:
            folder: A folder that is new or empty.

        Raises:
            FuriosaModelsError: The folder is not empty or cannot be written, or the head is one of
                the user's own, which is code.
        """
        from .saved import write_saved

        spec, artifact = self._weights.spec, self._weights.resolve().artifact
        facts = {
            "name": self.name,
            "model_family": self.family,
            "task": str(getattr(self.task, "value", self.task)),
            "description": self.metadata.description if self.metadata else None,
            "ref": None,
            "focoos_model": None,
            "status": None,
            "train_args": None,
            "val_dataset": None,
            "val_metrics": {a.metric: a.value for a in artifact.accuracy} if artifact else None,
            "focoos_version": None,
            "latency": None,
            "training_info": None,
            "config": {
                "class": self._catalog_name(),
                "weights": self.weights,
                "license": artifact.license.origin if artifact else None,
                "location": artifact.location if artifact else None,
            },
        }
        return write_saved(folder, self.origin, spec, table_of(spec.labels), facts)

    def quantize(
        self,
        photos: Photos,
        *,
        labels: str | os.PathLike[str] | None = None,
        images: str | os.PathLike[str] | None = None,
        max_photos: int = 200,
        method: Any = "PERCENTILE_ASYM",
        percentage: float = 99.99,
        device: str | None = None,
    ) -> Self:
        """Return the model in int8, calibrated on photos; `quantization` reports on it.

        Args:
            photos: Photos such as the model will see, a hundred or more; better none that accuracy
                is measured on.
            labels: Labels, as for `evaluate`: the accuracy is measured before and after.
            images: Folder of the labeled photos; `photos` where that is a folder.
            max_photos: Most photos to calibrate on.
            method: How ranges are chosen: a `CalibrationMethod` or its name.
            percentage: How much of the numbers the percentile methods keep.
            device: As for `predict`, where the accuracy is measured.

        Raises:
            FuriosaModelsError: There are no photos, or the network cannot be quantized.
            ImageError: A photo cannot be read.
            ValueError: There is no such method; or labels come without a folder of photos.
        """
        from .evaluation import evaluate
        from .quantization.post_training import Quantization, quantize_on

        check_at_least("max_photos", max_photos, 1)
        folder = images or (photos if isinstance(photos, (str, os.PathLike)) else None)
        if labels is not None and folder is None:
            msg = "labels need images=, the folder of the photos that they are of"
            raise ValueError(msg)
        steps = self.steps(device="cpu")
        tensors = (
            steps.prepare([steps.read(photo)])[0]
            for photo in itertools.islice(expand_sources(photos), max_photos)
        )
        program = self._programs.cpu().read_bytes()
        int8, count = quantize_on(program, tensors, method=method, percentage=percentage)
        spec = self._weights.spec
        copy = self._with_weights(
            Weights(
                self._weights.model,
                int8,
                ModelSpec(None, spec.input, spec.head, spec.labels),
                {"input": spec.input, "head": spec.head, "labels": spec.labels},
            )
        )
        before = after = None
        if labels is not None and folder is not None:
            before, after = (
                evaluate(model, Path(folder), Path(labels), device=device).figures
                for model in (self, copy)
            )
        copy.quantization = Quantization(count, len(program), len(int8), before, after)
        return copy

    def _with_weights(self, weights: Weights) -> Self:
        """The same model with other weights."""
        copy = type(self).__new__(type(self))
        copy.__setstate__(self.__getstate__())
        copy._weights = weights
        copy._programs = Programs(self.name, weights)
        copy._runners = {}
        return copy

    def built(self) -> dict[str, str]:
        """Return what the cache has that was built of the weights: what it is, by its hash.

        Nothing is fetched: a set that is not there has nothing.
        """
        return self._programs.built() if self._is_there() else {}

    def check_built(self) -> list[str]:
        """Build again what `built` names; return what did not have the hash that was noted.

        The notes are corrected.
        """
        return self._programs.check_built() if self._is_there() else []

    def _is_there(self) -> bool:
        artifact = self._weights.sets.get(self._weights.name)
        return artifact is None or is_there(artifact, self._weights.store)

    def fitted(self) -> Self:
        """Return the model, once it is known that its graph, head and labels go together.

        Raises:
            ArtifactError: The weights cannot be had.
            ShapeError: No head reads the graph's outputs.
            LabelsError: The number of labels is not the number of the graph's classes.
        """
        _ = self._weights.spec
        return self

    def resolve_all(self) -> None:
        """Fetch everything that `origin`, `model_source` and `tensor_name_to_range` need."""
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
        """`preprocess` as an object; another one that is put in its place is called instead."""
        own: PreProcessor | None = vars(self).get("preprocess")
        return own or preprocessor_of(self)

    @preprocessor.setter
    def preprocessor(self, value: PreProcessor) -> None:
        vars(self)["preprocess"] = value

    @property
    def postprocessor(self) -> PostProcessor:
        """`postprocess` as an object; another one that is put in its place is called instead."""
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
        """Return photos as the network's input.

        Args:
            images: A photo, or a sequence, folder or glob of them.
            with_scaling: Give the scaled float32 that `origin` takes, instead of uint8.
            color: Channel order of numpy arrays.
            draft: Decode large JPEGs at a fraction of their size; see `predict`.
            background: The color that photos with an alpha channel are laid onto; see `predict`.

        Returns:
            A contiguous (n, 3, h, w) tensor, uint8 or float32, and what `postprocess` has to know
            of each photo.

        Raises:
            ImageError: A photo cannot be read.
        """
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
        else:  # each is read before the next one may take its place
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

    @built_in
    @takes_one_context
    def postprocess(
        self,
        model_outputs: Outputs,
        contexts: Sequence[ImageContext | Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> Any:
        """Return the result of each photo.

        Args:
            model_outputs: What the runner gave.
            contexts: What `preprocess` gave.
            options: Those of the task.

        Raises:
            ShapeError: Outputs or contexts of the wrong count, shape or dtype.
            TypeError: The task does not have such an option.
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
        """Return the results of photos: fetch, decode, preprocess, run, postprocess.

        Args:
            source: A photo in any form of `furiosa_models.images.read.read_image`; a sequence,
                iterator, folder or glob of them; a video file, there too, is as many photos as it
                has frames.
            stream: Return a generator instead of a list. Of files it reads and runs a few batches
                ahead of what is taken from it, and keeps no more than these in memory. An iterator
                may be a camera: it is asked for a photo once the results of those before it were
                taken.
            options: Those of the task (thresholds, `top_k`), and for every task:

                - batch_size: Photos run at once; 1 by default.
                - device: `"cpu"`, an NPU device string, or None for what is there.
                - precision: `"int8"` for the quantized program on the CPU.
                - color: Channel order of numpy arrays: `"bgr"`, OpenCV's, or `"rgb"`.
                - draft: Decode JPEGs of at least twice the network's input at a half, a quarter or
                  an eighth of their size. It takes less time, and changes pixels a little.
                - background: The color (a name, `#rrggbb`, or red, green and blue) that photos with
                  an alpha channel are laid onto; by default alpha is dropped.
                - on_error: What becomes of one of many photos that cannot be read: `"raise"` after
                  the results of those before it; `"skip"` it with a line in the log; or a function
                  that is called with the photo and the error.
                - progress: Show a bar of the photos that are done; by default for a list of
                  results.

        Returns:
            One result for one photo; a list (a generator with `stream=True`) for many. A name of a
            folder, a glob or a video stands for many.

        Raises:
            ImageError: A photo cannot be read.
            ArtifactError: The weights cannot be had.
            BackendUnavailable: The device that was asked for is not there.
            ValueError: A threshold, `top_k` or `batch_size` is out of range.
            TypeError: The task does not have such an option.
            ExtraRequired: The source is a video, and PyAV is not installed.
        """
        return self._predict(source, stream=stream, **options)

    def __call__(self, source: Photos, **options: Any) -> Any:
        """Return what `predict` returns."""
        return self.predict(source, **options)

    def run_batch(self, images: Sequence[ImageSource], **options: Any) -> dict[str, list[Tensor]]:
        """Return the results of a batch as columns, for programs that work on arrays.

        Args:
            images: Single photos; they are run at once.
            options: Those of `predict`, but for `stream`, `batch_size`, `on_error`, `progress`.

        Returns:
            The arrays of the results by name (`boxes`, `scores`, `class_ids`, ...), each a list of
            one array for each image.
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

        A `preprocess` or `postprocess` of a subclass is called in its step: `preprocess` with a
        list of (h, w, 3) uint8 BGR arrays, `postprocess` with the outputs, what `preprocess` gave
        beside the tensor, and the options of the task that were given.

        Args:
            device: As for `predict`.
            precision: As for `predict`.
            color: As for `predict`.
            draft: As for `predict`.
            background: As for `predict`.
            shared: Whether many threads are going to take the steps at the same time. On a CPU
                each of them then has its share of the CPUs, which gets more done than all in turn
                on all.
            options: Those of the task.

        Raises:
            TypeError: The task does not have such an option.
            ValueError: `draft` of a model that has a `preprocess` of its own.
        """
        task_options = self.vision_task.resolve_options(options)
        own_input, own_results = self._overrides("preprocess"), self._overrides("postprocess")
        if draft and own_input:
            msg = f"{type(self).__name__} has a preprocess of its own, which drafts would mislead"
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
        **options: Any,
    ) -> Any:
        check_at_least("batch_size", batch_size, 1)
        check_choice("precision", precision, ("fp32", "int8"))
        check_on_error(on_error)
        # Here and not in a worker, so that warnings and errors point to the caller.
        photos, fixed = count(source), is_static(source)
        steps = self.steps(
            device=device,
            precision=precision,
            color=color,
            draft=draft,
            background=background,
            shared=fixed and (photos is None or photos > batch_size),
            **options,
        )
        if is_single(source) and not stream:
            return steps.predict_one(source)
        shown = not stream if progress is None else progress
        bar = progress_bar(type(self).__name__, photos, unit="photo") if shown else None
        work = pipelined if fixed else one_by_one
        results = _streamed(work, source, steps, batch_size, on_error, bar)
        return results if stream else list(results)

    def _runs(self, runner: Runner) -> Callable[[Tensor], list[Tensor]]:
        """What runs a tensor of `prepare`: as it is, or as a TensorFlow Lite program takes it."""
        graph = self._weights.own_graph
        if graph is None or graph.format is not Format.TFLite:
            return lambda tensor: run_in_batches(runner, tensor)
        spec, platform = self._weights.spec.input, self.platform

        def run(tensor: Tensor) -> list[Tensor]:
            fed = feed(tensor, graph.inputs[0], lambda x: normalize(x, spec, platform))
            outputs = zip(run_in_batches(runner, fed), graph.outputs, strict=True)
            return [dequantize(output, facts) for output, facts in outputs]

        return run

    def _overrides(self, method: str) -> bool:
        """Whether a subclass, or the user, has put another method in place of ours."""
        return not getattr(getattr(self, method), "_built_in", False)

    def _tensor(
        self, images: Sequence[DecodedImage]
    ) -> tuple[npt.NDArray[np.uint8], list[ImageContext]]:
        spec = self._weights.pixels()
        tensor = np.empty((len(images), 3, *spec.size), np.uint8)
        pairs = zip(images, tensor, strict=True)
        return tensor, [self._place(image, spec, out) for image, out in pairs]

    def _own_tensor(self, images: Sequence[DecodedImage]) -> tuple[Tensor, Any]:
        """The network's input by the preprocessing of a subclass."""
        photos = [np.ascontiguousarray(image.rgb[:, :, ::-1]) for image in images]
        made: Any = self.preprocess(photos)
        if not isinstance(made, (tuple, list)) or len(made) != 2:
            msg = (
                f"preprocess of {type(self).__name__} must give two things, a tensor and contexts, "
                f"got {type(made).__name__}"
            )
            raise ShapeError(msg)
        return made[0], made[1]

    def _place(
        self, image: DecodedImage, spec: ImageInput, out: npt.NDArray[np.uint8]
    ) -> ImageContext:
        """Fill the input of one photo."""
        options: Any = {"bgr": image.bgr, "size": image.drafted_from}
        return prepare(image.pixels, spec, platform=self.platform, out=out, **options)[1]

    def _decode(
        self,
        outputs: Outputs,
        contexts: Sequence[ImageContext | Mapping[str, Any]] | None,
        options: Mapping[str, Any],
    ) -> list[R]:
        """The results that the head makes."""
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
        """The results by the postprocessing of a subclass; one that is no list is of one photo."""
        found = self.postprocess(outputs, contexts, **options)
        return list(found) if isinstance(found, (list, tuple)) else [found]

    def _runner(
        self, device: str | None, precision: Precision = "fp32", *, shared: bool = False
    ) -> Runner:
        """The runner that `predict` keeps for a device."""
        with self._lock:
            key = device, precision, shared
            if key not in self._runners:
                order = None if precision == "fp32" else precision
                threads = cpus_per_worker() if shared and is_shareable(device) else None
                self._runners[key] = create_runner(
                    self, device=device, precision=order, worker_num=threads
                )
            return self._runners[key]

    def close(self) -> None:
        """Free the runners that `predict` keeps."""
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
        """What there is to say of the model, for notebooks; nothing is fetched."""
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
        except FuriosaModelsError as error:  # of a file of the user's: the view says it
            values["problem"] = error
        values["sets of weights"] = self.available_weights()
        return facts(repr(self), values)

    def __repr__(self) -> str:
        if self._weights.is_missing:
            return f"{type(self).__name__}(without weights: give a file)"
        note = ", seeded random weights: results mean nothing" if self.weights == "random" else ""
        return f"{type(self).__name__}(weights={self.weights!r}{note})"


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
