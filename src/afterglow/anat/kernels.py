"""Compiled inner loops of the anatomical stage: sampling, spline coefficients, distances.

Importing this module loads numba; callers import it inside their functions. The machine code is
kept in ``NUMBA_CACHE_DIR``, or beside the module, between processes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])

_SLACK = 1e-6
_POLE = 3.0**0.5 - 2.0
_FAR = 1e12


def compiled(function: F) -> F:
    """Compile a loop, with a cache on disk where one can be written.

    Sums stay in the order in which they are written. Reordered, as they are in kernels that gain by
    it, bits depend on whether a callee was compiled in this process or loaded from the cache.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        return cast("F", numba.njit(cache=True, **options)(function))
    except RuntimeError:
        return cast("F", numba.njit(cache=False, **options)(function))


@compiled
def _mirrored(index: int, n: int) -> int:
    """Reflect an index about the centres of the outermost voxels."""
    if n == 1:
        return 0
    if index < 0:
        index = -index
    if index > n - 1:
        index = 2 * (n - 1) - index
    return index


@compiled
def _cubic(t: float, weights: NDArray[np.float32]) -> None:
    """Fill in the weights of the four nodes around a point ``t`` beyond the second of them."""
    s = 1.0 - t
    weights[0] = np.float32(s * s * s / 6.0)
    weights[1] = np.float32(2.0 / 3.0 - 0.5 * t * t * (2.0 - t))
    weights[2] = np.float32(2.0 / 3.0 - 0.5 * s * s * (2.0 - s))
    weights[3] = np.float32(t * t * t / 6.0)


@compiled
def _linear_at(
    source: NDArray[np.float32], flat: NDArray[np.float32], x: float, y: float, z: float
) -> float:
    nx, ny, nz = source.shape
    x, y, z = min(max(x, 0.0), nx - 1.0), min(max(y, 0.0), ny - 1.0), min(max(z, 0.0), nz - 1.0)
    a, b, c = int(x), int(y), int(z)
    u, v, w = x - a, y - b, z - c
    # Unsigned offsets spare the test for negative indices at every load.
    e = np.uint64((a * ny + b) * nz + c)
    p = np.uint64(ny * nz if a + 1 < nx else 0)
    q = np.uint64(nz if b + 1 < ny else 0)
    r = np.uint64(1 if c + 1 < nz else 0)
    f, g, h = e + q, e + p, e + p + q
    low = (1.0 - v) * ((1.0 - w) * flat[e] + w * flat[e + r]) + v * (
        (1.0 - w) * flat[f] + w * flat[f + r]
    )
    high = (1.0 - v) * ((1.0 - w) * flat[g] + w * flat[g + r]) + v * (
        (1.0 - w) * flat[h] + w * flat[h + r]
    )
    return float((1.0 - u) * low + u * high)


@compiled
def _cubic_at(
    source: NDArray[np.float32],
    flat: NDArray[np.float32],
    x: float,
    y: float,
    z: float,
    wx: NDArray[np.float32],
    wy: NDArray[np.float32],
    wz: NDArray[np.float32],
) -> float:
    nx, ny, nz = source.shape
    x, y, z = min(max(x, 0.0), nx - 1.0), min(max(y, 0.0), ny - 1.0), min(max(z, 0.0), nz - 1.0)
    a, b, c = int(x), int(y), int(z)
    _cubic(x - a, wx)
    _cubic(y - b, wy)
    _cubic(z - c, wz)
    total = np.float32(0.0)
    if a >= 1 and b >= 1 and c >= 1 and a < nx - 2 and b < ny - 2 and c < nz - 2:
        w0, w1, w2, w3 = wz[0], wz[1], wz[2], wz[3]
        # As in _linear_at.
        at = np.uint64(((a - 1) * ny + b - 1) * nz + c - 1)
        one, two, three = np.uint64(1), np.uint64(2), np.uint64(3)
        for i in range(4):
            n = at + np.uint64(i * ny * nz)
            plane = np.float32(0.0)
            for j in range(4):
                row = w0 * flat[n] + w1 * flat[n + one] + w2 * flat[n + two] + w3 * flat[n + three]
                plane += wy[j] * row
                n += np.uint64(nz)
            total += wx[i] * plane
        return float(total)
    for i in range(4):
        p = _mirrored(a - 1 + i, nx)
        for j in range(4):
            q = _mirrored(b - 1 + j, ny)
            for k in range(4):
                total += wx[i] * wy[j] * wz[k] * source[p, q, _mirrored(c - 1 + k, nz)]
    return float(total)


