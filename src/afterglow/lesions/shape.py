"""Volume, surface, sphericity and diameters of one lesion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from afterglow.lesions.diameters import axial_diameters
from afterglow.lesions.radiomics_mesh import area, mesh
from afterglow.lesions.radiomics_mesh import volume as enclosed

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

    The volume counts voxels. Surface and sphericity ``(36 pi V^2)^(1/3) / A`` are those of the
    IBSI, from the mesh of the mask: the steps of the voxels make a ball about 0.92.
    """
    index = np.argwhere(mask)
    low = np.maximum(index.min(axis=0) - 4, 0)
    high = index.max(axis=0) + 5
    part = mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    volume = len(index) * grid.voxel_volume
    surface = mesh(part, grid.spacing)
    outside = area(surface)
    diameters = axial_diameters(part, grid)
    center = grid.world(index).mean(axis=0)
    return Shape(
        volume=volume / 1000,
        surface=outside,
        sphericity=float((36 * np.pi * enclosed(surface) ** 2) ** (1 / 3) / outside),
        longest_diameter=diameters.longest,
        perpendicular_diameter=diameters.perpendicular,
        n_slices=diameters.n_slices,
        n_voxels=len(index),
        centroid=(float(center[0]), float(center[1]), float(center[2])),
    )
