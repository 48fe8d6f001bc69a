"""Models of PyTorch: modules, TorchScript and exported programs."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ConversionError, ShapeError
from ...networks import edit
from ...output import new_folder
from ..base import Array, FrameworkModel, Inputs, feed_by_name
from .arguments import Arguments, parameter_names
from .export import (
    SCOPES,
    exported_program,
    in_float32,
    on_cpu,
    program_to_onnx,
    script_to_onnx,
)
from .files import FILE
from .framework import first_lines, quiet, torch, unchanged
from .tensors import as_array, as_tensor, named_outputs

if TYPE_CHECKING:
    import onnx

__all__ = ["TorchModel"]


class TorchModel(FrameworkModel):
    """A PyTorch model.

    Args:
        module: A module, a scripted module, or an exported program.
        example_inputs: Inputs with a batch dimension, which conversion and `save` need: a tensor or
            array, a sequence of them by position, or a mapping by the names of the arguments of
            `forward`. An exported program has its own.
        input_names: Names of the inputs; by default those of the arguments of `forward`.
        output_names: Names of the outputs; by default the keys if the module returns a mapping,
            else `output`, or `output_0`, `output_1` and so on.

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
        self._module = module
        self.form = "program"
        if isinstance(module, torch().nn.Module):
            self.form = "TorchScript" if isinstance(module, torch().jit.ScriptModule) else "module"
        elif example_inputs is None and module.example_inputs:
            example_inputs = Arguments(*module.example_inputs)
        self._example_inputs = example_inputs
        self._input_names: list[str] = []
        self._output_names = list(output_names or ())
        if input_names:
            self.input_names = list(input_names)

    @cached_property
    def raw(self) -> Any:
        """The module; of an exported program, its module."""
        return self._module.module() if self.form == "program" else self._module

    @property
    def example_inputs(self) -> Any:
        """Inputs with a batch dimension; may be set."""
        return self._example_inputs

    @example_inputs.setter
    def example_inputs(self, inputs: Any) -> None:
        self._example_inputs = inputs

    @property
    def _arguments(self) -> Arguments | None:
        given = self._example_inputs
        return given if given is None or isinstance(given, Arguments) else Arguments.of(given)

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs; may be set to other names."""
        return self._input_names or self._argument_names()

    @input_names.setter
    def input_names(self, names: Sequence[str]) -> None:
        expected = self._argument_names()
        is_known = self._arguments is not None or self.form == "program"
        if len(names) != len(expected) and (is_known or len(names) < len(expected)):
            inputs = f"{len(expected)} inputs ({', '.join(expected)})"
            msg = f"the module has {inputs}, got {len(names)} names"
            raise ShapeError(msg)
        self._input_names = list(names)

    def _argument_names(self) -> list[str]:
        if self.form == "program":
            return [name for name in self._module.graph_signature.user_inputs if name]
        names, required = parameter_names(self._module)
        if self._arguments is not None:
            return self._arguments.names(names)
        return names[: max(required, 1)] or ["input_0"]

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs; may be set to other names.

        Raises:
            ConversionError: They are not known, and there are no example inputs to run.
            ShapeError: On setting, the module has another number of outputs.
        """
        return self._output_names or list(named_outputs(self._example_outputs))

    @output_names.setter
    def output_names(self, names: Sequence[str]) -> None:
        if self._arguments is not None:
            expected = list(named_outputs(self._example_outputs))
            if len(names) != len(expected):
                outputs = f"{len(expected)} outputs ({', '.join(expected)})"
                msg = f"the module has {outputs}, got {len(names)} names"
                raise ShapeError(msg)
        self._output_names = list(names)

    @property
    def _example_outputs(self) -> Any:
        return self._call([as_array(leaf) for leaf in self._examples().leaves])

    def _examples(self) -> Arguments:
        if self._arguments is None:
            msg = (
                "a PyTorch module does not tell the shapes of its inputs: pass example_inputs=, "
                "such as torch.zeros(1, 3, 224, 224)"
            )
            raise ConversionError(msg)
        return self._arguments

    @property
    def graph_info(self) -> dict[str, str]:
        """Type of each module without submodules by its name; operations of an exported program."""
        if self.form == "program":
            nodes = [n for n in self._module.graph.nodes if n.op == "call_function"]
            return {node.name: str(node.target).removeprefix("aten.") for node in nodes}
        return {
            name: getattr(module, "original_name", type(module).__name__)
            for name, module in self._module.named_modules()
            if name and not any(True for _ in module.children())
        }

    def to_onnx(self) -> onnx.ModelProto:
        """Return the module in evaluation mode as ONNX, in float32 and with an open batch size.

        Raises:
            ConversionError: There are no example inputs, or the module cannot be exported.
            ExtraRequired: onnxscript is not installed.
        """
        names = self.input_names, self.output_names
        with unchanged(self._module):
            if self.form == "program":
                return program_to_onnx(self._module, *names)
            module = in_float32(on_cpu(self._module))
            if self.form == "TorchScript":
                return script_to_onnx(module, self._examples(), *names)
            return program_to_onnx(exported_program(module, self._examples()), *names)

    def run(self, inputs: Inputs) -> list[Array]:
        """Return the outputs of the module in evaluation mode.

        Floating inputs are converted to the type of the module's weights.

        Raises:
            ShapeError: The number or the names of the inputs are not those of the module, or it
                rejects them.
            ConversionError: The module returns something else than tensors.
        """
        feed = feed_by_name(inputs, self.input_names)
        outputs = named_outputs(self._call(list(feed.values())))
        return [as_array(output) for output in outputs.values()]

    def _call(self, arrays: Sequence[Array]) -> Any:
        """Return what the module returns in evaluation mode."""
        structure = self._arguments or Arguments([0] * len(arrays))
        arguments = structure.with_leaves(as_tensor(array, self.raw) for array in arrays)
        with unchanged(self._module), torch().no_grad():
            try:
                return arguments.call(self.raw)
            except Exception as error:  # a module may raise errors of any type
                listed = ", ".join(f"{array.dtype} {array.shape}" for array in arrays)
                msg = f"the module rejects the inputs {listed}: {first_lines(error)}"
                raise ShapeError(msg) from error

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write `best_model.pt` into a new folder, and return the folder.

        A scripted module is written as TorchScript, anything else as an exported program.

        Raises:
            FuriosaModelsError: The folder is not empty, or cannot be written.
            ConversionError: There are no example inputs, or the module cannot be exported.
        """
        with new_folder(path) as partial, unchanged(self._module), quiet():
            target = partial / FILE
            if self.form == "TorchScript":
                on_cpu(self._module).save(str(target))
            else:
                program = self._module
                if self.form == "module":
                    program = exported_program(on_cpu(self._module), self._examples())
                with target.open("wb") as stream:  # a path would need the suffix .pt2
                    torch().export.save(program, stream)
        return Path(path)

    def quantized(self, program: onnx.ModelProto) -> TorchModel:
        """Return a module that computes what a quantized program computes.

        It takes and returns tensors in the same structures as the original.

        Raises:
            ConversionError: An operation has no PyTorch form.
        """
        torch()
        from .structured import StructuredModule  # imports torch

        parameters = [] if self.form == "program" else parameter_names(self._module)[0]
        module = StructuredModule(program, parameters, self._examples(), self._example_outputs)
        return TorchModel(
            module.eval().requires_grad_(False),
            example_inputs=self.example_inputs,
            input_names=self.input_names,
            output_names=edit.get_output_names(program),
        )

    def operations(self, program: onnx.ModelProto) -> Mapping[str, tuple[str, str]]:
        """Return the name and type of the module of each node, by node name."""
        kinds = self.graph_info
        found = {}
        for node in program.graph.node:
            name = next((name for name in self._names_of(node) if name in kinds), None)
            if name is not None:
                found[node.name] = name, kinds[name]
        return found

    def _names_of(self, node: onnx.NodeProto) -> list[str]:
        """Return names that the operation of a node may have in `graph_info`, best first."""
        if self.form == "TorchScript":
            return [_path_in_name(node.name)]
        weights = [weight.rpartition(".")[0] for weight in node.input[1:2]]
        scopes = [entry.value for entry in node.metadata_props if entry.key == SCOPES]
        # The scopes of a convolution are those of the batch norm that was folded into it.
        return [*weights, *reversed(ast.literal_eval(scopes[0]) if scopes else [])]

    def record_inputs(self, function: Callable[[Any], Any]) -> list[Any]:
        """Return the inputs of the module during a call of a function that runs it."""
        calls: list[Any] = []

        def record(_module: Any, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
            leaves = Arguments(positional, named).leaves
            calls.append([as_array(leaf) for leaf in leaves])

        handle = self.raw.register_forward_pre_hook(record, with_kwargs=True)
        try:
            with unchanged(self._module):
                function(self.raw)
        finally:
            handle.remove()
        return calls


def _path_in_name(name: str) -> str:
    """Return the module of a node, such as `block.0.conv` of `/block/block.0/conv/Conv`."""
    path: list[str] = []
    for part in name.strip("/").split("/")[:-1]:
        if path and part.startswith(f"{path[-1]}."):
            path[-1] = part
        else:
            path.append(part)
    return ".".join(path)
