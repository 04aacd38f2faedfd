"""Why a voxel of a DSC map is not evaluable."""

from __future__ import annotations

from enum import IntFlag
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_VOID_PART = 0.25
_MIN_SNR = 8.0
_FLOOR_SIGMA = 3.0
_VESSEL_TIMES = 5.0


class Reason(IntFlag):
    """Bits of the reason map; 0 is evaluable.

    ``VOID``: baseline signal under a quarter of the brain's median (susceptibility). ``LOW_SNR``:
    baseline mean under 8 times its noise. ``NO_BOLUS``: passage within the noise. ``SATURATED``:
    the signal reaches the noise floor at the peak, so that delta R2* is cut. ``VESSEL``: area over
    five times the brain's median and earlier than the median voxel, outside lesions.
    ``NOT_FINITE``: signal that is not positive and finite.
    """

    NOT_FINITE = 1
    VOID = 2
    LOW_SNR = 4
    NO_BOLUS = 8
    SATURATED = 16
    VESSEL = 32


def judge_voxels(
    signal: NDArray[np.floating],
    delta_r2star: NDArray[np.floating],
    baseline: tuple[int, int],
    first_pass: tuple[int, int],
    lesion: NDArray[np.bool_],
) -> NDArray[np.uint8]:
    """Return the reason bits of every voxel.

    Parameters
    ----------
    signal, delta_r2star : array (n_voxels, n_time)
        Signal and delta R2* (1/s) without censored frames.
    baseline, first_pass : (int, int)
        Frames.
    lesion : bool array (n_voxels,)
        Voxels of lesions, never called vessels.

    Returns
    -------
    uint8 array (n_voxels,)
    """
    before = signal[:, slice(*baseline)]
    mean = before.mean(axis=1)
    noise = np.sqrt(np.mean(np.diff(before, axis=1) ** 2, axis=1) / 2.0)
    passage = slice(*first_pass)
    lowest = signal[:, passage].min(axis=1)
    finite = np.isfinite(delta_r2star).all(axis=1)
    area = np.where(finite, delta_r2star[:, passage].sum(axis=1), 0.0)
    height = np.where(finite, delta_r2star[:, passage].max(axis=1), 0.0)
    scatter = np.where(finite, delta_r2star[:, slice(*baseline)].std(axis=1), np.inf)
    usable = finite & (mean > 0)
    middle = float(np.median(mean[usable])) if usable.any() else 1.0
    typical = float(np.median(area[usable])) if usable.any() else 1.0
    place = np.argmax(np.where(finite[:, None], delta_r2star[:, passage], 0.0), axis=1)
    early = place < np.median(place[usable]) if usable.any() else np.zeros(len(mean), bool)
    # The floor of the noise is that of the darkest voxels, where the magnitude is Rician.
    floor = _FLOOR_SIGMA * float(np.median(noise[usable])) if usable.any() else 0.0
    checks = {
        Reason.NOT_FINITE: ~finite,
        Reason.VOID: mean < _VOID_PART * middle,
        Reason.LOW_SNR: mean < _MIN_SNR * noise,
        Reason.NO_BOLUS: height < 3.0 * scatter,
        Reason.SATURATED: lowest < floor,
        Reason.VESSEL: (area > _VESSEL_TIMES * typical) & early & ~lesion,
    }
    reasons = np.zeros(len(mean), np.uint8)
    for bit, found in checks.items():
        reasons |= np.where(found, np.uint8(bit), np.uint8(0))
    return reasons
