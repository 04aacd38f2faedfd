"""Contours of a radiotherapy structure as voxels, by the voxel-center rule in index space.

Contours of one slice are combined by exclusive or, so that inner contours are holes. Some
writers draw their contours through the centers of the border voxels; then the border itself is
inside. Which of the two a file does is seen from its vertices and recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.lesions.grids import Grid

Convention = Literal["center", "inclusive"]
_ON_CENTER = 0.02  # voxels
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Rasterized:
    """Voxels of one structure and how they came about.

    ``share`` is the share of vertices on voxel centers, ``clipped`` the share of vertices outside
    of the grid, ``left_out`` the contours (number, reason) that enclose nothing here.
    """

    mask: NDArray[np.bool_]
    convention: Convention
    share: float
    clipped: float
    left_out: tuple[tuple[int, str], ...]


def rasterize(
    contours: Sequence[NDArray[np.float64]], grid: Grid, convention: Convention | None = None
) -> Rasterized:
    """Return the voxels whose centers lie within closed planar contours.

    Parameters
    ----------
    contours : sequence of (n, 3) arrays
        Vertices in mm as DICOM gives them (LPS).
    grid : Grid
        Grid of the image the contours were drawn on (RAS).
    convention : {"center", "inclusive"}, optional
        Seen from the vertices by default: inclusive where more than nine in ten lie on voxel
        centers.
    """
    to_index = np.linalg.inv(grid.affine)
    turned = to_index[:3, :3] @ _LPS_TO_RAS
    indices = [np.asarray(c, float) @ turned.T + to_index[:3, 3] for c in contours]
    mask = np.zeros(grid.shape, dtype=bool)
    if not indices:
        return Rasterized(mask, convention or "center", 0.0, 0.0, ())
    axis = _plane_axis(indices)
    share = on_centers(indices, axis)
    rule: Convention = convention or ("inclusive" if share > 0.9 else "center")
    left_out = []
    for number, points in enumerate(indices):
        reason = _draw(mask, points, axis, rule)
        if reason:
            left_out.append((number, reason))
    every = np.concatenate(indices)
    outside = ((every < -0.5) | (every > np.array(grid.shape) - 0.5)).any(axis=1)
    return Rasterized(mask, rule, share, float(outside.mean()), tuple(left_out))


def _plane_axis(indices: Sequence[NDArray[np.float64]]) -> int:
    """Return the array axis across the planes of the contours."""
    return int(np.argmin(np.sum([np.ptp(points, axis=0) for points in indices], axis=0)))


def on_centers(indices: Sequence[NDArray[np.float64]], axis: int) -> float:
    """Return the share of vertices within 0.02 voxels of a voxel center, within the plane."""
    flat = np.delete(np.concatenate(indices), axis, axis=1)
    return float((np.abs(flat - np.rint(flat)) < _ON_CENTER).all(axis=1).mean())


def _draw(
    mask: NDArray[np.bool_], points: NDArray[np.float64], axis: int, convention: Convention
) -> str:
    """Combine one contour into the mask; return why it was left out, empty where it was not."""
    if len(points) < 3:
        return "fewer_than_three_points"
    if np.ptp(points[:, axis]) > 0.5:
        return "not_in_a_slice"
    plane = int(np.rint(points[:, axis].mean()))
    if not 0 <= plane < mask.shape[axis]:
        return "outside_of_image"
    flat = np.delete(points, axis, axis=1)
    view = np.moveaxis(mask, axis, 0)[plane]
    inside = polygon(flat, (view.shape[0], view.shape[1]), inclusive=convention == "inclusive")
    view ^= inside
    return "" if inside.any() else "holds_no_voxel_center"


def polygon(
    vertices: NDArray[np.float64], shape: tuple[int, int], *, inclusive: bool = False
) -> NDArray[np.bool_]:
    """Return the grid points within a polygon by the even-odd rule.

    Parameters
    ----------
    vertices : (n, 2) array
        In index coordinates; the polygon closes itself.
    shape : (int, int)
        Size of the grid.
    inclusive : bool
        Whether points on the boundary are inside.

    Examples
    --------
    >>> square = np.array([[0.5, 0.5], [0.5, 2.5], [2.5, 2.5], [2.5, 0.5]])
    >>> int(polygon(square, (5, 5)).sum())
    4
    """
    found = np.zeros(shape, dtype=bool)
    low = np.clip(np.floor(vertices.min(axis=0)).astype(int), 0, shape)
    high = np.clip(np.ceil(vertices.max(axis=0)).astype(int) + 1, 0, shape)
    if (high <= low).any():
        return found
    x, y = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]), indexing="ij")
    part = np.zeros(x.shape, dtype=bool)
    edge = np.zeros(x.shape, dtype=bool)
    for (ax, ay), (bx, by) in zip(vertices, np.roll(vertices, -1, axis=0), strict=True):
        if ay != by:
            crosses = (ay > y) != (by > y)
            part ^= crosses & (x < ax + (y - ay) * (bx - ax) / (by - ay))
        if inclusive:
            edge |= _on_segment(x, y, (ax, ay), (bx, by))
    found[low[0] : high[0], low[1] : high[1]] = part | edge
    return found


def _on_segment(
    x: NDArray[np.int64], y: NDArray[np.int64], a: tuple[float, float], b: tuple[float, float]
) -> NDArray[np.bool_]:
    """Return which grid points lie on a segment."""
    along = np.array([b[0] - a[0], b[1] - a[1]])
    square = max(float(along @ along), 1e-12)
    share = np.clip(((x - a[0]) * along[0] + (y - a[1]) * along[1]) / square, 0, 1)
    apart = np.hypot(x - a[0] - share * along[0], y - a[1] - share * along[1])
    return np.asarray(apart < _ON_CENTER)
