"""A model of a registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..enums import Format
from ..spec import Metadata

__all__ = ["Model"]


@dataclass(frozen=True)
class Model:
    """A model that a registry delivered, or that a registry's code made.

    Attributes:
        name: Name of the model.
        source: Its bytes.
        format: ONNX or TFLite.
        dfg: Bytes of the vendor's quantized graph, where there are some.
        enf: Bytes of the vendor's program, where there are some.
        family: Family of networks.
        version: Version of the model.
        metadata: What it is, in words.
        inputs: Descriptions of its inputs, where its code gives them.
        outputs: Descriptions of its outputs, likewise.
        compiler_config: Options of the NPU compiler.
        doc: Its documentation.
    """

    name: str
    source: bytes = field(repr=False)
    format: Format = Format.ONNX
    dfg: bytes | None = field(default=None, repr=False)
    enf: bytes | None = field(default=None, repr=False)
    family: str | None = None
    version: str | None = None
    metadata: Metadata | None = None
    inputs: Sequence[Any] = ()
    outputs: Sequence[Any] = ()
    compiler_config: Mapping[str, Any] | None = None
    doc: str | None = field(default=None, repr=False)

    @property
    def model(self) -> bytes:
        """`source` under its name in furiosa-sdk 0.5."""
        return self.source

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]  # an instance has its own
        return self.doc

    def __bytes__(self) -> bytes:
        return self.source
