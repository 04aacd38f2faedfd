"""The curves behind the figures, as rows: ROC, calibration, decision, learning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterglow.cohort.design import Design
from afterglow.cohort.intervals import wilson
from afterglow.cohort.statistics import net_benefit
from afterglow.cohort.validation import OutOfFold

Row = dict[str, Any]
Floats = NDArray[np.float64]
THRESHOLDS = np.round(np.linspace(0.02, 0.8, 40), 3)
GROUPS = 5
ALL = "treat all"


def curve_rows(design: Design, result: OutOfFold) -> list[Row]:
    """Return the points of the curves of one model and split.

    Returns
    -------
    list of dict
        ``model``, ``split``, ``curve``, ``point`` (its number), ``x``, ``y``, ``low``, ``high``.
        ``roc``: 1 - specificity and sensitivity; ``calibration``: mean prediction and observed
        share in fifths with Wilson's interval; ``decision``: threshold and net benefit.
    """
    known = np.isfinite(result.probability)
    y, p = design.y[known], result.probability[known]
    if not y.size or y.min() == y.max():
        return []
    drawn: dict[str, Sequence[Sequence[float]]] = {
        "roc": _roc(y, p),
        "calibration": _calibration(y, p),
        "decision": _decision(y, p),
    }
    return [
        _row(result.model, result.split, curve, i, point)
        for curve, points in drawn.items()
        for i, point in enumerate(points)
    ]


def treat_all_rows(design: Design, split: str) -> list[Row]:
    """Return the decision curve of treating every lesion as progression."""
    gains = net_benefit(design.y, np.ones(design.y.size), THRESHOLDS)
    points = zip(THRESHOLDS.tolist(), gains.tolist(), strict=True)
    return [_row(ALL, split, "decision", i, point) for i, point in enumerate(points)]


def learning_row(
    result: OutOfFold, point: int, n: float, value: float, low: float, high: float
) -> Row:
    """Return a point of the learning curve: training patients against area."""
    return _row(result.model, result.split, "learning", point, (n, value, low, high))


def _row(model: str, split: str, curve: str, point: int, at: Sequence[float]) -> Row:
    x, y, *interval = (float(v) for v in at)
    low, high = interval if interval else (float("nan"), float("nan"))
    names = ("model", "split", "curve", "point", "x", "y", "low", "high")
    return dict(zip(names, (model, split, curve, point, x, y, low, high), strict=True))


def _roc(y: NDArray[np.int64], p: Floats) -> list[tuple[float, float]]:
    """Return the corners of the ROC curve from (0, 0) to (1, 1)."""
    levels = np.unique(p)[::-1]
    up, down = np.sort(p[y == 1]), np.sort(p[y == 0])
    hits = 1 - np.searchsorted(up, levels, side="left") / up.size
    false = 1 - np.searchsorted(down, levels, side="left") / down.size
    points = [(0.0, 0.0), *zip(false.tolist(), hits.tolist(), strict=True)]
    inner = [
        b
        for a, b, c in zip(points, points[1:], points[2:], strict=False)
        if not (a[0] == b[0] == c[0] or a[1] == b[1] == c[1])
    ]
    return [points[0], *inner, points[-1]]


def _calibration(y: NDArray[np.int64], p: Floats) -> list[tuple[float, float, float, float]]:
    points = []
    for group in np.array_split(np.argsort(p, kind="stable"), GROUPS):
        if group.size:
            seen = wilson(int(y[group].sum()), group.size)
            points.append((float(p[group].mean()), seen.estimate, seen.low, seen.high))
    return points


def _decision(y: NDArray[np.int64], p: Floats) -> list[tuple[float, float]]:
    return list(zip(THRESHOLDS.tolist(), net_benefit(y, p, THRESHOLDS).tolist(), strict=True))
