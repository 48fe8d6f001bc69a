"""Modules through `quantization.fit`: quantized, saved, and loaded by PyTorch alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch.utils.data import DataLoader

from furiosa_models.compressor import quantization
from furiosa_models.compressor.config import PostTrainingQuantConfig
from furiosa_models.compressor.model import Model
from furiosa_models.compressor.utils.pytorch import load
from furiosa_models.errors import CalibrationWarning, ConfigurationError, WeightsError
from furiosa_models.frameworks.onnx import OnnxModel

from . import stock
from .modules import BATCH, KINDS, SMALL, made

pytestmark = pytest.mark.torch

FLOAT = {"weight": {"dtype": ["fp32"]}, "activation": {"dtype": ["fp32"]}}


def sample(inputs: Any, index: int) -> Any:
    """Return one sample of nested inputs."""
    if isinstance(inputs, Mapping):
        return {name: value[index] for name, value in inputs.items()}
    if isinstance(inputs, (list, tuple)):
        return [sample(each, index) for each in inputs]
    return inputs[index]


def data_loader(name: str, count: int = 16) -> Any:
    """Return PyTorch's loader of samples with labels."""
    torch.manual_seed(1)
    inputs = KINDS[name].inputs(count)
    if name == "nested":
        inputs = stock.leaves(inputs)
    return DataLoader([(sample(inputs, i), i % 10) for i in range(count)], batch_size=4)


def fitted(name: str, conf: PostTrainingQuantConfig | None = None, **arguments: Any) -> Any:
    if not arguments:
        arguments = {"calib_dataloader": data_loader(name)}
    options = {"example_inputs": KINDS[name].inputs(1)}
    return quantization.fit(
        Model(made(name), conf=conf, **options), conf or PostTrainingQuantConfig(), **arguments
    )


def float_outputs(name: str, inputs: Any) -> list[Any]:
    return stock.called(made(name).eval(), inputs)


@pytest.mark.parametrize("name", [*SMALL, "mobilenet_v2", "resnet18"])
def test_a_quantized_module_is_saved_and_loaded_exactly(
    name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    inputs = KINDS[name].inputs(BATCH)
    with stock.same_environment():
        result = fitted(name)
        folder = result.save(tmp_path / "saved_result")
        found = result.run(stock.arrays(inputs))
        loaded = load(folder)
    assert result.framework() == "pytorch"
    assert result.is_quantized
    assert isinstance(result.model, torch.nn.Module)
    assert any(buffer.dtype == torch.int8 for buffer in result.model.buffers())
    expected = float_outputs(name, inputs)
    program = OnnxModel(onnx.load_from_string(result.report.program))
    differences = {
        "to float": stock.difference(found, expected),
        "to ONNX Runtime": stock.difference(program.run(stock.arrays(inputs)), found),
    }
    for key, value in differences.items():
        record_property(f"{name}: {key}", value)
    scale = max(float(np.abs(array).max()) for array in expected)
    # Weights have 7 bits; deep networks with random weights amplify noise.
    bound = 0.2 if name in SMALL else 0.5
    assert 0 < differences["to float"] <= bound * scale
    assert differences["to ONNX Runtime"] <= differences["to float"]
    assert [each.name for each in folder.iterdir()] == ["best_model.pt"]
    alone = stock.program(folder)
    assert stock.difference(stock.called(alone, inputs), found) == 0
    assert stock.difference(stock.called(loaded, inputs), found) == 0
    assert stock.difference(stock.called(load(folder / "best_model.pt"), inputs), found) == 0
    assert stock.difference(Model(str(folder)).run(stock.arrays(inputs)), found) == 0
    assert any(buffer.dtype == torch.int8 for buffer in alone.buffers())


def test_a_quantized_module_takes_and_returns_what_the_module_does() -> None:
    inputs = KINDS["named"].inputs(BATCH)
    module = fitted("named").model
    with torch.no_grad():
        found, expected = module(**inputs), made("named").eval()(**inputs)
    assert found.keys() == expected.keys()
    assert found["rest"][1] is None
    assert stock.difference(stock.arrays(found), stock.arrays(expected)) <= 0.5
    with pytest.raises(TypeError, match="takes the arguments x, mask, got x"):
        module(inputs["x"])


def test_the_names_of_arguments_are_those_of_the_module() -> None:
    inputs = KINDS["two"].inputs(BATCH)
    module = fitted("two").model
    by_name = module(extra=inputs[1], image=inputs[0])
    assert stock.difference(stock.arrays(by_name), stock.called(module, inputs)) == 0


def test_a_calibration_function_gives_what_a_loader_gives() -> None:
    loader = data_loader("two")

    def calibrate(module: Any) -> None:
        assert isinstance(module, torch.nn.Module)
        for (image, extra), _ in loader:
            module(image, extra)

    inputs = KINDS["two"].inputs(BATCH)
    one, other = fitted("two", calib_func=calibrate), fitted("two")
    assert stock.difference(*(each.run(stock.arrays(inputs)) for each in (one, other))) == 0


def test_the_evaluation_gets_modules_and_decides() -> None:
    seen: list[Any] = []
    inputs = KINDS["two"].inputs(64)
    expected = float_outputs("two", inputs)

    def evaluate(module: Any) -> float:
        seen.append(module)
        assert not module.training or len(seen) == 1
        found = stock.called(module, inputs)
        return float((found[0].argmax(1) == expected[0].argmax(1)).mean())

    result = fitted("two", calib_dataloader=data_loader("two"), eval_func=evaluate)
    assert all(isinstance(module, torch.nn.Module) for module in seen)
    assert len(seen) >= 2
    assert result.float_accuracy is not None
    assert result.met in (True, False)


def test_without_data_only_weights_are_stored_in_8_bits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 32))
    inputs = torch.rand(BATCH, 32)
    with pytest.warns(CalibrationWarning, match="no calibration data"):
        result = quantization.fit(
            Model(module, example_inputs=inputs[:1]), PostTrainingQuantConfig()
        )
    folder = result.save(tmp_path / "saved_result")
    found = result.run(stock.arrays(inputs))
    assert 0 < stock.difference(found, stock.called(module, inputs)) <= 0.02
    assert stock.difference(stock.called(stock.program(folder), inputs), found) == 0
    matrices = [b for b in stock.program(folder).buffers() if b.dtype == torch.int8 and b.ndim == 2]
    assert len(matrices) == 2


