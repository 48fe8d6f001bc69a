"""Write exported files: ONNX, TorchScript, TensorFlow Lite and ENF."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from .. import networks
from .._lazy import require
from ..enums import ExportFormat, RuntimeType
from ..errors import ConfigurationError, ConversionError, FuriosaModelsError, ShapeError
from ..exported import metadata_of, with_archive, with_metadata
from ..output import replace_file
from ..programs import Programs
from ..runtime.source import is_tflite
from ..saved import INFO, SavedParts, read_info
from ..spec import DESCRIPTION_MEMBER, GraphFacts
from ..training.trainable import trainable_of
from ..weights import describe
from .targets import EMBEDDED_FILE, NETWORK_FACTS, file_name

__all__ = ["Options", "export"]

logger = logging.getLogger(__name__)

_EXPORTED = "exported"
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Options:
    """Options of an export.

    Attributes:
        runtime_type: What the file is for.
        folder: Folder of the file.
        overwrite: Whether to replace a file that exists. Otherwise it is kept if it is an export of
            the same network.
        opset: Version of the ONNX operations; None for that of the graph.
        dynamic_axes: Whether the file takes batches of any size, if the network does.
        embed: Whether the file takes a photo and gives results; see `embedded.embed`.
    """

    runtime_type: RuntimeType
    folder: Path
    overwrite: bool = True
    opset: int | None = None
    dynamic_axes: bool = True
    embed: bool = False

    @property
    def path(self) -> Path:
        """Path of the file."""
        return self.folder / (EMBEDDED_FILE if self.embed else file_name(self.runtime_type))


def export(parts: SavedParts, programs: Programs, digest: str, options: Options) -> Path:
    """Write a file for a runtime, and `model_info.json` beside it; return the path of the file.

    Nothing that is needed only to run the file is imported. On failure, nothing is written.

    Args:
        parts: What a saved model consists of.
        programs: The programs of the model.
        digest: SHA-256 of the network.
        options: Options.

    Raises:
        ArtifactNotFound: The weights have no int8 calibration, or no ENF.
        ConversionError: An operation has no form in the format.
        ExtraRequired: The converter is not installed.
        FuriosaModelsError: The folder contains another model, or cannot be written.
        ShapeError: The network has a fixed batch size that the options exclude.
    """
    path = options.path
    format = options.runtime_type.to_export_format()
    if options.embed and format is not ExportFormat.ONNX:
        msg = f"embed=True makes an ONNX graph, which {options.runtime_type.value} does not run"
        raise ConfigurationError(msg)
    stamp = {"runtime_type": options.runtime_type.value, "sha256": digest, "embed": options.embed}
    facts = {**parts.facts, "config": {**parts.facts.get("config", {}), _EXPORTED: stamp}}
    info = replace(parts, facts=facts).info(path.name)
    beside = _present(options.folder)
    _check_same(beside, info, options.folder)
    if path.exists() and not options.overwrite:
        _check_kept(path, beside, stamp)
        return path
    write = _embedded if options.embed else _WRITERS[format]
    data, described = write(_Job(parts, programs, info, options))
    replace_file(path, data)
    if beside is None or _EXPORTED in beside.get("config", {}):
        replace_file(options.folder / INFO, (json.dumps(described, indent=4) + "\n").encode())
    return path


@dataclass(frozen=True)
class _Job:
    """What a writer needs.

    Attributes:
        parts: What a saved model consists of.
        programs: The programs of the model.
        info: Fields of `model_info.json`.
        options: Options.
    """

    parts: SavedParts
    programs: Programs
    info: Mapping[str, Any]
    options: Options


def _onnx(job: _Job) -> tuple[bytes, dict[str, Any]]:
    graph = _with_batch(_network(job), job.options.dynamic_axes)
    if job.options.opset is not None:
        graph = networks.edit.in_opset(graph, job.options.opset)
    described = describe(graph).within(job.info)
    metadata = metadata_of(described, job.info["config"].get("license"))
    return with_metadata(graph, metadata), described


def _embedded(job: _Job) -> tuple[bytes, dict[str, Any]]:
    from .embedded import embed

    model = networks.to_bytes(embed(_network(job), job.parts.spec, job.parts.labels))
    if job.options.opset is not None:
        model = networks.edit.in_opset(model, job.options.opset)
    described = describe(model).within(job.info)
    described["config"][NETWORK_FACTS] = json.loads(describe(_network(job)).to_json())
    metadata = metadata_of(described, job.info["config"].get("license"))
    return with_metadata(model, metadata), described


def _network(job: _Job) -> bytes:
    """Return the network as ONNX, in the precision of the runtime."""
    if job.options.runtime_type is RuntimeType.ONNX_INT8:
        return _int8(job.programs)
    return job.programs.float_onnx()


def _int8(programs: Programs) -> bytes:
    """Return the int8 program; of a model that is int8 already, its own."""
    graph = programs.float_onnx()
    operations = {node.op_type for node in networks.edit.parse(graph).graph.node}
    if operations & {"QuantizeLinear", "QLinearConv", "ConvInteger"}:
        return graph
    return programs.cpu(precision="int8").read_bytes()


def _torchscript(job: _Job) -> tuple[bytes, dict[str, Any]]:
    import io

    from ..frameworks.torch.framework import quiet

    torch = require("torch", "TorchScript is written by PyTorch", extra="torch")
    _check_no_opset(job.options)
    graph = _with_batch(job.programs.float_onnx(), job.options.dynamic_axes)
    network = trainable_of(graph, None)  # with the channels first
    facts = networks.edit.describe(network.model)
    described = facts.within(job.info)
    module = network.module().eval()
    example = torch.from_numpy(np.zeros((1, *_image(facts)), facts.inputs[0].dtype))
    stream = io.BytesIO()
    with quiet(), torch.no_grad():
        script = torch.jit.trace(module, example, check_trace=False)
        if facts.inputs[0].shape[0] is None:
            _check_batches(torch, module, script, torch.cat([example + 1, example + 2]))
        extra = {DESCRIPTION_MEMBER: json.dumps(described)}
        torch.jit.save(script, stream, _extra_files=extra)
    return stream.getvalue(), described


def _check_batches(torch: Any, module: Any, script: Any, images: Any) -> None:
    """Check that traced code does not depend on the batch size of the example.

    Raises:
        ConversionError: It does.
    """
    found, expected = ([v] if hasattr(v, "shape") else v for v in (script(images), module(images)))
    for got, want in zip(found, expected, strict=True):
        if got.shape != want.shape or not torch.allclose(got, want, atol=_TOLERANCE):
            msg = "TorchScript of this network works for one image only: pass dynamic_axes=False"
            raise ConversionError(msg)


def _tflite(job: _Job) -> tuple[bytes, dict[str, Any]]:
    _check_no_opset(job.options)
    data = job.parts.graph
    if not is_tflite(data):
        data = _converted_to_tflite(job.programs.float_onnx())
    described = GraphFacts((), ()).within(job.info)
    return with_archive(data, described), described


def _converted_to_tflite(origin: bytes) -> bytes:
    """Return a network as TensorFlow Lite, for one image.

    Raises:
        ConversionError: The converter rejects it.
        ExtraRequired: `litert-torch` is not installed.
    """
    from ..frameworks.torch.framework import first_lines, quiet

    converter = require("litert_torch", "it converts networks to TensorFlow Lite")
    torch = require("torch", "litert-torch needs PyTorch")
    graph = networks.set_batch_size(origin, 1)
    network = trainable_of(graph, None)
    facts = networks.edit.describe(network.model)
    module = network.module().eval()
    try:
        with quiet():
            made = converter.convert(module, (torch.zeros(1, *_image(facts)),))
            data: bytes = made.model_content()
    except Exception as error:  # the converter raises errors of many types
        msg = f"litert-torch cannot convert the network: {first_lines(error)}"
        raise ConversionError(msg) from error
    return data


def _enf(job: _Job) -> tuple[bytes, dict[str, Any]]:
    _check_no_opset(job.options)
    described = describe(job.programs.float_onnx()).within(job.info)
    return job.programs.enf(), described


_WRITERS: Mapping[ExportFormat, Callable[[_Job], tuple[bytes, dict[str, Any]]]] = MappingProxyType(
    {
        ExportFormat.ONNX: _onnx,
        ExportFormat.TORCHSCRIPT: _torchscript,
        ExportFormat.TFLITE: _tflite,
        ExportFormat.ENF: _enf,
    }
)


def _with_batch(graph: bytes, dynamic: bool) -> bytes:
    """Return a graph for batches of any size, or for one image.

    A network that works for one batch size only keeps it.
    """
    if not dynamic:
        return networks.set_batch_size(graph, 1)
    shape = describe(graph).inputs[0].shape
    if not shape or shape[0] is None:
        return graph
    try:
        return networks.set_batch_size(graph, None)
    except ShapeError as error:
        logger.warning("the exported file takes batches of %s only: %s", shape[0], error)
        return graph


def _image(facts: GraphFacts) -> tuple[int, ...]:
    """Return the shape of an image, (3, h, w)."""
    _, *sizes = facts.inputs[0].shape
    if not all(sizes):
        msg = f"the network takes images of any size, {facts.inputs[0].shape}: pass image_size="
        raise ShapeError(msg)
    return tuple(size for size in sizes if size)


def _check_no_opset(options: Options) -> None:
    if options.opset is not None:
        msg = f"onnx_opset is for ONNX, not for {options.runtime_type.value}"
        raise ConversionError(msg)


def _present(folder: Path) -> dict[str, Any] | None:
    """Return the `model_info.json` that a folder contains, or None."""
    return read_info(folder) if (folder / INFO).is_file() else None


def _check_same(beside: Mapping[str, Any] | None, info: Mapping[str, Any], folder: Path) -> None:
    """Check that a folder of a saved model is that of the exported one.

    Raises:
        FuriosaModelsError: It is another model, or takes images of another size.
    """
    if beside is None or _EXPORTED in beside.get("config", {}):
        return
    for name in ("classes", "im_size", "task"):
        if beside.get(name) != info[name]:
            msg = (
                f"{folder} contains the saved model {beside.get('name')!r} with another {name}: "
                "export to another folder"
            )
            raise FuriosaModelsError(msg)


def _check_kept(path: Path, beside: Mapping[str, Any] | None, stamp: Mapping[str, Any]) -> None:
    """Check that a file which is not overwritten is of the same network.

    Raises:
        FuriosaModelsError: It is of another one.
    """
    known = (beside or {}).get("config", {}).get(_EXPORTED, {})
    if known.get("sha256") != stamp["sha256"]:
        msg = f"{path} exists already, of another network: pass overwrite=True or another out_dir"
        raise FuriosaModelsError(msg)
