"""Figures of a set of predictions: discrimination, calibration, net benefit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from afterglow.cohort.auc import Estimate, bootstrap_auc, clustered_auc, compare_auc, pooled_auc
from afterglow.cohort.intervals import Proportion, clopper_pearson, clustered_proportion, wilson

__all__ = [
    "Calibration",
    "Confusion",
    "Estimate",
    "bootstrap_auc",
    "brier",
    "calibration",
    "clopper_pearson",
    "clustered_auc",
    "clustered_proportion",
    "compare_auc",
    "confusion",
    "net_benefit",
    "pooled_auc",
    "predictive_values",
    "wilson",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Confusion:
    """Sensitivity and specificity of yes/no calls; ``n_decided`` of ``n`` lesions got a call."""

    sensitivity: Proportion
    specificity: Proportion
    n: int
    n_decided: int


@dataclass(frozen=True)
class Calibration:
    """Logistic recalibration; slope 1 and intercept 0 are ideal, NaN where not estimable.

    ``intercept`` is calibration-in-the-large: the intercept with the slope held at 1.
    """

    slope: float
    intercept: float


def confusion(y: ArrayLike, called: ArrayLike, cluster: ArrayLike) -> Confusion:
    """Return the 2x2 figures of calls with intervals that know of patients.

    Parameters
    ----------
    y : (n,) array of {0, 1}
        1 is progression.
    called : (n,) array of float
        1 progression, 0 treatment effect, NaN where there is no call.
    cluster : (n,) array
        Patient of each lesion.

    Examples
    --------
    >>> c = confusion([1, 1, 0, 0], [1, 0, 0, float("nan")], ["a", "a", "b", "b"])
    >>> c.sensitivity.k, c.sensitivity.n, c.specificity.k, c.specificity.n, c.n_decided
    (1, 2, 1, 1, 3)
    """
    truth, call = np.asarray(y, dtype=float), np.asarray(called, dtype=float)
    patient = np.asarray(cluster)
    known = np.isfinite(call)
    up, down = known & (truth == 1), known & (truth == 0)
    sensitivity = clustered_proportion(call[up] == 1, patient[up])
    specificity = clustered_proportion(call[down] == 0, patient[down])
    return Confusion(sensitivity, specificity, truth.size, int(known.sum()))


def predictive_values(
    sensitivity: float, specificity: float, prevalence: float
) -> tuple[float, float]:
    """Return positive and negative predictive value at a prevalence (Bayes).

    Examples
    --------
    >>> tuple(round(v, 3) for v in predictive_values(0.9, 0.8, 0.3))
    (0.659, 0.949)
    """
    hit, miss = sensitivity * prevalence, (1 - sensitivity) * prevalence
    false, clear = (1 - specificity) * (1 - prevalence), specificity * (1 - prevalence)
    ppv = hit / (hit + false) if hit + false > 0 else math.nan
    npv = clear / (clear + miss) if clear + miss > 0 else math.nan
    return ppv, npv


def brier(y: ArrayLike, probability: ArrayLike) -> float:
    """Return the mean squared difference of probability and outcome.

    Examples
    --------
    >>> brier([1, 0], [0.8, 0.4])
    0.1
    """
    gap = np.asarray(probability, dtype=float) - np.asarray(y, dtype=float)
    return round(float(np.mean(gap**2)), 15)


def calibration(y: ArrayLike, probability: ArrayLike) -> Calibration:
    """Return calibration slope and calibration-in-the-large (Cox 1958).

    Both by Newton's method on the logistic likelihood; NaN where one class is absent, the
    predictions do not vary, or the likelihood has no maximum.
    """
    truth = np.asarray(y, dtype=np.float64)
    p = np.clip(np.asarray(probability, dtype=np.float64), 1e-6, 1 - 1e-6)
    logit = np.log(p / (1 - p))
    if truth.min() == truth.max():
        return Calibration(math.nan, math.nan)
    ones = np.ones_like(logit)
    large = _newton(ones[:, None], truth, offset=logit)[0]
    if np.ptp(logit) < 1e-9:
        return Calibration(math.nan, large)
    return Calibration(_newton(np.stack([ones, logit], axis=1), truth)[1], large)


def net_benefit(y: ArrayLike, probability: ArrayLike, thresholds: ArrayLike) -> Floats:
    """Return net benefit at each threshold probability (Vickers and Elkin 2006).

    Examples
    --------
    >>> net_benefit([1, 0, 0, 1], [0.9, 0.6, 0.1, 0.2], [0.5]).tolist()
    [0.0]
    """
    truth = np.asarray(y).astype(bool)
    p = np.asarray(probability, dtype=np.float64)
    t = np.asarray(thresholds, dtype=np.float64)[:, None]
    treated = p[None, :] >= t
    hits = (treated & truth).mean(axis=1)
    false = (treated & ~truth).mean(axis=1)
    weight = t[:, 0] / (1 - t[:, 0])
    return np.asarray(hits - false * weight, dtype=np.float64)


def _newton(design: Floats, truth: Floats, offset: Floats | None = None) -> list[float]:
    beta = np.zeros(design.shape[1])
    base = np.zeros_like(truth) if offset is None else offset
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(design @ beta + base, -35, 35)))
        hessian = (design * (p * (1 - p))[:, None]).T @ design
        if np.linalg.cond(hessian) > 1e12:
            return [math.nan] * beta.size
        step = np.linalg.solve(hessian, design.T @ (truth - p))
        beta += step
        if np.abs(step).max() < 1e-10:
            return [float(b) for b in beta]
    return [math.nan] * beta.size
