"""Mean curves of lesions, and signal recovery and peak height taken from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from afterglow.lesions.features import Value

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from afterglow.lesions.measure import RegionIndex


@dataclass(frozen=True, eq=False)
class Curve:
    """Mean signal of one region: ``values`` at ``time`` (s); NaN where frames are censored."""

    label: int
    region: str
    kind: str
    time: NDArray[np.float64]
    values: NDArray[np.float64]
    unit: str
    n_voxels: int


def mean_curves(
    series: NDArray[np.generic],
    time: NDArray[np.float64],
    index: RegionIndex,
    kind: str,
    unit: str,
    names: tuple[str, ...],
) -> list[Curve]:
    """Return the mean curve of every named region that holds a voxel.

    Parameters
    ----------
    series : (x, y, z, t) array
        Motion-corrected series.
    time : (t,) array
        Frame times, s.
    index : RegionIndex
        Voxels of the regions on the grid of the series.
    kind, unit : str
        What the curve is.
    names : tuple of str
        Regions wanted.
    """
    found = []
    for label, own in index.items():
        for name in names:
            voxels = own.get(name)
            if voxels is None or voxels.reason:
                continue
            values = np.asarray(series[tuple(voxels.index.T)], dtype=np.float64)
            good = np.isfinite(values).all(axis=1)
            if good.any():
                mean = values[good].mean(axis=0)
                found.append(Curve(label, name, kind, time, mean, unit, int(good.sum())))
    return found


def derived(curve: Curve, kind: str, unit: str, values: NDArray[np.float64]) -> Curve:
    """Return a curve made from another one of the same region."""
    return Curve(curve.label, curve.region, kind, curve.time, values, unit, curve.n_voxels)


def curve_value(curve: Curve | None, metric: Callable[[Curve], float], least_voxels: int) -> Value:
    """Return a number taken from the mean curve of a region.

    A region with fewer than ``least_voxels`` is ``too_small``; where the metric is undefined
    (the bolus lies within the noise) the reason is ``undefined_in_curve``.
    """
    if curve is None:
        return Value(float("nan"), "empty_region")
    if curve.n_voxels < least_voxels:
        return Value(float("nan"), "too_small", curve.n_voxels)
    number = metric(curve)
    if not np.isfinite(number):
        return Value(float("nan"), "undefined_in_curve", curve.n_voxels)
    return Value(float(number), "", curve.n_voxels)