@compiled
def affine_grid(
    source: NDArray[np.float32],
    m: NDArray[np.float64],
    order: int,
    fill: float,
    out: NDArray[np.float32],
) -> None:
    """Fill ``out``: index (i, j, k) takes ``source`` at ``m @ (i, j, k, 1)``, ``fill`` outside."""
    nx, ny, nz = source.shape
    flat = source.reshape(source.size)
    wx, wy, wz = np.empty(4, np.float32), np.empty(4, np.float32), np.empty(4, np.float32)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                x = m[0, 0] * i + m[0, 1] * j + m[0, 2] * k + m[0, 3]
                y = m[1, 0] * i + m[1, 1] * j + m[1, 2] * k + m[1, 3]
                z = m[2, 0] * i + m[2, 1] * j + m[2, 2] * k + m[2, 3]
                if (
                    min(x, y, z) < -_SLACK
                    or x > nx - 1 + _SLACK
                    or y > ny - 1 + _SLACK
                    or z > nz - 1 + _SLACK
                ):
                    out[i, j, k] = fill
                elif order == 0:
                    out[i, j, k] = source[int(x + 0.5), int(y + 0.5), int(z + 0.5)]
                elif order == 1:
                    out[i, j, k] = _linear_at(source, flat, x, y, z)
                else:
                    out[i, j, k] = _cubic_at(source, flat, x, y, z, wx, wy, wz)


@compiled
def points(
    source: NDArray[np.float32], index: NDArray[np.float64], order: int, out: NDArray[np.float64]
) -> None:
    """Fill ``out`` with ``source`` at fractional indices, shape (3, n); the border repeats."""
    flat = source.reshape(source.size)
    wx, wy, wz = np.empty(4, np.float32), np.empty(4, np.float32), np.empty(4, np.float32)
    for n in range(index.shape[1]):
        if order <= 1:
            out[n] = _linear_at(source, flat, index[0, n], index[1, n], index[2, n])
        else:
            out[n] = _cubic_at(source, flat, index[0, n], index[1, n], index[2, n], wx, wy, wz)


@compiled
def spline_lines(lines: NDArray[np.float32], horizon: int) -> None:
    """Turn samples along the middle axis into cubic B-spline coefficients, in place (Unser 1993).

    ``horizon`` terms start the causal recursion; the ends are mirrored.
    """
    outer, n, inner = lines.shape
    gain = (1.0 - _POLE) * (1.0 - 1.0 / _POLE)
    last = _POLE / (_POLE * _POLE - 1.0)
    first = np.empty(inner)
    for a in range(outer):
        first[:] = 0.0
        weight = gain
        for i in range(horizon):
            j = i % (2 * n - 2)
            j = min(j, 2 * n - 2 - j)
            for b in range(inner):
                first[b] += weight * lines[a, j, b]
            weight *= _POLE
        for b in range(inner):
            lines[a, 0, b] = first[b]
        for i in range(1, n):
            for b in range(inner):
                lines[a, i, b] = gain * lines[a, i, b] + _POLE * lines[a, i - 1, b]
        for b in range(inner):
            lines[a, n - 1, b] = last * (lines[a, n - 1, b] + _POLE * lines[a, n - 2, b])
        for i in range(n - 2, -1, -1):
            for b in range(inner):
                lines[a, i, b] = _POLE * (lines[a, i + 1, b] - lines[a, i, b])


@compiled
def squared_distance(field: NDArray[np.float32], step: float) -> None:
    """Lower every value to the least ``field[j] + (step (i - j))^2`` along the middle axis.

    Run over all axes, from 0 in a set and a large number elsewhere, it gives the squared Euclidean
    distance from the set (Felzenszwalb and Huttenlocher 2012).
    """
    outer, n, inner = field.shape
    best = np.empty(n, np.int64)
    edge = np.empty(n + 1)
    line = np.empty(n)
    square = step * step
    for a in range(outer):
        for b in range(inner):
            top = -1
            for i in range(n):
                line[i] = field[a, i, b]
                if line[i] >= _FAR:
                    continue
                cut = -_FAR
                while top >= 0:
                    j = best[top]
                    cut = ((line[i] - line[j]) / square + i * i - j * j) / (2.0 * (i - j))
                    if cut > edge[top]:
                        break
                    top -= 1
                top += 1
                best[top] = i
                edge[top] = cut if top > 0 else -_FAR
            if top < 0:
                continue
            at = 0
            for i in range(n):
                while at < top and edge[at + 1] < i:
                    at += 1
                j = best[at]
                field[a, i, b] = line[j] + square * (i - j) * (i - j)
