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
_OFF_PLANE = 0.5  # slices
_SUBDIVISION = 5
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Rasterized:
    """Voxels of one structure and how they came about.

    ``share`` is the share of vertices on voxel centers, ``clipped`` the share of vertices outside
    of the grid, ``off_plane`` the largest distance of a drawn contour from its slice (slices),
    ``left_out`` the contours (number, reason) that enclose nothing here.
    """

    mask: NDArray[np.bool_]
    convention: Convention
    share: float
    clipped: float
    off_plane: float
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
    mask = np.zeros(grid.shape, dtype=bool)
    indices = to_index(contours, grid)
    if not indices:
        return Rasterized(mask, convention or "center", 0.0, 0.0, 0.0, ())
    axis = _plane_axis(indices)
    share = on_centers(indices, axis)
    rule: Convention = convention or seen_convention(share)
    left_out = []
    off_plane = 0.0
    for number, points in enumerate(indices):
        reason = _draw(mask, points, axis, rule)
        if reason:
            left_out.append((number, reason))
        else:
            apart = np.abs(points[:, axis] - np.rint(points[:, axis].mean()))
            off_plane = max(off_plane, float(apart.max()))
    every = np.concatenate(indices)
    outside = ((every < -0.5) | (every > np.array(grid.shape) - 0.5)).any(axis=1)
    return Rasterized(mask, rule, share, float(outside.mean()), off_plane, tuple(left_out))


def to_index(contours: Sequence[NDArray[np.float64]], grid: Grid) -> list[NDArray[np.float64]]:
    """Return contours (n, 3) in LPS mm as index coordinates of a grid."""
    inverse = np.linalg.inv(grid.affine)
    turned = inverse[:3, :3] @ _LPS_TO_RAS
    return [np.asarray(c, float) @ turned.T + inverse[:3, 3] for c in contours]


def seen_convention(share: float) -> Convention:
    """Return the convention of a file of whose vertices ``share`` lie on voxel centers."""
    return "inclusive" if share > 0.9 else "center"


def file_convention(
    structures: Sequence[Sequence[NDArray[np.float64]]], grid: Grid
) -> tuple[Convention, float]:
    """Return the contour convention of a whole file, and the share of vertices it rests on.

    One writer draws all structures of a file in one way, and a small structure alone has too few
    vertices to tell.
    """
    counts = on = 0.0
    for contours in structures:
        indices = to_index(contours, grid)
        if indices:
            size = float(sum(len(points) for points in indices))
            on += on_centers(indices, _plane_axis(indices)) * size
            counts += size
    share = on / counts if counts else 0.0
    return seen_convention(share), share


def fractions(
    contours: Sequence[NDArray[np.float64]], grid: Grid, convention: Convention = "center"
) -> NDArray[np.float32]:
    """Return which fraction of each voxel the contours enclose, from 5 x 5 points in its slice.

    Where the contours run through voxel centers (``inclusive``), half a voxel around them counts.
    """
    found = np.zeros(grid.shape, dtype=np.float32)
    indices = to_index(contours, grid)
    if not indices:
        return found
    axis = _plane_axis(indices)
    planes: dict[int, NDArray[np.bool_]] = {}
    flat_shape = np.delete(np.array(grid.shape), axis) * _SUBDIVISION
    for points in indices:
        plane = int(np.rint(points[:, axis].mean()))
        usable = len(points) >= 3 and np.ptp(points[:, axis]) <= _OFF_PLANE
        if not usable or not 0 <= plane < grid.shape[axis]:
            continue
        fine = (np.delete(points, axis, axis=1) + 0.5) * _SUBDIVISION - 0.5
        reach = _SUBDIVISION / 2 if convention == "inclusive" else 0.0
        inside = polygon(fine, (int(flat_shape[0]), int(flat_shape[1])), reach=reach)
        planes[plane] = planes[plane] ^ inside if plane in planes else inside
    view = np.moveaxis(found, axis, 0)
    for plane, fine_mask in planes.items():
        n, m = flat_shape // _SUBDIVISION
        view[plane] = fine_mask.reshape(n, _SUBDIVISION, m, _SUBDIVISION).mean(axis=(1, 3))
    return found


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
    if np.ptp(points[:, axis]) > _OFF_PLANE:
        return "not_in_a_slice"
    plane = int(np.rint(points[:, axis].mean()))
    if not 0 <= plane < mask.shape[axis]:
        return "outside_of_image"
    flat = np.delete(points, axis, axis=1)
    view = np.moveaxis(mask, axis, 0)[plane]
    reach = _ON_CENTER if convention == "inclusive" else 0.0
    inside = polygon(flat, (view.shape[0], view.shape[1]), reach=reach)
    view ^= inside
    return "" if inside.any() else "holds_no_voxel_center"


def polygon(
    vertices: NDArray[np.float64], shape: tuple[int, int], *, reach: float = 0.0
) -> NDArray[np.bool_]:
    """Return the grid points within a polygon by the even-odd rule.

    Parameters
    ----------
    vertices : (n, 2) array
        In index coordinates; the polygon closes itself.
    shape : (int, int)
        Size of the grid.
    reach : float
        Points up to this far from the boundary are inside too; 0 leaves the boundary to the rule.

    Examples
    --------
    >>> square = np.array([[0.5, 0.5], [0.5, 2.5], [2.5, 2.5], [2.5, 0.5]])
    >>> int(polygon(square, (5, 5)).sum())
    4
    """
    found = np.zeros(shape, dtype=bool)
    low = np.clip(np.floor(vertices.min(axis=0) - reach).astype(int), 0, shape)
    high = np.clip(np.ceil(vertices.max(axis=0) + reach).astype(int) + 1, 0, shape)
    if (high <= low).any():
        return found
    x, y = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]), indexing="ij")
    part = np.zeros(x.shape, dtype=bool)
    edge = np.zeros(x.shape, dtype=bool)
    for (ax, ay), (bx, by) in zip(vertices, np.roll(vertices, -1, axis=0), strict=True):
        if ay != by:
            crosses = (ay > y) != (by > y)
            part ^= crosses & (x < ax + (y - ay) * (bx - ax) / (by - ay))
        if reach:
            edge |= _near_segment(x, y, (ax, ay), (bx, by), reach)
    found[low[0] : high[0], low[1] : high[1]] = part | edge
    return found


def _near_segment(
    x: NDArray[np.int64],
    y: NDArray[np.int64],
    a: tuple[float, float],
    b: tuple[float, float],
    reach: float,
) -> NDArray[np.bool_]:
    """Return which grid points lie within ``reach`` of a segment."""
    along = np.array([b[0] - a[0], b[1] - a[1]])
    square = max(float(along @ along), 1e-12)
    share = np.clip(((x - a[0]) * along[0] + (y - a[1]) * along[1]) / square, 0, 1)
    apart = np.hypot(x - a[0] - share * along[0], y - a[1] - share * along[1])
    return np.asarray(apart < reach)
