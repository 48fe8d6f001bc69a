"""Checkpoints of TF-Slim against what TF-Slim itself computes; see `slim_golden`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from furiosa_models.compressor.model import Model
from furiosa_models.errors import ConversionError, WeightsError
from furiosa_models.frameworks import wrap
from furiosa_models.frameworks.tensorflow import GraphModel
from furiosa_models.frameworks.tensorflow.slim import NETWORKS

from .slim_values import UNITS, base, image, value
from .stock import run_frozen, run_onnx

pytestmark = pytest.mark.tensorflow

GOLDEN: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("slim.json").read_text(encoding="utf-8")
)
SLOW = (
    "overfeat",
    "vgg_16",
    "vgg_19",
    "resnet_v1_152",
    "resnet_v1_200",
    "resnet_v2_152",
    "resnet_v2_200",
)
"""Networks that others stand for; theirs would take minutes."""
UNIT = re.compile(r"(.*/block)(\d)/unit_(\d+)/(.*)")


def variables(name: str) -> dict[str, list[int]]:
    """Return the shapes of the variables of a network by their names.

    The units of a deeper ResNet are those of ResNet-50: the first has a projection as its shortcut,
    and all others are equal.
    """
    found: dict[str, list[int]] = GOLDEN[base(name)]["variables"]
    if base(name) == name:
        return found
    shapes = {}
    for key, shape in found.items():
        renamed = key.replace(base(name), name)
        unit = UNIT.fullmatch(renamed)
        if unit is None or unit[3] == "1":
            shapes[renamed] = shape
        elif unit[3] == "2":
            for number in range(2, UNITS[name.rpartition("_")[2]][int(unit[2]) - 1] + 1):
                shapes[f"{unit[1]}{unit[2]}/unit_{number}/{unit[4]}"] = shape
    return shapes


def write(name: str, path: Path, version: str = "V1", skip: str = "") -> str:
    """Write a checkpoint, and return its path or prefix."""
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        pairs = []
        for key, shape in variables(name).items():
            if key != skip:
                holder = v1.placeholder(tf.float32, shape)
                variable = v1.Variable(holder, name=key, use_resource=False, validate_shape=True)
                pairs.append((variable, holder, key, shape))
        feed = {holder: value(key, shape) for _, holder, key, shape in pairs}
        session.run([variable.initializer for variable, *_ in pairs], feed)
        path.parent.mkdir(exist_ok=True)
        kind = getattr(v1.train.SaverDef, version)
        saver = v1.train.Saver([pair[0] for pair in pairs], write_version=kind)
        return str(saver.save(session, str(path), write_meta_graph=False, write_state=False))


def logits_name(name: str, output: str) -> str:
    """Return the tensor whose softmax is the output."""
    if name.startswith("resnet"):
        return f"{name}/logits/BiasAdd"
    return f"{output.split('/')[0]}/Logits/SpatialSqueeze" if "inception" in name else output


def test_every_network_is_compared() -> None:
    assert {*GOLDEN} == {*NETWORKS}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in GOLDEN],
)
def test_a_network_computes_what_tf_slim_computes(name: str, tmp_path: Path) -> None:
    golden = GOLDEN[name]
    if "count" in golden:
        assert len(variables(name)) == golden["count"]
    path = write(name, tmp_path / "model.ckpt")
    assert Path(path).is_file()
    logits = wrap(path, name=name, output_names=[logits_name(name, golden["output"])])
    (found,) = logits.run(image(name))
    count = len(golden["logits"]) // 2
    first = found.reshape(2, -1)[:, :count].ravel()
    assert np.abs(first - golden["logits"]).max() <= 1e-4 * golden["deviation"]
    assert abs(float(found.std()) - golden["deviation"]) <= 1e-4 * golden["deviation"]


def test_a_checkpoint_is_a_frozen_graph_with_the_names_of_tf_slim(tmp_path: Path) -> None:
    path = write("inception_v1", tmp_path / "model.ckpt")
    model = wrap(path, name="inception_v1")
    assert isinstance(model, GraphModel)
    assert (model.framework, model.form) == ("tensorflow", "slim checkpoint")
    output = GOLDEN["inception_v1"]["output"]
    assert (model.input_names, model.output_names) == (["input"], [output])
    images = image("inception_v1")
    (expected,) = model.run(images)
    np.testing.assert_allclose(expected.sum(1), 1, atol=1e-5)
    saved = model.save(tmp_path / "saved_result")
    assert saved == tmp_path / "saved_result.pb"
    np.testing.assert_allclose(run_frozen(saved, {"input": images}, output), expected, atol=1e-6)
    (converted,) = run_onnx(model.to_onnx(), {model.input_names[0]: images})
    np.testing.assert_allclose(converted, expected, atol=1e-5)
    wrapped = Model(path, name="inception_v1")
    assert (wrapped.framework(), type(wrapped).__name__) == ("tensorflow", "TensorflowBaseModel")


def test_both_formats_and_a_folder_are_read(tmp_path: Path) -> None:
    first = wrap(write("resnet_v2_50", tmp_path / "a" / "one.ckpt"), name="resnet_v2_50")
    prefix = write("resnet_v2_50", tmp_path / "b" / "two", "V2")
    for source in (prefix, f"{prefix}.index", str(tmp_path / "b")):
        second = wrap(source, name="resnet_v2_50")
        assert second.graph_info == first.graph_info
    assert isinstance(first, GraphModel)
    assert isinstance(second, GraphModel)
    assert first.save(tmp_path / "1").read_bytes() == second.save(tmp_path / "2").read_bytes()


def test_unknown_names_and_other_networks_are_errors(tmp_path: Path) -> None:
    path = write("inception_v1", tmp_path / "model.ckpt")
    with pytest.raises(ConversionError, match=r"pass the name of its network.*alexnet_v2.*resnet"):
        wrap(path)
    with pytest.raises(ConversionError, match=r"'resnet50' is no network.*resnet_v1_50"):
        wrap(path, name="resnet50")
    for other in ("resnet_v1_50", "vgg_16", "inception_v3"):
        with pytest.raises(WeightsError, match=f"is no checkpoint of {other}: it has no variable"):
            wrap(path, name=other)
    with pytest.raises(WeightsError, match="is no checkpoint: expected a file"):
        wrap(tmp_path / "missing.ckpt", name="vgg_16")
    missing = "InceptionV1/Mixed_4c/Branch_0/Conv2d_0a_1x1/weights"
    partial = write("inception_v1", tmp_path / "partial.ckpt", skip=missing)
    with pytest.raises(WeightsError, match=f"it has no variable '{missing}'"):
        wrap(partial, name="inception_v1")


@pytest.mark.parametrize("data", [b"", b"hello", b"\0" * 1000])
def test_files_that_are_no_checkpoints_are_errors(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.ckpt").write_bytes(data)
    with pytest.raises(WeightsError, match="is no checkpoint of vgg_16"):
        wrap(tmp_path / "model.ckpt", name="vgg_16")
