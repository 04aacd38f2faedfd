"""Checks that go with every validation: permuted labels, less data, what is missing where."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterglow.cohort import performance, validation
from afterglow.cohort.auc import Estimate, clustered_auc
from afterglow.cohort.curves import learning_row
from afterglow.cohort.design import Design
from afterglow.cohort.models import ModelSpec
from afterglow.cohort.tabular import REGIONS
from afterglow.config.cohort import CohortConfig

Row = dict[str, Any]
Floats = NDArray[np.float64]
REGION = re.compile(rf"^({'|'.join(REGIONS)})_")


def within_center(design: Design, result: validation.OutOfFold) -> Estimate:
    """Return the area of out-of-fold predictions, comparing lesions of one fold and center."""
    known = np.isfinite(result.probability)
    strata = [f"{a}/{b}" for a, b in zip(result.fold, design.centers, strict=True)]
    return clustered_auc(
        design.y[known], result.probability[known], design.patients[known], np.array(strata)[known]
    )


def permutation_rows(
    design: Design,
    spec: ModelSpec,
    nested: validation.OutOfFold,
    config: CohortConfig,
    say: Callable[[str], None] = lambda _: None,
) -> list[Row]:
    """Return the area on permuted labels and the p value of the area found.

    Labels are exchanged between patients of one center, and everything (tuning included) is done
    again. The row holds the mean area and its 2.5 and 97.5 percentiles; its p value counts
    permuted areas as large as the one found.
    """
    areas = []
    for i in range(config.permutations):
        null = validation.permuted(design, config.seed + i)
        if min(int(null.y.sum()), int((1 - null.y).sum())) < config.outer_folds:
            continue
        result = validation.nested(
            null, spec, outer=config.outer_folds, inner=config.inner_folds, seed=config.seed + i
        )
        areas.append(within_center(null, result).value)
        if (i + 1) % 10 == 0:
            say(f"{i + 1} of {config.permutations} runs on permuted labels")
    known = np.array([a for a in areas if np.isfinite(a)])
    if not known.size:
        return []
    low, high = np.quantile(known, [0.025, 0.975])
    seen = within_center(design, nested).value
    p = (1 + int((known >= seen - 1e-12).sum())) / (1 + known.size)
    estimate = Estimate(float(known.mean()), float(known.std()), float(low), float(high))
    return [performance.permuted_row(nested, estimate, design, p, known.size)]


def learning_curve(
    design: Design, spec: ModelSpec, nested: validation.OutOfFold, config: CohortConfig
) -> list[Row]:
    """Return the area within center by number of training patients.

    The outer folds stay; a share of each fold's training patients is drawn, and tuning and
    fitting are done on those alone.
    """
    rows: list[Row] = []
    folds = [
        (np.flatnonzero(nested.fold != k), np.flatnonzero(nested.fold == k))
        for k in range(int(nested.fold.max()) + 1)
    ]
    for share in sorted({*config.learning_curve, 1.0}):
        kept = [
            (_share(design, train, share, config.seed + k), test)
            for k, (train, test) in enumerate(folds)
        ]
        if any(len(set(design.y[train].tolist())) < 2 for train, _ in kept):
            continue
        result = nested
        if share < 1:
            result = validation.nested(
                design, spec, inner=config.inner_folds, seed=config.seed, folds=kept
            )
        found = within_center(design, result)
        n = float(np.mean([len(set(design.patients[train].tolist())) for train, _ in kept]))
        rows.append(learning_row(nested, len(rows), n, found.value, found.low, found.high))
    return rows


def center_missingness(design: Design, *, samples: int = 999, seed: int = 0) -> dict[str, Any]:
    """Return how much is missing by group of features and center, and whether centers differ.

    Returns
    -------
    dict
        ``share``: missing fraction by group (the map of a feature) and center, for groups that
        lack anything; ``follows_center``: groups whose missingness depends on the center
        (permutation of whole patients, p < 0.05 after Holm). A model told what is missing can
        then guess the center.
    """
    from afterglow.cohort.univariate import holm

    groups: dict[str, list[int]] = {}
    for j, name in enumerate(design.names):
        groups.setdefault(group_of(name), []).append(j)
    centers = sorted(set(design.centers.tolist()))
    lacking = {g: (~np.isfinite(design.x[:, at])).mean(axis=1) for g, at in groups.items()}
    lacking = {g: values for g, values in lacking.items() if values.any()}
    share = {
        g: {c: float(values[design.centers == c].mean()) for c in centers}
        for g, values in sorted(lacking.items())
    }
    names = sorted(lacking)
    p = np.array([_spread_p(design, lacking[g], samples, seed) for g in names])
    low = [g for g, adjusted in zip(names, holm(p), strict=True) if adjusted < 0.05]
    return {"share": share, "follows_center": low}


def group_of(name: str) -> str:
    """Return the map that a feature was measured on, or its own name.

    Examples
    --------
    >>> group_of("lesion_rCBV_median_change"), group_of("volume")
    ('rCBV', 'volume')
    """
    return REGION.sub("", name).split("_")[0] if REGION.match(name) else name


def _share(design: Design, train: NDArray[np.intp], share: float, seed: int) -> NDArray[np.intp]:
    """Return the lesions of a random share of training patients, as many with events as without."""
    rng = np.random.default_rng(seed)
    here = design.patients[train]
    kept: list[str] = []
    event = {str(p): bool(design.y[train][here == p].max()) for p in np.unique(here)}
    for wanted in (False, True):
        names = sorted(p for p, has in event.items() if has is wanted)
        kept += [names[i] for i in rng.permutation(len(names))[: max(1, round(share * len(names)))]]
    return train[np.isin(here, kept)]


def _spread_p(design: Design, values: Floats, samples: int, seed: int) -> float:
    """Return the p value of the variance of center means when whole patients change centers."""
    patients, which = np.unique(design.patients, return_inverse=True)
    centers, place = np.unique(design.centers, return_inverse=True)
    if centers.size < 2:
        return float("nan")
    sums = np.stack([np.bincount(which, weights=values), np.bincount(which).astype(float)])
    home = np.zeros(patients.size, dtype=np.intp)
    home[which] = place
    member = np.eye(centers.size)[home]
    rng = np.random.default_rng(seed)

    def spread(order: NDArray[np.intp] | slice) -> float:
        total, n = sums @ member[order]
        return float((n * (total / np.maximum(n, 1) - values.mean()) ** 2).sum())

    found = spread(slice(None))
    null = [spread(rng.permutation(home.size)) for _ in range(samples)]
    return (1 + sum(v >= found - 1e-12 for v in null)) / (1 + samples)
