"""Intervals of a proportion."""

from __future__ import annotations

import math
from dataclasses import dataclass

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
