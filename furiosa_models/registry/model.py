"""Model of a registry, and the base class for authors of registries."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from ..enums import Format
from ..errors import DescriptorError, WeightsError
from ..labels import TABLES
from ..spec import Metadata, ModelTensor

if TYPE_CHECKING:
    from ..images.read import ImageSource
    from ..model import Model as PhotoModel
    from ..runtime.sync import Runner

__all__ = ["DESCRIPTION_KEY", "Model"]

DESCRIPTION_KEY = "furiosa_models"
"""Key of ONNX metadata whose JSON value names the zoo model of the file: `model`, and the
constructor arguments `input`, `head` and `labels` that its weights need."""


class Model(BaseModel):
    """A model from a registry's file or from a registry's code.

    Authors of registries may subclass it: fields of the subclass become keywords of the
    constructor, and a subclass with `preprocess` and `postprocess` methods uses them to predict.

    Attributes:
        name: Name of the model.
        source: Bytes of the file; `model` is an alias.
        format: ONNX or TFLite.
        dfg: Bytes of the vendor's quantized graph, if any.
        enf: Bytes of the vendor's compiled program, if any.
        family: Family of networks.
        version: Version of the model.
        metadata: Description and publication.
        inputs: Descriptions of the inputs, if the registry's code states them.
        outputs: Descriptions of the outputs, if the registry's code states them.
        compiler_config: Options of the NPU compiler.
        task: What the model does with a photo, if known: `"detect"`, `"classify"`, `"pose"`,
            `"segment"`, `"instseg"` or `"matte"`.
        doc: Documentation of the model.
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
    _info: bytes | None = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def _take_the_name_of_0_5(cls, values: Any) -> Any:
        if isinstance(values, dict) and "model" in values and "model" not in cls.model_fields:
            if "source" in values:
                msg = "got both source and model, which is an alias of it: pass one of them"
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
        """Alias of `source`, its name in furiosa-sdk 0.5."""
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
            options: Arguments of the model's constructor, such as `labels`, `input` and `head`.

        Raises:
            TypeError: Neither the entry, the class nor the file's metadata states the task.
            DescriptorError: The file's metadata is invalid or names an unknown task.
            ModelNotFound: The metadata names a model that the zoo does not have.
        """
        from ..catalog import class_for, model_class

        description = self._onnx_metadata()
        if DESCRIPTION_KEY in description:
            name, arguments = _description(description[DESCRIPTION_KEY], self.name)
            return model_class(name)(self.source, **{**arguments, **options})
        word = self.task or description.get("task")
        if word is None:
            msg = (
                f"the task of {self.name} is unknown: neither its entry, nor its class, nor the "
                "file's metadata states one; use create_runner(model) to run the bare network"
            )
            raise TypeError(msg)
        try:
            kind = class_for(word)
        except ValueError as error:
            msg = f"{self.name} has the unknown task {word[:60]!r}: {error}"
            raise DescriptorError(msg) from error
        return kind(self.source, **{**self._described(), **options})

    def predict(self, source: ImageSource | Iterable[ImageSource], **options: Any) -> Any:
        """Return the results of photos, as `furiosa_models.Model.predict` does.

        A subclass with its own `preprocess` and `postprocess` predicts with these, one photo at a
        time.

        Args:
            source: One photo or many.
            options: Options of `furiosa_models.Model.predict`, or of the subclass's `postprocess`.

        Raises:
            TypeError: The task of the model is unknown.
        """
        if not self._has_its_own():
            with self.to_model() as model:
                return model.predict(source, **options)
        from ..images.sources import check_finite, expand_sources, is_single

        if is_single(source):
            return self._predicted(source, options)
        check_finite(source)
        return [self._predicted(photo, options) for photo in expand_sources(source)]

    def __call__(self, source: ImageSource | Iterable[ImageSource], **options: Any) -> Any:
        """Return the results of photos; see `predict`."""
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

    def describe(self, info: bytes) -> None:
        """Let `to_model` take labels, input and head from a `model_info.json`."""
        self._info = info

    def _described(self) -> dict[str, Any]:
        """Return the arguments of a model's constructor that `model_info.json` states.

        Raises:
            DescriptorError: It does not describe a saved model.
        """
        if self._info is None:
            return {}
        from ..saved import INFO, Description

        try:
            found = Description.of(json.loads(self._info), f"the {INFO} of {self.name}")
        except (RecursionError, ValueError, WeightsError) as error:
            msg = f"the {INFO} of {self.name} is invalid: {error}"
            raise DescriptorError(msg) from error
        return {"labels": found.names, "input": found.input, "head": found.head}

    def _onnx_metadata(self) -> dict[str, str]:
        """Return the metadata of an ONNX file, or an empty dictionary."""
        if self.format is not Format.ONNX:
            return {}
        from ..networks import edit

        return edit.metadata(self.source)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        return ((name, value) for name, value in super().__repr_args__() if value not in (None, ()))


def _description(text: str, name: str) -> tuple[str, dict[str, Any]]:
    """Return the name of the zoo model that metadata describes, and its constructor arguments.

    Raises:
        DescriptorError: The metadata is invalid, or its labels are not one of the tables here; a
            path is not allowed, because the file would make this machine read it.
    """
    try:
        description = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"{name}: the metadata {DESCRIPTION_KEY!r} is not valid JSON: {error}"
        raise DescriptorError(msg) from error
    kinds: dict[str, Any] = {"model": str, "input": dict, "head": dict, "labels": (str, list)}
    right = (
        isinstance(description, dict) and "model" in description and set(description) <= set(kinds)
    )
    if not right or not all(isinstance(value, kinds[key]) for key, value in description.items()):
        msg = (
            f"{name}: the metadata {DESCRIPTION_KEY!r} must be an object with the key `model` and "
            f"optionally `input`, `head` and `labels`, got {text[:80]!r}"
        )
        raise DescriptorError(msg)
    labels = description.get("labels", TABLES[0])
    if isinstance(labels, str) and labels not in TABLES:
        msg = f"{name}: unknown labels {labels[:60]!r} in the metadata; known: {', '.join(TABLES)}"
        raise DescriptorError(msg)
    return description.pop("model"), description
