"""A model of a registry, and what authors of registries subclass."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from ..enums import Format
from ..errors import DescriptorError
from ..labels import TABLES
from ..spec import Metadata, ModelTensor

if TYPE_CHECKING:
    from ..images.read import ImageSource
    from ..model import Model as PhotoModel
    from ..runtime.sync import Runner

__all__ = ["DESCRIPTION_KEY", "Model"]

DESCRIPTION_KEY = "furiosa_models"
"""Key of an ONNX file's metadata under which it says, as JSON, which model of the zoo it is:
`model`, and the arguments `input`, `head` and `labels` that go with its weights."""


class Model(BaseModel):
    """A model that a registry delivered, or that a registry's code made.

    Authors of registries subclass it: fields that they declare are keywords of the constructor,
    and a class that has `preprocess` and `postprocess` predicts with them.

    Attributes:
        name: Name of the model.
        source: Its bytes; `model` is another name of it.
        format: ONNX or TFLite.
        dfg: Bytes of the vendor's quantized graph, where there are some.
        enf: Bytes of the vendor's program, where there are some.
        family: Family of networks.
        version: Version of the model.
        metadata: What it is, in words.
        inputs: Descriptions of its inputs, where its code gives them.
        outputs: Descriptions of its outputs, likewise.
        compiler_config: Options of the NPU compiler.
        task: What it does with a photo, where that is known: `"detect"`, `"classify"`, `"pose"`.
        doc: Its documentation.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, protected_namespaces=())

    name: str
    source: bytes = Field(repr=False)
    format: Format = Format.ONNX
    dfg: bytes | None = Field(default=None, repr=False)
    enf: bytes | None = Field(default=None, repr=False)
    family: str | None = None
    version: str | None = None
    metadata: Metadata | None = None
    inputs: Sequence[ModelTensor] = ()
    outputs: Sequence[ModelTensor] = ()
    compiler_config: Mapping[str, Any] | None = None
    task: str | None = None
    doc: str | None = Field(default=None, repr=False)

    _runner: Runner | None = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def _take_the_name_of_0_5(cls, values: Any) -> Any:
        if isinstance(values, dict) and "model" in values and "model" not in cls.model_fields:
            if "source" in values:
                msg = "source given twice; model is another name of it"
                raise ValueError(msg)
            values = {**values, "source": values["model"]}
            del values["model"]
        return values

    @field_validator("format", mode="before")
    @classmethod
    def _take_lower_case(cls, value: Any) -> Any:
        return Format(value.upper()) if isinstance(value, str) else value

    @property
    def model(self) -> bytes:
        """`source` under its name in furiosa-sdk 0.5."""
        return self.source

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]  # an instance has its own
        return self.doc

    def __bytes__(self) -> bytes:
        return self.source

    # --- Predicting -----------------------------------------------------------------------------

    def to_model(self, **options: Any) -> PhotoModel[Any]:
        """Return a model of this package that runs the file.

        Args:
            options: Arguments of its constructor, such as `labels`, `input` and `head`.

        Raises:
            TypeError: Nothing says what the model does with a photo.
            DescriptorError: The file's metadata says what nothing here understands.
            ModelNotFound: It names a model that the zoo does not have.
        """
        from ..catalog import find_task, model_class
        from ..task_models import Classifier, Detector, PoseEstimator

        description = self._onnx_metadata()
        if DESCRIPTION_KEY in description:
            name, arguments = _description(description[DESCRIPTION_KEY], self.name)
            return model_class(name)(self.source, **{**arguments, **options})
        word = self.task or description.get("task")
        if word is None:
            msg = (
                f"{self.name} does not say what it does with a photo: neither its entry, nor its "
                "class, nor the file's metadata has a task. create_runner(model) runs it"
            )
            raise TypeError(msg)
        by_task: dict[str, type[PhotoModel[Any]]] = {
            "object_detection": Detector,
            "image_classification": Classifier,
            "pose_estimation": PoseEstimator,
        }
        try:
            task = find_task(word)
        except ValueError as error:
            msg = f"{self.name} says that its task is {word[:60]!r}: {error}"
            raise DescriptorError(msg) from error
        return by_task[task](self.source, **options)

    def predict(self, source: ImageSource | Iterable[ImageSource], **options: Any) -> Any:
        """Return the results of photos, as `furiosa_models.Model.predict` does.

        A class of the registry with a `preprocess` and a `postprocess` of its own is asked to do
        both, with one photo at a time.

        Args:
            source: A photo, or many.
            options: As for `furiosa_models.Model.predict`; those of `postprocess` for such a class.

        Raises:
            TypeError: Nothing says what the model does with a photo.
        """
        if not self._has_its_own():
            with self.to_model() as model:
                return model.predict(source, **options)
        from ..images.sources import expand_sources, is_single

        if is_single(source):
            return self._predicted(source, options)
        return [self._predicted(photo, options) for photo in expand_sources(source)]

    def __call__(self, source: ImageSource | Iterable[ImageSource], **options: Any) -> Any:
        """Return what `predict` returns."""
        return self.predict(source, **options)

    def _has_its_own(self) -> bool:
        return all(callable(getattr(self, name, None)) for name in ("preprocess", "postprocess"))

    def _predicted(self, photo: Any, options: Mapping[str, Any]) -> Any:
        from ..runtime.sync import create_runner

        if self._runner is None:
            self._runner = create_runner(self, compiler_config=self.compiler_config)
        own: Any = self
        found = own.preprocess(photo)
        tensor, context = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
        outputs = self._runner.run(tensor)
        if context is None:
            return own.postprocess(outputs, **options)
        return own.postprocess(outputs, context, **options)

    def _onnx_metadata(self) -> dict[str, str]:
        """The metadata of an ONNX file; nothing where it has none."""
        if self.format is not Format.ONNX:
            return {}
        from ..networks import edit

        return edit.metadata(self.source)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        return ((name, value) for name, value in super().__repr_args__() if value not in (None, ()))


def _description(text: str, name: str) -> tuple[str, dict[str, Any]]:
    """Which model of the zoo a file says it is, and the arguments that go with its weights.

    Raises:
        DescriptorError: It says something else, or names a file of this machine as its labels.
    """
    try:
        description = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"{name}: its metadata {DESCRIPTION_KEY!r} is not valid JSON: {error}"
        raise DescriptorError(msg) from error
    kinds: dict[str, Any] = {"model": str, "input": dict, "head": dict, "labels": (str, list)}
    right = (
        isinstance(description, dict) and "model" in description and set(description) <= set(kinds)
    )
    if not right or not all(isinstance(value, kinds[key]) for key, value in description.items()):
        msg = (
            f"{name}: its metadata {DESCRIPTION_KEY!r} must be an object of a `model` and, where "
            f"they differ, `input`, `head` and `labels`, got {text[:80]!r}"
        )
        raise DescriptorError(msg)
    labels = description.get("labels", TABLES[0])
    if isinstance(labels, str) and labels not in TABLES:
        msg = f"{name}: its metadata names the labels {labels[:60]!r}; tables: {', '.join(TABLES)}"
        raise DescriptorError(msg)
    return description.pop("model"), description
