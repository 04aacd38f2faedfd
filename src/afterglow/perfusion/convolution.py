"""Exact convolution of a piecewise linear input with an exponential.

Between frames the input is a straight line, and the integral of a straight line times an
exponential is known, so that ``e(t) = integral of c(s) exp(-k (t - s)) ds`` follows from frame to
frame without error and at any spacing:
``e[i+1] = E e[i] + h (p0(kh) c[i] + p1(kh) c[i+1])``, ``E = exp(-kh)``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from afterglow.perfusion.compiled import kernel, recursion

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_SMALL = 0.05


@kernel
def step_weights(x: float) -> tuple[float, float, float, float, float]:
    """Return ``E, p0, p1`` of a step with ``x = k h``, and the derivatives of p0, p1 in x."""
    decay = math.exp(-x)
    if x < _SMALL:
        p0 = 1 / 2 - x * (1 / 3 - x * (1 / 8 - x * (1 / 30 - x * (1 / 144 - x / 840))))
        p1 = 1 / 2 - x * (1 / 6 - x * (1 / 24 - x * (1 / 120 - x * (1 / 720 - x / 5040))))
        q0 = -1 / 3 + x * (1 / 4 - x * (1 / 10 - x * (1 / 36 - x * (1 / 168 - x / 960))))
        q1 = -1 / 6 + x * (1 / 12 - x * (1 / 40 - x * (1 / 180 - x * (1 / 1008 - x / 6720))))
        return decay, p0, p1, q0, q1
    p0 = (1.0 - decay * (1.0 + x)) / (x * x)
    p1 = (x - 1.0 + decay) / (x * x)
    q0 = (decay - 2.0 * p0) / x
    q1 = ((1.0 - decay) / x - 2.0 * p1) / x
    return decay, p0, p1, q0, q1


@recursion
def _convolve_on_frames(
    k: float,
    step: float,
    c: NDArray[np.float64],
    e: NDArray[np.float64],
    de: NDArray[np.float64],
) -> None:
    """Fill the convolution at equally spaced frames of the input."""
    decay, p0, p1, q0, q1 = step_weights(k * step)
    a0, a1, b0, b1 = step * p0, step * p1, step * step * q0, step * step * q1
    loss = decay * step
    value = slope = 0.0
    e[0] = 0.0
    de[0] = 0.0
    # Views instead of i + 1: an index that might be negative costs a test in every step.
    ends, values, slopes = c[1:], e[1:], de[1:]
    for i in range(ends.size):
        slope = (b0 * c[i] + b1 * ends[i] - loss * value) + decay * slope
        value = (a0 * c[i] + a1 * ends[i]) + decay * value
        values[i] = value
        slopes[i] = slope


@kernel
def convolve(
    k: float,
    delay: float,
    t: NDArray[np.float64],
    h: NDArray[np.float64],
    c: NDArray[np.float64],
    e: NDArray[np.float64],
    de: NDArray[np.float64],
) -> None:
    """Fill ``e(t - delay)`` and its derivative in ``k`` at every frame.

    The input is zero before the first frame and keeps its last value after the last one.
    ``h`` holds the steps of ``t``, or one step where all are equal.
    """
    if delay == 0.0 and h.size == 1:
        _convolve_on_frames(k, h[0], c, e, de)
    else:
        _convolve_between(k, delay, t, h, c, e, de)


@recursion
def _convolve_between(
    k: float,
    delay: float,
    t: NDArray[np.float64],
    h: NDArray[np.float64],
    c: NDArray[np.float64],
    e: NDArray[np.float64],
    de: NDArray[np.float64],
) -> None:
    """Fill the convolution at ``t - delay``, between the frames of the input."""
    n = t.size
    equal = h.size == 1
    step = part = -1.0
    decay = a0 = a1 = b0 = b1 = 0.0
    f_decay = f0 = f1 = g0 = g1 = 0.0
    value = slope = 0.0
    i = 0
    for j in range(n):
        u = t[j] - delay
        while i < n - 1 and t[i + 1] <= u:
            here = h[0] if equal else h[i]
            if here != step:
                step = here
                decay, p0, p1, q0, q1 = step_weights(k * step)
                a0, a1, b0, b1 = step * p0, step * p1, step * step * q0, step * step * q1
            slope = (b0 * c[i] + b1 * c[i + 1] - decay * step * value) + decay * slope
            value = (a0 * c[i] + a1 * c[i + 1]) + decay * value
            i += 1
        r = u - t[i]
        if r < 0.0:
            e[j] = 0.0
            de[j] = 0.0
            continue
        if abs(r - part) > 1e-12:
            part = r
            f_decay, p0, p1, q0, q1 = step_weights(k * r)
            f0, f1, g0, g1 = r * p0, r * p1, r * r * q0, r * r * q1
        end = c[i]
        if i < n - 1:
            end += (c[i + 1] - c[i]) * r / (h[0] if equal else h[i])
        e[j] = f_decay * value + f0 * c[i] + f1 * end
        de[j] = f_decay * (slope - part * value) + g0 * c[i] + g1 * end


@kernel
def shift(
    delay: float,
    t: NDArray[np.float64],
    h: NDArray[np.float64],
    c: NDArray[np.float64],
    out: NDArray[np.float64],
    rise: NDArray[np.float64],
) -> None:
    """Fill the input at ``t - delay`` and its slope there."""
    n = t.size
    equal = h.size == 1
    i = 0
    for j in range(n):
        u = t[j] - delay
        while i < n - 1 and t[i + 1] <= u:
            i += 1
        if u < t[0]:
            out[j] = 0.0
            rise[j] = 0.0
        elif i == n - 1:
            out[j] = c[i]
            rise[j] = 0.0
        else:
            rise[j] = (c[i + 1] - c[i]) / (h[0] if equal else h[i])
            out[j] = c[i] + rise[j] * (u - t[i])


def steps(time: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the steps of a time axis, or one step where all are equal up to rounding.

    Examples
    --------
    >>> steps(np.arange(100) * 0.05)
    array([0.05])
    """
    h = np.diff(time)
    if h.size == 0:
        return np.ones(1)
    typical = np.median(h)
    if np.all(np.abs(h - typical) <= 1e-9 * typical):
        return np.array([(time[-1] - time[0]) / h.size])
    return h


def exponential_convolution(
    time: ArrayLike, curve: ArrayLike, rate: float, delay: float = 0.0
) -> NDArray[np.float64]:
    """Return ``integral of curve(s) exp(-rate (t - delay - s)) ds`` over s up to t - delay.

    Parameters
    ----------
    time : array (n_time,)
        Rising; any unit.
    curve : array (n_time,)
        Input at these times, a straight line between them, zero before the first.
    rate : float
        Inverse of the unit of ``time``; 0 gives the integral.
    delay : float
        In the unit of ``time``.

    Examples
    --------
    >>> exponential_convolution([0.0, 1.0, 3.0], [1.0, 1.0, 1.0], 0.0)
    array([0., 1., 3.])
    """
    t = np.ascontiguousarray(time, dtype=np.float64)
    c = np.ascontiguousarray(curve, dtype=np.float64)
    e, de = np.empty_like(t), np.empty_like(t)
    convolve(float(rate), float(delay), t, steps(t), c, e, de)
    return e
