"""Compiled T1 fits: the signal scale is solved for, the search runs over rate (and B1)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from afterglow.perfusion.compiled import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_MAX_ITERATIONS = 40


@kernel
def ernst(angle: float, e1: float) -> tuple[float, float]:
    """Return the spoiled steady state for unit magnetization and its derivative in ``e1``."""
    s, c = math.sin(angle), math.cos(angle)
    down = 1.0 - c * e1
    return s * (1.0 - e1) / down, s * (c - 1.0) / (down * down)


@kernel
def residual_square(y: Array, angles: Array, tr: Array, rate: float, sums: Array) -> float:
    """Return the sum of squares at a rate with the best scale; fill the sums a step needs.

    ``sums``: scale, products model-model, model-slope, slope-slope, slope-residual (slope in the
    logarithm of the rate, times the scale).
    """
    ff = fy = 0.0
    for i in range(y.size):
        f, _ = ernst(angles[i], math.exp(-tr[i] * rate))
        ff += f * f
        fy += f * y[i]
    scale = fy / ff if ff > 0.0 else 0.0
    rss = fd = dd = dr = 0.0
    for i in range(y.size):
        e1 = math.exp(-tr[i] * rate)
        f, slope = ernst(angles[i], e1)
        d = -scale * slope * e1 * tr[i] * rate
        r = y[i] - scale * f
        rss += r * r
        fd += f * d
        dd += d * d
        dr += d * r
    sums[0], sums[1], sums[2], sums[3], sums[4] = scale, ff, fd, dd, dr
    return rss


@kernel
def fit_rates(
    first: int,
    stop: int,
    data: Array,
    angles: Array,
    b1: Array,
    tr: Array,
    start: Array,
    low: float,
    high: float,
    rate: Array,
    scale: Array,
    rss: Array,
    variances: Array,
    rested: NDArray[np.bool_],
) -> None:
    """Fit rate (1/s) and scale to signals of several flip angles (radians), of some voxels.

    ``variances`` receives the unscaled variances of log rate and of scale.
    """
    n = data.shape[1]
    sums, trial_sums, actual = np.zeros(5), np.zeros(5), np.zeros(n)
    for v in range(first, stop):
        y = data[v]
        for i in range(n):
            actual[i] = angles[i] * b1[v]
        here = min(max(start[v], low), high)
        best = residual_square(y, actual, tr, here, sums)
        damping = 1e-6
        calm = False
        for _ in range(_MAX_ITERATIONS):
            curvature = sums[3] - sums[2] * sums[2] / max(sums[1], 1e-300)
            if not curvature > 0.0:
                break
            step = sums[4] / (curvature * (1.0 + damping))
            step = min(max(step, -1.0), 1.0)
            there = min(max(here * math.exp(step), low), high)
            moved = abs(math.log(there / here))
            if moved < 1e-9:
                calm = True
                break
            new = residual_square(y, actual, tr, there, trial_sums)
            if new <= best:
                calm = moved < 1e-5 and best - new <= 1e-12 * best
                here, best = there, new
                for i in range(5):
                    sums[i] = trial_sums[i]
                damping *= 0.1
                if calm:
                    break
            else:
                damping = max(damping, 1e-3) * 10.0
                if moved < 1e-7 or damping > 1e10:
                    calm = True
                    break
        rate[v], scale[v], rss[v], rested[v] = here, sums[0], best, calm
        det = sums[1] * sums[3] - sums[2] * sums[2]
        good = det > 1e-14 * sums[1] * sums[3]
        variances[v, 0] = sums[1] / det if good else math.nan
        variances[v, 1] = sums[3] / det if good else math.nan
