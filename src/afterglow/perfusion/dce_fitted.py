"""What an engine needs beside the kernels: result arrays, criteria, weights, the input's width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]
    Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Precision:
    """What a parameter must reach to count as identified."""

    max_relative_se: float = 0.25


@dataclass
class Fitted:
    """Results of one model for one block, arrays of length n_voxels."""

    values: dict[str, Array]
    errors: dict[str, Array]
    evaluable: dict[str, Flags]
    reason: NDArray[np.uint16]
    unusable: Flags
    at_bound: Flags
    rss: Array
    aicc: Array
    bic: Array
    none_rss: Array
    none_aicc: Array
    none_bic: Array


def frames_in_half_width(curve: Array) -> float:
    """Return how many frames the first pass of an input spans at half of its height.

    Examples
    --------
    >>> frames_in_half_width(np.array([0.0, 0.0, 4.0, 1.0, 1.0, 1.0]))
    1.1666666666666665
    >>> frames_in_half_width(np.ones(50))
    inf
    """
    top = int(np.argmax(curve))
    half = 0.5 * float(curve[top])
    before, after = np.flatnonzero(curve[:top] < half), np.flatnonzero(curve[top:] < half)
    if before.size == 0 or after.size == 0:
        return float("inf")
    i, j = int(before[-1]), top + int(after[0])
    start = i + (half - curve[i]) / (curve[i + 1] - curve[i])
    return float(j - (half - curve[j]) / (curve[j - 1] - curve[j]) - start)


def criteria(rss: Array, n: int, parameters: int) -> tuple[Array, Array]:
    """Return AICc and BIC of a least-squares fit; the variance counts as a parameter."""
    k = parameters + 1
    with np.errstate(divide="ignore"):
        likelihood = n * np.log(rss / n)
    correction = 2.0 * k * (k + 1) / (n - k - 1) if n > k + 1 else np.inf
    return likelihood + 2.0 * k + correction, likelihood + k * np.log(n)


def frame_weights(weights: ArrayLike | None, time: Array) -> Array:
    """Return frame weights, all one where none are given, refusing what is none."""
    if weights is None:
        return np.ones_like(time)
    weight = np.asarray(weights, dtype=np.float64)
    if weight.shape != time.shape or np.any(~np.isfinite(weight)) or np.any(weight < 0):
        raise ValueError("weights must be one finite, non-negative number per frame")
    return weight
