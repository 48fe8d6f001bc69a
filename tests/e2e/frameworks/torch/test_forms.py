"""Modules, TorchScript and exported programs: recognized, converted, run, saved and loaded."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from furiosa_models.errors import ConversionError, FuriosaModelsError, ShapeError, WeightsError
from furiosa_models.frameworks import wrap
from furiosa_models.frameworks.torch import TorchModel

from . import modules, stock
from .modules import BATCH, KINDS, SMALL, made

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore:`?torch.jit:FutureWarning"),
    pytest.mark.filterwarnings("ignore:`?torch.jit:DeprecationWarning"),
]

TOLERANCE = 2e-5


def opened(name: str) -> TorchModel:
    """Return a model that was given a module and example inputs with one sample."""
    found = wrap(made(name), example_inputs=KINDS[name].inputs(1))
    assert isinstance(found, TorchModel)
    return found


@pytest.mark.parametrize("name", KINDS)
def test_a_module_has_names_modules_and_equal_outputs_in_onnx_and_saved(
    name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    kind, model = KINDS[name], opened(name)
    module = model.raw
    before, inputs = stock.state(module), kind.inputs(BATCH)
    expected = stock.called(copy.deepcopy(module).eval(), inputs)
    with stock.same_environment():
        assert (model.framework, model.form) == ("torch", "module")
        assert (model.input_names, model.output_names) == (kind.names, kind.outputs)
        assert model.graph_info[kind.module[0]] == kind.module[1]
        program = model.to_onnx()
        ran = model.run(stock.arrays(inputs))
        folder = model.save(tmp_path / "saved_result")
        loaded = wrap(folder)
        again = loaded.run(stock.arrays(inputs))
    assert stock.is_equal(stock.state(module), before)
    assert kind.module in model.operations(program).values()
    assert [value.name for value in program.graph.input] == kind.names
    assert [value.name for value in program.graph.output] == kind.outputs
    assert [each.name for each in folder.iterdir()] == ["best_model.pt"]
    assert loaded.form == "program"
    differences = {
        "run": stock.difference(ran, expected),
        "onnx": stock.difference(stock.run_onnx(program, inputs), expected),
        "saved": stock.difference(stock.called(stock.program(folder), inputs), expected),
        "loaded": stock.difference(again, expected),
    }
    if name in SMALL:  # conversion takes most of the time
        again = stock.run_onnx(loaded.to_onnx(), inputs)
        differences["onnx of loaded"] = stock.difference(again, expected)
    largest = max(float(np.abs(array).max()) for array in expected)
    tolerance = TOLERANCE if name in SMALL else 1e-4 * largest
    for key, value in differences.items():
        record_property(f"{name}: {key}", value)
        assert value <= tolerance, differences
    assert differences["run"] == 0
    assert b"/modules.py" not in program.SerializeToString()
    assert b"/modules.py" not in (folder / "best_model.pt").read_bytes()


@pytest.mark.parametrize("name", ["two", "mobilenet_v2"])
@pytest.mark.parametrize("kind", ["trace", "script"])
def test_torchscript_is_saved_as_torchscript(name: str, kind: str, tmp_path: Path) -> None:
    module, examples = made(name).eval(), KINDS[name].inputs(1)
    scripted = torch.jit.trace(module, examples) if kind == "trace" else torch.jit.script(module)
    model = wrap(scripted, example_inputs=examples)
    inputs = KINDS[name].inputs(BATCH)
    expected = stock.called(module, inputs)
    assert (model.form, model.input_names) == ("TorchScript", KINDS[name].names)
    assert model.output_names == KINDS[name].outputs
    assert model.graph_info[KINDS[name].module[0]] == KINDS[name].module[1]
    with stock.same_environment():
        program = model.to_onnx()
        folder = model.save(tmp_path / "saved_result")
        loaded = wrap(folder, example_inputs=examples)
    assert loaded.form == "TorchScript"
    assert stock.difference(stock.run_onnx(program, inputs), expected) <= TOLERANCE
    assert stock.difference(model.run(stock.arrays(inputs)), expected) <= 1e-6
    assert stock.difference(loaded.run(stock.arrays(inputs)), expected) <= 1e-6
    alone = torch.jit.load(str(folder / "best_model.pt"))
    assert stock.difference(stock.called(alone, inputs), expected) <= 1e-6
    names = {name for name, _ in loaded.operations(program).values()}
    assert KINDS[name].module[0] in names


def test_an_exported_program_needs_no_examples(tmp_path: Path) -> None:
    module = made("two").eval()
    batch = torch.export.Dim("batch")
    examples, inputs = KINDS["two"].inputs(2), KINDS["two"].inputs(BATCH)
    exported = torch.export.export(module, examples, dynamic_shapes=({0: batch}, {0: batch}))
    torch.export.save(exported, tmp_path / "program.pt2")
    expected = stock.called(module, inputs)
    for source in (exported, tmp_path / "program.pt2"):
        model = wrap(source)
        assert (model.form, model.input_names) == ("program", ["image", "extra"])
        assert model.graph_info["conv2d"] == "conv2d.default"
        program = model.to_onnx()
        assert ("conv2d_1", "conv2d.default") in model.operations(program).values()
        assert stock.difference(model.run(stock.arrays(inputs)), expected) <= 1e-6
        assert stock.difference(stock.run_onnx(program, inputs), expected) <= TOLERANCE
    folder = model.save(tmp_path / "saved")
    assert stock.difference(stock.called(stock.program(folder), inputs), expected) <= 1e-6
    assert model.raw is model.raw


def test_names_may_be_set() -> None:
    model = opened("two")
    model.input_names = ["a", "b"]
    model.output_names = ["c", "d"]
    program = model.to_onnx()
    assert [value.name for value in program.graph.input] == ["a", "b"]
    assert [value.name for value in program.graph.output] == ["c", "d"]
    inputs = stock.arrays(KINDS["two"].inputs(BATCH))
    by_name = model.run(dict(zip("ab", inputs, strict=True)))
    assert stock.difference(by_name, model.run(inputs)) == 0
    with pytest.raises(ShapeError, match=r"2 inputs \(image, extra\), got 1 names"):
        model.input_names = ["a"]
    with pytest.raises(ShapeError, match=r"2 outputs \(output_0, output_1\), got 3 names"):
        model.output_names = ["a", "b", "c"]
    with pytest.raises(ShapeError, match="expected the inputs a, b, got image, extra"):
        model.run(dict(zip(("image", "extra"), inputs, strict=True)))
    with pytest.raises(ShapeError, match=r"got 1 names"):
        wrap(made("two"), input_names=["a"])


def test_conversion_without_examples_says_what_to_pass(tmp_path: Path) -> None:
    model = wrap(made("two"))
    assert model.input_names == ["image", "extra"]
    for action in (model.to_onnx, lambda: model.save(tmp_path / "x"), lambda: model.output_names):
        with pytest.raises(ConversionError, match=r"pass example_inputs=, such as torch\.zeros"):
            action()
    assert list(tmp_path.iterdir()) == []
    inputs = KINDS["two"].inputs(BATCH)
    expected = stock.called(made("two").eval(), inputs)
    assert stock.difference(model.run(stock.arrays(inputs)), expected) == 0


def test_optional_arguments_are_inputs_if_the_examples_have_them() -> None:
    class Optional(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any, mask: Any = None) -> Any:
            return x * 2 if mask is None else x * mask

    x = torch.rand(2, 3)
    assert wrap(Optional()).input_names == ["x"]
    assert wrap(Optional(), example_inputs=x).input_names == ["x"]
    model = wrap(Optional(), example_inputs=(x, x))
    assert model.input_names == ["x", "mask"]
    assert stock.difference(stock.run_onnx(model.to_onnx(), (x, x)), [(x * x).numpy()]) == 0


def test_a_batch_size_that_cannot_be_open_stays_that_of_the_examples(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    module, examples = modules.Fixed(), torch.rand(2, 4)
    model = wrap(module, example_inputs=examples)
    with caplog.at_level(logging.WARNING, "furiosa_models"):
        program = model.to_onnx()
    assert "the batch size stays that of the example inputs" in caplog.text
    assert program.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 2
    expected = stock.called(module, examples)
    assert stock.difference(stock.run_onnx(program, examples), expected) <= TOLERANCE
    folder = model.save(tmp_path / "saved")
    assert stock.difference(stock.called(stock.program(folder), examples), expected) == 0


def test_an_input_without_a_batch_stays_as_it_is() -> None:
    class Scaled(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any, scales: Any) -> Any:
            return x * scales

    x, scales = torch.rand(1, 3), torch.rand(3)
    program = wrap(Scaled(), example_inputs=(x, scales)).to_onnx()
    dims = [value.type.tensor_type.shape.dim[0].dim_value for value in program.graph.input]
    assert dims == [0, 3]
    more = torch.rand(BATCH, 3)
    found = stock.run_onnx(program, (more, scales))
    assert stock.difference(found, [(more * scales).numpy()]) == 0


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_types_are_run_saved_and_converted(kind: Any, tmp_path: Path) -> None:
    plain = made("two").eval()
    model = wrap(copy.deepcopy(plain).to(kind), example_inputs=KINDS["two"].inputs(1))
    inputs = KINDS["two"].inputs(BATCH)
    expected = stock.called(plain, inputs)
    ran = model.run(stock.arrays(inputs))
    assert stock.difference(ran, expected) <= 0.02
    assert stock.difference(stock.run_onnx(model.to_onnx(), inputs), expected) <= 0.01
    folder = model.save(tmp_path / "saved")
    assert {p.dtype for p in stock.program(folder).parameters()} == {kind}
    assert {p.dtype for p in model.raw.parameters()} == {kind}
    assert stock.difference(wrap(folder).run(stock.arrays(inputs)), ran) == 0


def test_inputs_that_a_module_rejects_are_named() -> None:
    model = opened("two")
    wrong = [np.zeros((2, 5, 8, 8), np.float32), np.zeros((2, 4), np.float32)]
    with pytest.raises(ShapeError, match=r"rejects the inputs float32 \(2, 5, 8, 8\), float32"):
        model.run(wrong)


def test_results_that_are_no_tensors_are_named() -> None:
    class Text(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return {"x": x, "label": "cat"}

    model = wrap(Text(), example_inputs=torch.rand(1, 3))
    with pytest.raises(ConversionError, match="returns a str as label: expected tensors"):
        model.to_onnx()


def test_modules_that_cannot_be_exported_are_errors(tmp_path: Path) -> None:
    class Branches(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return x + 1 if x.sum() > 0 else x - 1

    model = wrap(Branches(), example_inputs=torch.rand(2, 3))
    with stock.same_environment():
        with pytest.raises(ConversionError, match="the module cannot be exported: "):
            model.to_onnx()
        with pytest.raises(ConversionError, match="the module cannot be exported: "):
            model.save(tmp_path / "saved")
    assert list(tmp_path.iterdir()) == []


def test_modules_that_are_quantized_already_are_errors() -> None:
    module = made("two").eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantized = torch.ao.quantization.quantize_dynamic(module, {torch.nn.Linear})
    model = wrap(quantized, example_inputs=KINDS["two"].inputs(1))
    assert model.run(stock.arrays(KINDS["two"].inputs(BATCH)))[0].shape == (BATCH, 10)
    with pytest.raises(ConversionError, match=r"(extra|head) is a quantized Linear.*before its"):
        model.to_onnx()


@pytest.mark.parametrize("kind", ["module", "TorchScript"])
def test_a_full_folder_is_left_as_it_is(kind: str, tmp_path: Path) -> None:
    module, examples = made("two").eval(), KINDS["two"].inputs(1)
    source = module if kind == "module" else torch.jit.trace(module, examples)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FuriosaModelsError, match="already exists"):
        wrap(source, example_inputs=examples).save(tmp_path)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("mine.txt", "mine")]


@pytest.mark.parametrize("name", SMALL)
def test_the_calls_of_a_function_are_recorded(name: str) -> None:
    model, inputs = opened(name), KINDS[name].inputs(BATCH)
    before = stock.state(model.raw)
    (recorded,) = model.record_inputs(lambda module: stock.called(module, inputs))
    assert stock.difference(recorded, stock.arrays(inputs)) == 0
    assert stock.is_equal(stock.state(model.raw), before)


def test_a_state_is_no_model(tmp_path: Path) -> None:
    torch.save(made("two").state_dict(), tmp_path / "weights.pt")
    with pytest.raises(WeightsError, match="has weights without a network: pass network="):
        wrap(tmp_path / "weights.pt")
