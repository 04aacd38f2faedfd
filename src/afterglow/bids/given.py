"""Given lesion masks, brought to the grid of the session's anatomical reference."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterglow.errors import AfterglowError


def to_grid(
    mask: NDArray[Any],
    mask_affine: NDArray[np.float64],
    shape: tuple[int, ...],
    affine: NDArray[np.float64],
    *,
    tolerance: float = 1e-3,
) -> tuple[NDArray[np.int32], bool]:
    """Bring a label image to another grid.

    Where both grids have the same voxels, in whatever order, labels are only rearranged.

    Parameters
    ----------
    mask : ndarray, shape (x, y, z)
        Integer labels.
    mask_affine : ndarray, shape (4, 4)
        Voxels of the mask to world millimetres.
    shape : tuple of int
        Shape of the wanted grid.
    affine : ndarray, shape (4, 4)
        Voxels of the wanted grid to world millimetres.
    tolerance : float, optional
        Largest distance (mm) between voxel centres that counts as the same place.

    Returns
    -------
    tuple
        Labels on the wanted grid, and whether they had to be resampled (nearest).

    Raises
    ------
    AfterglowError
        Values that are no labels, or no overlap with the image.
    """
    labels = np.rint(mask).astype(np.int32)
    if not np.all(np.isfinite(mask)) or np.any(np.abs(mask - labels) > 1e-3) or labels.min() < 0:
        raise AfterglowError(
            "a given mask holds values that are no labels", expected="0, 1, 2, ..."
        )
    step = np.linalg.inv(mask_affine) @ affine
    exact = _same_voxels(step, mask_affine, mask.shape, shape, tolerance)
    if exact:
        step = np.rint(step)
    from scipy import ndimage

    found = ndimage.affine_transform(
        labels, step[:3, :3], step[:3, 3], output_shape=shape, order=0, mode="constant", cval=0
    ).astype(np.int32)
    if labels.any() and not found.any():
        raise AfterglowError(
            "a given mask does not overlap the image",
            remedy="check that the mask belongs to this patient and study date",
        )
    return found, not exact


def _same_voxels(
    step: NDArray[np.float64],
    mask_affine: NDArray[np.float64],
    mask_shape: tuple[int, ...],
    shape: tuple[int, ...],
    tolerance: float,
) -> bool:
    """Tell whether two grids have the same voxels, up to their order along the axes."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape])).reshape(3, -1)
    places = step[:3, :3] @ corners + step[:3, 3:4]
    off = mask_affine[:3, :3] @ (places - np.rint(places))
    last = np.array(mask_shape)[:, None] - 1
    fits = np.array_equal(places.min(axis=1).round(), [0, 0, 0])
    fits = fits and np.array_equal(places.max(axis=1).round(), last[:, 0])
    return bool(fits and np.max(np.linalg.norm(off, axis=0)) <= tolerance)


def separated(labels: NDArray[np.int32], minimum: int) -> tuple[NDArray[np.int32], int]:
    """Give numbers to the connected parts of a mask that holds only one label.

    Parts are numbered by falling size, then by place, so that the same mask always gives the same
    numbers. Masks with several labels are left as they are.

    Returns
    -------
    tuple
        Labels, and how many parts were dropped because they have fewer than ``minimum`` voxels.

    Examples
    --------
    >>> numbered, dropped = separated(np.array([[[1, 0, 1, 1, 0, 0]]], dtype=np.int32), 1)
    >>> numbered.tolist(), dropped
    ([[[2, 0, 1, 1, 0, 0]]], 0)
    """
    present = np.unique(labels[labels > 0])
    if present.size != 1:
        return labels, 0
    from scipy import ndimage

    parts, count = ndimage.label(labels > 0, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    order = sorted(range(1, count + 1), key=lambda part: (-sizes[part - 1], part))
    kept = [part for part in order if sizes[part - 1] >= minimum] or order
    lookup = np.zeros(count + 1, dtype=np.int32)
    for number, part in enumerate(kept, start=1):
        lookup[part] = number
    return lookup[parts], count - len(kept)
