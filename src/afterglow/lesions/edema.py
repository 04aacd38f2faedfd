"""FLAIR hyperintensity around lesions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.lesions.grids import Grid

_SPREADS = 3.0
_REACH = 30.0  # mm


def hyperintensity(
    flair: NDArray[np.float32], white_matter: NDArray[np.float32], brain: NDArray[np.bool_]
) -> NDArray[np.bool_] | None:
    """Return the voxels brighter than white matter by three robust standard deviations.

    Parameters
    ----------
    flair, white_matter : (x, y, z) arrays
        FLAIR in session space and white-matter probability.
    brain : bool array
        Brain mask.

    Returns
    -------
    bool array or None
        None where there is too little white matter to say what is bright.
    """
    tissue = flair[(white_matter > 0.9) & brain & np.isfinite(flair)]
    if tissue.size < 500:
        return None
    middle = float(np.median(tissue))
    spread = 1.4826 * float(np.median(np.abs(tissue - middle)))
    if spread <= 0:
        return None
    return np.asarray(brain & (flair > middle + _SPREADS * spread))


def edema_volumes(
    bright: NDArray[np.bool_], labels: NDArray[np.int32], csf: NDArray[np.float32], grid: Grid
) -> dict[int, float]:
    """Return the volume (mL) of hyperintensity of each lesion, the lesion itself excluded.

    Counted is what is connected to a lesion once CSF is left out and single-voxel bridges are
    opened, within 30 mm of its surface, and given to the nearest lesion.
    """
    from scipy import ndimage

    around = ndimage.binary_opening(bright & (csf < 0.5), iterations=1) | (labels > 0)
    parts, _ = ndimage.label(around)
    touched = np.unique(parts[labels > 0])
    edema = np.isin(parts, touched[touched > 0]) & (labels == 0)
    apart, nearest = ndimage.distance_transform_edt(
        labels == 0, sampling=grid.spacing, return_indices=True
    )
    owner = labels[tuple(nearest)]
    edema &= apart <= _REACH
    counts = np.bincount(owner[edema], minlength=int(labels.max(initial=0)) + 1)
    return {
        int(label): float(counts[label] * grid.voxel_volume / 1000)
        for label in np.unique(labels[labels > 0])
    }
