"""Small dense linear algebra of the kinetic fits, compiled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from afterglow.perfusion.compiled import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

TINY = 1e-300
"""Below this a sum of squares counts as nothing."""


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
        x = y[0] / g[0] if g[0] > TINY else 0.0
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
        other = (y[free] - g[1] * value) / gf if gf > TINY else 0.0
        other = min(max(other, lower[free]), upper[free])
        x0 = other if free == 0 else value
        x1 = value if free == 0 else other
        drop = 2 * (x0 * y[0] + x1 * y[1]) - (x0 * x0 * g[0] + 2 * x0 * x1 * g[1] + x1 * x1 * g[2])
        if drop > best:
            best = drop
            beta[0], beta[1] = x0, x1
    return best


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
