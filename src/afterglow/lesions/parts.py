"""Parts of lesions by what enhances: living tissue and the necrotic core."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.lesions.enhancement import Enhancement

PLATEAU = 90.0  # percentile of a lesion's enhancement: that of its living tissue
_LEAST_SCORE = 3.0  # spreads of white matter; below it a lesion does not enhance
_BORDER = 1.0  # mm; a voxel this near to the surface is partly something else
GIVEN = {"necrosis": 1, "enhancing": 3}
"""Parts told apart by a given mask, and their values in its image."""


@dataclass(frozen=True, eq=False)
class Parts:
    """Enhancing tissue and necrosis of one lesion; together they are the lesion.

    ``reason`` is empty, or says why nothing can be told apart.
    """

    enhancing: NDArray[np.bool_]
    necrosis: NDArray[np.bool_]
    reason: str = ""


def by_enhancement(
    lesion: NDArray[np.bool_], found: Enhancement, box: tuple[slice, ...], least: int
) -> Parts:
    """Return the parts of a lesion by its enhancement.

    Necrosis is what enhances less than half as much as the lesion's living tissue (the 90th
    percentile), does not lie in the outermost millimeter, where a voxel is partly brain, and holds
    at least ``least`` connected voxels. A median of 3 x 3 x 3 voxels comes before, so that noise
    makes no holes.

    Parameters
    ----------
    lesion : (x, y, z) bool array
        The lesion in a box of the image that reaches beyond it.
    found : Enhancement
        Enhancement of the session.
    box : tuple of slice
        The box.
    least : int
        Smallest necrosis, voxels.
    """
    from scipy import ndimage

    nothing = np.zeros_like(lesion)
    image = ndimage.median_filter(found.image[box], size=3)
    plateau = float(np.percentile(image[lesion], PLATEAU))
    if plateau < _LEAST_SCORE * found.noise:
        return Parts(nothing, nothing, "not_enhancing")
    spacing = found.grid.spacing
    depth = ndimage.distance_transform_edt(np.pad(lesion, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    dark = lesion & (image < plateau / 2) & (depth - float(spacing.min()) / 2 > _BORDER)
    pieces, _ = ndimage.label(dark)
    sizes = np.bincount(pieces.ravel())
    large = np.flatnonzero(sizes >= least)
    necrosis = np.isin(pieces, large[large > 0])
    return Parts(lesion & ~necrosis, necrosis)


def by_mask(lesion: NDArray[np.bool_], given: NDArray[np.integer], box: tuple[slice, ...]) -> Parts:
    """Return the parts of a lesion as a person drew them (values of ``GIVEN``)."""
    part = given[box]
    return Parts(lesion & (part == GIVEN["enhancing"]), lesion & (part == GIVEN["necrosis"]))
