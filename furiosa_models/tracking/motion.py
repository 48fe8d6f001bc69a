"""The motion of boxes: Kalman filters with constant velocity.

The model is that of SORT's successors (Wojke et al. 2017, arXiv:1703.07402): a box is its center,
aspect ratio (width over height) and height, each with a velocity, and noise is proportional to
the height. Since the four coordinates and their noise are independent, the filter of eight numbers
is four filters of two numbers. These are computed for all boxes at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Motion", "to_centers", "to_corners"]

Floats: TypeAlias = npt.NDArray[np.float64]
Indices: TypeAlias = npt.NDArray[np.int64]

_POSITION, _VELOCITY = 1 / 20, 1 / 160  # standard deviations, as fractions of the height
_ASPECT, _ASPECT_VELOCITY, _MEASURED_ASPECT = 1e-2, 1e-5, 1e-1
_HEIGHT = 3
_IS_SIZED = np.array([True, True, False, True])
"""Coordinates whose noise is proportional to the height: all but the aspect ratio."""


@dataclass(slots=True)
class Motion:
    """Positions and velocities of n boxes, with their covariances.

    Attributes:
        position: `(n, 4)` float64: x and y of the center, aspect ratio, height, in pixels.
        velocity: `(n, 4)`: their change per frame.
        variance: `(n, 4)`: variances of the positions.
        covariance: `(n, 4)`: covariances of positions and velocities.
        velocity_variance: `(n, 4)`: variances of the velocities.
    """

    position: Floats
    velocity: Floats
    variance: Floats
    covariance: Floats
    velocity_variance: Floats

    @classmethod
    def of(cls, centers: Floats) -> Motion:
        """Return the motion of boxes that were seen once; see `to_centers`."""
        position, velocity = _noise(centers, 2 * _POSITION, _ASPECT, 10 * _VELOCITY)
        zeros = np.zeros_like(centers)
        return cls(centers.copy(), zeros, position, zeros.copy(), velocity)

    def predict(self, is_lost: npt.NDArray[np.bool_]) -> None:
        """Advance by a frame.

        Args:
            is_lost: `(n,)`: boxes that were not seen in the last frame; they keep their height.
        """
        self.velocity[is_lost, _HEIGHT] = 0.0
        noise, velocity_noise = _noise(self.position, _POSITION, _ASPECT, _VELOCITY)
        self.position += self.velocity
        self.variance += 2 * self.covariance + self.velocity_variance + noise
        self.covariance += self.velocity_variance
        self.velocity_variance += velocity_noise

    def correct(self, places: Indices, centers: Floats) -> None:
        """Correct some boxes by what was measured.

        Args:
            places: `(k,)`: different indices of boxes.
            centers: `(k, 4)`: where they were seen; see `to_centers`.
        """
        position, covariance = self.position[places], self.covariance[places]
        variance = self.variance[places]
        noise, _ = _noise(position, _POSITION, _MEASURED_ASPECT, _VELOCITY)
        gain, velocity_gain = variance / (variance + noise), covariance / (variance + noise)
        error = centers - position
        self.position[places] += gain * error
        self.velocity[places] += velocity_gain * error
        self.variance[places] -= gain * variance
        self.velocity_variance[places] -= velocity_gain * covariance
        self.covariance[places] -= gain * covariance

    def take(self, places: Indices | npt.NDArray[np.bool_]) -> Motion:
        """Return the motion of some boxes."""
        return Motion(*(column[places] for column in self._columns()))

    def extended(self, other: Motion) -> Motion:
        """Return the motion of these boxes and those of another one."""
        pairs = zip(self._columns(), other._columns(), strict=True)
        return Motion(*(np.concatenate(pair) for pair in pairs))

    def _columns(self) -> tuple[Floats, ...]:
        return (
            self.position,
            self.velocity,
            self.variance,
            self.covariance,
            self.velocity_variance,
        )


def _noise(
    centers: Floats, position: float, aspect: float, velocity: float
) -> tuple[Floats, Floats]:
    """Return the variances of positions and velocities that suit the heights of boxes."""
    height = centers[:, _HEIGHT:]
    return (
        np.where(_IS_SIZED, position * height, aspect) ** 2,
        np.where(_IS_SIZED, velocity * height, _ASPECT_VELOCITY) ** 2,
    )


def to_centers(corners: Floats) -> Floats:
    """Convert xyxy boxes `(n, 4)` with positive sides to center, aspect ratio and height."""
    size = corners[:, 2:] - corners[:, :2]
    center = (corners[:, :2] + corners[:, 2:]) / 2
    return np.concatenate((center, size[:, :1] / size[:, 1:], size[:, 1:]), axis=1)


def to_corners(centers: Floats) -> Floats:
    """Convert center, aspect ratio and height `(n, 4)` to xyxy boxes."""
    height = centers[:, 3:]
    half = np.concatenate((centers[:, 2:3] * height, height), axis=1) / 2
    return np.concatenate((centers[:, :2] - half, centers[:, :2] + half), axis=1)
