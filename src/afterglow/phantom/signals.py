"""The signal of every tissue at every frame of a series."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from afterglow.phantom import physics
from afterglow.phantom.physics import Course, Curve, Tissue
from afterglow.phantom.plan import CenterPlan
from afterglow.phantom.protocol import injections
from afterglow.phantom.series import Series

SESSION_END = 1600.0
# The part of a 3D frame in which the middle of k-space is acquired, and in how many points the
# signal is averaged over it.
_MIDDLE, _POINTS = (0.35, 0.65), 32
_NODE = 0.10


def tissue_signal(
    center: CenterPlan, series: Series, tissue: Tissue, offsets: Curve, transmit: float = 0.0
) -> Curve:
    """Return the noise-free signal of one tissue, shape (offsets, frames).

    Parameters
    ----------
    center, series, tissue
        Who acquires what.
    offsets : ndarray
        When slices are excited within a frame, s.
    transmit : float
        Relative deviation of the flip angle from its nominal value.
    """
    contrast = course_of(center, tissue)
    flip = series.flip * (1.0 + transmit)
    times = series.start + offsets[:, None] + np.asarray(series.frame_starts())
    if series.method == "epi":
        relaxivity = relaxivity_of(center)
        return physics.gradient_epi(tissue, times, contrast, relaxivity, series.te, flip)
    if series.method == "spgr":
        if series.frames > 1:
            low, high = _MIDDLE
            window = low + (high - low) * (np.arange(_POINTS) + 0.5) / _POINTS
            times = times[..., None] + series.frame_time * window
        r1, r2s = _rates(center, tissue, contrast, times)
        signal = physics.spgr(tissue, r1, series.tr, series.te, flip, r2s)
        return signal.mean(axis=-1) if series.frames > 1 else signal
    r1, _ = _rates(center, tissue, contrast, times)
    value = physics.flair(tissue, float(r1.flat[0]), series.tr, series.te, series.ti)
    return np.full((offsets.size, 1), value)


def signal_terms(
    center: CenterPlan, series: Series, tissues: Mapping[str, Tissue], offsets: Curve
) -> Curve:
    """Return signals as a parabola in the deviation of the flip angle.

    Returns
    -------
    ndarray, shape (terms, offsets, tissues, frames)
        Coefficients of powers 0, 1 and 2; the first alone where flip angles do not matter.
    """
    nodes = (0.0,) if series.method == "flair" else (-_NODE, 0.0, _NODE)
    low, middle, high = (
        np.stack([tissue_signal(center, series, t, offsets, node) for t in tissues.values()], 1)
        for node in (nodes[0], 0.0, nodes[-1])
    )
    if len(nodes) == 1:
        return middle[None]
    slope = (high - low) / (2.0 * _NODE)
    bend = (high + low - 2.0 * middle) / (2.0 * _NODE**2)
    return np.stack([middle, slope, bend])


def relaxivity_of(center: CenterPlan) -> float:
    """Return r1 of a center's agent at its field, 1/s/mM."""
    return physics.RELAXIVITY[center.agent][int(center.field > 2.0)]


@lru_cache(maxsize=64)
def course_of(center: CenterPlan, tissue: Tissue) -> Course:
    """Return the course of contrast in one tissue over a session."""
    time, blood = blood_of(center)
    return physics.course(tissue, time, blood, center.hematocrit, center.field)


@lru_cache(maxsize=4)
def blood_of(center: CenterPlan) -> tuple[Curve, Curve]:
    """Return the session clock (s) and the concentration in arterial blood (mM)."""
    time = physics.clock(SESSION_END)
    return time, physics.arterial_blood(time, injections(center))


def _rates(
    center: CenterPlan, tissue: Tissue, contrast: Course, times: Curve
) -> tuple[Curve, Curve]:
    """Return R1 and the R2* that contrast adds at given times, 1/s.

    Between grid points by a cubic spline: where a bolus sets in, straight lines are 0.1 % off.
    """
    from scipy.interpolate import CubicSpline

    near = slice(*np.searchsorted(contrast.time, (times.min() - 1.0, times.max() + 1.0)))
    both = np.stack([contrast.concentration[near], contrast.r2s[near]], axis=-1)
    found = CubicSpline(contrast.time[near], both)(times)
    return 1.0 / tissue.t1 + relaxivity_of(center) * found[..., 0], found[..., 1]
