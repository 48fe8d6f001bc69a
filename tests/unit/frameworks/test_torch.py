"""Models of PyTorch, as far as they need no PyTorch."""

from __future__ import annotations

import contextlib
import json
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from furiosa_models import networks
from furiosa_models.errors import ExtraRequired, WeightsError
from furiosa_models.frameworks import torch, wrap
from furiosa_models.frameworks.onnx import OnnxModel
from furiosa_models.frameworks.torch.arguments import Arguments
from furiosa_models.frameworks.torch.files import check_program, find_file
from furiosa_models.frameworks.torch.tensors import as_array, named_leaves, rebuilt
from furiosa_models.vision import MobileNetV2

from ..networks.recorded import RecordedWeights

TARGET = "torch.ops.aten.add.Tensor"
SYMBOL = "Mul(Integer(2), Symbol('s77', positive=True, integer=True))"


@pytest.fixture(autouse=True)
def _without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "onnxscript"):
        monkeypatch.setitem(sys.modules, name, None)


def archive(path: Path, members: Mapping[str, str | bytes], root: str = "archive/") -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(f"{root}{name}", data)
    return path


def program(target: str = TARGET, expression: str = SYMBOL, **members: Any) -> dict[str, Any]:
    """Return the members of an exported program of one operation."""
    node = {"target": target, "inputs": [{"arg": {"as_expr": {"expr_str": expression}}}]}
    config = {"config": {"w": {"path_name": "weight_0", "use_pickle": False}}}
    return {
        "models/model.json": json.dumps({"graph_module": {"graph": {"nodes": [node]}}}),
        "data/weights/model_weights_config.json": json.dumps(config),
        "data/weights/weight_0": b"\x80\x04anything",
        **members,
    }


def test_files_are_recognized_by_their_members(tmp_path: Path) -> None:
    script = archive(tmp_path / "script.pt", {"code/x.py": "", "data.pkl": b""}, "script/")
    exported = archive(tmp_path / "program.pt2", program())
    old = archive(tmp_path / "old.pt2", {"serialized_exported_program.json": "{}"}, "")
    weights = archive(tmp_path / "weights.pt", {"data.pkl": b"", "data/0": b""}, "weights/")
    assert [torch.has_network(path) for path in (script, exported, old)] == [True] * 3
    assert not torch.has_network(weights)
    other = archive(tmp_path / "program.zip", program())
    assert not torch.has_network(other)


def test_a_folder_has_a_network_in_its_best_model(tmp_path: Path) -> None:
    assert find_file(tmp_path) is None
    path = archive(tmp_path / "best_model.pt", program())
    assert find_file(tmp_path) == path


