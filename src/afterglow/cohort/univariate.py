"""One test for each feature, with what testing many of them does to the p values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterglow.cohort.auc import clustered_auc
from afterglow.cohort.design import Design
from afterglow.cohort.validation import OutOfFold

Floats = NDArray[np.float64]


def feature_rows(design: Design, results: Sequence[OutOfFold] = ()) -> list[dict[str, Any]]:
    """Return one row for each feature: its area within center, and its weight over the folds.

    Parameters
    ----------
    design : Design
        Lesions and features.
    results : sequence of OutOfFold
        Validated models; the first with coefficients gives the weights.

    Returns
    -------
    list of dict
        ``feature``, ``n_lesions``, ``missing``, ``auc`` with its clustered interval, ``p_value``
        (two-sided, area 0.5), ``p_holm`` and ``q_value`` (Benjamini and Hochberg) over all
        features tested, ``weight_mean``, ``weight_low``, ``weight_high`` (least and largest over
        the folds) and ``sign_agreement`` (share of folds of the commoner sign; 0 has none).
    """
    weights = next((r.weights for r in results if r.weights and r.weights[0]), ())
    rows = [_one(design, j, weights) for j in range(len(design.names))]
    p = np.array([row["p_value"] for row in rows])
    for row, holm_p, q in zip(rows, holm(p), benjamini_hochberg(p), strict=True):
        row |= {"p_holm": float(holm_p), "q_value": float(q)}
    return rows


def holm(p: Floats) -> Floats:
    """Return p values adjusted for the family-wise error (Holm 1979); NaN stays NaN.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]
    """
    out = np.full(p.size, np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(order.size, 0, -1)
    out[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return out


def benjamini_hochberg(p: Floats) -> Floats:
    """Return q values (Benjamini and Hochberg 1995); NaN stays NaN.

    Examples
    --------
    >>> benjamini_hochberg(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    out = np.full(p.size, np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * order.size / np.arange(1, order.size + 1)
    out[order] = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1.0)
    return out


def _one(design: Design, column: int, weights: Sequence[dict[str, float]]) -> dict[str, Any]:
    from scipy.stats import norm

    values = design.x[:, column]
    here = np.flatnonzero(np.isfinite(values))
    row: dict[str, Any] = {
        "feature": design.names[column],
        "n_lesions": here.size,
        "missing": float(1 - here.size / max(design.y.size, 1)),
        **dict.fromkeys(("auc", "low", "high", "p_value"), math.nan),
    }
    if here.size:
        part = design.take(here)
        area = clustered_auc(part.y, values[here], part.patients, part.centers)
        row |= {"auc": area.value, "low": area.low, "high": area.high}
        if area.se > 0:
            row["p_value"] = float(2 * norm.sf(abs(area.value - 0.5) / area.se))
    return row | _weights([w.get(design.names[column], 0.0) for w in weights])


def _weights(found: Sequence[float]) -> dict[str, float]:
    if not found:
        names = ("weight_mean", "weight_low", "weight_high", "sign_agreement")
        return dict.fromkeys(names, math.nan)
    values = np.array(found)
    agreement = max(float((values > 0).mean()), float((values < 0).mean()))
    return {
        "weight_mean": float(values.mean()),
        "weight_low": float(values.min()),
        "weight_high": float(values.max()),
        "sign_agreement": agreement,
    }
