"""Small networks of TensorFlow and Keras with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import layers

Array = npt.NDArray[Any]

SHAPE = (32, 32, 3)


def images(count: int = 4, seed: int = 1, shape: Sequence[int] = SHAPE) -> Array:
    return np.random.default_rng(seed).uniform(-1, 1, (count, *shape)).astype(np.float32)


def with_random_weights(model: Any) -> Any:
    """Set weights that differ in every layer; the initial biases and means are zero."""
    rng = np.random.default_rng(0)
    for variable in model.weights:
        values = rng.normal(0, 0.3, variable.shape)
        if "variance" in variable.path:
            values = rng.uniform(0.5, 1.5, variable.shape)
        elif len(variable.shape) > 1:
            values = values / np.sqrt(np.prod(variable.shape[:-1]) / 9)
        variable.assign(values.astype(np.float32))
    return model


def small() -> Any:
    """Return a network of convolution, depthwise, pointwise, residual, pooling and dense layers."""
    x = image = keras.Input(SHAPE, name="image")
    x = layers.Conv2D(8, 3, 2, padding="same", use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.Conv2D(16, 1)(x)
    x = layers.Add()([x, layers.Conv2D(16, 1, activation="relu")(x)])
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(24, activation="relu")(x)
    x = layers.Dense(5, activation="softmax")(x)
    return with_random_weights(keras.Model(image, x))


def two_inputs() -> Any:
    """Return a network of two inputs and four outputs, none in the order of the names."""
    right, left = keras.Input((16, 16, 3), name="right"), keras.Input((16, 16, 3), name="left")
    depthwise = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same")(right)
    x = layers.Concatenate()([layers.Conv2D(4, 3, padding="same")(left), depthwise])
    x = layers.SeparableConv2D(8, 3, activation="relu")(layers.LeakyReLU()(x))
    grouped = layers.Conv2D(4, 3, groups=2, padding="same", activation="swish")(x)
    resized = layers.UpSampling2D(interpolation="bilinear")(grouped)
    dense = layers.Dense(3, activation="sigmoid")(layers.Flatten()(resized))
    pooled = layers.MaxPooling2D(2)(x)
    return with_random_weights(
        keras.Model(
            [right, left], [layers.Conv2DTranspose(4, 3, strides=2)(x), grouped, pooled, dense]
        )
    )


def pixels() -> Any:
    """Return a network that normalizes uint8 pixels itself."""
    image = keras.Input((16, 16, 3), dtype="uint8", name="image")
    x = keras.ops.cast(image, "float32") - np.array([120, 110, 100], np.float32)
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(
        x / np.array([58, 57, 56], np.float32)
    )
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, activation="relu")(x))
    return with_random_weights(keras.Model(image, layers.Dense(3)(x)))


def attention() -> Any:
    """Return a transformer block, with normalization, `Einsum` and GELU."""
    tokens = keras.Input((8, 16))
    x = layers.LayerNormalization()(tokens)
    x = layers.Add()([layers.MultiHeadAttention(2, 8)(x, x), tokens])
    x = layers.Add()([x, layers.Dense(16)(layers.Dense(32, activation="gelu")(x))])
    return with_random_weights(
        keras.Model(tokens, layers.Dense(4)(layers.GlobalAveragePooling1D()(x)))
    )


def dilated() -> Any:
    """Return a network of a nested model that is used twice, with padding and dilation."""
    inner = keras.Sequential([
        keras.Input((20, 20, 3)),
        layers.ZeroPadding2D(1),
        layers.Conv2D(4, 3, strides=2, use_bias=False),
        layers.BatchNormalization(),
        layers.Activation("hard_swish"),
        layers.Conv2D(6, 3, dilation_rate=2, padding="same", activation="elu"),
        layers.Conv2D(6, 3, dilation_rate=2, activation="relu"),
        layers.GlobalMaxPooling2D(),
    ])  # fmt: skip
    image = keras.Input((20, 20, 3))
    return with_random_weights(keras.Model(image, [layers.Dense(3)(inner(image)), inner(image)]))


class Subclassed(keras.Model):  # type: ignore[misc]
    """A model whose outputs have names, and whose layer is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = layers.Conv2D(8, 3, activation="relu")
        self.norm = layers.BatchNormalization()
        self.dense = layers.Dense(4)

    def call(self, x: Any, training: bool = False) -> dict[str, Any]:
        features = self.norm(self.conv(x), training=training)
        return {
            "scores": self.dense(keras.ops.mean(features, (1, 2))),
            "features": self.norm(self.conv(x), training=training),
        }


def subclassed() -> Any:
    model = Subclassed()
    model(images(1))
    return with_random_weights(model)


class Module(tf.Module):  # type: ignore[misc]
    """A module of TensorFlow without Keras."""

    def __init__(self) -> None:
        super().__init__()
        values = np.random.default_rng(0).normal(0, 0.3, (3, 3, 3, 4))
        self.kernel = tf.Variable(values.astype(np.float32))

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[tf.TensorSpec((None, *SHAPE), tf.float32, name="image")]
    )
    def __call__(self, image: Any) -> Any:
        return {"activations": tf.nn.relu(tf.nn.conv2d(image, self.kernel, 1, "SAME"))}


def write_tensorflow_1(weights: Sequence[Array], checkpoint: Path, saved_model: Path) -> None:
    """Write the network of `small` as TensorFlow 1 does it: a checkpoint, and a SavedModel."""
    v1 = tf.compat.v1
    values = iter(weights)

    def variable() -> Any:
        return v1.Variable(next(values))

    def normalized(x: Any) -> Any:
        parts = [variable() for _ in range(4)]
        return tf.nn.relu6(v1.nn.fused_batch_norm(x, *parts, epsilon=1e-3, is_training=False)[0])

    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        image = v1.placeholder(tf.float32, (None, *SHAPE), "image")
        x = normalized(tf.nn.conv2d(image, variable(), 2, "SAME"))
        x = normalized(tf.nn.depthwise_conv2d(x, variable(), [1, 1, 1, 1], "SAME"))
        x = tf.nn.bias_add(tf.nn.conv2d(x, variable(), 1, "SAME"), variable())
        y = tf.nn.bias_add(tf.nn.conv2d(x, variable(), 1, "SAME"), variable())
        x = tf.reduce_mean(x + tf.nn.relu(y), [1, 2])
        x = tf.nn.relu(tf.matmul(x, variable()) + variable())
        x = tf.nn.softmax(tf.matmul(x, variable()) + variable(), name="probabilities")
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(checkpoint), global_step=7)
        builder = v1.saved_model.Builder(str(saved_model))
        definition = v1.saved_model.predict_signature_def({"x-1": image}, {"scores": x})
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": definition})
        builder.save()
