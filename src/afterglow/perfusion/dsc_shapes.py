"""The reference curve of a leakage correction as other voxels see it: later, and more spread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DELAYS = (0.0, -1.5, -0.75, 0.75, 1.5, 2.25, 3.0)
"""Delays after the reference (s)."""

DISPERSIONS = (0.0, 1.0, 2.0, 3.5, 6.0)
"""Time constants of the exponential that spreads the curve (s)."""


def delayed_and_dispersed(
    reference: NDArray[np.float64], time: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the reference at every delay and dispersion, the reference itself first.

    A delay and a convolution with ``exp(-t/tau)/tau`` keep the area, so that the weight of such a
    curve is still a blood volume.

    Parameters
    ----------
    reference : array (n_time,)
        Reference curve (1/s).
    time : array (n_time,)
        Frame times (s).

    Returns
    -------
    array (n_shapes, n_time)

    Examples
    --------
    >>> t = np.arange(0.0, 90.0, 1.5)
    >>> shapes = delayed_and_dispersed(np.exp(-0.5 * ((t - 30) / 4) ** 2), t)
    >>> shapes.shape, bool(np.ptp(np.trapezoid(shapes, t)) < 0.01 * np.trapezoid(shapes[0], t))
    ((35, 60), True)
    """
    from afterglow.perfusion.dsc_kernels import decayed_integral

    shapes = []
    for dispersion in DISPERSIONS:
        for delay in DELAYS:
            shape = np.interp(time - delay, time, reference)
            if dispersion > 0.0:
                shape = decayed_integral(shape, time, 1.0 / dispersion) / dispersion
            shapes.append(shape)
    return np.stack(shapes)
