"""Refactoring must keep graphs, outputs and imports equal to `pins.json`."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

from . import measure

PINS: dict[str, Any] = json.loads(measure.PATH.read_text())
SAME_MACHINE = measure.environment() == PINS["environment"]
TOLERANCE = {"fp32": 1e-4, "int8": 0.05}
"""Difference of the samples, relative to the rms of the output, on other kernels: the greatest in
float32; in int8, where a step more or less is amplified by random weights, their mean."""


@pytest.mark.parametrize("name", PINS["graphs"])
def test_graph_equals_the_pin_byte_for_byte(name: str) -> None:
    pin = PINS["graphs"][name]
    assert measure.graph_pin(name) == pin, (
        f"the graph of {name} changed: if that is meant, raise the recipe number of builder "
        f"{pin['builder']} in furiosa_models.networks (EDITS, if only its uint8 program changed), "
        "and measure the pins again"
    )


def test_pins_have_the_current_recipe_numbers() -> None:
    assert measure.recipes() == PINS["recipes"], "a recipe number changed: measure the pins again"


def test_changed_bytes_without_a_new_recipe_number_are_found() -> None:
    new = copy.deepcopy(PINS)
    assert measure.unraised(PINS, new) == set()
    new["graphs"]["ResNet50"]["origin"] = "other"
    new["graphs"]["YOLOv5s"]["uint8_program"] = "other"
    new["seeded"]["SSDResNet34/random"]["int8"]["program"] = "other"
    assert measure.unraised(PINS, new) == {"builder resnet", "edits", "quantization"}
    raised = ("builder resnet", "edits", "quantization")
    new["recipes"] |= {name: PINS["recipes"][name] + 1 for name in raised}
    assert measure.unraised(PINS, new) == set()


@pytest.mark.parametrize("name", PINS["start_up"])
def test_start_up_loads_no_additional_packages(name: str) -> None:
    assert set(measure.loaded_packages(name)) <= set(PINS["start_up"][name])


@pytest.mark.slow
@pytest.mark.parametrize("pair", PINS["seeded"])
def test_outputs_of_seeded_weights_equal_the_pins(pair: str) -> None:
    name, _, weights = pair.partition("/")
    compare(measure.output_pins(name, weights), PINS["seeded"][pair])


@pytest.mark.network
@pytest.mark.usefixtures("use_warm_cache")
@pytest.mark.parametrize("pair", PINS["packages"])
def test_outputs_of_weights_from_packages_equal_the_pins(pair: str) -> None:
    name, _, weights = pair.partition("/")
    compare(measure.output_pins(name, weights), PINS["packages"][pair])


@pytest.mark.network
def test_weights_of_every_package_are_pinned() -> None:
    assert {f"{name}/{weights}" for name, weights in measure.package_sets()} == set(
        PINS["packages"]
    )


@pytest.mark.slow
def test_every_builder_is_pinned() -> None:
    assert [f"{name}/random" for name in measure.seeded_models()] == sorted(PINS["seeded"])


def compare(found: dict[str, Any], pinned: dict[str, Any]) -> None:
    if SAME_MACHINE:
        assert found == pinned
        return
    assert found["input"] == pinned["input"]
    assert found.keys() == pinned.keys()
    for precision in found.keys() - {"input"}:
        pairs = zip(found[precision]["outputs"], pinned[precision]["outputs"], strict=True)
        for ours, theirs in pairs:
            assert (ours["shape"], ours["dtype"]) == (theirs["shape"], theirs["dtype"])
            difference = np.abs(np.subtract(ours["samples"], theirs["samples"]))
            scale = np.maximum(np.abs(theirs["samples"]), theirs["rms"])
            relative = difference / scale
            found_difference = relative.max() if precision == "fp32" else relative.mean()
            assert found_difference <= TOLERANCE[precision]
