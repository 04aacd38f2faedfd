"""Longest axial diameter and the perpendicular one, on the half-level contour of the mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from afterglow.lesions.grids import Grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SMOOTHING = 0.9  # voxels
_STEP = 0.1  # mm


@dataclass(frozen=True)
class Diameters:
    """Diameters in mm; ``plane`` is the slice of the longest, ``n_slices`` counts those hit."""

    longest: float
    perpendicular: float
    plane: int
    n_slices: int


def axial_diameters(mask: NDArray[np.bool_], grid: Grid) -> Diameters:
    """Return the longest diameter over all axial slices of the acquisition.

    Both diameters lie within the mask. The perpendicular one is the longest chord at right
    angles to the longest diameter in its slice.

    Parameters
    ----------
    mask : (x, y, z) array
        Bool, or the covered fraction of each voxel (0 to 1).
    grid : Grid
        Its grid.
    """
    axis = grid.slice_axis
    slices = np.moveaxis(np.asarray(mask), axis, 0)
    spacing = np.delete(grid.spacing, axis)
    planes = [k for k in range(slices.shape[0]) if (slices[k] >= 0.5).any()]
    best = Diameters(0.0, 0.0, -1, len(planes))
    for plane in planes:
        longest, perpendicular = slice_diameters(slices[plane], spacing, floor=best.longest)
        if longest > best.longest:
            best = Diameters(longest, perpendicular, plane, len(planes))
    return best


def slice_diameters(
    image: NDArray[np.generic], spacing: NDArray[np.float64], floor: float = 0.0
) -> tuple[float, float]:
    """Return (longest, perpendicular) in mm of one slice; (0, 0) where it is below ``floor``.

    A binary slice is smoothed first, and its contour drawn at the level that keeps its area:
    the steps of the voxels otherwise add about 0.3 mm.
    """
    inside = np.asarray(image, dtype=np.float64)
    keep = np.argwhere(inside > 0)
    low, high = keep.min(axis=0), keep.max(axis=0) + 1
    inside = np.pad(inside[low[0] : high[0], low[1] : high[1]], 4)
    level = 0.5
    if image.dtype == np.bool_:
        inside, level = _smooth(inside)
    points = contour_points(inside, level) * spacing
    ends = _longest_chord(points, inside, level, spacing, floor)
    if ends is None:
        return 0.0, 0.0
    longest = float(np.linalg.norm(ends[1] - ends[0]))
    return longest, _perpendicular(inside, level, spacing, ends, points)


def _smooth(binary: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return the smoothed slice and the level at which its area is that of the slice."""
    from scipy import ndimage, optimize

    smooth = ndimage.gaussian_filter(binary, _SMOOTHING)
    fine = ndimage.zoom(smooth, 5, order=1, grid_mode=True, mode="grid-constant")
    area = binary.sum()

    def excess(level: float) -> float:
        return float((fine >= level).mean() * binary.size - area)

    return smooth, float(optimize.brentq(excess, 1e-3, float(smooth.max()), xtol=1e-3))


def contour_points(image: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """Return (n, 2) index points where the image crosses ``level`` along its grid lines."""
    above = image >= level
    parts = []
    for axis in (0, 1):
        count = image.shape[axis]
        first = np.take(image, range(count - 1), axis=axis)
        second = np.take(image, range(1, count), axis=axis)
        changes = np.diff(above, axis=axis)
        at = np.argwhere(changes).astype(np.float64)
        a, b = first[changes], second[changes]
        at[:, axis] += (level - a) / (b - a)
        parts.append(at)
    return np.concatenate(parts)


def _longest_chord(
    points: NDArray[np.float64],
    image: NDArray[np.float64],
    level: float,
    spacing: NDArray[np.float64],
    floor: float,
) -> NDArray[np.float64] | None:
    """Return the ends (2, 2) in mm of the longest chord within the contour."""
    if len(points) < 2:
        return None
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
    rows, columns = np.triu_indices(len(points), 1)
    lengths = apart[rows, columns]
    order = np.argsort(-lengths, kind="stable")
    order = order[lengths[order] > floor]
    for start in range(0, len(order), 64):
        batch = order[start : start + 64]
        a, b = points[rows[batch]], points[columns[batch]]
        good = _within(a, b, image, level, spacing)
        if good.any():
            first = int(np.argmax(good))
            return np.stack([a[first], b[first]])
    return None


def _within(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    image: NDArray[np.float64],
    level: float,
    spacing: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Return which chords from ``a`` to ``b`` (mm) stay inside the contour."""
    from scipy import ndimage

    share = np.linspace(0.04, 0.96, 24)[None, :, None]
    samples = (a[:, None] * (1 - share) + b[:, None] * share) / spacing
    values = ndimage.map_coordinates(image, samples.reshape(-1, 2).T, order=1)
    return np.asarray((values.reshape(len(a), -1) >= level - 0.05).all(axis=1))


def _perpendicular(
    image: NDArray[np.float64],
    level: float,
    spacing: NDArray[np.float64],
    ends: NDArray[np.float64],
    points: NDArray[np.float64],
) -> float:
    """Return the longest run inside the contour at right angles to the chord ``ends``, mm."""
    from scipy import ndimage

    along = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
    across = np.array([-along[1], along[0]])
    t, s = (points - ends[0]) @ along, (points - ends[0]) @ across
    rows = np.arange(t.min(), t.max() + _STEP, 2 * _STEP)
    steps = np.arange(s.min() - 2 * _STEP, s.max() + 3 * _STEP, _STEP)
    at = ends[0] + rows[:, None, None] * along + steps[None, :, None] * across
    values = ndimage.map_coordinates(image, (at / spacing).reshape(-1, 2).T, order=1)
    inside = values.reshape(len(rows), -1) >= level
    return max(_longest_run(row) for row in inside) * _STEP


def _longest_run(row: NDArray[np.bool_]) -> int:
    """Return the length of the longest run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max()) if edges.size else 0
