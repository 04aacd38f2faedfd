"""Numbers of one region of one map: statistics, hot spot, and ratios to reference tissue.

Statistics (``statistic`` of the table): ``mean``, ``sd``, ``min``, ``p10``, ``p25``, ``median``,
``p75``, ``p90``, ``p95``, ``max``, ``hotspot``: the largest mean within a ball of fixed radius
whose center is a voxel of the region, and ``skewness`` and ``kurtosis`` (excess, both of the
population). ``ratio_<statistic>`` is the statistic over the median of the reference tissue, for all
but the last two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PERCENTILES = {"p10": 10, "p25": 25, "median": 50, "p75": 75, "p90": 90, "p95": 95}
MOMENTS = ("skewness", "kurtosis")
STATISTICS = ("mean", "sd", "min", *PERCENTILES, "max", "hotspot", *MOMENTS)
_LEAST_MOMENTS = 10  # voxels


@dataclass(frozen=True)
class Value:
    """One cell of the feature table: a number, or NaN with a reason.

    ``reason`` is empty exactly where the number is finite; ``n_voxels`` counts the evaluable
    voxels behind it.
    """

    value: float
    reason: str = ""
    n_voxels: int = 0

    @property
    def evaluable(self) -> bool:
        """True where there is a number."""
        return not self.reason


def _value(number: float, n_voxels: int) -> Value:
    """Return a value that is never a silent NaN."""
    if np.isfinite(number):
        return Value(float(number), "", n_voxels)
    return Value(float("nan"), "not_finite", n_voxels)


def absent(reason: str, n_voxels: int = 0) -> dict[str, Value]:
    """Return every statistic as absent for one reason."""
    return {name: Value(float("nan"), reason, n_voxels) for name in STATISTICS}


@dataclass(frozen=True, eq=False)
class Samples:
    """The evaluable voxels of one region: ``values`` (n,) and ``points`` (n, 3) in mm."""

    values: NDArray[np.float64]
    points: NDArray[np.float64]
    n_region: int

    @property
    def share(self) -> float:
        """Share of the region's voxels that are evaluable."""
        return len(self.values) / self.n_region if self.n_region else 0.0


def gather(
    image: NDArray[np.generic],
    index: NDArray[np.int64],
    points: NDArray[np.float64],
    evaluable: NDArray[np.bool_] | None = None,
) -> Samples:
    """Return the evaluable voxels of a region.

    Parameters
    ----------
    image : (x, y, z) array
        The map; not finite counts as not evaluable.
    index : (n, 3) array
        Voxels of the region.
    points : (n, 3) array
        Their world points, mm.
    evaluable : (x, y, z) bool array, optional
        Evaluable mask of the map.
    """
    at = tuple(index.T)
    values = np.asarray(image[at], dtype=np.float64)
    good = np.isfinite(values)
    if evaluable is not None:
        good &= evaluable[at]
    return Samples(values[good], points[good], len(index))


def measure(
    samples: Samples, least_voxels: int, least_share: float, hotspot_radius: float
) -> dict[str, Value]:
    """Return every statistic of a region.

    Parameters
    ----------
    samples : Samples
        Evaluable voxels.
    least_voxels : int
        Below this many the region is ``too_small``.
    least_share : float
        Below this evaluable share it is ``not_evaluable_in_map``.
    hotspot_radius : float
        Radius of the hot spot, mm.

    Examples
    --------
    >>> cloud = Samples(np.arange(1.0, 6.0), np.zeros((5, 3)), 5)
    >>> measure(cloud, 3, 0.5, 2.0)["median"].value
    3.0
    >>> measure(cloud, 9, 0.5, 2.0)["median"].reason
    'too_small'
    """
    count = len(samples.values)
    if samples.n_region == 0:
        return absent("empty_region")
    if samples.n_region < least_voxels:
        return absent("too_small", count)
    if samples.share < least_share or count < least_voxels:
        return absent("not_evaluable_in_map", count)
    values = samples.values
    numbers = {
        "mean": values.mean(),
        "sd": values.std(ddof=1) if count > 1 else np.nan,
        "min": values.min(),
        "max": values.max(),
    }
    levels = np.percentile(values, list(PERCENTILES.values()))
    numbers |= dict(zip(PERCENTILES, levels, strict=True))
    found = {name: _value(float(numbers[name]), count) for name in STATISTICS if name in numbers}
    found["hotspot"] = hotspot(samples, hotspot_radius, least_voxels)
    return found | _moments(values)


def _moments(values: NDArray[np.float64]) -> dict[str, Value]:
    """Return skewness and excess kurtosis; few or equal voxels have none."""
    count, spread = len(values), values - values.mean()
    variance = float((spread**2).mean())
    if count < _LEAST_MOMENTS:
        return {name: Value(float("nan"), "too_small", count) for name in MOMENTS}
    if not variance > 0:
        return {name: Value(float("nan"), "constant", count) for name in MOMENTS}
    skewness = float((spread**3).mean()) / variance**1.5
    kurtosis = float((spread**4).mean()) / variance**2 - 3
    return {"skewness": _value(skewness, count), "kurtosis": _value(kurtosis, count)}


def hotspot(samples: Samples, radius: float, least_voxels: int) -> Value:
    """Return the largest mean within a ball of ``radius`` mm around a voxel of the region.

    Only balls that hold at least half as many evaluable voxels as the fullest one count, so
    that a corner of the region with one bright voxel is no hot spot.
    """
    from scipy.spatial import cKDTree

    values, count = samples.values, len(samples.values)
    one, other = cKDTree(samples.points).query_pairs(radius, output_type="ndarray").T
    sizes = 1 + np.bincount(one, minlength=count) + np.bincount(other, minlength=count)
    sums = values + np.bincount(one, values[other], count) + np.bincount(other, values[one], count)
    means = sums / sizes
    least = min(least_voxels, int(sizes.max()))
    good = np.flatnonzero((sizes >= least) & (sizes >= sizes.max() / 2))
    best = int(good[means[good].argmax()])
    return _value(float(means[best]), int(sizes[best]))


def ratios(values: dict[str, Value], reference: Value) -> dict[str, Value]:
    """Return ``ratio_<statistic>``: every location statistic over the reference median.

    The reason of an absent ratio is that of the value, else that of the reference
    (``reference_<reason>``), else ``reference_not_positive``.
    """
    found = {}
    for name, value in values.items():
        if name in MOMENTS:
            continue
        if reference.reason:
            reason = value.reason or f"reference_{reference.reason}"
        else:
            reason = value.reason or ("" if reference.value > 0 else "reference_not_positive")
        number = float("nan") if reason else value.value / reference.value
        found[f"ratio_{name}"] = Value(number, reason, value.n_voxels)
    return found
