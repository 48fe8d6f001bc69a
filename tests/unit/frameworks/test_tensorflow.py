"""Models of TensorFlow and Keras, as far as they need neither."""

from __future__ import annotations

import contextlib
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from furiosa_models.errors import (
    ConversionError,
    ExtraRequired,
    FuriosaModelsError,
    ShapeError,
    WeightsError,
)
from furiosa_models.frameworks import keras, tensorflow
from furiosa_models.frameworks.base import FrameworkModel
from furiosa_models.frameworks.tensorflow.wire import graph_facts, meta_facts, saved_model_facts

from . import tensorflow_files as files


@pytest.fixture(autouse=True)
def _without_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorflow", "tf2onnx", "tf2onnx.convert", "keras"):
        monkeypatch.setitem(sys.modules, name, None)


def recognize(source: object, **options: Any) -> FrameworkModel | None:
    return keras.recognize(source, **options) or tensorflow.recognize(source, **options)


def model(source: object, **options: Any) -> FrameworkModel:
    found = recognize(source, **options)
    assert found is not None
    return found


def written(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_a_frozen_graph_has_its_placeholders_as_inputs_and_unused_results_as_outputs(
    tmp_path: Path,
) -> None:
    found = model(written(tmp_path / "x.pb", files.GRAPH))
    assert (found.framework, found.form) == ("tensorflow", "frozen pb")
    assert found.input_names == ["image"]
    assert found.output_names == ["probabilities"]
    assert found.graph_info == {
        "image": "Placeholder",
        "weights": "Const",
        "conv": "Conv2D",
        "probabilities": "Softmax",
    }


def test_a_frozen_graph_is_found_without_its_suffix(tmp_path: Path) -> None:
    written(tmp_path / "x.pb", files.GRAPH)
    assert model(tmp_path / "x").output_names == ["probabilities"]


def test_a_frozen_graph_is_saved_without_tensorflow_and_never_over_another(tmp_path: Path) -> None:
    found = model(written(tmp_path / "x.pb", files.GRAPH))
    assert found.save(tmp_path / "new" / "saved_result") == tmp_path / "new" / "saved_result.pb"
    assert (tmp_path / "new" / "saved_result.pb").read_bytes() == files.GRAPH
    assert found.save(tmp_path / "other.pb").name == "other.pb"
    written(tmp_path / "mine.pb", b"mine")
    with pytest.raises(FuriosaModelsError, match=r"mine\.pb already exists"):
        found.save(tmp_path / "mine")
    assert (tmp_path / "mine.pb").read_bytes() == b"mine"


def test_outputs_may_be_any_tensors_of_the_graph(tmp_path: Path) -> None:
    found = model(written(tmp_path / "x.pb", files.GRAPH), output_names=["conv:0"])
    assert found.output_names == ["conv"]
    found.output_names = ["conv:1", "probabilities"]
    assert found.output_names == ["conv:1", "probabilities"]
    with pytest.raises(ShapeError, match=r"no tensor 'cnv'; its outputs are probabilities"):
        found.output_names = ["cnv"]
    with pytest.raises(ShapeError, match="at least one output"):
        found.output_names = []
    assert found.output_names == ["conv:1", "probabilities"]


def test_the_saved_model_of_tensorflow_1_has_the_names_of_its_signature(tmp_path: Path) -> None:
    path = written(tmp_path / "model" / "saved_model.pb", files.TF1)
    for source in (path, path.parent):
        found = model(source)
        assert found.form == "TF1 SavedModel"
        assert (found.input_names, found.output_names) == (["x-1"], ["probs"])
        assert found.graph_info["conv"] == "Conv2D"


def test_the_saved_model_of_tensorflow_2_has_the_operations_of_its_functions(
    tmp_path: Path,
) -> None:
    path = written(tmp_path / "model" / "saved_model.pb", files.TF2)
    found = model(path.parent)
    assert found.form == "TF2 SavedModel"
    assert found.input_names == ["image"]
    assert found.output_names == ["output_0", "output_9", "output_10"]
    assert found.graph_info == {
        "image": "Placeholder",
        "dense": "MatMul",
        "inner/relu": "Relu",
        "inner/add": "AddV2",
        "Identity": "Identity",
    }


def test_a_saved_model_is_copied_without_tensorflow_and_without_other_files(tmp_path: Path) -> None:
    source = written(tmp_path / "a" / "saved_model.pb", files.TF2).parent
    written(source / "variables" / "variables.index", b"index")
    written(source / "diary.txt", b"private")
    target = model(source).save(tmp_path / "b")
    names = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    assert names == {"saved_model.pb", "variables/variables.index"}
    with pytest.raises(FuriosaModelsError, match="already exists"):
        model(source).save(source)
    assert (source / "diary.txt").read_bytes() == b"private"


def test_a_saved_model_of_keras_2_is_recognized_by_its_metadata(tmp_path: Path) -> None:
    path = written(tmp_path / "a" / "saved_model.pb", files.TF2)
    written(path.parent / "keras_metadata.pb", b"")
    for source in (path, path.parent):
        assert (model(source).framework, model(source).form) == ("keras", "Keras saved model")


def test_a_signature_may_be_chosen(tmp_path: Path) -> None:
    signatures = {
        name: files.signature({"x": "image:0"}, {name: "probabilities:0"}) for name in "ab"
    }
    data = files.saved_model(files.meta_graph(files.GRAPH, signatures))
    path = written(tmp_path / "saved_model.pb", data)
    assert model(path, signature="b").output_names == ["b"]
    with pytest.raises(WeightsError, match=r"no signature 'serving_default': it has a, b"):
        model(path)
    with pytest.raises(TypeError):
        model(path, model=1)


def test_a_checkpoint_of_tensorflow_1_has_its_placeholders_as_inputs(tmp_path: Path) -> None:
    variable = (files.node("w", "VarHandleOp"), files.node("w/Read", "ReadVariableOp", "w"))
    saver = (files.node("save/SaveV2", "SaveV2"), files.node("save/id", "Identity", "save/SaveV2"))
    nodes = (*variable, *files.NODES, *saver)
    written(tmp_path / "m-7.meta", files.meta_graph(files.graph(nodes)))
    written(tmp_path / "m-7.index", b"")
    for source in (tmp_path, tmp_path / "m-7", tmp_path / "m-7.meta", tmp_path / "m-7.index"):
        found = model(source)
        assert found.form == "TF1 checkpoint"
        assert found.input_names == ["image"]
        with pytest.raises(
            ConversionError, match=r"set output_names=.*candidates: w/Read \(.*probabilities"
        ):
            _ = found.output_names
        found.output_names = ["probabilities"]
        assert found.output_names == ["probabilities"]


def test_a_folder_with_several_checkpoints_means_the_latest(tmp_path: Path) -> None:
    for step in (5, 40):
        written(tmp_path / f"m-{step}.meta", files.meta_graph(files.GRAPH))
        written(tmp_path / f"m-{step}.index", b"")
    with pytest.raises(WeightsError, match=r"several checkpoints, m-40, m-5: pass the path of one"):
        recognize(tmp_path)
    written(tmp_path / "checkpoint", b'model_checkpoint_path: "/elsewhere/m-5"\n')
    assert "m-5" in vars(model(tmp_path))["_what"]
    assert model(tmp_path / "checkpoint").output_names == ["probabilities"]


def test_a_checkpoint_of_tensorflow_2_needs_its_model(tmp_path: Path) -> None:
    written(tmp_path / "ckpt-1.index", b"")
    for source in (tmp_path, tmp_path / "ckpt-1"):
        with pytest.raises(ConversionError, match=r"model="):
            recognize(source)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("m.h5", b"\x89HDF\r\n\x1a\n layer_names", "contains weights, but no network"),
        ("m.h5", b"PK\x03\x04", "expected an HDF5 file"),
        ("m.keras", b"\x89HDF\r\n\x1a\n", "expected a zip archive"),
    ],
)
def test_a_file_that_is_no_keras_model_is_refused(
    name: str, data: bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match=message):
        recognize(written(tmp_path / name, data))


