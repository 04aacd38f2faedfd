"""Intervals of a proportion."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from afterglow.errors import AfterglowError


@dataclass(frozen=True)
class Proportion:
    """A proportion ``k / n`` with an interval.

    ``estimate``, ``low`` and ``high`` are fractions; all three are NaN where ``n`` is 0.
    """

    k: int
    n: int
    estimate: float
    low: float
    high: float


def clopper_pearson(k: int, n: int, level: float = 0.95) -> Proportion:
    """Return a proportion with its exact interval (Clopper and Pearson 1934).

    Parameters
    ----------
    k, n : int
        Successes and trials, ``0 <= k <= n``.
    level : float
        Confidence level, between 0 and 1.

    Examples
    --------
    >>> p = clopper_pearson(22, 23)
    >>> f"{p.estimate:.4f} {p.low:.3f} {p.high:.3f}"
    '0.9565 0.781 0.999'
    """
    from scipy.stats import beta

    _check(k, n)
    if n == 0:
        return Proportion(0, 0, math.nan, math.nan, math.nan)
    tail = (1 - level) / 2
    low = 0.0 if k == 0 else float(beta.ppf(tail, k, n - k + 1))
    high = 1.0 if k == n else float(beta.ppf(1 - tail, k + 1, n - k))
    return Proportion(k, n, k / n, low, high)


def clustered_proportion(hit: ArrayLike, cluster: ArrayLike, level: float = 0.95) -> Proportion:
    """Return a proportion with an interval that knows that lesions share patients.

    The interval of Clopper and Pearson at the effective number of lesions (Korn and Graubard 1998,
    Survey Methodology 24:193), which follows from how the lesions of one patient agree. Where all
    agree there is one for each patient, and with one lesion for each patient it is the exact one.

    Parameters
    ----------
    hit : (n,) array of {0, 1}
        Successes.
    cluster : (n,) array
        Patient of each lesion.
    level : float
        Confidence level, between 0 and 1.

    Examples
    --------
    >>> p = clustered_proportion([1, 1, 1, 0], ["a", "a", "b", "b"])
    >>> p.k, p.n, p.low < clopper_pearson(3, 4).low
    (3, 4, True)
    """
    from scipy.stats import beta

    right = np.asarray(hit, dtype=np.float64)
    k, n = int(right.sum()), int(right.size)
    size = _effective(right, np.unique(np.asarray(cluster), return_inverse=True)[1], level)
    if size >= n:
        return clopper_pearson(k, n, level)
    tail, some = (1 - level) / 2, k / n * size
    low = 0.0 if k == 0 else float(beta.ppf(tail, some, size - some + 1))
    high = 1.0 if k == n else float(beta.ppf(1 - tail, some + 1, size - some))
    return Proportion(k, n, k / n, low, high)


def _effective(right: np.ndarray, patient: np.ndarray, level: float) -> float:
    """Return how many independent lesions tell as much."""
    from scipy.stats import t

    n, m = right.size, len(set(patient.tolist()))
    if m in {0, 1, n}:
        return float(m)
    share = right.mean()
    if share in {0.0, 1.0}:
        return float(m)
    off = np.bincount(patient, weights=right - share)
    variance = m / (m - 1) * float((off**2).sum()) / n**2
    if variance <= 0:
        return float(n)
    upper = (1 + level) / 2
    few = float(t.ppf(upper, n - 1) / t.ppf(upper, m - 1)) ** 2
    return min(float(share * (1 - share) / variance) * few, float(n))


def wilson(k: int, n: int, level: float = 0.95) -> Proportion:
    """Return a proportion with its score interval (Wilson 1927).

    Examples
    --------
    >>> p = wilson(5, 10)
    >>> f"{p.low:.3f} {p.high:.3f}"
    '0.237 0.763'
    """
    from scipy.stats import norm

    _check(k, n)
    if n == 0:
        return Proportion(0, 0, math.nan, math.nan, math.nan)
    z = float(norm.ppf((1 + level) / 2))
    p, scale = k / n, 1 + z**2 / n
    middle = (p + z**2 / (2 * n)) / scale
    half = z / scale * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return Proportion(k, n, p, max(0.0, middle - half), min(1.0, middle + half))


def _check(k: int, n: int) -> None:
    if not 0 <= k <= n:
        raise AfterglowError(f"{k} successes in {n} trials", expected="0 <= k <= n")
