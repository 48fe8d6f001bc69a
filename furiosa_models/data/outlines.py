"""Outlines of objects after a change of the photo: polygons are clipped."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["clip_polygon"]

Polygon = npt.NDArray[np.float32]


def clip_polygon(polygon: Polygon, width: float, height: float) -> Polygon:
    """Return the part of a polygon that is inside an image (Sutherland and Hodgman 1974).

    Parts of a concave polygon are connected along the border.

    Args:
        polygon: (m, 2) float32: x and y of its points.
        width: Width of the image.
        height: Height of the image.

    Returns:
        (k, 2) float32; (0, 2) if nothing of it is inside.
    """
    points = polygon.astype(np.float64)
    for axis, limit, inward in ((0, 0, 1), (0, width, -1), (1, 0, 1), (1, height, -1)):
        depth = (points[:, axis] - limit) * inward
        following, next_depth = np.roll(points, -1, axis=0), np.roll(depth, -1)
        is_inside = depth >= 0
        is_crossing = is_inside != np.roll(is_inside, -1)
        share = np.divide(depth, depth - next_depth, out=np.zeros_like(depth), where=is_crossing)
        cuts = points + (following - points) * share[:, None]
        cuts[:, axis] = limit  # without the rounding error
        rows = np.stack((points, cuts), axis=1).reshape(-1, 2)
        points = rows[np.stack((is_inside, is_crossing), axis=1).reshape(-1)]
    return (points if _has_area(points) else points[:0]).astype(np.float32)


def _has_area(points: npt.NDArray[np.float64]) -> bool:
    """Return whether points are not all on a line; lobes of a crossing polygon may cancel out."""
    return len(points) > 2 and int(np.linalg.matrix_rank(points - points[0])) == 2
