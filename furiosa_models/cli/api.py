"""Functions of the command line interface, under the names of furiosa-models 0.10."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import click

from .. import catalog
from ..enums import Platform
from ..errors import ModelNotFound
from ..model import Model

__all__ = [
    "decorate_result",
    "decorate_with_bar",
    "get_model",
    "get_model_list",
    "normalize",
    "prettified_task_type",
    "run_inferences",
    "serve_model",
    "time_with_proper_suffix",
]

_BAR = "-" * 70


def normalize(text: str) -> str:
    """Return the letters and digits of a name in lower case."""
    return "".join(c for c in text if c.isalnum()).casefold()


def prettified_task_type(model: type[Model[Any]] | Model[Any]) -> str:
    """Return the task of a model in words, such as `Object Detection`."""
    cls = model if isinstance(model, type) else type(model)
    return cls().vision_task.name.replace("_", " ").title()


def get_model_list(
    filter_func: Callable[[type[Model[Any]]], bool] | None = None,
) -> list[list[str]]:
    """Return the name, description, task and postprocessors of each model.

    Args:
        filter_func: Function of a model class that returns whether to list it; by default all are
            listed.
    """
    rows = []
    for name in catalog.list_models():
        cls = catalog.model_class(name)
        if filter_func is None or filter_func(cls):
            platforms = ", ".join(platform.name.title() for platform in cls.postprocessor_map)
            rows.append([name, cls.__doc__ or "", prettified_task_type(cls), platforms])
    return rows


def get_model(model_name: str) -> type[Model[Any]] | None:
    """Return the class of a model by its name, or None if there is no such model."""
    try:
        return catalog.model_class(model_name)
    except ModelNotFound:
        return None


def decorate_with_bar(string: str) -> str:
    """Return a title between two bars."""
    return f"{_BAR}\n{string}\n{_BAR}"


def time_with_proper_suffix(t: float, digits: int = 5) -> str:
    """Format a time in the largest unit in which it is at least 1.

    Args:
        t: Time in seconds.
        digits: Number of decimal places.
    """
    for unit in ("sec", "ms", "us"):
        if t >= 1:
            return f"{t:.{digits}f} {unit}"
        t *= 1e3
    return f"{t:.{digits}f} ns"


def decorate_result(
    total_time: float, queries: int, header: str = "", digits: int = 5, newline: bool = True
) -> str:
    """Format a section of the output of `bench`.

    Args:
        total_time: Total time in seconds.
        queries: Number of photos.
        header: Title of the section.
        digits: Number of decimal places.
        newline: Whether to append an empty line.
    """
    lines = [
        decorate_with_bar(header),
        f"Total elapsed time: {time_with_proper_suffix(total_time, digits)}",
        f"QPS: {queries / total_time:.{digits}f}",
        f"Avg. elapsed time / sample: {time_with_proper_suffix(total_time / queries, digits)}",
    ]
    return "\n".join([*lines, ""] if newline else lines)


def run_inferences(
    model_cls: type[Model[Any]],
    input_paths: Sequence[str],
    postprocess: str | None = None,
    device_str: str | None = None,
) -> None:
    """Measure a model on photos, and print the output of `bench`.

    Args:
        model_cls: Class of the model.
        input_paths: Paths of the photos.
        postprocess: Implementation of postprocessing: `rust` or `python`.
        device_str: Device, as for `predict`.
    """
    from ..benchmark import SECTIONS, benchmark

    with model_cls(postprocessor_type=postprocess or Platform.RUST) as model:
        measured = benchmark(model, input_paths, device=device_str)
    photos = len(measured.seconds)
    click.echo(f"Run benchmark on {photos} input samples ...")
    for title in SECTIONS:
        total = measured.section(title)["total_s"]
        click.echo(decorate_result(total, photos, title, newline=title != [*SECTIONS][-1]))


def serve_model(
    model_cls: type[Model[Any]],
    postprocess: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    device_str: str | None = None,
) -> None:
    """Serve a model over HTTP, as `serve` does.

    Args:
        model_cls: Class of the model.
        postprocess: Implementation of postprocessing: `rust` or `python`.
        host: Address to listen on.
        port: Port to listen on.
        device_str: Device, as for `predict`.
    """
    from ..serving import make_app
    from .serve_ import announce, serve

    model = model_cls(postprocessor_type=postprocess or Platform.RUST)
    app = make_app(model, device=device_str)
    serve(app, partial(announce, model_cls.__name__, host, "text"), host=host, port=port)
