"""The reference curve of a leakage correction as other voxels see it: later, passed more slowly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DELAYS = (0.0, -1.5, -0.75, 0.75, 1.5, 2.25, 3.0)
"""Delays after the reference (s)."""

REFERENCE_TRANSIT = 4.5
"""Mean transit time of intact brain (s); Ostergaard 1996 and many since find 4 to 5 s."""

TRANSITS = (REFERENCE_TRANSIT, 3.0, 6.0, 8.0, 11.0)
"""Mean transit times of other tissue (s)."""


def delayed_and_dispersed(
    reference: NDArray[np.float64], time: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the reference at every delay and mean transit time, the reference itself first.

    Where the same blood passes one well-mixed compartment in ``m0`` and another in ``m``, the
    second curve is ``m0/m`` times the first plus ``1 - m0/m`` times its convolution with
    ``exp(-t/m)/m``. Both that and a delay keep the area, so that the weight of such a curve is
    still a blood volume.

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
    >>> t = np.arange(0.0, 120.0, 1.5)
    >>> shapes = delayed_and_dispersed(np.exp(-0.5 * ((t - 30) / 4) ** 2), t)
    >>> shapes.shape, bool(np.ptp(np.trapezoid(shapes, t)) < 0.01 * np.trapezoid(shapes[0], t))
    ((35, 80), True)
    """
    from afterglow.perfusion.dsc_kernels import decayed_integral

    shapes = []
    for transit in TRANSITS:
        share = REFERENCE_TRANSIT / transit
        for delay in DELAYS:
            shape = np.interp(time - delay, time, reference)
            if share != 1.0:
                spread = decayed_integral(shape, time, 1.0 / transit) / transit
                shape = share * shape + (1.0 - share) * spread
            shapes.append(shape)
    return np.stack(shapes)
