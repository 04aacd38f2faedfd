"""Lesion quotient and T1/T2 mismatch, where a person drew the nodule on T2-weighted images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from afterglow.lesions.agreement import dice
from afterglow.lesions.features import Value

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.lesions.grids import Grid

UNITS = {"lesion_quotient": "ratio", "t1_t2_dice": "ratio", "t1_t2_distance": "mm"}


def nodule_values(
    lesion: NDArray[np.bool_], nodules: NDArray[np.bool_] | None, grid: Grid
) -> dict[str, Value]:
    """Return how the nodule on T2 compares with the enhancing lesion.

    ``lesion_quotient`` is the largest axial area of the nodule over that of the lesion (Dequesada
    2008; external validation by Stockham 2012 failed). ``t1_t2_dice`` and ``t1_t2_distance`` (mean
    distance of the two surfaces, both ways) say how far their margins correspond (Kano 2010 judges
    that by eye). The nodule of a lesion is every connected part that touches it; a lesion without
    one, where nodules were drawn, has a quotient of 0.

    Parameters
    ----------
    lesion : (x, y, z) bool array
        The lesion on the session's grid.
    nodules : (x, y, z) bool array or None
        Nodules drawn on T2, None where nobody drew any.
    grid : Grid
        Their grid.

    Returns
    -------
    dict
        The three values, with reason ``no_nodule_mask`` or ``no_nodule``.
    """
    from scipy import ndimage

    if nodules is None:
        return {name: Value(float("nan"), "no_nodule_mask") for name in UNITS}
    parts, _ = ndimage.label(nodules, np.ones((3, 3, 3)))
    touched = np.unique(parts[lesion])
    own = np.isin(parts, touched[touched > 0])
    count = int(own.sum())
    if not count:
        nothing = Value(0.0)
        distance = Value(float("nan"), "no_nodule")
        return {"lesion_quotient": nothing, "t1_t2_dice": nothing, "t1_t2_distance": distance}
    return {
        "lesion_quotient": Value(largest_area(own, grid) / largest_area(lesion, grid), "", count),
        "t1_t2_dice": Value(dice(lesion, own), "", count),
        "t1_t2_distance": Value(_surface_distance(lesion, own, grid), "", count),
    }


def largest_area(mask: NDArray[np.bool_], grid: Grid) -> float:
    """Return the largest area of a mask in the slices of the acquisition, mm²."""
    across = tuple(k for k in range(3) if k != grid.slice_axis)
    return float(mask.sum(axis=across).max() * grid.spacing[list(across)].prod())


def _surface_distance(one: NDArray[np.bool_], two: NDArray[np.bool_], grid: Grid) -> float:
    """Return the mean distance (mm) of the border voxels of two masks, both ways."""
    from scipy.spatial import cKDTree

    clouds = [grid.world(np.argwhere(_border(mask))) for mask in (one, two)]
    there, _ = cKDTree(clouds[1]).query(clouds[0])
    back, _ = cKDTree(clouds[0]).query(clouds[1])
    return float(np.concatenate([there, back]).mean())


def _border(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy import ndimage

    return np.asarray(mask & ~ndimage.binary_erosion(mask))
