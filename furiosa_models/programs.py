"""Programs of a model: float32 and int8 for the CPU, and NPU programs.

NPU programs are built on first use and stored. Graphs for the CPU are rebuilt when needed, which is
never the case while their compiled form is cached.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from . import networks
from .artifacts.store import Built, hash_file, recipe_key
from .enums import Format, Precision
from .errors import ArtifactNotFound, ArtifactUnavailable, ConversionError
from .runtime.compiler import Compiler, find_compiler, is_same_version
from .runtime.devices import makes_npu_programs
from .runtime.source import is_tflite
from .spec import ImageInput, ModelTensor, TensorFacts
from .weights import Weights

if TYPE_CHECKING:
    from .artifacts.descriptor import Artifact, File
    from .runtime.sync import Runner

__all__ = ["FilePrograms", "Programs", "dequantize", "feed", "run_in_batches"]

logger = logging.getLogger(__name__)

Tensor: TypeAlias = npt.NDArray[Any]

_PUBLISHED = "published"
_COMPILERS_OPSET = 13
_Files: TypeAlias = "Mapping[str, Mapping[str, File]]"


class Programs:
    """The programs of a model.

    Args:
        name: Name of the model for messages.
        weights: Its weights.
    """

    def __init__(self, name: str, weights: Weights) -> None:
        self._name = name
        self._weights = weights

    def best(self, num_pe: Literal[1, 2] = 2, *, precision: Precision | None = None) -> bytes:
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
        _check_num_pe(num_pe)
        if precision is None and makes_npu_programs():
            return self.npu(num_pe)
        return self.cpu(precision=precision or "fp32").read_bytes()

    def npu(self, num_pe: Literal[1, 2] = 2) -> bytes:
        """Return the program for the vendor runtime: an ENF, or else quantized ONNX.

        The vendor runtime compiles quantized ONNX each time it loads it; a warning is logged.

        Args:
            num_pe: Number of processing elements: 1 or 2.

        Raises:
            ArtifactNotFound: There is no ENF, and the weights have no int8 calibration.
            CompilationError: The vendor's compiler failed.
        """
        try:
            return self.enf(num_pe)
        except (ArtifactNotFound, ArtifactUnavailable) as error:
            if find_compiler() is not None:  # the compiler's own input is missing
                raise
            program = self._quantized().read_bytes()
            logger.warning(
                "%s Passing quantized ONNX of %s to the vendor runtime, which compiles it itself.",
                error,
                self._weights.name,
            )
            return program

    def enf(self, num_pe: Literal[1, 2] = 2, ir_version: str | None = None) -> bytes:
        """Return the NPU program: published, or compiled on this machine and stored.

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
        _check_num_pe(num_pe)
        artifact = self._published()
        published = artifact.enf if artifact else {}
        compiler = find_compiler()
        version = ir_version or (compiler.ir_version if compiler else _newest(published))
        compiles_version = compiler is not None and is_same_version(compiler.ir_version, version)
        file = _of_version(published, version, f"{num_pe}pe")
        if file is not None:
            try:
                return self._weights.store.fetch([file])[file.name].read_bytes()
            except ArtifactUnavailable as error:
                if not compiles_version:
                    raise
                logger.warning("%s\nCompiling it instead.", error)
        if compiler is not None and compiles_version:
            return self._compiled(compiler, num_pe)
        raise ArtifactNotFound(self._no_enf(published, num_pe, version))

    def dfg(self) -> bytes:
        """Return the quantized graph published with 0.8, an intermediate format of the compiler.

        Raises:
            ArtifactNotFound: None was published for this model and these weights.
        """
        published = self._published()
        versions = published.dfg if published else {}
        files = versions.get(_newest(versions), {})
        if not files:
            raise ArtifactNotFound(self._none_of("DFG", lambda artifact: artifact.dfg))
        return self._bytes(files[max(files)])

    def published_int8(self, *, truncated: bool = False) -> bytes:
        """Return the quantized ONNX graph published with 0.8, where it was called `source`.

        Args:
            truncated: Return the graph without its last steps, which the native postprocessors of
                0.8 computed.

        Raises:
            ArtifactNotFound: None was published for this model and these weights.
        """
        published = self._published()
        versions = published.int8 if published else {}
        files = versions.get(_newest(versions), {})
        kind = "truncated" if truncated else "whole"
        if kind not in files:
            what = "truncated int8 graph" if truncated else "int8 graph"
            raise ArtifactNotFound(
                self._none_of(what, lambda a: any(kind in files for files in a.int8.values()))
            )
        return self._bytes(files[kind])

    def _bytes(self, file: File) -> bytes:
        return self._weights.store.fetch([file])[file.name].read_bytes()

    def _none_of(self, what: str, of: Callable[[Artifact], object]) -> str:
        from .artifacts import zoo

        with_them = sorted(
            name for name, entry in zoo().items() if any(map(of, entry.sets.values()))
        )
        return (
            f"{self._name} has no {what} of the weights {self._weights.name!r}; 0.8 published "
            f"those of {', '.join(with_them)}, with the weights {_PUBLISHED!r}. For quantized "
            "programs use fetch_enf() or model_source(precision='int8')"
        )

    def _published(self) -> Artifact | None:
        """Return the published artifact if its weights are in use; its programs fit no others."""
        return self._weights.sets.get(_PUBLISHED) if self._weights.name == _PUBLISHED else None

    def _compiled(self, compiler: Compiler, num_pe: Literal[1, 2]) -> bytes:
        program = self._quantized()
        key = recipe_key("enf", program.digest, compiler.ir_version, num_pe)
        path = self._weights.store.derive(key, lambda: compiler.compile(program.take(), num_pe))
        return path.read_bytes()

    def _quantized(self) -> Built:
        """Return the int8 program for the vendor's compiler: batch size 1 and an old opset."""
        program = self._int8(reduce_range=False)
        key = recipe_key("npu", program.digest, _COMPILERS_OPSET, networks.EDITS)

        def build() -> bytes:
            one_image = networks.set_batch_size(program.take(), 1)
            return networks.with_opset(one_image, _COMPILERS_OPSET)

        return Built(self._weights.store, key, build)

    def _no_enf(self, published: _Files, num_pe: int, version: str) -> str:
        known = ", ".join(published) or f"none of the weights {self._weights.name!r}"
        return (
            f"{self._name} has no ENF for {num_pe} PE and IR version {version or 'any'}; "
            f"published: {known}. A machine with furiosa-compiler can compile it."
        )

    def tensor_ranges(self) -> dict[str, list[float]]:
        """Return the calibrated range (minimum, maximum) of each tensor of `origin`.

        The ranges published with the weights take precedence over the zoo's own.

        Raises:
            ArtifactNotFound: The weights in use have none.
        """
        from .quantization import calibrated

        weights = self._weights.resolve()
        ranges: dict[str, list[float]]
        if weights.artifact is not None and weights.artifact.tensor_ranges is not None:
            (path,) = self._weights.store.fetch([weights.artifact.tensor_ranges]).values()
            ranges = calibrated.read_yaml(path)
            return ranges
        path = calibrated.calibration_file(self._weights.model, weights.name, weights.digest)
        ranges = calibrated.read_calibration(path).ranges
        inputs, _ = networks.signature(weights.origin)
        return {inputs[0].name: _pixel_range(self._weights.spec.input), **ranges}

    def tensors(self) -> tuple[list[ModelTensor], list[ModelTensor]]:
        """Return descriptions of the inputs and of the outputs of `origin`."""
        inputs, outputs = (
            [
                ModelTensor(tensor.name, tensor.dtype, [*map(_size, tensor.shape)])
                for tensor in tensors
            ]
            for tensors in networks.signature(self._weights.origin)
        )
        return inputs, outputs

    def cpu(self, *, precision: Precision = "fp32") -> Built:
        """Return the builder of ONNX that takes uint8 (n, 3, h, w) and includes the scaling.

        Args:
            precision: `"int8"` for the quantized program.

        Raises:
            ArtifactNotFound: The weights in use have no int8 calibration.
        """
        if precision == "int8" and not self.is_int8:
            return self._int8()
        weights, spec = self._weights.resolve(), self._weights.spec.input
        is_lite = isinstance(weights.data, bytes) and is_tflite(weights.data)
        return Built(
            self._weights.store,
            self._cpu_key(spec),
            lambda: scaled_inside(weights.take(), spec),
            Format.TFLite if is_lite else Format.ONNX,
        )

    @cached_property
    def is_int8(self) -> bool:
        """Whether the weights in use are an int8 program already."""
        if not self._weights.is_own:
            return False
        return networks.edit.is_quantized(self.float_onnx())

    def onnx(self) -> Built:
        """Return `cpu()` as ONNX, also for weights that are TensorFlow Lite.

        Raises:
            ConversionError: TensorFlow Lite has an operation that cannot be converted.
        """
        program = self.cpu()
        if program.format is not Format.TFLite:
            return program
        spec = self._weights.spec.input

        def build() -> bytes:
            return scaled_inside(self.float_onnx(), spec)

        key = recipe_key("onnx of tflite", self._cpu_key(spec), networks.EDITS)
        return Built(self._weights.store, key, build)

    def float_onnx(self) -> bytes:
        """Return the network as float32 ONNX, also for weights that are TensorFlow Lite.

        Raises:
            ConversionError: TensorFlow Lite has an operation that cannot be converted.
        """
        origin = self._weights.origin
        if not is_tflite(origin):
            return origin
        from .frameworks.tflite import TfliteModel

        return networks.to_bytes(TfliteModel(origin).to_onnx())

    def _cpu_key(self, spec: ImageInput) -> str:
        color = ("bgr",) if spec.color == "bgr" else ()  # keys of RGB are as they always were
        digest = self._weights.resolve().digest
        return recipe_key(digest, spec.mean, spec.std, *color, networks.EDITS)

    def _int8(self, *, reduce_range: bool = True) -> Built:
        """Return the builder of the int8 program; an NPU has no need for a reduced range."""
        from .quantization import calibrated

        program, path = self.cpu(), self._calibration_file()
        origin = hash_file(path, "sha256") if path else self._published_ranges().digest

        def build() -> bytes:
            calibration = (
                calibrated.read_calibration(path)
                if path
                else calibrated.Calibration(self.tensor_ranges())
            )
            return calibration.quantize(program.take(), reduce_range=reduce_range)

        key = _int8_key(program.digest, calibrated.RECIPE, origin, reduce_range=reduce_range)
        return Built(self._weights.store, key, build)

    def built(self) -> dict[str, str]:
        """Return descriptions by hash of what was built from the local weights."""
        from .quantization import calibrated

        data, store = self._weights.resolve().data, self._weights.store
        if isinstance(data, Built) and store.digest(data.key) is None:  # never used
            return {}
        found = {self._weights.resolve().digest: "graph"}
        if (facts := store.digest(self._weights.facts_key)) is not None:
            found[facts] = "facts of the graph"
        program = store.digest(self._cpu_key(self._weights.declared_spec.input))
        if program is None:
            return found
        found[program] = "program"
        with suppress(ArtifactNotFound):
            path = self._calibration_file()
            origin = hash_file(path, "sha256") if path else self._published_ranges().digest
            int8 = store.digest(_int8_key(program, calibrated.RECIPE, origin, reduce_range=True))
            if int8 is not None:
                found[int8] = "program, int8"
        return found

    def check_built(self) -> list[str]:
        """Rebuild what was built from the weights; return what differs from its recorded hash."""
        made: dict[str, Callable[[], object]] = {
            "graph": lambda: self._weights.resolve().data,
            "program": self.cpu,
            "program, int8": self._int8,
        }
        wrong = []
        for what, make in made.items():  # each key depends on the hash of the one before
            if (
                what in self.built().values()
                and isinstance(one := make(), Built)
                and not one.check()
            ):
                wrong.append(what)
        return wrong

    def _calibration_file(self) -> Path | None:
        """Return the zoo's calibration file of the weights, or None if they have published ranges.

        Raises:
            ArtifactNotFound: There are neither.
        """
        from .quantization import calibrated

        model, weights = self._weights.model, self._weights.resolve()
        try:
            return calibrated.calibration_file(model, weights.name, weights.digest)
        except ArtifactNotFound:
            if weights.artifact is None or weights.artifact.tensor_ranges is None:
                raise
            return None

    def _published_ranges(self) -> File:
        """Return the file of ranges that were published with the weights in use.

        Raises:
            ArtifactNotFound: There is none.
        """
        artifact = self._weights.resolve().artifact
        if artifact is None or artifact.tensor_ranges is None:
            name = self._weights.name
            msg = f"the weights {name!r} of {self._name} have no calibrated tensor ranges"
            raise ArtifactNotFound(msg)
        return artifact.tensor_ranges


