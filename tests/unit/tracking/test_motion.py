from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from furiosa_models.tracking.motion import Motion, to_centers, to_corners


class Textbook:
    """The Kalman filter of one box, by matrices: the reference implementation of ByteTrack."""

    def __init__(self, box: np.ndarray) -> None:
        h = box[3]
        std = [h / 10, h / 10, 1e-2, h / 10, h / 16, h / 16, 1e-5, h / 16]
        self.mean = np.concatenate((box, np.zeros(4)))
        self.covariance = np.diag(np.square(std))
        self.step = np.eye(8) + np.eye(8, k=4)

    def predict(self, *, lost: bool) -> None:
        if lost:
            self.mean[7] = 0
        h = self.mean[3]
        std = [h / 20, h / 20, 1e-2, h / 20, h / 160, h / 160, 1e-5, h / 160]
        self.mean = self.step @ self.mean
        self.covariance = self.step @ self.covariance @ self.step.T + np.diag(np.square(std))

    def correct(self, box: np.ndarray) -> None:
        h = self.mean[3]
        look = np.eye(4, 8)
        noise = np.diag(np.square([h / 20, h / 20, 1e-1, h / 20]))
        projected = look @ self.covariance @ look.T + noise
        gain = self.covariance @ look.T @ np.linalg.inv(projected)
        self.mean = self.mean + gain @ (box - look @ self.mean)
        self.covariance = self.covariance - gain @ projected @ gain.T


@given(st.integers(0, 2**32 - 1))
def test_four_small_filters_equal_one_of_eight_numbers(seed: int) -> None:
    random = np.random.default_rng(seed)
    boxes = random.uniform(10, 300, (3, 4))
    boxes[:, 2] /= 200
    motion, textbook = Motion.of(boxes), [Textbook(box) for box in boxes]
    for _ in range(8):
        lost = random.random(3) < 0.3
        motion.predict(lost)
        for each, is_lost in zip(textbook, lost, strict=True):
            each.predict(lost=bool(is_lost))
        seen = np.flatnonzero(random.random(3) < 0.7)
        measured = motion.position[seen] * random.uniform(0.9, 1.1, (len(seen), 4))
        motion.correct(seen, measured)
        for place, box in zip(seen, measured, strict=True):
            textbook[place].correct(box)
    for i, each in enumerate(textbook):
        np.testing.assert_allclose(motion.position[i], each.mean[:4], rtol=1e-9)
        np.testing.assert_allclose(motion.velocity[i], each.mean[4:], rtol=1e-7, atol=1e-9)
        variances = np.concatenate((motion.variance[i], motion.velocity_variance[i]))
        np.testing.assert_allclose(variances, np.diag(each.covariance), rtol=1e-7)


def test_corners_and_centers() -> None:
    corners = np.array([[10.0, 20, 30, 60]])
    np.testing.assert_array_equal(to_centers(corners), [[20, 40, 0.5, 40]])
    np.testing.assert_array_equal(to_corners(to_centers(corners)), corners)
