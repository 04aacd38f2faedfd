"""The last search of every voxel: damped Gauss-Newton steps on the projected residual, compiled.

For given rates and delay the best factors follow at once, so that the steps go in rates and delay
alone (Golub and Pereyra 1973, in the form of Kaufman 1975).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from afterglow.perfusion.compiled import kernel
from afterglow.perfusion.dce_columns import build, jacobian
from afterglow.perfusion.dce_linear import TINY, best_factors, copy, dot, solve

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_MAX_ITERATIONS = 40
_TOLERANCE = 1e-8


@kernel
def project(
    y: Array,
    columns: Array,
    n: int,
    lower: Array,
    upper: Array,
    beta: Array,
    residual: Array,
    small: Array,
) -> float:
    """Fill the best factors and the residual; return its sum of squares."""
    g, yy = small[0], small[1]
    for j in range(n):
        yy[j] = dot(y, columns[j])
    g[0] = dot(columns[0], columns[0])
    if n == 2:
        g[1] = dot(columns[0], columns[1])
        g[2] = dot(columns[1], columns[1])
    best_factors(g, yy, n, lower, upper, beta)
    for i in range(y.size):
        residual[i] = y[i] - beta[0] * columns[0, i]
    if n == 2:
        for i in range(y.size):
            residual[i] -= beta[1] * columns[1, i]
    return dot(residual, residual)


@kernel
def subtract(y: Array, beta: Array, columns: Array, n: int, residual: Array) -> None:
    """Fill the residual of the first ``n`` columns."""
    for i in range(y.size):
        total = y[i]
        for j in range(n):
            total -= beta[j] * columns[j, i]
        residual[i] = total


@kernel
def gauss_newton_step(
    n: int,
    m: int,
    jac: Array,
    residual: Array,
    beta: Array,
    lower: Array,
    upper: Array,
    damping: float,
    normal: Array,
    step: Array,
    place: Array,
) -> bool:
    """Fill the step of rates and delay (last ``m - n`` of ``step``); factors at a bound rest."""
    free = 0
    for a in range(m):
        if a >= n or (lower[a] < beta[a] < upper[a]):
            place[free] = a
            free += 1
    for p in range(free):
        a = int(place[p])
        step[p] = dot(jac[a], residual)
        for q in range(p + 1):
            normal[p, q] = dot(jac[a], jac[int(place[q])])
        scale = 1e-13 if a < n else damping
        normal[p, p] += scale * normal[p, p] + TINY
    if not solve(normal, step, free):
        return False
    shift_by = free - (m - n)
    for a in range(m - n):
        step[n + a] = step[shift_by + a]
    return True


@kernel
def take_step(
    theta: Array,
    step: Array,
    n: int,
    m: int,
    fit_delay: bool,
    unit: float,
    low: Array,
    high: Array,
    trial: Array,
) -> float:
    """Fill the next rates and delay within bounds; return how far the farthest has moved."""
    moved = 0.0
    rates = m - n - (1 if fit_delay else 0)
    for a in range(rates):
        jump = min(max(step[n + a], -1.5), 1.5)
        trial[a] = min(max(theta[a] * math.exp(jump), low[a]), high[a])
        moved = max(moved, abs(math.log(trial[a] / theta[a])))
    if fit_delay:
        jump = min(max(step[m - 1], -3.0 * unit), 3.0 * unit)
        trial[2] = min(max(theta[2] + jump, low[2]), high[2])
        moved = max(moved, abs(trial[2] - theta[2]) / unit)
    return moved


@kernel
def refine(
    kinds: NDArray[np.int64],
    y: Array,
    theta: Array,
    mode: int,
    t: Array,
    h: Array,
    c: Array,
    root_weight: Array,
    lower: Array,
    upper: Array,
    low: Array,
    high: Array,
    beta: Array,
    work: Array,
    normal: Array,
    small: Array,
) -> tuple[float, int, bool]:
    """Move rates and delay to the least sum of squares.

    ``theta`` holds two rates and the delay; ``mode`` is 2 where the delay is fitted; ``work`` has
    at least 16 rows of ``n_time``. Returns the sum of squares, the number of parameters and
    whether the search came to rest. ``work[10:10 + parameters]`` then holds the derivatives in
    factors, log rates and delay.
    """
    n = kinds.size
    fit_delay = mode == 2
    columns, by_rate, by_delay = work[0:2], work[2:4], work[4:8]
    residual, jac = work[8], work[10:15]
    step, place, trial, trial_beta = small[7], small[8], small[9, :3], small[10, :2]
    copy(theta, trial)
    rss, damping, moved, m = math.inf, 1e-6, math.inf, n
    for _ in range(_MAX_ITERATIONS):
        build(kinds, trial, trial[2], t, h, c, root_weight, fit_delay, columns, by_rate, by_delay)
        new = project(y, columns, n, lower, upper, trial_beta, residual, small)
        if new <= rss:
            calm = moved < 1e-3 and rss - new <= 1e-10 * rss
            rss = new
            copy(trial, theta)
            copy(trial_beta, beta)
            m = jacobian(kinds, fit_delay, beta, columns, by_rate, by_delay, jac)
            damping *= 0.1
            if calm or m == n:
                return rss, m, True
        else:
            if moved < 1e-6:
                return rss, m, True
            # The residual must belong to theta again before the next step is taken.
            damping = max(damping, 1e-4) * 10.0
            subtract(y, beta, jac, n, residual)
        while not gauss_newton_step(
            n, m, jac, residual, beta, lower, upper, damping, normal, step, place
        ):
            damping = max(damping, 1e-5) * 10.0
            if damping > 1e10:
                return rss, m, False
        moved = take_step(theta, step, n, m, fit_delay, h[0], low, high, trial)
        if moved < _TOLERANCE:
            return rss, m, True
    return rss, m, False
