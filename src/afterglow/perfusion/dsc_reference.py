"""Which voxels may stand for intact brain: reference of the leakage correction, white matter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DEVIATION = 2.0
_FEWEST = 50


def non_enhancing(
    delta_r2star: NDArray[np.floating],
    time: NDArray[np.float64],
    first_pass: tuple[int, int],
    candidates: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Return the candidates whose curves after the first pass show no leakage.

    Leakage lifts or lowers delta R2* after the first pass in proportion to nothing in the first
    pass itself, so each voxel's late mean over its first-pass mean is compared with the median of
    all candidates; voxels off by more than two (robust) standard deviations are taken as
    enhancing, and voxels of the lowest and highest tenth of area as noise and vessel.

    Parameters
    ----------
    delta_r2star : array (n_voxels, n_time)
        Delta R2* (1/s).
    time : array (n_time,)
        Frame times (s).
    first_pass : (int, int)
        Frames of the first pass.
    candidates : bool array (n_voxels,)
        Evaluable brain outside lesions and their margins.

    Returns
    -------
    bool array (n_voxels,)
        All candidates where too few are left or the series ends with the first pass.
    """
    late = slice(first_pass[1], time.size)
    if time.size - first_pass[1] < 3 or candidates.sum() < _FEWEST:
        return candidates
    area = delta_r2star[:, slice(*first_pass)].mean(axis=1)
    usable = candidates & np.isfinite(area) & (area > 0)
    if usable.sum() < _FEWEST:
        return candidates
    low, high = np.percentile(area[usable], (10.0, 90.0))
    usable &= (area >= low) & (area <= high)
    share = np.where(usable, delta_r2star[:, late].mean(axis=1) / np.where(usable, area, 1.0), 0.0)
    middle = float(np.median(share[usable]))
    spread = 1.4826 * float(np.median(np.abs(share[usable] - middle)))
    chosen = usable & (np.abs(share - middle) <= _DEVIATION * spread)
    return np.asarray(chosen if chosen.sum() >= _FEWEST else usable)


def grown(mask: NDArray[np.bool_], affine: NDArray[np.float64], margin: float) -> NDArray[np.bool_]:
    """Return a mask grown by ``margin`` mm."""
    if not mask.any() or margin <= 0:
        return mask
    from scipy.ndimage import distance_transform_edt

    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    return np.asarray(distance_transform_edt(~mask, sampling=spacing) <= margin)


def brain_like(series: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return voxels with signal, where no brain mask exists: the largest bright component."""
    from scipy.ndimage import binary_fill_holes, label

    mean = np.nan_to_num(series[..., : max(4, series.shape[-1] // 8)].mean(axis=-1))
    bright = mean > 0.3 * np.percentile(mean, 98)
    parts, count = label(bright)
    if count == 0:
        return np.asarray(bright)
    largest = np.argmax(np.bincount(parts.ravel())[1:]) + 1
    filled = binary_fill_holes(parts == largest)
    return np.asarray(filled & (mean > 0), dtype=bool)
