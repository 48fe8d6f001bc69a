"""SavedModels of frozen graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import ConversionError
from .framework import first_line, quiet, tensorflow
from .frozen import FrozenGraph, as_graph, served

__all__ = ["save_as_saved_model"]


def save_as_saved_model(graph: FrozenGraph, folder: Path, signature: str) -> None:
    """Write a frozen graph as a SavedModel, with one signature of the graph's inputs and outputs.

    It has the form of TensorFlow 2, unless an input has a name that no argument of a function may
    have: TensorFlow 2 would change it.

    Args:
        graph: The graph.
        folder: An empty folder.
        signature: Name of the signature.

    Raises:
        ConversionError: TensorFlow cannot save it.
    """
    save = _save_2 if all(name.isidentifier() for name in graph.inputs) else _save_1
    with quiet():
        try:
            save(graph, folder, signature)
        except Exception as error:  # TensorFlow raises errors of many types
            msg = f"TensorFlow cannot save the graph: {first_line(error)}"
            raise ConversionError(msg) from error


def _save_1(graph: FrozenGraph, folder: Path, signature: str) -> None:
    v1 = tensorflow("saving a SavedModel").compat.v1
    imported = as_graph(graph)
    element = imported.as_graph_element
    folder.rmdir()  # the builder accepts no existing folder
    builder = v1.saved_model.Builder(str(folder))
    with imported.as_default(), v1.Session(graph=imported) as session:
        definition = v1.saved_model.predict_signature_def(
            {name: element(tensor) for name, tensor in graph.inputs.items()},
            {name: element(tensor) for name, tensor in graph.outputs.items()},
        )
        builder.add_meta_graph_and_variables(
            session, [v1.saved_model.tag_constants.SERVING], {signature: definition}
        )
    builder.save()


def _save_2(graph: FrozenGraph, folder: Path, signature: str) -> None:
    tf = tensorflow("saving a SavedModel")
    pruned = served(graph)
    specs = [
        tf.TensorSpec(tensor.shape, tensor.dtype, name=name)
        for name, tensor in zip(graph.inputs, pruned.inputs, strict=False)
    ]

    def serve(*tensors: Any) -> dict[str, Any]:
        return dict(zip(graph.outputs, pruned(*tensors), strict=True))

    module = tf.Module()
    module.graph = pruned
    function = tf.function(serve, input_signature=specs, autograph=False)
    # Gradients of the original's operations would need its functions.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(folder), signatures={signature: function}, options=options)
