"""Validation that cannot leak: nested, grouped by patient, and by leaving a center out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from afterglow.cohort.design import Design
from afterglow.cohort.fitting import Fitted, fit, harmonized
from afterglow.cohort.models import ModelSpec
from afterglow.errors import AfterglowError, NotEvaluable

Index = NDArray[np.intp]
Fold = tuple[Index, Index]


@dataclass(frozen=True)
class OutOfFold:
    """Predictions of lesions by models that saw no lesion of their patient.

    ``probability`` is NaN where no model could be fitted; ``fold`` names the model (lesions
    are compared within it); ``choices`` holds the tuned setting of each fold and ``weights`` its
    coefficients (empty where a model has none).
    """

    model: str
    split: str
    probability: NDArray[np.float64]
    fold: NDArray[np.intp]
    choices: tuple[dict[str, Any], ...]
    weights: tuple[dict[str, float], ...] = ()


def feasible(design: Design, *, min_patients: int, min_events: int, folds: int) -> None:
    """Raise where there are too few cases to validate a model.

    Raises
    ------
    NotEvaluable
        With a reason and one sentence that says what is short.
    """
    n, up = design.y.size, int(design.y.sum())
    if n == 0:
        raise NotEvaluable("no_labels", "no lesion has an outcome of progression or its contrary")
    if up in {0, n}:
        raise NotEvaluable("one_class", f"all {n} labelled lesions have the same outcome")
    if design.n_patients < min_patients:
        raise NotEvaluable(
            "too_few_patients", f"{design.n_patients} labelled patients, {min_patients} needed"
        )
    if min(up, n - up) < min_events:
        raise NotEvaluable(
            "too_few_events", f"{min(up, n - up)} lesions of the rarer class, {min_events} needed"
        )
    for label in (0, 1):
        patients = len(set(design.patients[design.y == label].tolist()))
        if patients < folds:
            raise NotEvaluable(
                "too_few_patients_of_a_class",
                f"{patients} patients have lesions of the rarer class, {folds} folds need {folds}",
            )


def grouped_folds(
    y: ArrayLike, patients: ArrayLike | None, n_folds: int, seed: int = 0
) -> list[Fold]:
    """Return stratified folds in which no patient is on both sides.

    Raises
    ------
    AfterglowError
        No patients are given, or fewer than there are folds.

    Examples
    --------
    >>> folds = grouped_folds([0, 1, 0, 1], ["a", "a", "b", "b"], 2)
    >>> [sorted(test.tolist()) for _, test in folds] in ([[0, 1], [2, 3]], [[2, 3], [0, 1]])
    True
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if patients is None:
        raise AfterglowError(
            "folds without patients are refused",
            expected="the patient of every lesion: lesions of one patient are not independent",
        )
    groups, truth = np.asarray(patients), np.asarray(y)
    if len(set(groups.tolist())) < n_folds:
        raise AfterglowError(f"fewer patients than folds ({n_folds})")
    splitter = StratifiedGroupKFold(n_splits=n_folds, shuffle=True, random_state=seed)
    folds = [(a, b) for a, b in splitter.split(np.zeros(truth.size), truth, groups) if b.size]
    check_folds(folds, groups)
    return folds


def check_folds(folds: Sequence[Fold], patients: ArrayLike) -> None:
    """Raise where a patient is on both sides of a fold, or a lesion is tested twice.

    Raises
    ------
    AfterglowError
        Naming the fold, never the patient.
    """
    groups = np.asarray(patients)
    tested: set[int] = set()
    for number, (train, test) in enumerate(folds):
        shared = set(groups[train].tolist()) & set(groups[test].tolist())
        if shared:
            raise AfterglowError(
                f"{len(shared)} patients are in training and test of fold {number}",
                expected="each patient on one side only",
            )
        if tested & set(test.tolist()):
            raise AfterglowError(f"fold {number} tests a lesion that another fold tests too")
        tested |= set(test.tolist())


def nested(
    design: Design,
    spec: ModelSpec,
    *,
    outer: int = 5,
    inner: int = 3,
    seed: int = 0,
    folds: Sequence[Fold] | None = None,
) -> OutOfFold:
    """Return out-of-fold predictions of nested, patient-grouped cross-validation.

    Parameters
    ----------
    design : Design
        Lesions and features.
    spec : ModelSpec
        Candidate model; its grid is tuned in inner folds, by patient-grouped log loss.
    outer, inner : int
        Numbers of folds.
    seed : int
        Seed of the folds.
    folds : sequence, optional
        Outer folds of one's own; refused where they leak.
    """
    if folds is None:
        folds = grouped_folds(design.y, design.patients, outer, seed)
    else:
        check_folds(folds, design.patients)
    return _out_of_fold(design, spec, folds, f"nested_{len(folds)}fold", inner, seed)