@pytest.mark.parametrize(
    "data",
    [b"", b"PK", b"PK\x05\x06" + b"\0" * 18, b"\x80\x02}q\x00.", b"PK\x03\x04" + b"\xff" * 100],
)
def test_files_that_are_no_archives_have_no_network(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(data)
    assert not torch.has_network(tmp_path / "x.pt")
    assert torch.recognize(tmp_path / "x.pt") is None


@given(st.binary(max_size=300), st.integers(0, 400))
def test_damaged_archives_are_no_crash(data: bytes, place: int) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = archive(Path(folder) / "x.pt", program())
        intact = path.read_bytes()
        path.write_bytes(intact[:place] + data + intact[place + len(data) :])
        if torch.has_network(path):
            with contextlib.suppress(WeightsError):
                check_program(path)


def test_a_network_needs_pytorch(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.pt", program())
    with pytest.raises(ExtraRequired, match=r"models of PyTorch need PyTorch.*pip install.*torch"):
        wrap(path)


def test_weights_need_a_network_but_no_pytorch(tmp_path: Path) -> None:
    weights = archive(tmp_path / "weights.pt", {"data.pkl": b"", "data/0": b""}, "weights/")
    with pytest.raises(WeightsError, match="has weights without a network: pass network="):
        wrap(weights)


@pytest.mark.parametrize(
    "target",
    [
        *("torch.ops.aten.add.Tensor", "torch.ops.higher_order.cond", "_operator.getitem"),
        *("_operator.floordiv", "math.ceil", "torch.sym_sum", "torch._C._set_grad_enabled"),
    ],
)
def test_programs_of_operations_are_harmless(target: str, tmp_path: Path) -> None:
    check_program(archive(tmp_path / "x.pt", program(target)))


@pytest.mark.parametrize(
    "target",
    [
        *("torch.os.system", "torch.load", "torch.serialization.pickle.loads", "_operator.call"),
        *("_operator.attrgetter", "_operator.methodcaller", "torch.ops", "torch.ops.load_library"),
        *("builtins.exec", "#custom:op", "math.x.y", "torch.ops.a.b.c.d", ""),
    ],
)
def test_programs_with_other_functions_are_refused(target: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "x.pt", program(target))
    with pytest.raises(WeightsError, match="would execute more than operations of PyTorch"):
        check_program(path)


@pytest.mark.parametrize("expression", ["s0", "s77*2 + 1", "u3", "FloorDiv(s0, 2)", "", SYMBOL])
def test_expressions_of_sizes_are_harmless(expression: str, tmp_path: Path) -> None:
    check_program(archive(tmp_path / "x.pt", program(expression=expression)))


@pytest.mark.parametrize(
    "expression",
    ["__import__('os')", "exec(s0)", "s0.__class__", "open('s0')", "A" * 60 + "!", "lambda: s0"],
)
def test_expressions_with_other_names_are_refused(expression: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "x.pt", program(expression=expression))
    with pytest.raises(WeightsError, match="has the expression"):
        check_program(path)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"data/aotinductor/model/x.so": b"\x7fELF"}, "a compiled library"),
        (
            {
                "data/weights/model_weights_config.json": json.dumps(
                    {"config": {"w": {"path_name": "weight_0", "use_pickle": True}}}
                )
            },
            "pickled objects",
        ),
        (
            {
                "data/constants/model_constants_config.json": json.dumps(
                    {"config": {"c": {"path_name": "custom_obj_0", "use_pickle": False}}}
                )
            },
            "pickled objects",
        ),
        ({"models/model.json": b"{"}, "is no exported program"),
        ({"models/model.json": b"\xff\xfe\xfd"}, "is no exported program"),
        ({"data/weights/model_weights_config.json": b"[]"}, "is no exported program"),
    ],
)
def test_programs_with_anything_else_are_refused(
    members: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = archive(tmp_path / "x.pt", {**program(), **members})
    with pytest.raises(WeightsError, match=message):
        check_program(path)


def test_two_members_of_the_same_name_are_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.pt", program())
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as file:
        file.writestr("archive/models/model.json", "{}")
    with pytest.raises(WeightsError, match="two members of the same name"):
        check_program(path)


def test_a_state_of_arrays_is_weights_of_a_network() -> None:
    network = MobileNetV2.spec.network
    assert network is not None
    recorded = RecordedWeights(networks.RandomWeights())
    built = networks.build(network.name, recorded, **network.params)
    state = {name: recorded.get(parameter) for name, parameter in recorded.asked.items()}
    assert "features.0.0.weight" in state
    images = np.random.default_rng(0).random((1, 3, 224, 224), np.float32)
    (expected,) = OnnxModel(built).run(images)
    (found,) = OnnxModel(networks.edit.parse(MobileNetV2(state).origin)).run(images)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    del state["features.0.0.weight"]
    with pytest.raises(WeightsError, match=r"'features\.0\.0\.weight' \[32, 3, 3, 3\] are missing"):
        _ = MobileNetV2(state).origin


def test_leaves_have_names_and_go_back_to_their_places() -> None:
    nested = {"a": 1, "b": [2, None, {"c": 3}], "d": (4,)}
    assert dict(named_leaves(nested, "")) == {"a": 1, "b_0": 2, "b_2_c": 3, "d_0": 4}
    doubled = rebuilt(nested, iter((2, 4, 6, 8)))
    assert doubled == {"a": 2, "b": [4, None, {"c": 6}], "d": (8,)}


def test_arguments_have_the_names_of_parameters() -> None:
    arguments = Arguments.of((1, [2, 3], 4))
    assert arguments.names(["image", "levels"]) == ["image", "levels_0", "levels_1", "input_2"]
    assert arguments.with_leaves("abcd").positional == ("a", ["b", "c"], "d")
    assert Arguments.of({"x": 1}).by_name([]) == {"x": 1}
    assert Arguments.of(5).call(lambda value: value + 1) == 6


def test_anything_that_numpy_takes_becomes_an_array() -> None:
    assert as_array([1, 2]).tolist() == [1, 2]
