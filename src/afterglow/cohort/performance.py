"""Rows of the predictions and performance tables, for models and for rules."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterglow.cohort import statistics
from afterglow.cohort.design import Design
from afterglow.cohort.rule_model import Rule
from afterglow.cohort.statistics import Estimate
from afterglow.cohort.subgroups import subgroups
from afterglow.cohort.validation import OutOfFold

Row = dict[str, Any]
PERMUTED = "auc_within_center_permuted"
PROPORTION = "Clopper-Pearson at the effective number of lesions (Korn-Graubard)"
LEAST_PAIRED = 10
CALLS = {"progression": 1.0, "treatment_effect": 0.0}


def prediction_rows(design: Design, result: OutOfFold) -> list[Row]:
    """Return one row per out-of-fold prediction."""
    rows = []
    for i, name in enumerate(design.rows):
        subject, lesion, session = name.split("/")
        rows.append(
            {
                "center": str(design.centers[i]),
                "subject": subject,
                "session": session,
                "lesion_id": lesion,
                "model": result.model,
                "split": result.split,
                "fold": str(result.fold[i]),
                "outcome": "progression" if design.y[i] else "treatment_effect",
                "probability": float(result.probability[i]),
                "record_id": None,
            }
        )
    return rows


def model_rows(
    design: Design,
    result: OutOfFold,
    *,
    prevalence: float | None,
    bootstrap: int,
    seed: int,
    min_center: int = 10,
) -> list[Row]:
    """Return the figures of one model and split.

    Areas compare lesions of one fold only (``auc``), of one fold and center
    (``auc_within_center``; ``auc_bootstrap`` with an interval by patients drawn again), of each
    sufficient center alone (``auc_center:NAME``) and of each sufficient subgroup
    (``auc_subgroup:NAME``).
    """
    known = np.flatnonzero(np.isfinite(result.probability))
    part, p, fold = design.take(known), result.probability[known], result.fold[known]
    area = statistics.pooled_auc(part.y, p, part.patients, fold, part.centers)
    rows = [_row(result, "auc", area, part)]
    within = [f"{a}/{b}" for a, b in zip(fold, part.centers, strict=True)]
    area = statistics.clustered_auc(part.y, p, part.patients, within)
    rows.append(_row(result, "auc_within_center", area, part))
    if bootstrap:
        area = statistics.bootstrap_auc(
            part.y, p, part.patients, within, samples=bootstrap, seed=seed
        )
        rows.append(_row(result, "auc_bootstrap", area, part, method="patient bootstrap"))
    groups = {f"center:{c}": part.centers == c for c in sorted(set(part.centers.tolist()))}
    groups |= {f"subgroup:{name}": mask for name, mask in subgroups(part).items()}
    rows += _group_rows(result, part, p, fold, groups, min_center)
    return rows + _threshold_rows(result, part, p, prevalence) + _probability_rows(result, part, p)


def comparison_rows(design: Design, result: OutOfFold, baseline: OutOfFold) -> list[Row]:
    """Return by how much a model's area exceeds that of a baseline on the same lesions and folds.

    Empty where folds differ, or where no lesion has both predictions.
    """
    known = np.isfinite(result.probability) & np.isfinite(baseline.probability)
    if not known.any() or not np.array_equal(result.fold, baseline.fold):
        return []
    part = design.take(np.flatnonzero(known))
    gain, p = statistics.compare_auc(
        part.y,
        result.probability[known],
        baseline.probability[known],
        part.patients,
        result.fold[known],
    )
    return [_row(result, f"auc_less_{baseline.model}", gain, part, p=p)]


def beside_rules(
    rules: Sequence[Rule],
    calls: Iterable[Mapping[str, Any]],
    design: Design,
    results: Mapping[tuple[str, str], OutOfFold],
) -> list[Row]:
    """Return by how much each model's nested area exceeds that of each rule's value.

    Both are taken on the lesions where the rule has a value, within folds; p values of all
    these comparisons are adjusted together (Holm).
    """
    from afterglow.cohort.univariate import holm

    scores = _rule_scores(rules, calls, design)
    rows: list[Row] = []
    for (_, split), result in results.items():
        if split != "nested":
            continue
        for name, score in scores.items():
            known = np.isfinite(score) & np.isfinite(result.probability)
            part = design.take(np.flatnonzero(known))
            if min(int(part.y.sum()), int((1 - part.y).sum())) < LEAST_PAIRED:
                continue
            gain, p = statistics.compare_auc(
                part.y, result.probability[known], score[known], part.patients, result.fold[known]
            )
            rows.append(_row(result, f"auc_less_rule:{name}", gain, part, p=p))
    adjusted = holm(np.array([row["p_value"] for row in rows], dtype=np.float64))
    for row, value in zip(rows, adjusted, strict=True):
        row["p_holm"] = float(value)
    return rows


def permuted_row(result: OutOfFold, estimate: Estimate, design: Design, p: float, n: int) -> Row:
    """Return the row of the area on permuted labels; ``p`` is that of the area found."""
    return _row(result, PERMUTED, estimate, design, method=f"{n} permutations", p=p)


def _rule_scores(
    rules: Sequence[Rule], calls: Iterable[Mapping[str, Any]], design: Design
) -> dict[str, NDArray[np.float64]]:
    """Return, for each rule, its value at the landmarks, signed so that higher is progression."""
    at = {name: i for i, name in enumerate(design.rows)}
    known = {rule.id: rule for rule in rules if rule.enabled and rule.cutoff is not None}
    scores: dict[str, NDArray[np.float64]] = {}
    for call in calls:
        rule = known.get(call["rule_id"])
        place = at.get(f"{call['subject']}/{call['lesion_id']}/{call['session']}")
        if rule is None or place is None or call["call"] not in CALLS:
            continue
        score = scores.setdefault(rule.id, np.full(design.y.size, math.nan))
        score[place] = _sign(rule) * float(call["value"])
    return dict(sorted(scores.items()))


def _sign(rule: Rule) -> float:
    sign = -1.0 if (rule.comparator or ">").startswith("<") else 1.0
    return sign if rule.positive_class == "progression" else -sign


def _group_rows(
    result: OutOfFold,
    part: Design,
    p: NDArray[np.float64],
    fold: NDArray[np.intp],
    groups: Mapping[str, NDArray[np.bool_]],
    least: int,
) -> list[Row]:
    rows = []
    for name, mask in groups.items():
        here = np.flatnonzero(mask)
        if here.size >= least:
            own = part.take(here)
            area = statistics.pooled_auc(own.y, p[here], own.patients, fold[here], own.centers)
            rows.append(_row(result, f"auc_{name}", area, own))
    return rows


def _threshold_rows(
    result: OutOfFold, part: Design, p: NDArray[np.float64], prevalence: float | None
) -> list[Row]:
    table = statistics.confusion(part.y, (p >= 0.5).astype(float), part.patients)
    return _confusion_rows(
        result.model, result.split, table, part, prevalence or float(part.y.mean())
    )


def _confusion_rows(
    model: str, split: str, table: statistics.Confusion, part: Design, prevalence: float
) -> list[Row]:
    sens, spec = table.sensitivity, table.specificity
    ppv, npv = statistics.predictive_values(sens.estimate, spec.estimate, prevalence)
    rows = []
    for metric, found in (("sensitivity", sens), ("specificity", spec)):
        estimate = Estimate(found.estimate, math.nan, found.low, found.high)
        rows.append(_figure(model, split, metric, estimate, part, method=PROPORTION, n=found.n))
    for metric, value in (("ppv", ppv), ("npv", npv)):
        estimate = Estimate(value, math.nan, math.nan, math.nan)
        name = f"{metric}@prevalence:{prevalence:.3f}"
        rows.append(_figure(model, split, name, estimate, part, method=None))
    return rows


def _probability_rows(result: OutOfFold, part: Design, p: NDArray[np.float64]) -> list[Row]:
    line = statistics.calibration(part.y, p)
    values = {
        "brier": statistics.brier(part.y, p),
        "calibration_slope": line.slope,
        "calibration_intercept": line.intercept,
    }
    rows = [
        _row(result, name, Estimate(value, math.nan, math.nan, math.nan), part, method=None)
        for name, value in values.items()
    ]
    thresholds = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    gains = statistics.net_benefit(part.y, p, thresholds)
    for threshold, gain in zip(thresholds, gains, strict=True):
        estimate = Estimate(float(gain), math.nan, math.nan, math.nan)
        name = f"net_benefit@threshold:{threshold:.1f}"
        rows.append(_row(result, name, estimate, part, method=None))
    return rows


def rule_rows(
    rules: Sequence[Rule],
    calls: Iterable[Mapping[str, Any]],
    design: Design,
    prevalence: float | None,
) -> list[Row]:
    """Return sensitivity, specificity and area of each rule on the study's labelled lesions.

    Rules are judged at the same landmarks as models; lesions without a call are left out, so
    ``n_lesions`` says how many the figures rest on.
    """
    at = {name: i for i, name in enumerate(design.rows)}
    by_rule: dict[str, list[tuple[int, float, float]]] = {rule.id: [] for rule in rules}
    for call in calls:
        place = at.get(f"{call['subject']}/{call['lesion_id']}/{call['session']}")
        if place is not None and call["rule_id"] in by_rule:
            decided = CALLS.get(call["call"], math.nan)
            by_rule[call["rule_id"]].append((place, decided, float(call["value"])))
    rows: list[Row] = []
    for rule in rules:
        found = [item for item in by_rule[rule.id] if math.isfinite(item[1])]
        if found and rule.enabled:
            rows += _one_rule(rule, found, design, prevalence)
    return rows


def _one_rule(
    rule: Rule,
    found: list[tuple[int, float, float]],
    design: Design,
    prevalence: float | None,
) -> list[Row]:
    part = design.take(np.array([item[0] for item in found], dtype=np.intp))
    called = np.array([item[1] for item in found])
    table = statistics.confusion(part.y, called, part.patients)
    rows = _confusion_rows(
        f"rule:{rule.id}", "all_labelled", table, part, prevalence or float(part.y.mean())
    )
    score = _sign(rule) * np.array([item[2] for item in found])
    area = statistics.clustered_auc(part.y, score, part.patients)
    rows.append(_figure(f"rule:{rule.id}", "all_labelled", "auc", area, part))
    return rows


def _row(result: OutOfFold, metric: str, estimate: Estimate, part: Design, **more: Any) -> Row:
    return _figure(result.model, result.split, metric, estimate, part, **more)


def _figure(
    model: str,
    split: str,
    metric: str,
    estimate: Estimate,
    part: Design,
    *,
    method: str | None = "clustered DeLong (Obuchowski)",
    n: int | None = None,
    p: float = math.nan,
) -> Row:
    return {
        "model": model,
        "split": split,
        "metric": metric,
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "interval": method,
        "p_value": p,
        "p_holm": math.nan,
        "n_subjects": part.n_patients,
        "n_lesions": part.y.size if n is None else n,
        "reason": "not_estimable" if math.isnan(estimate.value) else "",
    }
