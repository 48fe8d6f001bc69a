"""Every operation against ONNX Runtime."""

from __future__ import annotations

import pytest
import torch

from furiosa_models.networks.torch_sink.operations import OPERATIONS

from .cases import CASES
from .graphs import assert_equal, call, doubled, exported, module, onnx_runtime

pytestmark = pytest.mark.torch

TOLERANCE = 2e-6
UNBATCHED = (
    *("Flatten axis", "Flatten axis 0", "Transpose reversed", "Size", "Concat constant"),
    "Mod of sizes",
)
"""Cases whose result does not have the batch as its first dimension, or not only that."""


def test_every_operation_has_a_case() -> None:
    tested = {node.op_type for case in CASES.values() for node in case.model.graph.node}
    assert set(OPERATIONS) - tested == {"Pad", "Resize"}  # test_windows.py


@pytest.mark.parametrize("name", CASES)
def test_an_operation_computes_what_onnx_runtime_computes(name: str) -> None:
    case = CASES[name]
    assert_equal(
        call(module(case.model), case.inputs), onnx_runtime(case.model, case.inputs), TOLERANCE
    )


@pytest.mark.parametrize("name", [name for name in CASES if name not in UNBATCHED])
def test_an_exported_operation_takes_any_batch_size(name: str) -> None:
    case = CASES[name]
    more = doubled(case.inputs)
    program = exported(module(case.model), case.inputs)
    assert_equal(call(program, more), onnx_runtime(case.model, more), TOLERANCE)


def test_gradients_reach_the_weights_of_a_convolution() -> None:
    case = CASES["Conv"]
    made = module(case.model).train()
    made(torch.from_numpy(case.inputs["x0"])).square().sum().backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in made.parameters())
