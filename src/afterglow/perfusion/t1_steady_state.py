"""Signal of inversion-prepared trains of spoiled gradient echoes, in the periodic steady state."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]


def inversion_signals(
    t1: ArrayLike,
    b1: ArrayLike,
    inversion_times: Sequence[float],
    flip_angles: Sequence[float],
    tr: float,
    pulses: tuple[int, int],
    cycle: float,
    efficiency: float = 1.0,
) -> NDArray[np.float64]:
    """Return the signed signals at the middle of every readout for unit magnetization.

    One inversion is followed by one train of pulses for every inversion time, and by recovery until
    the next inversion (Marques 2010, NeuroImage 49:1271, for two trains). The longitudinal
    magnetization is affine in its value before the inversion, so that the steady state follows from
    two passes through the cycle.

    Parameters
    ----------
    t1, b1 : array (...)
        T1 (s); ratio of actual to nominal flip angle (the inversion is taken as adiabatic).
    inversion_times : sequence
        Inversion to the middle of each readout (s).
    flip_angles : sequence
        Nominal flip angle of each readout (degrees).
    tr : float
        Repetition time within a readout (s).
    pulses : (int, int)
        Pulses of a readout before its middle, and from the middle on.
    cycle : float
        Inversion to inversion (s).
    efficiency : float
        Of the inversion (0 to 1).

    Returns
    -------
    array (..., n_readouts)

    Raises
    ------
    ValueError
        Where the trains overlap or do not fit into the cycle.

    Examples
    --------
    >>> found = inversion_signals(1.0, 1.0, [0.5], [90.0], 0.01, (0, 1), 50.0)
    >>> bool(np.allclose(found, 1 - 2 * np.exp(-0.5)))
    True
    """
    before, after = pulses
    starts = [time - before * tr for time in inversion_times]
    gaps = [starts[0]]
    gaps += [b - a - (before + after) * tr for a, b in pairwise(starts)]
    rest = cycle - starts[-1] - (before + after) * tr
    if min(*gaps, rest) < -1e-9:
        raise ValueError(f"trains of {before + after} pulses do not fit: pauses {gaps}, {rest} s")
    rate = 1.0 / np.asarray(t1, dtype=np.float64)
    scale = np.asarray(b1, dtype=np.float64)
    angles = [np.deg2rad(angle) * scale for angle in flip_angles]

    def through(start: Array) -> tuple[Array, list[Array]]:
        level, seen = -efficiency * start, []
        for gap, angle in zip(gaps, angles, strict=True):
            level = 1.0 + (level - 1.0) * np.exp(-gap * rate)
            level = _train(level, angle, tr, rate, before)
            seen.append(level * np.sin(angle))
            level = _train(level, angle, tr, rate, after)
        return 1.0 + (level - 1.0) * np.exp(-rest * rate), seen

    zero, one = np.zeros(np.broadcast(rate, scale).shape), np.ones(np.broadcast(rate, scale).shape)
    offset = through(zero)[0]
    slope = through(one)[0] - offset
    return np.stack(through(offset / (1.0 - slope))[1], axis=-1)


def _train(level: Array, angle: Array, tr: float, rate: Array, count: int) -> Array:
    """Return the longitudinal magnetization after some pulses of a train."""
    e1 = np.exp(-tr * rate)
    keep = np.cos(angle) * e1
    power = keep**count
    driven = (1.0 - e1) * (1.0 - power) / (1.0 - keep)
    return np.asarray(level * power + driven)