@pytest.mark.parametrize(
    ("settings", "floats"),
    [
        ({"op_type_dict": {"Linear": FLOAT}}, {"extra.weight", "head.weight"}),
        ({"op_type_dict": {"Conv": FLOAT}}, {"conv.weight", "depthwise.weight"}),
        ({"op_name_dict": {"conv": FLOAT}}, {"conv.weight"}),
        ({"op_name_dict": {"head|depthwise": FLOAT}}, {"head.weight", "depthwise.weight"}),
    ],
)
def test_types_and_names_of_modules_stay_float(settings: Any, floats: set[str]) -> None:
    result = fitted("two", PostTrainingQuantConfig(**settings))
    weights = {"conv.weight", "depthwise.weight", "extra.weight", "head.weight"}
    state = result.model.state_dict()
    # The last layer stays float in any case: it decides on the accuracy, and takes little time.
    assert {name for name in weights if name in state} == floats | {"head.weight"}


def test_linear_layers_on_three_dimensions_have_the_names_of_their_modules() -> None:
    result = fitted("tokens", PostTrainingQuantConfig(op_name_dict={"up": FLOAT}))
    state = result.model.state_dict()
    assert sum(tensor.dtype == torch.int8 and tensor.ndim == 2 for tensor in state.values()) >= 1
    with pytest.raises(ConfigurationError, match="'upp' is no operation of the model"):
        fitted("tokens", PostTrainingQuantConfig(op_name_dict={"upp": FLOAT}))


def test_a_recipe_is_saved_as_json_and_gives_the_same_module(tmp_path: Path) -> None:
    result = fitted("two", PostTrainingQuantConfig(backend="ipex"))
    with stock.same_environment():
        folder = result.save(tmp_path / "saved_result")
    assert [each.name for each in folder.iterdir()] == ["best_configure.json"]
    recipe = json.loads((folder / "best_configure.json").read_text())
    entries = recipe[" "]["q_op_infos"].values()
    assert {"conv", "depthwise", "extra", "head"} == {entry["fqn"] for entry in entries}
    examples, inputs = KINDS["two"].inputs(1), KINDS["two"].inputs(BATCH)
    loaded = load(folder, model=made("two"), example_inputs=examples)
    expected = result.run(stock.arrays(inputs))
    assert stock.difference(stock.called(loaded, inputs), expected) == 0
    with pytest.raises(ConfigurationError, match="recipe without weights: pass model="):
        load(folder)
    (folder / "best_configure.json").write_text('{" ": {}}')
    with pytest.raises(WeightsError, match="is not a recipe of this package"):
        load(folder, model=made("two"), example_inputs=examples)


def test_a_quantized_model_is_exported_to_onnx(tmp_path: Path) -> None:
    from furiosa_models.compressor.config import Torch2ONNXConfig

    result, inputs = fitted("two"), KINDS["two"].inputs(BATCH)
    path = result.export(tmp_path / "int8.onnx", Torch2ONNXConfig(dtype="int8", opset_version=17))
    found = OnnxModel(onnx.load(path)).run(stock.arrays(inputs))
    assert stock.difference(found, result.run(stock.arrays(inputs))) <= 0.05


def test_torchscript_and_programs_are_quantized(tmp_path: Path) -> None:
    module, examples = made("two").eval(), KINDS["two"].inputs(2)
    batch = torch.export.Dim("batch")
    program = torch.export.export(module, examples, dynamic_shapes=({0: batch}, {0: batch}))
    inputs = KINDS["two"].inputs(BATCH)
    expected = stock.called(module, inputs)
    torch.export.save(program, tmp_path / "program.pt2")
    for source, options in (
        (program, {}),
        (str(tmp_path / "program.pt2"), {}),
    ):
        result = quantization.fit(
            Model(source, **options),
            PostTrainingQuantConfig(),
            calib_dataloader=data_loader("two"),
        )
        found = result.run(stock.arrays(inputs))
        assert 0 < stock.difference(found, expected) <= 0.3
    folder = result.save(tmp_path / "saved_result")
    assert stock.difference(stock.called(stock.program(folder), inputs), found) == 0