class FilePrograms(Programs):
    """The program in an exported file, which runs as it is.

    Args:
        name: Name of the model for messages.
        weights: Its weights.
        file: The file: TorchScript, or an ENF.
    """

    def __init__(self, name: str, weights: Weights, file: Path) -> None:
        super().__init__(name, weights)
        self._file = file

    def cpu(self, *, precision: Precision = "fp32") -> Any:
        """Return the file.

        Raises:
            ArtifactNotFound: `precision` is `"int8"`.
        """
        if precision == "int8":
            msg = f"{self._file} is an exported program: export the int8 one, too"
            raise ArtifactNotFound(msg)
        return self._file

    def onnx(self) -> Built:
        """Raise `ConversionError`: the file is no network as ONNX."""
        raise self._no_network()

    def float_onnx(self) -> bytes:
        """Raise `ConversionError`: the file is no network as ONNX."""
        raise self._no_network()

    def tensors(self) -> tuple[list[ModelTensor], list[ModelTensor]]:
        """Raise `ConversionError`: the file is no network as ONNX."""
        raise self._no_network()

    def _no_network(self) -> ConversionError:
        msg = (
            f"{self._file} is a program that runs as it is, not a network as ONNX: use the model "
            "that it was exported from"
        )
        return ConversionError(msg)

    def npu(self, num_pe: Literal[1, 2] = 2) -> bytes:
        """Return the contents of the file; the number of processing elements is as exported."""
        del num_pe
        return self._file.read_bytes()

    def enf(self, num_pe: Literal[1, 2] = 2, ir_version: str | None = None) -> bytes:
        """Return the contents of the file; both arguments are as exported."""
        del ir_version
        return self.npu(num_pe)


