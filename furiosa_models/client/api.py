"""Functions of the command line interface, under the import path of furiosa-models 0.8 and 0.9."""

from __future__ import annotations

from ..cli.api import (
    decorate_result,
    decorate_with_bar,
    get_model,
    get_model_list,
    normalize,
    prettified_task_type,
    run_inferences,
    time_with_proper_suffix,
)

__all__ = [
    "decorate_result",
    "decorate_with_bar",
    "get_model",
    "get_model_list",
    "normalize",
    "prettified_task_type",
    "run_inferences",
    "time_with_proper_suffix",
]
