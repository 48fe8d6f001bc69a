"""PyTorch: modules, TorchScript and exported programs.

A saved model is `best_model.pt` in a new folder: an exported program, which the stock framework
loads with `torch.export.load(file).module()`. A quantized one has int8 weights, and rounds its
activations with operations of PyTorch alone.
"""

from __future__ import annotations

import logging
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import networks
from .._lazy import require
from ..errors import ConversionError, ShapeError, WeightsError
from ..output import new_folder
from .base import Array, FrameworkModel, Inputs, feed_by_name

if TYPE_CHECKING:
    import onnx

__all__ = ["FILE", "TorchModel", "as_array", "has_network", "recognize"]

logger = logging.getLogger(__name__)

FILE = "best_model.pt"
"""Name of the file of a saved model, as in Neural Compressor."""

_SUFFIXES = (".pt", ".pt2", ".pth", ".torchscript")
_FORMS = {"Module": "module", "ScriptModule": "TorchScript", "ExportedProgram": "program"}
_ENVIRONMENT = "TORCHINDUCTOR_CACHE_DIR"  # exporting a program sets it


def recognize(source: Any, **options: Any) -> TorchModel | None:
    """Return the model of a module, of an exported program, or of a file that contains one.

    A file of weights without a network is not recognized.
    """
    if isinstance(source, Path):
        path = source / FILE if source.is_dir() else source
        kind = _kind_of_file(path)
        return TorchModel(_load(path, kind), **options) if kind else None
    classes = type(source).__mro__
    if any(c.__module__.startswith("torch.") and c.__name__ in _FORMS for c in classes):
        return TorchModel(source, **options)
    return None