def leave_one_center_out(
    design: Design, spec: ModelSpec, *, inner: int = 3, seed: int = 0
) -> OutOfFold:
    """Return predictions for each center by a model of all others.

    Raises
    ------
    NotEvaluable
        Fewer than two centers.
    AfterglowError
        A patient has lesions in two centers.
    """
    centers = sorted(set(design.centers.tolist()))
    if len(centers) < 2:
        raise NotEvaluable("one_center", "leaving a center out needs two centers or more")
    folds = [
        (np.flatnonzero(design.centers != c), np.flatnonzero(design.centers == c)) for c in centers
    ]
    check_folds(folds, design.patients)
    return _out_of_fold(design, spec, folds, "leave_one_center_out", inner, seed)


def permuted(design: Design, seed: int) -> Design:
    """Return the design with labels exchanged among patients of a center.

    Whole patients are exchanged, so that lesions of one patient keep going together: a patient
    receives the sorted labels of another, cut or recycled to its own number of lesions.
    """
    rng = np.random.default_rng(seed)
    y = design.y.copy()
    for center in sorted(set(design.centers.tolist())):
        names = sorted(set(design.patients[design.centers == center].tolist()))
        donors = [names[i] for i in rng.permutation(len(names))]
        for name, donor in zip(names, donors, strict=True):
            here = np.flatnonzero((design.patients == name) & (design.centers == center))
            given = design.y[(design.patients == donor) & (design.centers == center)]
            y[here] = np.resize(given, here.size)
    return replace(design, y=y)


def fit_final(
    design: Design, spec: ModelSpec, *, inner: int = 3, seed: int = 0
) -> tuple[Fitted, dict[str, Any]]:
    """Return the model tuned by grouped folds and fitted to all lesions, and its choice."""
    used = design.columns(spec.pick(design.names))
    choice = _tune(used, spec, inner, seed)
    return fit(spec, choice, used), choice


def _out_of_fold(
    design: Design, spec: ModelSpec, folds: Sequence[Fold], split: str, inner: int, seed: int
) -> OutOfFold:
    if design.harmonized:
        raise AfterglowError(
            "features were harmonized before they were split",
            expected="ComBat inside the folds (a model's `combat`)",
        )
    names = spec.pick(design.names)
    if not names:
        raise NotEvaluable("no_features", f"the features of model {spec.name} were not measured")
    used = design.columns(names)
    probability = np.full(design.y.size, np.nan)
    where = np.full(design.y.size, -1, dtype=np.intp)
    choices: list[dict[str, Any]] = []
    weights: list[dict[str, float]] = []
    for number, (train, test) in enumerate(folds):
        where[test] = number
        part = used.take(train)
        if len(set(part.y.tolist())) < 2:
            choices.append({})
            continue
        choice = _tune(part, spec, inner, seed)
        fitted = fit(spec, choice, part)
        probability[test] = fitted.probability(used.x[test], used.centers[test])
        choices.append(choice)
        weights.append(fitted.weights())
    return OutOfFold(spec.name, split, probability, where, tuple(choices), tuple(weights))


def _tune(part: Design, spec: ModelSpec, inner: int, seed: int) -> dict[str, Any]:
    """Return the setting of least log loss over inner folds, which are grouped as well."""
    if len(spec.grid) == 1:
        return spec.grid[0]
    losses = np.zeros(len(spec.grid))
    for train, test in _inner_folds(part, inner, seed):
        seen, unseen = _prepared(spec, part, train, test)
        truth = part.y[test]
        for i, choice in enumerate(spec.grid):
            last = spec.make(choice)[-1].fit(seen, part.y[train])
            p = np.clip(last.predict_proba(unseen)[:, 1], 1e-9, 1 - 1e-9)
            losses[i] -= float((truth * np.log(p) + (1 - truth) * np.log(1 - p)).sum())
    return spec.grid[int(np.argmin(losses))]


def _prepared(
    spec: ModelSpec, part: Design, train: Index, test: Index
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return training and test features after the steps that no setting of the grid changes."""
    seen, combat = harmonized(spec, part.take(train))
    unseen = part.x[test] if combat is None else combat.transform(part.x[test], part.centers[test])
    steps = spec.make(spec.grid[0])[:-1]
    if not len(steps):
        return seen, unseen
    return steps.fit_transform(seen, part.y[train]), steps.transform(unseen)


def _inner_folds(part: Design, inner: int, seed: int) -> Iterator[Fold]:
    n_folds = min(inner, part.n_patients)
    if n_folds < 2:
        return
    for train, test in grouped_folds(part.y, part.patients, n_folds, seed + 1):
        if len(set(part.y[train].tolist())) == 2:
            yield train, test
