"""A model: a network with its weights, its metadata and a runner."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from .artifacts.descriptor import Artifact, sets_of, zoo
from .artifacts.store import Store
from .conventions import Conventions, Head, geometry, specialised
from .enums import Format, ModelTaskType, Platform
from .images.preprocess import ImageInput
from .npu_programs import NpuPrograms
from .runtime.devices import is_shareable, makes_npu_programs
from .runtime.machine import share_of_cpus
from .runtime.sync import Precision, Runner, create_runner
from .weights import NetworkSpec, WeightSet, WeightsSource, resolve

if TYPE_CHECKING:
    from typing_extensions import Self

    from .types import Metadata, ModelInfo, Tags

__all__ = ["Model"]


class Model(NpuPrograms):
    """Base of every model of the zoo.

    The constructor does no I/O: artifacts are fetched when they are first used, and cached.

    Attributes:
        name: Name of the model.
        task_type: What it is for.
        format: Format of `origin`.
        family: Family of networks.
        version: Version of the model.
        metadata: What it is, in words.
        tags: Tags.
        input: What the network takes.
        network: What random weights are poured into.
        head: What makes results of its outputs.
        labels: Table of labels; see `furiosa_models.labels`.
        platforms: What pre- and postprocessing can run on.
    """

    name: ClassVar[str]
    task_type: ClassVar[ModelTaskType]
    format: ClassVar[Format] = Format.ONNX
    family: ClassVar[str | None] = None
    version: ClassVar[str | None] = None
    metadata: ClassVar[Metadata | None] = None
    tags: ClassVar[Tags | None] = None

    input: ClassVar[ImageInput]
    network: ClassVar[NetworkSpec]
    head: ClassVar[Head]
    labels: ClassVar[str]
    platforms: ClassVar[tuple[Platform, ...]] = (Platform.RUST, Platform.PYTHON)

    def __init__(
        self,
        *,
        postprocessor_type: str | Platform = Platform.RUST,
        weights: WeightsSource = None,
    ) -> None:
        """Make a model; nothing is fetched.

        Args:
            postprocessor_type: What pre- and postprocessing run on: `Platform.RUST`, or
                `Platform.PYTHON` (numpy). The results are the same.
            weights: A named set (`available_weights()`), an ONNX file, its bytes, a
                `ModelProto`, or `"random"`; the published set by default.

        Raises:
            ValueError: There is no such platform.
        """
        platform = Platform(postprocessor_type)
        if platform not in self.platforms:
            names = ", ".join(p.name for p in self.platforms)
            msg = f"{type(self).__name__} has no {platform.name} postprocessor; it has {names}"
            raise ValueError(msg)
        self._options: dict[str, Any] = {"postprocessor_type": platform, "weights": weights}
        self._platform = platform
        self._source = weights
        self._store = Store()
        self._resolved: WeightSet | None = None
        self._stated: Conventions | None = None
        self._runners: dict[tuple[str | None, Precision, bool], Runner] = {}
        self._lock = threading.RLock()

    @classmethod
    def load(
        cls,
        use_native: bool | None = None,
        **options: Any,
    ) -> Self:
        """A model whose weights are already there when this returns.

        Args:
            use_native: As in 0.8: False is `Platform.PYTHON`, True is `Platform.RUST`.
            options: Those of the constructor.

        Raises:
            ArtifactError: The weights cannot be had.
        """
        if use_native is not None:
            options["postprocessor_type"] = Platform.RUST if use_native else Platform.PYTHON
        model = cls(**options)
        model._weights()
        return model

    @classmethod
    async def load_async(
        cls,
        use_native: bool | None = None,
        **options: Any,
    ) -> Self:
        """As `load`, without blocking the event loop."""
        import asyncio

        return await asyncio.to_thread(cls.load, use_native, **options)

    @classmethod
    def available_weights(cls) -> list[str]:
        """Names of the sets of weights in the catalogue, in order of preference."""
        return list(cls.catalogue())

    @classmethod
    def catalogue(cls) -> Mapping[str, Artifact]:
        """The model's sets of weights, by name, in order of preference."""
        return sets_of(cls._catalogue_name())

    @classmethod
    def _catalogue_name(cls) -> str:
        """What the catalogue calls the model: a user's subclass is what it is derived from."""
        names = [base.__name__ for base in cls.__mro__]
        return next((name for name in names if name in zoo()), cls.__name__)

    @property
    def info(self) -> ModelInfo:
        """The model's metadata."""
        from dataclasses import fields

        from .types import ModelInfo

        return ModelInfo(**{field.name: getattr(self, field.name) for field in fields(ModelInfo)})

    def model_dump(self, **options: Any) -> dict[str, Any]:
        """The metadata as a dictionary; options are those of pydantic. Fetches nothing."""
        return self.info.model_dump(**options)

    def model_dump_json(self, **options: Any) -> str:
        """The metadata as JSON; options are those of pydantic. Fetches nothing."""
        return self.info.model_dump_json(**options)

    @property
    def vision_task(self) -> Any:
        """The task: its options, its labels, its metric."""
        return self.head.task

    @property
    def platform(self) -> Platform:
        """What pre- and postprocessing run on."""
        return self._platform

    @property
    def weights(self) -> str:
        """Name of the weights in use; before the first use, of those that are asked for."""
        if self._resolved is not None:
            return self._resolved.name
        if self._source is None:
            return next(iter(self.catalogue()), "random")
        return self._source if isinstance(self._source, str) else type(self._source).__name__

    @property
    def origin(self) -> bytes:
        """The network as float32 ONNX; takes `preprocess(..., with_scaling=True)`."""
        return self._weights().origin

    @property
    def source(self) -> bytes:
        """`origin` under its name in 0.8."""
        return self.origin

    def resolve_all(self) -> None:
        """Fetch everything that `origin`, `model_source` and `tensor_name_to_range` need."""
        self.cpu_program()
        if makes_npu_programs():
            self.npu_program(1)
            self.npu_program(2)
        artifact = self._weights().artifact
        if artifact is not None and artifact.tensor_ranges is not None:
            self._store.fetch([artifact.tensor_ranges])

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

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self._options)

    def __repr__(self) -> str:
        note = ", seeded random weights: results mean nothing" if self.weights == "random" else ""
        return f"{type(self).__name__}(weights={self.weights!r}{note})"

    def _weights(self) -> WeightSet:
        with self._lock:
            if self._resolved is None:
                model = self._catalogue_name()
                found = resolve(model, self._source, self.network, self._store)
                self._stated = Conventions.of(found, self.head, self._store)
                self._resolved = found
            return self._resolved

    def _input_spec(self) -> ImageInput:
        """The input specification of the weights in use (which are fetched)."""
        self._weights()
        return specialised(self.input, self._conventions.input)

    @property
    def _conventions(self) -> Conventions:
        """Those of the weights in use; before they are there, of the set that is asked for."""
        if self._stated is None:
            name = self.weights if self._source is None else self._source
            artifact = self.catalogue().get(name) if isinstance(name, str) else None
            self._stated = Conventions.stated(artifact) if artifact else Conventions()
        return self._stated

    def _geometry(self) -> ImageInput:
        """The input specification but for its scaling; fetches only if the sets disagree."""
        if self._resolved is None and self._source is None:
            stated = [Conventions.stated(artifact) for artifact in self.catalogue().values()]
            specs = {geometry(specialised(self.input, c.input)) for c in stated}
            if len(specs) == 1:
                return specs.pop()
        return self._input_spec()

    def _runner(
        self, device: str | None, precision: Precision = "fp32", *, shared: bool = False
    ) -> Runner:
        """The runner that `predict` keeps for a device.

        Args:
            device: As for `predict`.
            precision: As for `predict`.
            shared: Whether many threads are going to run it at the same time. On a CPU each of
                them then has its share of the CPUs, which gets more done than all in turn on all.
        """
        with self._lock:
            key = device, precision, shared
            if key not in self._runners:
                order = None if precision == "fp32" else precision
                threads = share_of_cpus() if shared and is_shareable(device) else None
                self._runners[key] = create_runner(
                    self, device=device, precision=order, worker_num=threads
                )
            return self._runners[key]


def _rebuild(cls: type[Model], options: dict[str, Any]) -> Model:
    return cls(**options)
