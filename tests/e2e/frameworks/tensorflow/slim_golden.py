"""Writes `slim.json`: what TF-Slim itself computes.

TF-Slim's networks with batch norm need TensorFlow 2.15 or older, which needs Python 3.11 or older:

    pip install 'tensorflow-cpu==2.15.*' 'tf_keras==2.15.*' tf_slim==1.1.0 'numpy<2'
    python -m tests.e2e.frameworks.tensorflow.slim_golden

The file has, for each network, some logits, the names of its variables with their shapes (those of
deeper ResNets follow from ResNet-50), and the name of its output.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf
from tf_slim import arg_scope
from tf_slim.nets import alexnet, inception, overfeat, resnet_v1, resnet_v2, vgg

from .slim_values import base, image, value

for part in ("", ".base", ".convolutional", ".core", ".normalization", ".pooling"):
    # TensorFlow looks for them where Keras had them before.
    sys.modules[f"tf_keras.legacy_tf_layers{part}"] = import_module(
        f"tf_keras.src.legacy_tf_layers{part}"
    )

OUTPUTS = 8
NETWORKS: dict[str, tuple[Any, Any, int]] = {
    "alexnet_v2": (alexnet.alexnet_v2, alexnet.alexnet_v2_arg_scope, 1000),
    "overfeat": (overfeat.overfeat, overfeat.overfeat_arg_scope, 1000),
    **{f"vgg_{n}": (getattr(vgg, f"vgg_{n}"), vgg.vgg_arg_scope, 1000) for n in ("a", "16", "19")},
    **{
        f"inception_v{n}": (
            getattr(inception, f"inception_v{n}"),
            getattr(inception, f"inception_v{n}_arg_scope"),
            1001,
        )
        for n in (1, 2, 3)
    },
    **{
        f"resnet_v{n}_{depth}": (
            getattr(module, f"resnet_v{n}_{depth}"),
            module.resnet_arg_scope,
            1000 if n == 1 else 1001,
        )
        for n, module in ((1, resnet_v1), (2, resnet_v2))
        for depth in (50, 101, 152, 200)
    },
}


def golden(name: str) -> dict[str, Any]:
    """Return what the file has of a network."""
    function, scope, classes = NETWORKS[name]
    with tf.Graph().as_default() as graph, tf.Session(graph=graph) as session:
        inputs = tf.placeholder(tf.float32, (None, *image(name).shape[1:]), "input")
        with arg_scope(scope()):
            logits, points = function(inputs, num_classes=classes, is_training=False)
        variables = {v.op.name: v.shape.as_list() for v in tf.global_variables()}
        for variable in tf.global_variables():
            variable.load(value(variable.op.name, variable.shape.as_list()), session)
        found = session.run(logits, {inputs: image(name)}).reshape(2, -1)
    last = points.get("Predictions", points.get("predictions", logits))
    entry: dict[str, Any] = {
        "output": last.op.name,
        "logits": [float(number) for number in found[:, :OUTPUTS].ravel()],
        "deviation": float(found.std()),
    }
    if base(name) == name:
        entry["variables"] = {key: shape for key, shape in variables.items() if "Aux" not in key}
    else:
        entry["count"] = len(variables)
    assert np.isfinite(found).all()
    return entry


def main() -> None:
    tf.disable_v2_behavior()
    entries = {name: golden(name) for name in NETWORKS}
    lines = [f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items()]
    path = Path(__file__).with_name("slim.json")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
