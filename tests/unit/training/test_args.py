"""Arguments of training: types, ranges, schedules."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import pytest

from furiosa_models.data.augmentations import DatasetAugmentations
from furiosa_models.training.args import TrainerArgs

VALID: dict[str, list[Any]] = {
    "run_name": ["shelves", "a b", "Läden"],
    "output_dir": ["runs", Path("runs")],
    "ckpt_dir": [None, "here", Path("here")],
    "init_checkpoint": [None, "best.pth", Path("best.safetensors")],
    "resume": [True, False],
    "num_gpus": [None, 0, 8],
    "device": ["auto", "cpu", "cuda", "cuda:3"],
    "workers": [0, 4],
    "amp_enabled": [True, False],
    "ddp_broadcast_buffers": [True, False],
    "ddp_find_unused": [True, False],
    "checkpointer_period": [1, 1000],
    "checkpointer_max_to_keep": [1, 5],
    "eval_period": [1, 200],
    "log_period": [1, 20],
    "samples": [0, 9],
    "seed": [-1, 0, 42],
    "early_stop": [True, False],
    "patience": [1, 10],
    "ema_enabled": [True, False],
    "ema_decay": [0, 0.0, 0.999],
    "ema_warmup": [0, 2000],
    "learning_rate": [0, 1e-3, 1],
    "weight_decay": [0, 0.02],
    "max_iters": [1, 3000],
    "batch_size": [1, 16],
    "scheduler": ["MULTISTEP", "POLY", "FIXED", "COSINE", "cosine"],
    "scheduler_extra": [None, {}, {"milestones": [0.5], "gamma": 0.5}],
    "optimizer": ["ADAMW", "SGD", "RMSPROP", "sgd"],
    "optimizer_extra": [None, {}, {"betas": (0.9, 0.99)}],
    "weight_decay_norm": [0, 0.1],
    "weight_decay_embed": [0, 0.1],
    "backbone_multiplier": [0, 0.1, 1],
    "decoder_multiplier": [0, 0.1, 1],
    "head_multiplier": [0, 0.1, 10],
    "freeze_bn": [True, False],
    "clip_gradients": [0, 0.1],
    "size_divisibility": [0, 32],
    "gather_metric_period": [1, 10],
    "zero_grad_before_forward": [True, False],
    "sync_to_hub": [True, False],
    "time_limit": [None, 0, 0.5, 3600],
    "augmentations": [None, False, DatasetAugmentations(horizontal_flip=0.5)],
}
BOOLS = [name for name, values in VALID.items() if values == [True, False]]
WHOLE = [n for n, v in VALID.items() if type(v[-1]) is int and all(type(x) is int for x in v)]
NUMBERS = [n for n, v in VALID.items() if any(isinstance(x, float) for x in v)]
INVALID: dict[str, list[Any]] = {
    **{name: [0, 1, "true", None] for name in BOOLS},
    **{name: [-2, 0.5, "3", None, True, float("nan")] for name in WHOLE if name != "seed"},
    **{name: [-0.5, "0.1", True, float("nan"), float("inf")] for name in NUMBERS},
    "seed": [0.5, "1", None, True],
    "run_name": ["", "..", "a/b", "/", None, 3],
    "output_dir": [None, 3, b"runs"],
    "ckpt_dir": [3, True],
    "init_checkpoint": [3, False],
    "num_gpus": [-1, 0.5, "1", True],
    "device": ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "mps", None, 0],
    "ema_decay": [-0.1, 1, 1.5, "0.9", None],
    "scheduler": ["STEP", "", None, 3],
    "scheduler_extra": [[], "gamma", 3],
    "optimizer": ["ADAM", "", None],
    "optimizer_extra": [[], "betas"],
    "augmentations": [True, "flip", 0.5, {"horizontal_flip": 0.5}],
}
ZERO_IS_INVALID = [
    "batch_size",
    "checkpointer_max_to_keep",
    "checkpointer_period",
    "eval_period",
    "gather_metric_period",
    "log_period",
    "max_iters",
    "patience",
]


def args(**values: Any) -> TrainerArgs:
    return TrainerArgs(**{"run_name": "r", **values})


def test_every_field_is_tested() -> None:
    names = {*vars(args())}
    assert {*VALID} == {*INVALID} == names


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, each in VALID.items() for v in each])
def test_valid_values_are_kept(name: str, value: Any) -> None:
    kept = getattr(args(**{name: value}), name)
    assert kept == (value.upper() if name in ("scheduler", "optimizer") else value)


@pytest.mark.parametrize(
    ("name", "value"),
    [(n, v) for n, each in INVALID.items() for v in each] + [(n, 0) for n in ZERO_IS_INVALID],
)
def test_invalid_values_are_errors_that_name_the_argument(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must .*{_shown(value)}"):
        args(**{name: value})


def _shown(value: Any) -> str:
    return "" if isinstance(value, dict) else str(value).replace("[", r"\[").replace("(", r"\(")


def test_the_folder_is_that_of_the_run_unless_it_is_given() -> None:
    assert args(output_dir="out").folder == Path("out") / "r"
    assert args(ckpt_dir="there").folder == Path("there")


def test_arguments_survive_json() -> None:
    given = args(
        output_dir=Path("out"),
        scheduler_extra={"milestones": [0.5, 0.75]},
        augmentations=DatasetAugmentations(resolution=(96, 160), horizontal_flip=0.5),
    )
    again = TrainerArgs.from_dict(json.loads(json.dumps(given.to_dict())))
    assert again == args(**{**vars(given), "output_dir": "out"})
    assert again.augmentations == given.augmentations


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"run_name": "r", "epochs": 3}, "unknown arguments epochs; TrainerArgs has run_name"),
        ({"run_name": "r", "augmentations": {"flip": 1}}, "augmentations do not fit: .*flip"),
        ({"run_name": "r", "augmentations": {"rotation": 2}}, "rotation"),
    ],
)
def test_json_with_other_names_is_an_error(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainerArgs.from_dict(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scheduler": "COSINE", "scheduler_extra": {"gamma": 0.1}}, "has gamma, but .* of COSINE"),
        ({"scheduler": "POLY", "scheduler_extra": {"milestones": [1]}}, "has milestones"),
        ({"scheduler_extra": {"power": 1}}, "has power, but the options of MULTISTEP are gamma"),
        ({"scheduler_extra": {"milestones": "0.5"}}, "milestones must be a list"),
        ({"scheduler_extra": {"milestones": 0.5}}, "milestones must be a list"),
        ({"scheduler_extra": {"milestones": ["x"]}}, "milestones must be a number"),
        ({"scheduler_extra": {"gamma": None}}, "gamma must be a number"),
        ({"scheduler_extra": {"gamma": -1}}, "gamma must be a number of at least 0"),
        ({"scheduler_extra": {"warmup_iters": "10"}}, "warmup_iters must be a number"),
        ({"scheduler_extra": {"warmup_factor": math.nan}}, "warmup_factor must be a number"),
        ({"scheduler_extra": {"warmup_method": "cubic"}}, "warmup_method must be linear"),
        ({"scheduler_extra": {"warmup_method": ["linear"]}}, "warmup_method must be linear"),
        ({"scheduler": "POLY", "scheduler_extra": {"power": True}}, "power must be a number"),
    ],
)
def test_wrong_options_of_the_scheduler_are_errors(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        args(**values)


def test_a_fixed_rate_is_fixed() -> None:
    schedule = args(scheduler="FIXED", max_iters=10).schedule
    assert [schedule(i) for i in range(12)] == [1.0] * 12


def test_several_steps_are_parts_of_the_run() -> None:
    schedule = args(scheduler_extra={"milestones": [0.5, 0.8], "gamma": 0.3}, max_iters=10).schedule
    assert [schedule(i) for i in (0, 4, 5, 7)] == [1.0, 1.0, 0.3, 0.3]
    assert schedule(8) == pytest.approx(0.09)


def test_a_cosine_is_the_closed_form() -> None:
    schedule = args(scheduler="COSINE", max_iters=8).schedule
    for i in range(9):
        assert schedule(i) == pytest.approx((1 + math.cos(math.pi * i / 8)) / 2)
    assert schedule(20) == pytest.approx(0.0)


def test_a_polynomial_ends_at_its_least_value() -> None:
    extra = {"power": 2, "constant_ending": 0.1}
    schedule = args(scheduler="POLY", max_iters=10, scheduler_extra=extra).schedule
    for i in range(11):
        assert schedule(i) == pytest.approx(max((1 - i / 10) ** 2, 0.1))


@pytest.mark.parametrize("kind", ["MULTISTEP", "POLY", "FIXED", "COSINE"])
@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("linear", [0.2, 0.4, 0.6, 0.8, 1.0]),
        ("constant", [0.2, 0.2, 0.2, 0.2, 1.0]),
        ("quadratic", [0.2 + 0.8 * (i / 4) ** 2 for i in range(5)]),
    ],
)
def test_the_warm_up_is_a_factor(kind: str, method: str, expected: list[float]) -> None:
    extra = {"warmup_iters": 4, "warmup_factor": 0.2, "warmup_method": method}
    plain = args(scheduler=kind, max_iters=10).schedule
    warmed = args(scheduler=kind, max_iters=10, scheduler_extra=extra).schedule
    assert [warmed(i) for i in range(5)] == pytest.approx(
        [plain(i) * factor for i, factor in enumerate(expected)]
    )


@pytest.mark.torch
@pytest.mark.parametrize("name", ["MULTISTEP", "POLY", "COSINE"])
def test_schedules_are_those_of_pytorch(name: str) -> None:
    torch = pytest.importorskip("torch")
    schedulers = torch.optim.lr_scheduler
    count = 12
    extra: dict[str, Any] = {}
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    if name == "MULTISTEP":
        extra = {"milestones": [0.25, 0.75], "gamma": 0.2}
        other = schedulers.MultiStepLR(optimizer, [3, 9], gamma=0.2)
    elif name == "POLY":
        extra = {"power": 0.7}
        other = schedulers.PolynomialLR(optimizer, count, power=0.7)
    else:
        other = schedulers.CosineAnnealingLR(optimizer, count)
    schedule = args(scheduler=name, max_iters=count, scheduler_extra=extra).schedule
    for i in range(count):
        assert schedule(i) == pytest.approx(other.get_last_lr()[0], abs=1e-9)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the optimizer made no step
            other.step()
