"""Blood flow maps of a series: its arterial input, and the deconvolution with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from afterglow.perfusion.aif_detect import ArterialInput, detect
from afterglow.perfusion.dsc_deconvolution import deconvolve
from afterglow.perfusion.dsc_reason import Reason, judge_voxels
from afterglow.perfusion.dsc_series import as_flags
from afterglow.perfusion.dsc_slices import after_artery

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.perfusion.dsc_series import Work

_BLOCKING = np.uint8(Reason.NOT_FINITE | Reason.SATURATED | Reason.LOW_SNR | Reason.NO_BOLUS)


def add_flow(work: Work, corrected: NDArray[np.float64], good: NDArray[np.bool_]) -> ArterialInput:
    """Add CBF, MTT, Tmax, delay (and CTH) where an arterial input is found; return the input."""
    found = find_artery(work)
    if not found.evaluable:
        work.warnings.append(f"no CBF, MTT, Tmax: no arterial input ({found.reason})")
        return found
    config = work.config
    maps = deconvolve(
        corrected,
        found.curve,
        work.time,
        config.deconvolution,
        threshold=config.svd_threshold,
        oscillation_index=config.oscillation_index,
    )
    shift = after_artery(work.series, found.voxels)
    usable = good & maps.evaluable
    for name, values in (("CBF", maps.cbf), ("MTT", maps.mtt)):
        work.add(name, values, usable)
    work.add("Tmax", maps.tmax + shift, usable)
    work.add("delay", maps.delay + shift, usable)
    if maps.cth is not None:
        work.add("CTH", maps.cth, usable)
    return found


def find_artery(work: Work) -> ArterialInput:
    """Find the arterial input around the brain, outside lesions and without saturated voxels.

    ``metrics["n_saturated"]`` counts the voxels left out because the bolus took their signal to
    the noise floor, where delta R2* is cut off.
    """
    series, windows = work.series, work.windows
    where = series.mask if series.search is None else series.search | series.mask
    if series.lesions is not None:
        where = where & ~series.lesions
    signal, rates = series.rows(where, windows.baseline)
    reasons = judge_voxels(
        signal,
        rates,
        work.frames(windows.baseline),
        work.frames(windows.first_pass),
        np.zeros(len(rates), bool),
    )
    volume = np.full((*where.shape, work.time.size), np.nan, np.float32)
    volume[where] = rates
    found = detect(volume, work.time, as_flags((reasons & _BLOCKING) == 0, where), kind="dsc")
    found.metrics["n_saturated"] = int(np.count_nonzero(reasons & Reason.SATURATED))
    return found
