"""Whether two images show the same head down to its sulci.

Heads of two people share their ventricles and outline, so that a rigid registration of one onto the
other is a clear maximum of similarity all the same. What they do not share falls out of step within
millimetres: between images of one head similarity drops steeply with a shift of a few millimetres,
between two heads it does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from afterglow.anat.grids import Volume, coarse
from afterglow.anat.similarity import nmi
from afterglow.anat.transforms import average, invert, resample, voxel_sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_FINE_MM, _WINDOW = 2.0, 5
_LEAST = 500


def sharpness(
    fine: Volume,
    other: Volume,
    matrix: NDArray[np.float64],
    region: Volume,
    mm: float,
    *,
    same_contrast: bool,
    band_mm: float = 6.0,
) -> float:
    """Return by what factor similarity falls with a shift of one working voxel.

    Both images are compared on the grid of ``other``, over voxels of one shape. Shifts go along the
    axes on which that grid is fine: nothing is lost by half a thick slice.

    Parameters
    ----------
    fine : Volume
        T1w.
    other : Volume
        Image with voxels of the same size or larger.
    matrix : ndarray, shape (4, 4)
        World matrix from ``fine`` to ``other``.
    region : Volume
        Brain, on the grid of ``fine``.
    mm : float
        Working voxel size, and the shift.
    same_contrast : bool
        Compare details (what differs from the surroundings) by their mean squared correlation in
        windows of 5 voxels, and its mean over the shifts; a detail may be bright in one image and
        dark in the other. Otherwise normalized mutual information is compared with the largest
        after a shift.
    band_mm : float
        Standard deviation of the surroundings.

    Returns
    -------
    float
        Infinity where there is too little to tell: no fine axis, or no overlap.
    """
    small = coarse(other, mm)
    zooms = voxel_sizes(small.affine)
    grid = (small.shape, small.affine, invert(matrix))
    source = coarse(fine, _FINE_MM)
    where = resample(region.values, region.affine, *grid) > 0.5
    axes = np.flatnonzero(zooms <= 1.2 * mm)
    if not len(axes) or int(where.sum()) < _LEAST:
        return float("inf")
    pair = [average(source.values, source.affine, *grid), np.asarray(small.values, np.float32)]
    measure = _local_correlation if same_contrast else _information
    a, b = [_band(v, where, band_mm / zooms) for v in pair] if same_contrast else pair
    moved = [
        measure(a, np.roll(b, step, axis), where & np.roll(where, step, axis))
        for axis in axes
        for step in (-1, 1)
    ]
    spoilt = float(np.mean(moved)) if same_contrast else max(moved)
    return measure(a, b, where) / max(spoilt, 1e-9)


def _information(a: Floats, b: Floats, where: NDArray[np.bool_]) -> float:
    return nmi(a[where], b[where])


def _band(values: Floats, where: NDArray[np.bool_], sigma: NDArray[np.float64]) -> Floats:
    """Return what differs from the surroundings, inside the region; bright vessels are clipped."""
    from scipy import ndimage

    inside = where.astype(np.float32)
    clipped = np.clip(values, 0.0, np.percentile(values[where], 99.0))
    weight = ndimage.gaussian_filter(inside, sigma, truncate=2.0)
    around = ndimage.gaussian_filter(clipped * inside, sigma, truncate=2.0)
    return np.asarray((clipped - around / np.maximum(weight, 1e-3)) * inside, np.float32)


def _local_correlation(a: Floats, b: Floats, where: NDArray[np.bool_]) -> float:
    from scipy import ndimage

    inside = where.astype(np.float32)
    weight = np.maximum(ndimage.uniform_filter(inside, _WINDOW), 1e-3)

    def mean(values: Floats) -> Floats:
        return np.asarray(ndimage.uniform_filter(values * inside, _WINDOW) / weight, np.float32)

    means = mean(a), mean(b)
    spread = (mean(a * a) - means[0] ** 2) * (mean(b * b) - means[1] ** 2)
    shared = (mean(a * b) - means[0] * means[1]) ** 2
    floor = 1e-12 * max(float(spread.max()), 1e-30)
    return float((shared / np.maximum(spread, floor))[where].mean())
