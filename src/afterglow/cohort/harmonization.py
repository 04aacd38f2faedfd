"""ComBat: location and scale of each center, estimated in training folds and applied elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterglow.cohort.design import Design
from afterglow.errors import AfterglowError

Floats = NDArray[np.float64]

# Sizes, times and treatments differ between centers because the patients do.
NEVER = re.compile(
    r"volume|diameter|surface|sphericity|shape|centroid|voxels|slices|days|dose|fractions|age|sex",
    re.IGNORECASE,
)
CONVERGED = 1e-4


@dataclass(frozen=True)
class ComBat:
    """Fitted adjustment of ``k`` centers and ``p`` features.

    Parameters
    ----------
    centers : tuple of str
        Centers that were adjusted; any other is passed through, since nothing is known of it
        beyond the reference tissue its values were divided by.
    names : tuple of str
        All features, in the order of the columns.
    used : (p,) bool array
        Features that are adjusted.
    mean, scale : (p,) float array
        Grand mean and pooled standard deviation, in the unit of each feature.
    gamma, delta : (k, p) float array
        Additive and multiplicative effect of each center on standardized values.
    """

    centers: tuple[str, ...]
    names: tuple[str, ...]
    used: NDArray[np.bool_]
    mean: Floats
    scale: Floats
    gamma: Floats
    delta: Floats

    def transform(self, x: Floats, centers: NDArray[np.str_]) -> Floats:
        """Return adjusted features; centers that were not fitted are left as they are.

        Parameters
        ----------
        x : (n, p) float array
            Features; NaN stays NaN.
        centers : (n,) str array
            Center of each row.
        """
        out = np.array(x, dtype=np.float64)
        for i, center in enumerate(self.centers):
            here = np.flatnonzero(centers == center)[:, None]
            cell = np.ix_(here[:, 0], np.flatnonzero(self.used))
            mean, scale = self.mean[self.used], self.scale[self.used]
            z = (out[cell] - mean) / scale - self.gamma[i, self.used]
            out[cell] = z / np.sqrt(self.delta[i, self.used]) * scale + mean
        return out

    def as_dict(self) -> dict[str, Any]:
        """Return the adjustment as plain numbers, for a model card."""
        at = np.flatnonzero(self.used)
        return {
            "centers": list(self.centers),
            "features": {
                self.names[j]: {
                    "mean": float(self.mean[j]),
                    "scale": float(self.scale[j]),
                    "gamma": [float(v) for v in self.gamma[:, j]],
                    "delta": [float(v) for v in self.delta[:, j]],
                }
                for j in at
            },
        }


def from_dict(content: dict[str, Any], names: Sequence[str]) -> ComBat:
    """Return the adjustment that ``ComBat.as_dict`` described, for columns ``names``."""
    centers, features = tuple(content["centers"]), content["features"]
    p, k = len(names), len(centers)
    mean, scale = np.zeros(p), np.ones(p)
    gamma, delta = np.zeros((k, p)), np.ones((k, p))
    used = np.array([name in features for name in names], dtype=bool)
    for j in np.flatnonzero(used).tolist():
        entry = features[names[j]]
        mean[j], scale[j] = entry["mean"], entry["scale"]
        gamma[:, j], delta[:, j] = entry["gamma"], entry["delta"]
    return ComBat(centers, tuple(names), used, mean, scale, gamma, delta)


def harmonizable(names: Sequence[str]) -> NDArray[np.bool_]:
    """Tell which features a center's scanner can have shifted.

    Examples
    --------
    >>> harmonizable(["lesion_rCBV_median", "volume", "days_from_srs"]).tolist()
    [True, False, False]
    """
    return np.array([NEVER.search(name) is None for name in names], dtype=bool)


def harmonize(design: Design, combat: ComBat) -> Design:
    """Return a design with adjusted features, which no validation accepts any more.

    A split after this has let test lesions shape training features.
    """
    return replace(design, x=combat.transform(design.x, design.centers), harmonized=True)


def fit_combat(
    x: Floats, centers: NDArray[np.str_], names: Sequence[str], *, minimum: int = 20
) -> ComBat:
    """Return ComBat with parametric empirical Bayes (Johnson 2007, Biostatistics 8:118).

    There is no argument for the label: a label among the covariates leaks into the features.

    Parameters
    ----------
    x : (n, p) float array
        Features of the training lesions; NaN is missing.
    centers : (n,) str array
        Center of each row.
    names : sequence of str
        Features; shapes, times and treatments are never adjusted.
    minimum : int
        Lesions that a center needs in each adjusted feature. Centers with fewer in every feature
        and features that a remaining center lacks are left alone.

    Raises
    ------
    AfterglowError
        Rows and centers differ in length, or ``minimum`` is below 2.
    """
    if x.shape != (centers.size, len(names)):
        raise AfterglowError("features, centers and names differ in length")
    if minimum < 2:
        raise AfterglowError(f"{minimum} lesions for a center", expected="2 or more")
    able = harmonizable(names)
    kept = _large_centers(x[:, able], centers, minimum)
    members = [np.flatnonzero(centers == c) for c in kept]
    used = able & _complete(x, members, minimum)
    p = len(names)
    mean, scale = np.zeros(p), np.ones(p)
    gamma, delta = np.zeros((len(kept), p)), np.ones((len(kept), p))
    if len(kept) < 2 or used.sum() < 2:
        return ComBat((), tuple(names), np.zeros(p, dtype=bool), mean, scale, gamma[:0], delta[:0])
    part = [x[np.ix_(rows, np.flatnonzero(used))] for rows in members]
    mean[used], scale[used] = _standard(part)
    z = [(rows - mean[used]) / scale[used] for rows in part]
    for i, rows in enumerate(z):
        gamma[i, used], delta[i, used] = _posterior(rows)
    return ComBat(tuple(kept), tuple(names), used, mean, scale, gamma, delta)


def _large_centers(x: Floats, centers: NDArray[np.str_], minimum: int) -> list[str]:
    """Return centers in which at least half of the features have enough lesions."""
    kept = []
    for center in sorted(set(centers.tolist())):
        counts = np.isfinite(x[centers == center]).sum(axis=0)
        if counts.size and np.mean(counts >= minimum) >= 0.5:
            kept.append(str(center))
    return kept


def _complete(x: Floats, members: Sequence[NDArray[np.intp]], minimum: int) -> NDArray[np.bool_]:
    """Tell which features have enough lesions, and vary, in every kept center."""
    found = np.ones(x.shape[1], dtype=bool)
    for rows in members:
        counts = np.isfinite(x[rows]).sum(axis=0)
        spread = np.array(
            [
                np.ptp(c[np.isfinite(c)]) if n else 0.0
                for c, n in zip(x[rows].T, counts, strict=True)
            ]
        )
        found &= (counts >= minimum) & (spread > 0)
    return found


def _standard(part: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Return grand mean and pooled standard deviation of each feature over the centers."""
    counts = np.array([np.isfinite(rows).sum(axis=0) for rows in part], dtype=np.float64)
    means = np.array([np.nanmean(rows, axis=0) for rows in part])
    share = counts / counts.sum(axis=0)
    squares = sum(np.nansum((r - m) ** 2, axis=0) for r, m in zip(part, means, strict=True))
    return (share * means).sum(axis=0), np.sqrt(squares / counts.sum(axis=0))


def _posterior(z: Floats) -> tuple[Floats, Floats]:
    """Return the shrunken location and variance of one center's standardized features."""
    n = np.isfinite(z).sum(axis=0)
    g_hat, d_hat = np.nanmean(z, axis=0), np.nanvar(z, axis=0, ddof=1)
    g_bar, t2 = g_hat.mean(), g_hat.var(ddof=1)
    m, s2 = d_hat.mean(), d_hat.var(ddof=1)
    a, b = (2 * s2 + m**2) / s2, (m * s2 + m**3) / s2
    g, d = g_hat.copy(), d_hat.copy()
    for _ in range(1000):
        g_new = (t2 * n * g_hat + d * g_bar) / (t2 * n + d)
        squares = np.nansum((z - g_new) ** 2, axis=0)
        d_new = (0.5 * squares + b) / (n / 2 + a - 1)
        # The reference divides by the signed value; kept, so that both stop at the same step.
        change = max((np.abs(g_new - g) / g).max(), (np.abs(d_new - d) / d).max())
        g, d = g_new, d_new
        if not change > CONVERGED:
            break
    return g, d
