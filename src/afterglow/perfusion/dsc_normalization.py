"""Comparable rCBV: normalised, standardised, and as fractions of a lesion."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

LANDMARKS = (10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0)
"""Percentiles of the brain that :func:`standardize_rcbv` maps."""

STANDARD_SCALE = (0.776, 0.923, 1.064, 1.223, 1.414, 1.635, 1.879, 2.166, 2.577)
"""The same percentiles of the standard brain: half white matter with rCBV 1, half grey matter with
rCBV 2, each log-normal about its median with a standard deviation of 0.3."""


class TumorBurden(NamedTuple):
    """Fractions (0 to 1) of a lesion's evaluable voxels by rCBV class."""

    low: float
    middle: float
    high: float
    n_voxels: int


def normalize_rcbv(cbv: ArrayLike, reference_mask: ArrayLike) -> NDArray[np.float64]:
    """Return CBV over the median CBV of a reference tissue.

    Parameters
    ----------
    cbv : array (...)
        Relative CBV, arbitrary unit.
    reference_mask : bool array (...)
        Reference tissue, such as contralateral normal-appearing white matter.

    Returns
    -------
    array (...)
        Ratio; NaN stays NaN.

    Raises
    ------
    ValueError
        Where the reference holds no finite voxel or its median is not positive.

    Examples
    --------
    >>> normalize_rcbv([2.0, 4.0, 8.0], [True, True, False]).round(2)
    array([0.67, 1.33, 2.67])
    """
    values = np.asarray(cbv, dtype=np.float64)
    chosen = values[np.asarray(reference_mask, dtype=bool)]
    chosen = chosen[np.isfinite(chosen)]
    if chosen.size == 0:
        raise ValueError("the reference tissue holds no finite voxel")
    middle = float(np.median(chosen))
    if middle <= 0:
        raise ValueError(f"the median CBV of the reference tissue is {middle:.3g}, not positive")
    return values / middle


def standardize_rcbv(cbv: ArrayLike, mask: ArrayLike) -> NDArray[np.float64]:
    """Return CBV on a standard scale, without a reference region.

    An open landmark method in the spirit of Nyul 1999 (the tables behind the commercial
    standardised rCBV of Bedekar 2010 are not public, and values of the two are not
    interchangeable): the deciles of CBV in the brain are mapped to :data:`STANDARD_SCALE`, linear
    in between, zero to zero, and with the ratio of the last landmark beyond it.

    Parameters
    ----------
    cbv : array (...)
        Relative CBV, arbitrary unit.
    mask : bool array (...)
        Brain, without lesions and large vessels.

    Returns
    -------
    array (...)

    Raises
    ------
    ValueError
        Where fewer than 100 finite voxels are in the mask or the lowest decile is not positive.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> brain = np.exp(rng.normal(0, 0.3, 4000)) * np.repeat([1.0, 2.0], 2000)
    >>> out = standardize_rcbv(70 * brain, np.ones(4000, bool))
    >>> bool(np.median(np.abs(out / brain - 1)) < 0.02)
    True
    """
    values = np.asarray(cbv, dtype=np.float64)
    inside = values[np.asarray(mask, dtype=bool)]
    inside = inside[np.isfinite(inside)]
    if inside.size < 100:
        raise ValueError(f"{inside.size} voxels are too few to standardise; 100 are needed")
    found = np.percentile(inside, LANDMARKS)
    if found[0] <= 0 or np.any(np.diff(found) <= 0):
        raise ValueError("the deciles of CBV do not rise from above zero")
    mapped = np.interp(values, np.concatenate([[0.0], found]), (0.0, *STANDARD_SCALE))
    low, high = STANDARD_SCALE[0] / found[0], STANDARD_SCALE[-1] / found[-1]
    mapped = np.where(values < 0, values * low, mapped)
    return np.where(values > found[-1], values * high, mapped)


def log_normalized_psr(psr_percent: ArrayLike, reference_mask: ArrayLike) -> NDArray[np.float64]:
    """Return ``ln(PSR / median PSR of the reference tissue)`` (Sanvito 2025: nPSRln), unitless.

    NaN where PSR is not positive.

    Raises
    ------
    ValueError
        As :func:`normalize_rcbv`.
    """
    ratio = normalize_rcbv(psr_percent, reference_mask)
    positive = np.isfinite(ratio) & (ratio > 0)
    return np.where(positive, np.log(np.where(positive, ratio, 1.0)), np.nan)


def fractional_tumor_burden(
    rcbv: ArrayLike, mask: ArrayLike, thresholds: tuple[float, float] = (1.0, 1.75)
) -> TumorBurden:
    """Return the fractions of a lesion below, between and above two rCBV thresholds (Iv 2019).

    Examples
    --------
    >>> fractional_tumor_burden([0.5, 1.2, 1.5, 3.0], [True] * 4)
    TumorBurden(low=0.25, middle=0.5, high=0.25, n_voxels=4)
    """
    inside = np.asarray(rcbv, dtype=np.float64)[np.asarray(mask, dtype=bool)]
    inside = inside[np.isfinite(inside)]
    if inside.size == 0:
        return TumorBurden(float("nan"), float("nan"), float("nan"), 0)
    low = float(np.mean(inside <= thresholds[0]))
    high = float(np.mean(inside > thresholds[1]))
    return TumorBurden(low, 1.0 - low - high, high, int(inside.size))
