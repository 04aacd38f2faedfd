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


def edema_owners(
    bright: NDArray[np.bool_], labels: NDArray[np.int32], csf: NDArray[np.float32], grid: Grid
) -> NDArray[np.int32]:
    """Return the lesion that every voxel of hyperintensity belongs to, 0 elsewhere.

    Counted is what is connected to a lesion once CSF is left out and single-voxel bridges are
    opened, within 30 mm of its surface, and given to the nearest lesion; lesions themselves are 0.

    Parameters
    ----------
    bright : (x, y, z) bool array
        Hyperintensity.
    labels : (x, y, z) integer array
        Lesions.
    csf : (x, y, z) array
        Probability of CSF.
    grid : Grid
        Their grid.
    """
    from scipy import ndimage

    owners = np.zeros(labels.shape, dtype=np.int32)
    boxes = [box for box in ndimage.find_objects(labels) if box is not None]
    if not boxes:
        return owners
    room = _room(boxes, np.ceil(_REACH / grid.spacing).astype(int) + 1)
    own, shown = labels[room], bright[room] & (csf[room] < 0.5)
    parts, _ = ndimage.label(ndimage.binary_opening(shown) | (own > 0))
    touched = np.unique(parts[own > 0])
    edema = np.isin(parts, touched[touched > 0]) & (own == 0)
    apart, nearest = ndimage.distance_transform_edt(
        own == 0, sampling=grid.spacing, return_indices=True
    )
    owners[room] = np.where(edema & (apart <= _REACH), own[tuple(nearest)], 0)
    return owners


def _room(boxes: list[tuple[slice, ...]], margin: NDArray[np.int64]) -> tuple[slice, ...]:
    """Return the box around all boxes with a margin."""
    return tuple(
        slice(max(0, min(b[k].start for b in boxes) - m), max(b[k].stop for b in boxes) + m)
        for k, m in enumerate(margin.tolist())
    )
