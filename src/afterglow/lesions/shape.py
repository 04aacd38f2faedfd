"""Volume, surface, sphericity and diameters of one lesion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from afterglow.lesions.diameters import axial_diameters

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.lesions.grids import Grid


@dataclass(frozen=True)
class Shape:
    """Size and shape of one lesion; mm, mm² and mL."""

    volume: float
    surface: float
    sphericity: float
    longest_diameter: float
    perpendicular_diameter: float
    n_slices: int
    n_voxels: int
    centroid: tuple[float, float, float]


def describe(mask: NDArray[np.bool_], grid: Grid) -> Shape:
    """Return size and shape of one lesion, given as a mask on the session's grid.

    The volume counts voxels. The surface is the integral of the gradient of the smoothed mask
    (coarea formula), the mean surface of its level sets; sphericity is
    ``(36 pi V^2)^(1/3) / A``.
    """
    index = np.argwhere(mask)
    low = np.maximum(index.min(axis=0) - 4, 0)
    high = index.max(axis=0) + 5
    part = mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    volume = len(index) * grid.voxel_volume
    surface = _surface(part, grid)
    diameters = axial_diameters(part, grid)
    center = grid.world(index).mean(axis=0)
    return Shape(
        volume=volume / 1000,
        surface=surface,
        sphericity=float((36 * np.pi * volume**2) ** (1 / 3) / surface),
        longest_diameter=diameters.longest,
        perpendicular_diameter=diameters.perpendicular,
        n_slices=diameters.n_slices,
        n_voxels=len(index),
        centroid=(float(center[0]), float(center[1]), float(center[2])),
    )


def _surface(mask: NDArray[np.bool_], grid: Grid) -> float:
    """Return the surface in mm² by the coarea formula."""
    from scipy import ndimage

    soft = ndimage.gaussian_filter(np.pad(mask, 4).astype(np.float64), 1.0)
    slopes = [np.gradient(soft, step, axis=axis) for axis, step in enumerate(grid.spacing)]
    return float(np.sqrt(sum(slope**2 for slope in slopes)).sum() * grid.voxel_volume)
