"""Maps of the uncorrected curves: recovery, peak heights and time to peak."""

from __future__ import annotations

from typing import TYPE_CHECKING

from afterglow.errors import NotEvaluable
from afterglow.perfusion.dsc_measures import peak_height, psr, time_to_peak
from afterglow.perfusion.dsc_slices import after_frame_time

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from afterglow.perfusion.dsc_series import Work


def add_signal_measures(work: Work, good: NDArray[np.bool_]) -> None:
    """Add PSR, PH, PHdR2s and TTP; PSR only where the series reaches its tail."""
    windows = work.windows
    baseline = work.frames(windows.baseline)
    known = {"arrival": windows.arrival, "baseline": baseline}
    passage = work.frames(windows.first_pass)
    lasts = float(work.time[passage[1] - 1] - windows.arrival)
    try:
        found = psr(work.signal, work.time, tail=windows.tail_seconds, **known)  # type: ignore[arg-type]
        work.add("PSR", found, good)
    except NotEvaluable as reason:
        work.warnings.append(f"no PSR: {reason}")
    relative = peak_height(work.signal, work.time, first_pass=lasts, **known)  # type: ignore[arg-type]
    work.add("PH", relative, good)
    rates = peak_height(work.rates, work.time, kind="dr2s", first_pass=lasts, **known)  # type: ignore[arg-type]
    work.add("PHdR2s", rates, good)
    peak = time_to_peak(work.rates, work.time, passage) - windows.arrival
    work.add("TTP", peak + after_frame_time(work.series), good)
