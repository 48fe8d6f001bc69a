"""PyTorch runs TorchScript that `Model.export` wrote, which says what its inputs and outputs are.

PyTorch has one number of threads for the whole process, `torch.set_num_threads`, which this backend
leaves as it is: the option `worker_num` of a runner does not change it.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Sequence
from typing import Any

from ..._lazy import install_hint
from ...errors import BackendUnavailable, WeightsError
from ...spec import DESCRIPTION_MEMBER, GraphFacts, TensorFacts
from ..machine import Fact, cpu_fingerprint, cpu_name, installed_version
from ..source import is_torchscript
from ..tensor import DataType, Model, TensorDesc
from .base import Arrays, Backend, Session, Setup

__all__ = ["TorchScriptBackend"]

_PACKAGE = "torch"
_DEVICE = re.compile(r"torch(:cpu|:cuda(:\d+)?)?")


class TorchScriptBackend(Backend):
    """PyTorch, for TorchScript on the CPU or a GPU."""

    name, title = "torchscript", "PyTorch"
    place = "PyTorch"
    devices = "'torch', 'torch:cpu', 'torch:cuda:0'"
    hint = "it takes TorchScript that `export` wrote"

    def matches(self, device: str) -> bool:
        """Return whether the device is `cpu`, or one of PyTorch: `torch`, `torch:cuda:0`."""
        return device == "cpu" or _DEVICE.fullmatch(device) is not None

    def problem(self, device: str | None = None) -> str | None:
        """Return why PyTorch cannot use the device, or None; imports it for a GPU."""
        if installed_version(_PACKAGE) is None:
            return f"PyTorch is not installed: {install_hint(_PACKAGE)}"
        if device is None or ":cuda" not in device:
            return None
        import torch

        index = device.rpartition("cuda")[2].strip(":") or "0"
        if torch.cuda.is_available() and int(index) < torch.cuda.device_count():
            return None
        return f"PyTorch {torch.__version__} sees {torch.cuda.device_count()} GPUs"

    def device_name(self, device: str) -> str:
        """Return the name of the GPU, or of the CPU."""
        place = _place(device)
        if place == "cpu":
            return cpu_name()
        import torch

        return str(torch.cuda.get_device_name(place))

    def fingerprint(self) -> str:
        """Return the version of PyTorch and the CPU."""
        return f"{installed_version(_PACKAGE)} {cpu_fingerprint()}"

    def facts(self) -> list[Fact]:
        """Return the installed version."""
        found = installed_version(_PACKAGE)
        advice = "" if found else f"training, and device='torch': {install_hint(_PACKAGE)}"
        return [Fact(self.title, found or "not installed", None, advice)]

    def takes(self, program: Any) -> bool:
        """Return whether a program is TorchScript."""
        return is_torchscript(program)

    def load(self, program: Any, setup: Setup) -> Session:
        """Load TorchScript that `export` wrote.

        Raises:
            BackendUnavailable: PyTorch is not installed, or does not see the GPU.
            WeightsError: The file does not say what its inputs are.
        """
        from ...frameworks.torch.files import load_script

        if problem := self.problem(setup.device):
            raise BackendUnavailable(problem)
        facts = _facts(program)
        place = _place(setup.device)
        module = load_script(program, place).eval()
        return _TorchScriptSession(self, module, place, facts, setup.batch_size)


class _TorchScriptSession(Session):
    """TorchScript on a device."""

    def __init__(
        self,
        backend: TorchScriptBackend,
        module: Any,
        place: str,
        facts: GraphFacts,
        batch_size: int | None,
    ) -> None:
        inputs, outputs = (
            [_describe(tensor, batch_size) for tensor in tensors]
            for tensors in (facts.inputs, facts.outputs)
        )
        super().__init__(backend, Model(inputs, outputs))
        self._module, self._place = module, place

    def execute(self, tensors: Arrays, output_names: Sequence[str] | None) -> Arrays:
        """Return the named outputs, or all."""
        import torch

        with torch.inference_mode():
            placed = [torch.from_numpy(tensor).to(self._place) for tensor in tensors]
            found = self._module(*placed)
            values = [found] if isinstance(found, torch.Tensor) else list(found)
            arrays = [value.cpu().numpy() for value in values]
        if output_names is None:
            return arrays
        known = [desc.name for desc in self.model.outputs()]
        return [arrays[known.index(name)] for name in output_names]


def _place(device: str) -> str:
    """Return the device of PyTorch; for `torch`, a GPU if there is one."""
    _, _, place = device.partition(":")
    if device == "cpu" or place:
        return place or "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _facts(program: bytes | str) -> GraphFacts:
    """Return the facts about the graph that `export` wrote into the file.

    Raises:
        WeightsError: There are none.
    """
    stream = io.BytesIO(program) if isinstance(program, bytes) else program
    with zipfile.ZipFile(stream) as archive:
        for name in archive.namelist():
            if name.rpartition("/")[2] == DESCRIPTION_MEMBER:
                return GraphFacts.of_description(json.loads(archive.read(name)))
    msg = (
        "this TorchScript does not say what its inputs and outputs are, because another program "
        "wrote it: open it with the class of its task, such as Detector('model.pt'), which "
        "converts it to ONNX"
    )
    raise WeightsError(msg)


def _describe(tensor: TensorFacts, batch_size: int | None) -> TensorDesc:
    sizes = list(tensor.shape)
    if batch_size is not None and sizes:
        sizes[0] = batch_size
    return TensorDesc.of(tensor.name, sizes, DataType(tensor.dtype))
