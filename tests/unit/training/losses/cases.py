"""Cases of the losses: heads, committed vectors, and batches of labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from hypothesis import strategies as st

from furiosa_models.heads import SSDHead
from furiosa_models.training.losses import Loss
from furiosa_models.training.targets import Target, Tensor

__all__ = [
    "BOXES_OF_PHOTOS",
    "FOLDER",
    "SCALES",
    "SSD_HEADS",
    "Vectors",
    "call",
    "leaves",
    "target",
]

FOLDER = Path(__file__).parent / "vectors"
SSD_HEADS = {
    "tensorflow": SSDHead((4, 2, 1), activation="softmax"),
    "mlperf": SSDHead(
        (2, 2, 1, 1, 1, 1),
        anchors="default_boxes",
        outputs="grouped",
        channels="class",
        deltas="xywh",
        activation="softmax",
    ),
}
Array = npt.NDArray[Any]

_COORDINATES = st.floats(-40, 120, width=32)
BOXES_OF_PHOTOS = st.lists(
    st.lists(st.tuples(*[_COORDINATES] * 4), max_size=5), min_size=1, max_size=3
)
"""Any boxes, also inverted and outside, of one to three photos."""
SCALES = st.sampled_from([0.0, 1.0, 1e3, 1e30])
"""Scales of logits, up to extreme ones."""


def target(boxes: npt.ArrayLike, class_ids: npt.ArrayLike) -> Target:
    shaped = np.asarray(boxes, np.float32).reshape(-1, 4)
    return Target(torch.tensor(np.asarray(class_ids, np.int64)), torch.tensor(shaped))


def leaves(outputs: Sequence[Array]) -> list[Tensor]:
    """Return outputs as float32 tensors that collect gradients."""
    return [torch.tensor(x.astype(np.float32), requires_grad=True) for x in outputs]


def call(
    loss: Loss,
    outputs: Sequence[Tensor],
    targets: Sequence[Target],
    size: tuple[int, int],
    **options: Any,
) -> dict[str, float]:
    """Return the values of a loss, after it has computed the gradients of the outputs."""
    values = loss(outputs, targets, size, **options)
    torch.stack(list(values.values())).sum().backward()
    return {name: value.item() for name, value in values.items()}


@dataclass
class Vectors:
    """A batch, and its loss and gradients by another implementation."""

    arrays: dict[str, Array]

    @classmethod
    def read(cls, name: str) -> Vectors:
        with np.load(FOLDER / f"{name}.npz") as file:
            return cls(dict(file))

    def several(self, name: str) -> list[Array]:
        count = sum(key.startswith(f"{name}.") for key in self.arrays)
        return [self.arrays[f"{name}.{i}"] for i in range(count)]

    @property
    def outputs(self) -> list[Tensor]:
        return leaves(self.several("output"))

    @property
    def targets(self) -> list[Target]:
        if "masks.0" in self.arrays:
            height, width = self.size
            ids = [torch.tensor(each) for each in self.several("class_ids")]
            bits = [np.unpackbits(each) for each in self.several("masks")]
            masks = [torch.tensor(each.reshape(-1, height, width) > 0) for each in bits]
            return [Target(*pair[:1], masks=pair[1]) for pair in zip(ids, masks, strict=True)]
        pairs = zip(self.several("boxes"), self.several("class_ids"), strict=True)
        return [target(boxes, ids) for boxes, ids in pairs]

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.arrays["size"].tolist()
        return height, width

    def check(
        self, loss: Loss, tolerance: float = 1e-5, *, main: int | None = None
    ) -> dict[str, float]:
        """Compare the values and gradients of a loss with these; return the values.

        Outputs from `main` on are auxiliary ones.
        """
        outputs = self.outputs
        options = {} if main is None else {"auxiliary": outputs[main:]}
        values = call(loss, outputs[:main], self.targets, self.size, **options)
        for name, value in values.items():
            np.testing.assert_allclose(value, self.arrays[name].item(), tolerance, err_msg=name)
        for i, (output, expected) in enumerate(zip(outputs, self.several("gradient"), strict=True)):
            np.testing.assert_allclose(
                output.grad.numpy(), expected, rtol=1e-4, atol=1e-6, err_msg=f"gradient of {i}"
            )
        return values
