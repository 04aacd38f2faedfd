"""An image and a region on voxels of one size, as texture supposes them (IBSI)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SAME = 0.01


def isotropic(
    image: NDArray[np.float64], mask: NDArray[np.bool_], spacing: NDArray[np.float64], step: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Return image, region and voxel size on voxels of ``step`` mm.

    The grids share their center (IBSI 2.4); values are interpolated by straight lines, and a voxel
    belongs to the region where the interpolated mask is at least one half. Nothing is done where
    voxels have that size already, within 1 %.

    Parameters
    ----------
    image, mask : (x, y, z) arrays
        A crop around the region.
    spacing : (3,) array
        Its voxel size, mm.
    step : float
        Voxel size wanted, mm.

    Examples
    --------
    >>> mask = np.zeros((5, 5, 5), bool)
    >>> mask[1:4, 1:4, 2] = True
    >>> found = isotropic(np.ones(mask.shape), mask, np.array([1.0, 1.0, 3.0]), 1.0)
    >>> found[0].shape, int(found[1].sum()), float(found[0].mean())
    ((5, 5, 15), 27, 1.0)
    """
    from scipy import ndimage

    if np.allclose(spacing, step, rtol=_SAME):
        return image, mask, spacing
    shape = np.ceil(np.array(image.shape) * spacing / step - 1e-6).astype(int)
    zoom = step / spacing
    offset = (np.array(image.shape) - 1) / 2 - zoom * (shape - 1) / 2
    sampled = [
        ndimage.affine_transform(
            values, np.diag(zoom), offset, output_shape=tuple(shape), order=1, mode="nearest"
        )
        for values in (image, mask.astype(np.float64))
    ]
    return sampled[0], sampled[1] >= 0.5 - 1e-9, np.full(3, step)