class TorchModel(FrameworkModel):
    """A PyTorch model.

    Args:
        module: A module, a scripted module, or an exported program.
        example_inputs: Inputs with a batch dimension, which conversion and `save` need: a tensor or
            array, or a sequence of them. An exported program has its own.
        input_names: Names of the inputs; by default those of the arguments of `forward`.
        output_names: Names of the outputs.

    Attributes:
        example_inputs: See the argument; may be set.
    """

    framework = "torch"

    def __init__(
        self,
        module: Any,
        *,
        example_inputs: Any = None,
        input_names: Sequence[str] | None = None,
        output_names: Sequence[str] | None = None,
    ) -> None:
        kinds = [c.__name__ for c in type(module).__mro__]
        self.form = next(_FORMS[name] for name in kinds if name in _FORMS)
        self._module = module
        self._input_names = list(input_names or ())
        self._output_names = list(output_names or ())
        self.example_inputs = example_inputs

    @property
    def raw(self) -> Any:
        """The module; of an exported program, its module."""
        return self._module.module() if self.form == "program" else self._module

    @property
    def example_inputs(self) -> Any:
        """Inputs with a batch dimension; may be set."""
        if self._example_inputs is None and self.form == "program":
            return self._module.example_inputs[0] if self._module.example_inputs else None
        return self._example_inputs

    @example_inputs.setter
    def example_inputs(self, inputs: Any) -> None:
        self._example_inputs = inputs

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs; may be set to other names."""
        return self._input_names or self._argument_names()

    @input_names.setter
    def input_names(self, names: Sequence[str]) -> None:
        expected = len(self._argument_names())
        if len(names) > expected:
            msg = f"the module has {expected} inputs, got {len(names)} names"
            raise ShapeError(msg)
        self._input_names = list(names)

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs; may be set to other names.

        Raises:
            ConversionError: They are not known, and there are no example inputs to run.
        """
        if not self._output_names:
            count = len(self.run(self._examples()))
            self._output_names = ["output"] if count == 1 else [f"output_{i}" for i in range(count)]
        return self._output_names

    @output_names.setter
    def output_names(self, names: Sequence[str]) -> None:
        self._output_names = list(names)

    @property
    def graph_info(self) -> dict[str, str]:
        """Type of each module without submodules by its name; operations of an exported program."""
        if self.form == "program":
            nodes = [n for n in self._module.graph.nodes if n.op == "call_function"]
            return {node.name: str(node.target).removeprefix("aten.") for node in nodes}
        found = {}
        for name, module in self._module.named_modules():
            if name and not any(True for _ in module.children()):
                found[name] = getattr(module, "original_name", type(module).__name__)
        return found

    def to_onnx(self) -> onnx.ModelProto:
        """Return the module in evaluation mode as ONNX with an open batch size.

        Raises:
            ConversionError: There are no example inputs, or the module cannot be exported.
            ExtraRequired: onnxscript is not installed.
        """
        export = self._script_to_onnx if self.form == "TorchScript" else self._program_to_onnx
        with _unchanged(self._module), _quiet():
            model = export()
        _drop_metadata(model)
        return model

    def run(self, inputs: Inputs) -> list[Array]:
        """Return the outputs of the module in evaluation mode.

        Raises:
            ShapeError: The number or the names of the inputs are not those of the module.
        """
        torch = _torch()
        feed = feed_by_name(inputs, self.input_names)
        tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in feed.values()]
        with _unchanged(self._module), torch.no_grad():
            outputs = self.raw(*tensors)
        return [as_array(output) for output in _flat(outputs)]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write `best_model.pt` into a new folder, and return the folder.

        A scripted module is written as TorchScript, anything else as an exported program.

        Raises:
            FuriosaModelsError: The folder is not empty, or cannot be written.
            ConversionError: There are no example inputs, or the module cannot be exported.
        """
        torch = _torch()
        with new_folder(path) as partial, _unchanged(self._module), _quiet():
            if self.form == "TorchScript":
                self._module.save(str(partial / FILE))
            else:
                with (partial / FILE).open("wb") as stream:  # a path would need the suffix .pt2
                    torch.export.save(self._exported(), stream)
        return Path(path)

    def quantized(self, program: onnx.ModelProto) -> TorchModel:
        """Return a module that computes what a quantized program computes.

        Raises:
            ConversionError: An operation has no PyTorch form.
        """
        _torch()
        from ..networks.torch_sink import GraphModule

        return TorchModel(
            GraphModule(program).eval().requires_grad_(False),
            example_inputs=self.example_inputs,
            input_names=self.input_names,
            output_names=networks.edit.get_output_names(program),
        )

    def operations(self, program: onnx.ModelProto) -> Mapping[str, tuple[str, str]]:
        """Return the name and type of the module of each node that has weights, by node name."""
        if self.form != "module":
            return {}
        kinds = self.graph_info
        found = {}
        for node in program.graph.node:
            name = node.input[1].rpartition(".")[0] if len(node.input) > 1 else ""
            if name in kinds:
                found[node.name] = name, kinds[name]
        return found

    def record_inputs(self, function: Callable[[Any], Any]) -> list[Any]:
        """Return the inputs of the module during a call of a function that runs it."""
        calls: list[Any] = []

        def record(_module: Any, inputs: tuple[Any, ...]) -> None:
            calls.append([as_array(tensor) for tensor in inputs])

        handle = self.raw.register_forward_pre_hook(record)
        try:
            function(self.raw)
        finally:
            handle.remove()
        return calls

    def _argument_names(self) -> list[str]:
        import inspect

        if self.form == "program":
            return list(self._module.graph_signature.user_inputs)
        if self.form == "TorchScript":
            arguments = self._module.forward.schema.arguments
            return [argument.name for argument in arguments if argument.name != "self"]
        known = getattr(self._module, "input_names", None)
        if known:
            return list(known)
        parameters = inspect.signature(self._module.forward).parameters.values()
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        required = [p.name for p in parameters if p.kind in positional and p.default is p.empty]
        count = 1 if self._example_inputs is None else len(_flat(self._example_inputs))
        return required or [f"input_{i}" for i in range(count)]

    def _examples(self) -> list[Array]:
        if self.example_inputs is None:
            msg = (
                "a PyTorch module does not tell the shapes of its inputs: pass example_inputs=, "
                "such as torch.zeros(1, 3, 224, 224)"
            )
            raise ConversionError(msg)
        return [as_array(value) for value in _flat(self.example_inputs)]

    def _tensors(self) -> tuple[Any, ...]:
        """Return the example inputs as tensors with at least two samples."""
        torch = _torch()
        arrays = self._examples()
        twice = [np.concatenate([a, a]) if a.ndim and len(a) == 1 else a for a in arrays]
        return tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in twice)

    def _exported(self) -> Any:
        """Return the exported program, with an open batch size if the module allows it."""
        torch = _torch()
        if self.form == "program":
            return self._module
        examples = self._tensors()
        batch = torch.export.Dim("batch")
        open_shapes: Any = tuple({0: batch} if tensor.ndim else None for tensor in examples)
        if _has_varargs(self._module):
            open_shapes = (open_shapes,)
        try:
            with torch.no_grad():
                return torch.export.export(self._module, examples, dynamic_shapes=open_shapes)
        except Exception as error:  # torch raises many types of errors
            logger.info("the batch size cannot be open: %s", error)
        one = tuple(tensor[:1] if tensor.ndim else tensor for tensor in examples)
        try:
            with torch.no_grad():
                return torch.export.export(self._module, one)
        except Exception as error:  # torch raises many types of errors
            msg = f"the module cannot be exported: {str(error).strip()[:2000]}"
            raise ConversionError(msg) from error

    def _program_to_onnx(self) -> onnx.ModelProto:
        torch = _torch()
        require("onnxscript", "PyTorch's export to ONNX needs onnxscript", extra="torch")
        names = {"input_names": self.input_names, "output_names": self._output_names or None}
        try:
            exported = torch.onnx.export(
                self._exported(), dynamo=True, external_data=False, verbose=False, **names
            )
        except ConversionError:
            raise
        except Exception as error:  # torch raises many types of errors
            msg = f"the module cannot be converted to ONNX: {str(error).strip()[:2000]}"
            raise ConversionError(msg) from error
        model: onnx.ModelProto = exported.model_proto
        if not self._output_names:
            networks.edit.rename(
                model.graph, networks.edit.get_output_names(model), self.output_names
            )
        return model

    def _script_to_onnx(self) -> onnx.ModelProto:
        import io

        import onnx

        torch = _torch()
        names = [*self.input_names]
        stream = io.BytesIO()
        axes = {name: {0: "batch"} for name in (*names, *self.output_names)}
        try:
            torch.onnx.export(
                self._module,
                self._tensors(),
                stream,
                dynamo=False,
                input_names=names,
                output_names=self.output_names,
                dynamic_axes=axes,
            )
        except Exception as error:  # torch raises many types of errors
            msg = f"the scripted module cannot be converted to ONNX: {str(error).strip()[:2000]}"
            raise ConversionError(msg) from error
        return onnx.load_from_string(stream.getvalue())


def has_network(path: Path) -> bool:
    """Return whether a file is TorchScript or an exported program, rather than weights alone."""
    return _kind_of_file(path) is not None


def _has_varargs(module: Any) -> bool:
    """Return whether `forward` takes its inputs as `*inputs`."""
    import inspect

    parameters = inspect.signature(module.forward).parameters.values()
    return any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)


def _torch() -> Any:
    return require("torch", "models of PyTorch need PyTorch", extra="torch")


def _kind_of_file(path: Path) -> str | None:
    """Return what a file contains: `script`, `program`, or None for anything else."""
    if path.suffix.lower() not in _SUFFIXES or not path.is_file() or not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        names = [name.partition("/")[2] for name in archive.namelist()]
    if any(name.startswith("code/") for name in names):
        return "script"
    is_program = any(
        name.startswith("models/") or name.endswith("serialized_exported_program.json")
        for name in names
    )
    return "program" if is_program else None


def _load(path: Path, kind: str) -> Any:
    """Load a file that contains a network.

    Raises:
        WeightsError: It cannot be read.
    """
    torch = _torch()
    try:
        with _quiet():
            if kind == "script":
                return torch.jit.load(str(path), map_location="cpu")
            with path.open("rb") as stream:
                return torch.export.load(stream)
    except Exception as error:  # torch raises many types of errors
        msg = f"{path} cannot be loaded by PyTorch {torch.__version__}: {error}"
        raise WeightsError(msg) from error


@contextmanager
def _unchanged(module: Any) -> Iterator[None]:
    """Put a module into evaluation mode for a while; restore its mode and the environment."""
    modes = [(each, each.training) for each in getattr(module, "modules", list)()]
    before = os.environ.get(_ENVIRONMENT)
    for each, _ in modes:
        each.training = False
    try:
        yield
    finally:
        for each, mode in modes:
            each.training = mode
        if before is None:
            os.environ.pop(_ENVIRONMENT, None)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the warnings that exporters give about themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _drop_metadata(model: onnx.ModelProto) -> None:
    """Drop what the exporter notes about every node, such as paths of the user's source files."""
    graph = model.graph
    for each in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del each.metadata_props[:]
        if hasattr(each, "doc_string"):
            each.doc_string = ""
    del graph.metadata_props[:]


def _flat(outputs: Any) -> list[Any]:
    """Return tensors of nested sequences and dictionaries in their order."""
    if isinstance(outputs, Mapping):
        return [each for value in outputs.values() for each in _flat(value)]
    if isinstance(outputs, (list, tuple)):
        return [each for value in outputs for each in _flat(value)]
    return [outputs]


def as_array(tensor: Any) -> Array:
    """Return a tensor, of PyTorch or of anything that numpy converts, as an array."""
    detached = tensor.detach().cpu().numpy() if hasattr(tensor, "detach") else tensor
    return np.asarray(detached)