def test_other_paths_and_objects_are_not_recognized(tmp_path: Path) -> None:
    others: list[object] = [
        tmp_path,
        tmp_path / "absent",
        tmp_path / "absent.pb",
        Path(),
        Path("/"),
    ]
    others += [written(tmp_path / "x.onnx", b""), object(), b"", None, 3]
    assert [recognize(other) for other in others] == [None] * len(others)


def test_objects_are_recognized_by_the_modules_of_their_classes() -> None:
    kind = type("GraphDef", (), {"SerializeToString": lambda _: files.GRAPH})
    kind.__module__ = "tensorflow.core.framework.graph_pb2"
    assert model(kind()).output_names == ["probabilities"]
    kind.__module__ = "tensorflowish"
    assert recognize(kind()) is None
    network = type("Mine", (type("Model", (), {"__module__": "keras.src.models.model"}),), {})
    assert model(network()).form == "keras.Model"


def test_what_needs_tensorflow_names_the_command_to_install_it(tmp_path: Path) -> None:
    written(tmp_path / "m" / "saved_model.pb", files.TF2)
    written(tmp_path / "c" / "m.meta", files.meta_graph(files.GRAPH))
    written(tmp_path / "c" / "m.index", b"")
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    graph = model(written(tmp_path / "x.pb", files.GRAPH))
    batch = np.zeros((1, 1), np.float32)
    for found in (graph, model(tmp_path / "m"), model(tmp_path / "c"), model(tmp_path / "m.keras")):
        with pytest.raises(ExtraRequired, match=r"pip install .*tensorflow"):
            _ = found.raw
        with pytest.raises(ExtraRequired, match=r"pip install .*tensorflow"):
            found.to_onnx()
        with pytest.raises(ExtraRequired, match=r"pip install .*tensorflow"):
            found.run(batch)
    with pytest.raises(ExtraRequired, match="pip install"):
        model(tmp_path / "c").save(tmp_path / "out")


