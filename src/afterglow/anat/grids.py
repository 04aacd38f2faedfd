"""Coarse isotropic working grids: registrations need far fewer voxels than maps do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.anat.transforms import resample, voxel_sizes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Volume:
    """An image with its grid.

    Attributes
    ----------
    values : ndarray, shape (x, y, z)
        Samples.
    affine : ndarray, shape (4, 4)
        Voxel indices to world RAS mm.
    """

    values: NDArray[Any]
    affine: NDArray[np.float64]
    _coarse: dict[float, Volume] = field(default_factory=dict, repr=False, compare=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Grid size in voxels."""
        x, y, z = self.values.shape[:3]
        return x, y, z

    def like(self, values: NDArray[Any]) -> Volume:
        """Return other values on the same grid."""
        return Volume(values, self.affine)


def coarse_grid(
    shape: Sequence[int], affine: NDArray[np.float64], mm: float
) -> tuple[tuple[int, int, int], NDArray[np.float64]]:
    """Return shape and affine of a grid over the same box with voxels of at least ``mm``.

    Axes that are coarser already keep their voxels.

    Examples
    --------
    >>> shape, affine = coarse_grid((100, 100, 20), np.diag([1.0, 1.0, 5.0, 1.0]), 2.0)
    >>> shape, affine[:3, 3].tolist()
    ((50, 50, 20), [0.5, 0.5, 0.0])
    """
    zooms = voxel_sizes(affine)
    count = [max(1, round(n * min(z / mm, 1.0))) for n, z in zip(shape[:3], zooms, strict=True)]
    factor = np.array([n / k for n, k in zip(shape[:3], count, strict=True)])
    matrix = np.array(affine, dtype=np.float64)
    matrix[:3, :3] = matrix[:3, :3] * factor
    matrix[:3, 3] = (np.asarray(affine) @ [*((factor - 1) / 2), 1.0])[:3]
    return (count[0], count[1], count[2]), matrix


def coarse(volume: Volume, mm: float) -> Volume:
    """Average an image onto a coarse grid of ``mm`` (Gaussian of matching width, then linear).

    The result is kept with the image: a session's T1w takes part in many registrations.
    """
    from scipy import ndimage

    if mm in volume._coarse:
        return volume._coarse[mm]
    shape, affine = coarse_grid(volume.shape, volume.affine, mm)
    ratio = voxel_sizes(affine) / voxel_sizes(volume.affine)
    sigma = 0.4 * np.sqrt(np.maximum(ratio**2 - 1, 0))
    values = np.asarray(volume.values, dtype=np.float32)
    smooth = ndimage.gaussian_filter(values, sigma, truncate=3.0)
    volume._coarse[mm] = Volume(resample(smooth, volume.affine, shape, affine), affine)
    return volume._coarse[mm]


def bounding_box(
    inside: NDArray[np.bool_], margin: Sequence[int] = (0, 0, 0)
) -> tuple[slice, slice, slice]:
    """Return the box around a set, with a margin (voxels) within the grid; all where it is empty.

    Examples
    --------
    >>> bounding_box(np.eye(5, dtype=bool)[:, :, None], (0, 1, 0))
    (slice(0, 5, None), slice(0, 5, None), slice(0, 1, None))
    """
    found = [np.flatnonzero(inside.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    a, b, c = (
        slice(max(int(f[0]) - m, 0), min(int(f[-1]) + 1 + m, n)) if len(f) else slice(None)
        for f, m, n in zip(found, margin, inside.shape, strict=True)
    )
    return a, b, c


def onto(volume: Volume, target: Volume, matrix: NDArray[np.float64], order: int = 1) -> Volume:
    """Sample ``volume`` on the grid of ``target``; ``matrix`` maps target world to volume world."""
    values = resample(volume.values, volume.affine, target.shape, target.affine, matrix, order)
    return Volume(values, target.affine)