def run_in_batches(runner: Runner, tensor: Tensor) -> list[Tensor]:
    """Return the outputs of a batch; split it if the program has a fixed batch size.

    The last part is padded with copies of its last image, whose outputs are dropped.
    """
    if runner.takes_batches:
        return runner.run(tensor)
    size = runner.model.input(0).shape[0] or 1
    if len(tensor) == size:
        return runner.run(tensor)
    parts = []
    for start in range(0, len(tensor), size):
        part = tensor[start : start + size]
        missing = size - len(part)
        filled = np.concatenate((part, np.repeat(part[-1:], missing, axis=0))) if missing else part
        parts.append([output[: len(part)] for output in runner.run(filled)])
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]


def feed(tensor: Tensor, image: TensorFacts, scale: Callable[[Tensor], Tensor]) -> Tensor:
    """Convert a uint8 tensor (n, 3, h, w) to the input of a TensorFlow Lite program.

    A quantized input takes the pixels themselves, since its scale and zero point do the scaling.
    """
    if image.quantization is None:
        fed = scale(tensor) if tensor.dtype == np.uint8 else tensor
    else:
        fed = tensor if image.dtype == "uint8" else (tensor.astype(np.int16) - 128).astype(np.int8)
    if image.shape[1] not in (1, 3):
        fed = fed.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(fed.astype(image.dtype, copy=False))


