"""Check that a model runs without a network, for `furiosa-models doctor --offline`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from ..artifacts import Store
from ..errors import FuriosaModelsError
from ..model import Model
from ..runtime.doctor import Fact
from .table import short

__all__ = ["check_offline"]

_OFFLINE = "FURIOSA_MODELS_OFFLINE"


def check_offline(model: Model[Any]) -> Iterator[Fact]:
    """Yield what is there to run a model without a network, or missing.

    The files of its weights are hashed, and then one photo is predicted with the network forbidden.
    """
    os.environ[_OFFLINE] = "1"  # this process ends after the check
    with suppress(FuriosaModelsError):  # reported below
        model.fitted()
    store = Store()
    artifact = model.catalog().get(model.weights)
    for file in artifact.files if artifact is not None else ():
        if not store.has(file):
            advice = f"furiosa-models fetch {type(model).__name__} --weights {model.weights}"
            yield Fact("file", f"{file.name} is not in the cache", None, advice)
            continue
        path = store.path(file)
        intact = store.is_intact(path, file.algorithm, file.digest)
        advice = "" if intact else "furiosa-models cache verify"
        yield Fact("file", f"{file.name}, {file.size} bytes", is_fine=intact, advice=advice)
    try:
        photo = np.zeros((*model.input.size, 3), np.uint8)
        model.predict(photo)
        where = model.steps().where
    except FuriosaModelsError as error:
        yield Fact("runs offline", "no", is_fine=False, advice=short(error))
    else:
        yield Fact("runs offline", f"yes, on {where}", is_fine=True)
