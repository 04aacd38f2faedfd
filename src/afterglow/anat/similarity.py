"""Normalized mutual information of two images, over equal-count bins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def nmi(a: NDArray[Any], b: NDArray[Any], bins: int = 32) -> float:
    """Return the normalized mutual information 2 I(A;B) / (H(A) + H(B)), 0 to 1.

    Examples
    --------
    >>> x = np.arange(64.0)
    >>> round(nmi(x, -x), 3), round(nmi(x, np.zeros(64)), 3)
    (1.0, 0.0)
    """
    pairs = _ranked(a, bins) * bins + _ranked(b, bins)
    joint = np.bincount(pairs, minlength=bins * bins).reshape(bins, bins)
    p = joint / max(joint.sum(), 1.0)
    h = [_entropy(q) for q in (p.sum(axis=1), p.sum(axis=0), p.ravel())]
    return float(2.0 * (h[0] + h[1] - h[2]) / (h[0] + h[1])) if h[0] + h[1] > 0 else 0.0


def _entropy(p: NDArray[np.float64]) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def _ranked(values: NDArray[Any], bins: int) -> NDArray[np.intp]:
    """Return equal-count bins: monotone changes of contrast leave the measure as it is."""
    values = np.asarray(values, dtype=np.float64).ravel()
    edges = np.unique(np.percentile(values, np.linspace(0, 100, bins + 1)[1:-1]))
    return np.asarray(np.digitize(values, edges), dtype=np.intp)
