"""The fit of one block of voxels, compiled: variable projection with an exact convolution.

Every model is linear in its factors and depends otherwise on at most two rates and one delay. The
search runs over these alone: first over a dictionary that all voxels share, then by damped
Gauss-Newton steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from afterglow.perfusion.compiled import kernel
from afterglow.perfusion.dce_dictionary import nearest, search
from afterglow.perfusion.dce_linear import dot, invert
from afterglow.perfusion.dce_refine import refine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@kernel
def spike(y: Array, beta: Array, work: Array, n: int, root_weight: Array) -> float:
    """Return the largest unexplained residual over the mean of the other residuals' sizes.

    Where the curve is steep, a residual up to its change from one frame to the next may come from
    the place of the bolus within a frame: only what exceeds that counts.
    """
    fitted, size = work[9], work[15]
    value = total = 0.0
    for i in range(y.size):
        size[i] = 0.0
        if root_weight[i] > 0.0:
            value = 0.0
            for j in range(n):
                value += beta[j] * work[10 + j, i]
            size[i] = abs(y[i] - value)
            value /= root_weight[i]
            total += size[i]
        fitted[i] = value
    top = whole = 0.0
    for i in range(y.size):
        change = abs(fitted[i] - fitted[i - 1]) if i > 0 else 0.0
        if i + 1 < y.size:
            change = max(change, abs(fitted[i + 1] - fitted[i]))
        beyond = size[i] - root_weight[i] * change
        if beyond > top:
            top = beyond
            whole = size[i]
    rest = (total - whole) / max(y.size - 1, 1)
    return top / rest if rest > 0.0 else 0.0


@kernel
def fit_block(
    kinds: NDArray[np.int64],
    start: int,
    stop: int,
    data: Array,
    mode: int,
    delays: Array,
    t: Array,
    h: Array,
    c: Array,
    root_weight: Array,
    lower: Array,
    upper: Array,
    low: Array,
    high: Array,
    grid_rates: Array,
    grid_delays: Array,
    book: Array,
    fixed: Array,
    grams: Array,
    pairs: Array,
    parameters: Array,
    covariance: Array,
    rss: Array,
    largest: Array,
    rested: NDArray[np.bool_],
    singular: NDArray[np.bool_],
    square: Array,
    highest: Array,
) -> None:
    """Fit the voxels of ``data`` (n_voxels, n_time) from ``start`` up to ``stop``.

    ``mode`` is 0 for no delay, 1 for the delay of each voxel in ``delays``, 2 for a fitted one.
    Fills ``parameters`` (two factors, two rates, delay), the unscaled ``covariance`` in factors,
    log rates, delay, the weighted residual's sum of squares, ``largest``, see :func:`spike`, and of
    the weighted curve itself the sum of squares and the ``highest`` size.
    """
    n = kinds.size
    n_time = data.shape[1]
    work = np.zeros((16, n_time))
    small = np.zeros((16, 5))
    y, products = np.empty(n_time), np.empty(grid_rates.size)
    theta, beta, normal = np.zeros(3), np.zeros(2), np.zeros((5, 5))
    for v in range(start, stop):
        for i in range(n_time):
            y[i] = data[v, i] * root_weight[i] if root_weight[i] > 0.0 else 0.0
            highest[v] = max(highest[v], abs(y[i]))
        square[v] = dot(y, y)
        first, last = 0, grid_delays.size
        if mode == 1:
            first = nearest(grid_delays, delays[v])
            last = first + 1
        place = search(
            kinds, y, book, fixed, grams, pairs, lower, upper, first, last, products, beta, small
        )
        theta[0], theta[1] = grid_rates[place[1]], grid_rates[place[2]]
        theta[2] = grid_delays[place[0]] if mode == 2 else delays[v]
        left, m, calm = refine(
            kinds,
            y,
            theta,
            mode,
            t,
            h,
            c,
            root_weight,
            lower,
            upper,
            low,
            high,
            beta,
            work,
            normal,
            small,
        )
        rss[v] = left
        rested[v] = calm
        singular[v] = not invert(work[10:15], m, normal, small, covariance[v])
        parameters[v, 0], parameters[v, 1] = beta[0], beta[1]
        parameters[v, 2], parameters[v, 3] = theta[0], theta[1]
        parameters[v, 4] = theta[2]
        largest[v] = spike(y, beta, work, n, root_weight)
