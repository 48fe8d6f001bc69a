"""Neural Compressor's names with models of TensorFlow and Keras."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from furiosa_models import Classifier
from furiosa_models.compressor import quantization
from furiosa_models.compressor.config import AccuracyCriterion, PostTrainingQuantConfig
from furiosa_models.compressor.data import DataLoader
from furiosa_models.compressor.model import Model
from furiosa_models.compressor.model.keras_model import KerasModel
from furiosa_models.compressor.model.tensorflow_model import (
    TensorflowBaseModel,
    TensorflowSavedModelModel,
)
from furiosa_models.errors import CalibrationWarning, ConversionError, FuriosaModelsError

pytestmark = pytest.mark.tensorflow

PHOTOS = np.random.default_rng(0).normal(size=(32, 16, 16, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def network() -> Any:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((16, 16, 3), name="photo"),
            layers.Conv2D(16, 3, strides=2, activation="relu"),
            layers.DepthwiseConv2D(3, activation="relu6"),
            layers.Conv2D(128, 1, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5),
        ]
    )


@pytest.fixture(scope="module")
def labels(network: Any) -> Any:
    return network(PHOTOS).numpy().argmax(1)


def loader(labels: Any) -> DataLoader:
    return DataLoader("tensorflow", list(zip(PHOTOS, labels, strict=True)), batch_size=8)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's save
def test_every_form_has_its_class(network: Any, tmp_path: Path) -> None:
    network.export(str(tmp_path / "folder"), verbose=False)
    network.save(tmp_path / "net.keras")
    network.save(tmp_path / "net.h5")
    checkpoint = tf.train.Checkpoint(model=network).save(str(tmp_path / "checkpoint" / "net"))
    graph = Model(network).graph_def
    (tmp_path / "net.pb").write_bytes(graph.SerializeToString())
    saved = [network, tmp_path / "folder", tmp_path / "net.keras", tmp_path / "net.h5"]
    models = {
        TensorflowSavedModelModel: [
            *(Model(str(each) if isinstance(each, Path) else each) for each in saved),
            Model(checkpoint, model=network),
        ],
        TensorflowBaseModel: [
            Model(str(tmp_path / "net.pb")),
            Model(str(tmp_path / "net")),
            Model(graph),
        ],
        KerasModel: [Model(network, backend="itex")],
    }
    for kind, found in models.items():
        for model in found:
            assert type(model) is kind
            np.testing.assert_allclose(model.run(PHOTOS)[0], network(PHOTOS).numpy(), atol=1e-5)
    with pytest.raises(ConversionError, match="pass the Keras model"):
        Model(checkpoint)


def test_fit_gives_evaluations_the_object_of_the_framework(
    network: Any, labels: Any, tmp_path: Path
) -> None:
    seen = []

    def evaluate(model: Any) -> float:
        seen.append(model)
        found = (
            model(PHOTOS)
            if isinstance(model, keras.Model)
            else next(iter(model.signatures["serving_default"](photo=tf.constant(PHOTOS)).values()))
        )
        return float((found.numpy().argmax(1) == labels).mean())

    before = dict(os.environ)
    conf = PostTrainingQuantConfig(accuracy_criterion=AccuracyCriterion(tolerable_loss=0.1))
    q_model = quantization.fit(network, conf, calib_dataloader=loader(labels), eval_func=evaluate)
    assert dict(os.environ) == before
    assert seen[0] is network
    assert len(seen) == 1 + len(q_model.trials)
    assert q_model.met is True
    path = q_model.save(tmp_path / "saved_result")
    again = tf.saved_model.load(str(path)).signatures["serving_default"]
    outputs = next(iter(again(photo=tf.constant(PHOTOS)).values())).numpy()
    np.testing.assert_array_equal(outputs, q_model.run(PHOTOS)[0])
    with pytest.raises(FuriosaModelsError, match="already exists"):
        q_model.save(path)


@pytest.mark.filterwarnings("ignore::furiosa_models.errors.CalibrationWarning")
def test_examples_of_the_document(network: Any, tmp_path: Path) -> None:
    inc_model = Model(network)
    conf = PostTrainingQuantConfig()
    q_model = quantization.fit(model=inc_model, conf=conf)
    q_model.save(str(tmp_path / "saved_result"))
    exact, rounded = inc_model.run(PHOTOS)[0], q_model.run(PHOTOS)[0]
    assert 0 < np.abs(rounded - exact).max() < 0.05 * np.abs(exact).max()
    with pytest.warns(CalibrationWarning):
        quantization.fit(inc_model, conf)


def test_model_is_one_of_the_zoo(network: Any, photos: list[Path]) -> None:
    model = Classifier(network, labels=list("abcde"))
    tensor, _ = model.preprocess([photos[0]], with_scaling=True)
    scores = tf.nn.softmax(network(tensor.transpose(0, 2, 3, 1))).numpy()[0]
    found = model.predict(photos[0], top_k=5)
    np.testing.assert_allclose(found.scores, np.sort(scores)[::-1], atol=1e-5)
    assert found.label == "abcde"[int(scores.argmax())]
