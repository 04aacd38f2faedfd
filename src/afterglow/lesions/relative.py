"""Measures that exist only beside reference tissue: rCBV, rPH, log-normalized PSR, tumor burden."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from afterglow.lesions.features import MOMENTS, STATISTICS, Value
from afterglow.perfusion.dsc_normalization import fractional_tumor_burden

if TYPE_CHECKING:
    from collections.abc import Iterator

    from afterglow.lesions.features import Samples

RELATIVE = {"CBV": "rCBV", "PHdR2s": "rPH", "PSR": "nPSRln"}
"""The relative measure made of a map's ratios to reference tissue."""

BURDEN = "FTB"
UNITS = {"nPSRln": "1 (natural logarithm)", BURDEN: "fraction"}
SOURCE = {made: source for source, made in RELATIVE.items()} | {BURDEN: "CBV"}
"""The map that a relative measure is made of."""

_LOCATION = tuple(name for name in STATISTICS if name not in {"sd", *MOMENTS})


def relative_values(image: str, ratios: dict[str, Value]) -> Iterator[tuple[str, str, Value]]:
    """Yield name, statistic and value of the relative measure of a map, if it has one.

    ``rCBV`` and ``rPH`` are the ratios themselves; ``nPSRln`` is their logarithm (Sanvito 2025),
    for statistics of location only.

    Examples
    --------
    >>> list(relative_values("PSR", {"ratio_median": Value(1.0, "", 5)}))
    [('nPSRln', 'median', Value(value=0.0, reason='', n_voxels=5))]
    """
    name = RELATIVE.get(image)
    if name is None:
        return
    for statistic, value in ratios.items():
        plain = statistic.removeprefix("ratio_")
        if image != "PSR":
            yield name, plain, value
        elif plain in _LOCATION:
            yield name, plain, _logarithm(value)


def _logarithm(value: Value) -> Value:
    if value.reason:
        return value
    if value.value <= 0:
        return Value(math.nan, "not_positive", value.n_voxels)
    return Value(math.log(value.value), "", value.n_voxels)


def burden(
    samples: Samples, median: Value, reference: Value, thresholds: tuple[float, float]
) -> dict[str, Value]:
    """Return the fractional tumor burden: fractions of a region's voxels by class of rCBV.

    Parameters
    ----------
    samples : Samples
        Evaluable voxels of corrected CBV.
    median : Value
        Median of the region; not evaluable for the same reasons.
    reference : Value
        Median of the reference tissue.
    thresholds : (float, float)
        rCBV up to the first is ``low``, above the second ``high`` (Iv 2019: 1.0 and 1.75).

    Examples
    --------
    >>> from afterglow.lesions.features import Samples
    >>> cloud = Samples(np.array([1.0, 3.0, 5.0, 8.0]), np.zeros((4, 3)), 4)
    >>> found = burden(cloud, Value(4.0, "", 4), Value(2.0, "", 9), (1.0, 1.75))
    >>> {name: value.value for name, value in found.items()}
    {'low': 0.25, 'middle': 0.25, 'high': 0.5}
    """
    reason = median.reason or (f"reference_{reference.reason}" if reference.reason else "")
    if not reason and not reference.value > 0:
        reason = "reference_not_positive"
    if reason:
        return {n: Value(math.nan, reason, median.n_voxels) for n in ("low", "middle", "high")}
    everywhere = np.ones(len(samples.values), dtype=bool)
    found = fractional_tumor_burden(samples.values / reference.value, everywhere, thresholds)
    shares = {"low": found.low, "middle": found.middle, "high": found.high}
    return {name: Value(share, "", found.n_voxels) for name, share in shares.items()}