def test_a_function_that_calls_itself_is_refused() -> None:
    body = (files.node("again", "PartitionedCall", calls="serve"),)
    call = files.node("call", "StatefulPartitionedCall", calls="serve")
    definition = files.signature({}, {"y": "call:0"})
    meta = files.meta_graph(files.graph((call,), {"serve": body}), {"serving_default": definition})
    with pytest.raises(WeightsError, match="the function serve calls itself"):
        saved_model_facts(files.saved_model(meta), "m", None)


def test_functions_that_call_each_other_twice_do_not_take_exponential_time() -> None:
    levels = {
        f"f{n}": [files.node(part, "PartitionedCall", calls=f"f{n + 1}") for part in "ab"]
        for n in range(40)
    }
    library = {**levels, "f40": (files.node("x", "Relu"),)}
    call = files.node("call", "StatefulPartitionedCall", calls="f0")
    definition = files.signature({}, {"y": "call:0"})
    meta = files.meta_graph(files.graph((call,), library), {"serving_default": definition})
    with pytest.raises(WeightsError, match="more than 200000 nodes"):
        saved_model_facts(files.saved_model(meta), "m", None)


@pytest.mark.parametrize("data", [b"", b"\x00", b"<html>", files.GRAPH[:-3]])
def test_bytes_that_are_no_graph_are_refused(data: bytes, tmp_path: Path) -> None:
    found = model(written(tmp_path / "x.pb", data))
    with pytest.raises(WeightsError, match="GraphDef"):
        _ = found.graph_info


@given(st.data())
def test_damaged_files_raise_weights_errors_only(data: st.DataObject) -> None:
    readers = [
        (files.TF1, lambda content: saved_model_facts(content, "m", None)),
        (files.TF2, lambda content: saved_model_facts(content, "m", None)),
        (files.GRAPH, lambda content: graph_facts(content, "m")),
        (files.meta_graph(files.GRAPH), lambda content: meta_facts(content, "m")),
    ]
    original, read = data.draw(st.sampled_from(readers))
    content = bytearray(original)
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    with contextlib.suppress(WeightsError):
        read(bytes(content[:cut]))


def test_a_checkpoint_of_slim_needs_the_name_of_its_network(tmp_path: Path) -> None:
    path = written(tmp_path / "model.ckpt", b"anything")
    with pytest.raises(ConversionError, match=r"no network: pass the name of.*vgg_16.*resnet_v2"):
        recognize(path)
    with pytest.raises(ConversionError, match=r"'vgg16' is no network of TF-Slim.*vgg_16"):
        recognize(path, name="vgg16")
    with pytest.raises(WeightsError, match="is no checkpoint: expected a file"):
        recognize(tmp_path / "missing", name="vgg_16")
    with pytest.raises(ExtraRequired, match="needs TensorFlow"):
        recognize(path, name="vgg_16")
