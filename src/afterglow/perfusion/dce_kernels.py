"""The fit of one block of voxels, compiled: variable projection with an exact convolution.

Every model here is a sum of at most two columns (input, its integral, its convolution with an
exponential) that are linear in their factors, and depends otherwise on at most two rates and one
delay. For given rates and delay the best factors follow at once, so the search runs over rates and
delay alone: first over a dictionary that all voxels share, then by damped Gauss-Newton steps on the
projected residual (Golub and Pereyra 1973, in the form of Kaufman 1975).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from afterglow.perfusion.compiled import kernel
from afterglow.perfusion.convolution import convolve, shift

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

INPUT, INTEGRAL, EXPONENTIAL = 0, 1, 2
"""Kinds of columns."""

_MAX_ITERATIONS = 40
_TOLERANCE = 1e-8
_TINY = 1e-300


@kernel
def dot(a: Array, b: Array) -> float:
    """Return the inner product."""
    total: float = 0.0
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@kernel
def copy(source: Array, target: Array) -> None:
    """Copy a vector (an array assignment costs seconds of compilation, a loop nothing)."""
    for i in range(source.size):
        target[i] = source[i]


@kernel
def best_factors(g: Array, y: Array, n: int, lower: Array, upper: Array, beta: Array) -> float:
    """Fill the factors of one or two columns within bounds; return the drop in squares.

    ``g`` holds the products of the columns (00, 01, 11), ``y`` those with the data.
    """
    beta[1] = 0.0
    if n == 1:
        x = y[0] / g[0] if g[0] > _TINY else 0.0
        beta[0] = min(max(x, lower[0]), upper[0])
        only: float = beta[0] * (2.0 * y[0] - beta[0] * g[0])
        return only
    det = g[0] * g[2] - g[1] * g[1]
    if det > 1e-13 * g[0] * g[2]:
        x0 = (y[0] * g[2] - y[1] * g[1]) / det
        x1 = (y[1] * g[0] - y[0] * g[1]) / det
        if lower[0] <= x0 <= upper[0] and lower[1] <= x1 <= upper[1]:
            beta[0], beta[1] = x0, x1
            inner: float = x0 * y[0] + x1 * y[1]
            return inner
    best = -math.inf
    for edge in range(4):
        fixed = edge // 2
        free = 1 - fixed
        value = lower[fixed] if edge % 2 == 0 else upper[fixed]
        gf = g[0] if free == 0 else g[2]
        other = (y[free] - g[1] * value) / gf if gf > _TINY else 0.0
        other = min(max(other, lower[free]), upper[free])
        x0 = other if free == 0 else value
        x1 = value if free == 0 else other
        drop = 2 * (x0 * y[0] + x1 * y[1]) - (x0 * x0 * g[0] + 2 * x0 * x1 * g[1] + x1 * x1 * g[2])
        if drop > best:
            best = drop
            beta[0], beta[1] = x0, x1
    return best


@kernel
def build(
    kinds: NDArray[np.int64],
    rates: Array,
    delay: float,
    t: Array,
    h: Array,
    c: Array,
    root_weight: Array,
    with_delay: bool,
    columns: Array,
    by_rate: Array,
    by_delay: Array,
) -> None:
    """Fill the weighted columns and their derivatives in (log) rate and in delay."""
    which = 0
    for j in range(kinds.size):
        if kinds[j] == INPUT and not with_delay and delay == 0.0:
            for i in range(t.size):
                columns[j, i] = c[i] * root_weight[i]
            continue
        if kinds[j] == INPUT:
            shift(delay, t, h, c, columns[j], by_delay[j])
            for i in range(t.size):
                columns[j, i] *= root_weight[i]
                by_delay[j, i] *= -root_weight[i]
            continue
        k = 0.0
        if kinds[j] == EXPONENTIAL:
            k = rates[which]
            which += 1
        convolve(k, delay, t, h, c, columns[j], by_rate[j])
        if with_delay:
            shift(delay, t, h, c, by_delay[j], by_delay[j + 2])
            for i in range(t.size):
                by_delay[j, i] = root_weight[i] * (k * columns[j, i] - by_delay[j, i])
        for i in range(t.size):
            columns[j, i] *= root_weight[i]
            by_rate[j, i] *= k * root_weight[i]


@kernel
def search(  # noqa: C901 (one loop over the dictionary for all models is what makes it fast)
    kinds: NDArray[np.int64],
    y: Array,
    book: Array,
    fixed: Array,
    grams: Array,
    pairs: Array,
    lower: Array,
    upper: Array,
    first: int,
    last: int,
    products: Array,
    beta: Array,
    small: Array,
) -> tuple[int, int, int]:
    """Return the places (delay, rate, second rate) in the dictionary that fit best.

    ``book[d, r]`` holds the exponential columns, ``fixed[d]`` the other column, ``grams[d, r]``
    their products (00, 01, 11) in the order of the model, ``pairs[d, r, s]`` the products of two
    exponentials. Only delays from ``first`` up to ``last`` are tried.
    """
    n = kinds.size
    best = -math.inf
    found = (first, 0, 0)
    yy, g = small[0], small[1]
    n_rates = book.shape[1]
    exponentials = 0
    for kind in kinds:
        exponentials += kind == EXPONENTIAL
    for d in range(first, last):
        if exponentials < n:
            yy[0] = dot(y, fixed[d])
        if exponentials == 0:
            yy[1] = dot(y, book[d, 0])
            drop = best_factors(grams[d, 0], yy, n, lower, upper, beta)
            if drop > best:
                best = drop
                found = (d, 0, 0)
            continue
        for r in range(n_rates):
            products[r] = dot(y, book[d, r])
        if exponentials == 2:
            for r in range(n_rates):
                yy[0] = products[r]
                g[0] = pairs[d, r, r]
                for s in range(r):
                    yy[1] = products[s]
                    g[1] = pairs[d, r, s]
                    g[2] = pairs[d, s, s]
                    drop = best_factors(g, yy, n, lower, upper, beta)
                    if drop > best:
                        best = drop
                        found = (d, r, s)
            continue
        for r in range(n_rates):
            yy[n - 1] = products[r]
            drop = best_factors(grams[d, r], yy, n, lower, upper, beta)
            if drop > best:
                best = drop
                found = (d, r, 0)
    return found


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
def solve(a: Array, b: Array, n: int) -> bool:
    """Solve ``a x = b`` in place for a small positive definite matrix (Cholesky)."""
    for i in range(n):
        for j in range(i + 1):
            total = a[i, j]
            for k in range(j):
                total -= a[i, k] * a[j, k]
            if i == j:
                if total <= 1e-14 * abs(a[i, i]) or not total > 0.0:
                    return False
                a[i, i] = math.sqrt(total)
            else:
                a[i, j] = total / a[j, j]
    for i in range(n):
        for k in range(i):
            b[i] -= a[i, k] * b[k]
        b[i] /= a[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            b[i] -= a[k, i] * b[k]
        b[i] /= a[i, i]
    return True


@kernel
def jacobian(
    kinds: NDArray[np.int64],
    with_delay: bool,
    beta: Array,
    columns: Array,
    by_rate: Array,
    by_delay: Array,
    out: Array,
) -> int:
    """Fill the derivatives in factors, log rates, delay; return how many there are."""
    n = kinds.size
    m = n
    for j in range(n):
        copy(columns[j], out[j])
    for j in range(n):
        if kinds[j] == EXPONENTIAL:
            for i in range(columns.shape[1]):
                out[m, i] = beta[j] * by_rate[j, i]
            m += 1
    if with_delay:
        for i in range(columns.shape[1]):
            out[m, i] = beta[0] * by_delay[0, i]
            if n == 2:
                out[m, i] += beta[1] * by_delay[1, i]
        m += 1
    return m


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
        normal[p, p] += scale * normal[p, p] + _TINY
    if not solve(normal, step, free):
        return False
    shift_by = free - (m - n)
    for a in range(m - n):
        step[n + a] = step[shift_by + a]
    return True


@kernel
def subtract(y: Array, beta: Array, columns: Array, n: int, residual: Array) -> None:
    """Fill the residual of the first ``n`` columns."""
    for i in range(y.size):
        total = y[i]
        for j in range(n):
            total -= beta[j] * columns[j, i]
        residual[i] = total


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


@kernel
def invert(jac: Array, m: int, normal: Array, small: Array, out: Array) -> bool:
    """Fill the inverse of the normal matrix of ``m`` columns, scaled to unit columns first."""
    scale, column = small[0], small[1]
    for a in range(m):
        scale[a] = math.sqrt(dot(jac[a], jac[a]))
        if not scale[a] > 1e-150:
            return False
    for a in range(m):
        for b in range(a + 1):
            small[2 + a, b] = dot(jac[a], jac[b]) / (scale[a] * scale[b])
    for r in range(m):
        for a in range(m):
            copy(small[2 + a], normal[a])
            column[a] = 1.0 if a == r else 0.0
        if not solve(normal, column, m):
            return False
        for a in range(m):
            out[a, r] = column[a] / (scale[a] * scale[r])
    return True


@kernel
def nearest(grid: Array, value: float) -> int:
    """Return the index of the nearest grid point."""
    best = 0
    for i in range(grid.size):
        if abs(grid[i] - value) < abs(grid[best] - value):
            best = i
    return best


@kernel
def spike(y: Array, beta: Array, work: Array, n: int) -> float:
    """Return the largest residual over the mean of the other residuals' sizes."""
    total = 0.0
    top = 0.0
    for i in range(y.size):
        r = y[i]
        for j in range(n):
            r -= beta[j] * work[10 + j, i]
        total += abs(r)
        top = max(top, abs(r))
    rest = (total - top) / max(y.size - 1, 1)
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
) -> None:
    """Fit the voxels of ``data`` (n_voxels, n_time) from ``start`` up to ``stop``.

    ``mode`` is 0 for no delay, 1 for the delay of each voxel in ``delays``, 2 for a fitted one.
    Fills ``parameters`` (two factors, two rates, delay), the unscaled ``covariance`` in factors,
    log rates, delay, the weighted residual's sum of squares, and ``largest``, its largest value
    over the mean of the others.
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
        largest[v] = spike(y, beta, work, n)


@kernel
def fill_book(
    kinds: NDArray[np.int64],
    t: Array,
    h: Array,
    c: Array,
    root_weight: Array,
    grid_rates: Array,
    grid_delays: Array,
    book: Array,
    fixed: Array,
    grams: Array,
    pairs: Array,
) -> None:
    """Fill the dictionary that all voxels share: columns and their products."""
    n = kinds.size
    exponentials = 0
    for kind in kinds:
        exponentials += kind == EXPONENTIAL
    scrap, other = np.empty(t.size), np.empty(t.size)
    for d in range(grid_delays.size):
        if kinds[0] == INPUT:
            shift(grid_delays[d], t, h, c, other, scrap)
        else:
            convolve(0.0, grid_delays[d], t, h, c, other, scrap)
        for i in range(t.size):
            fixed[d, i] = other[i] * root_weight[i]
        for r in range(grid_rates.size):
            rate = grid_rates[r] if exponentials > 0 else 0.0
            convolve(rate, grid_delays[d], t, h, c, other, scrap)
            for i in range(t.size):
                book[d, r, i] = other[i] * root_weight[i]
            square = dot(book[d, r], book[d, r])
            if n == 1:
                grams[d, r, 0] = square
            else:
                grams[d, r, 0] = dot(fixed[d], fixed[d])
                grams[d, r, 1] = dot(fixed[d], book[d, r])
                grams[d, r, 2] = square
            if exponentials == 2:
                for s in range(r + 1):
                    pairs[d, r, s] = dot(book[d, r], book[d, s])


@kernel
def predict_block(
    kinds: NDArray[np.int64],
    parameters: Array,
    t: Array,
    h: Array,
    c: Array,
    out: Array,
) -> None:
    """Fill the model curves (n_voxels, n_time) of parameters (two factors, two rates, delay)."""
    n = kinds.size
    n_voxels, n_time = out.shape
    work, ones = np.zeros((8, n_time)), np.ones(n_time)
    for v in range(n_voxels):
        p = parameters[v]
        build(kinds, p[2:4], p[4], t, h, c, ones, False, work[0:2], work[2:4], work[4:8])
        for i in range(n_time):
            out[v, i] = p[0] * work[0, i] + (p[1] * work[1, i] if n == 2 else 0.0)