def dequantize(output: Tensor, facts: TensorFacts) -> Tensor:
    """Return a quantized output as float32, and any other output unchanged."""
    if facts.quantization is None or not np.issubdtype(output.dtype, np.integer):
        return output
    scale, zero = facts.quantization
    values: Tensor = (output.astype(np.float32) - np.float32(zero)) * np.float32(scale)
    return values


def scaled_inside(origin: bytes, spec: ImageInput) -> bytes:
    """Return a float32 ONNX model with uint8 input; return a model that has it unchanged."""
    if is_tflite(origin):  # `feed` scales its input
        return origin
    return networks.with_uint8_input(origin, *spec.channel_scaling)


def _size(size: int | str | None) -> int:
    return size if isinstance(size, int) else -1


def _pixel_range(spec: ImageInput) -> list[float]:
    """Return the range of a network's input over all possible pixels."""
    channels = list(zip(spec.mean, spec.std, strict=True))
    ends = [(pixel - mean) / std for pixel in (0.0, 255.0) for mean, std in channels]
    return [min(ends), max(ends)]


def _int8_key(program: str, recipe: int, calibration: str, *, reduce_range: bool) -> str:
    bits = 7 if reduce_range else 8
    return recipe_key("int8", program, recipe, calibration, bits)


def _check_num_pe(num_pe: int) -> None:
    """Check the number of processing elements.

    Raises:
        ValueError: It is neither 1 nor 2.
    """
    if num_pe not in (1, 2):
        msg = f"Invalid num_pe: {num_pe} (a Warboy has 1 or 2)"
        raise ValueError(msg)


def _of_version(files: _Files, version: str, size: str) -> File | None:
    """Return the file of an IR version; the revision in `version` may be abbreviated."""
    exact = files.get(version)
    if exact is None:
        exact = next((f for known, f in files.items() if is_same_version(known, version)), {})
    return exact.get(size)


def _newest(files: _Files) -> str:
    """Return the newest IR version, or an empty string."""
    from packaging.version import Version

    return max(files, key=lambda version: Version(version.partition("_")[0]), default="")
