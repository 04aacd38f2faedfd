"""The whole cohort step on rows of tables: rules, validation, and why not where not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from afterglow.cohort import matrix, performance, rules, validation
from afterglow.cohort.auc import clustered_auc
from afterglow.cohort.design import Design, center_confounding, events_per_feature
from afterglow.cohort.labels import label_doubts
from afterglow.cohort.models import ModelSpec, model_spec
from afterglow.cohort.rule_model import Rule
from afterglow.config.cohort import CohortConfig
from afterglow.errors import NotEvaluable

Row = Mapping[str, Any]
BASELINES = ("clinical_only", "volume_only")


@dataclass(frozen=True)
class Analysis:
    """What the cohort step found.

    ``validation`` is ``{"possible", "reason", "detail"}``; ``flow`` holds the steps from
    lesions to models without their numbers; ``checks`` confounding by center, events for each
    feature, and the area after permuting the labels.
    """

    rules: list[dict[str, Any]]
    predictions: list[dict[str, Any]]
    performance: list[dict[str, Any]]
    validation: dict[str, Any]
    flow: list[dict[str, Any]]
    checks: dict[str, Any] = field(default_factory=dict)
    design: Design | None = None


def analyse(
    tables: Mapping[str, Sequence[Row]],
    config: CohortConfig,
    say: Callable[[str], None] = lambda _: None,
) -> Analysis:
    """Apply all rules and validate all models.

    Parameters
    ----------
    tables : mapping
        Rows of ``features``, ``sessions`` and ``lesions``.
    config : CohortConfig
        Settings.
    say : callable
        Receives one line for each step.
    """
    listed = rules.load_rules(config.rules)
    calls = rules.apply(listed, tables["features"], tables["sessions"], tables["lesions"])
    say(f"rules: {len(calls)} calls of {sum(r.enabled for r in listed)} rules")
    marks = matrix.landmarks(tables["lesions"], mixed=config.mixed)
    design = matrix.design(marks, tables["features"], tables["lesions"])
    figures = performance.rule_rows(listed, calls, design, config.prevalence)
    found = validate(design, config, say)
    doubts = label_doubts(marks.rows, config.mixed)
    return replace(
        found,
        rules=calls,
        performance=figures + found.performance,
        flow=_flow(marks, found.validation),
        checks={**found.checks, "label_doubts": doubts},
    )


def validate(
    design: Design, config: CohortConfig, say: Callable[[str], None] = lambda _: None
) -> Analysis:
    """Validate all models on a design, or say why that is impossible."""
    try:
        validation.feasible(
            design,
            min_patients=config.min_patients,
            min_events=config.min_events,
            folds=config.outer_folds,
        )
    except NotEvaluable as reason:
        say(f"validation impossible, because {reason.detail}")
        why = {"possible": False, "reason": reason.reason, "detail": reason.detail}
        return Analysis([], [], [], why, [], design=design)
    predictions, figures, checks = _validate(design, config, say)
    why = {"possible": True, "reason": "", "detail": ""}
    return Analysis([], predictions, figures, why, [], checks, design)


def _flow(marks: matrix.Landmarks, why: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return flow rows: lesions with a label and a landmark, and whether they suffice."""
    label, use = "lesion with label and landmark scan", "validation of models"
    rows = [
        {"name": label, "reason": reason, **_counts(left)}
        for reason, left in marks.left_out.items()
    ]
    rows.append({"name": label, "reason": "", **_counts(marks.rows)})
    reason = "" if why["possible"] else f"{why['reason']}: {why['detail']}"
    rows.append({"name": use, "reason": reason, **_counts(marks.rows)})
    if reason:
        rows.append({"name": use, "reason": "", **_counts(())})
    return rows


def _counts(rows: Sequence[Row]) -> dict[str, int]:
    return {
        "n_subjects": len({r["subject"] for r in rows}),
        "n_sessions": len({(r["subject"], r["session"]) for r in rows}),
        "n_lesions": len({(r["subject"], r["lesion_id"]) for r in rows}),
    }


def needed_features(config: CohortConfig) -> dict[str, list[str]]:
    """Return the regions and statistics that rules and models look at.

    The features table of a large study holds millions of rows; the rest of it need not be read.
    """
    listed = [m for r in rules.load_rules(config.rules) for m in r.measurements]
    wanted = [m for m in listed if m.source == "features"]
    return {
        "region": sorted({*matrix.REGIONS, *(m.region for m in wanted)}),
        "statistic": sorted({*matrix.STATISTICS, *(m.statistic for m in wanted)}),
    }


def candidate_models(config: CohortConfig) -> list[ModelSpec]:
    """Return the models to validate; the baselines are always among them."""
    names = [*config.models, *(b for b in BASELINES if b not in config.models)]
    return [
        model_spec(name, indicators=config.missing_indicators, seed=config.seed) for name in names
    ]


def _validate(
    design: Design, config: CohortConfig, say: Callable[[str], None]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]:
    predictions: list[dict[str, Any]] = []
    figures: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    results: dict[tuple[str, str], validation.OutOfFold] = {}
    for spec in candidate_models(config):
        for split in ("nested", "leave_one_center_out"):
            try:
                result = _out_of_fold(design, spec, split, config)
            except NotEvaluable as reason:
                skipped[f"{spec.name}/{split}"] = str(reason)
                continue
            results[spec.name, split] = result
            predictions += performance.prediction_rows(design, result)
            figures += performance.model_rows(
                design,
                result,
                prevalence=config.prevalence,
                bootstrap=config.bootstrap,
                seed=config.seed,
                min_center=config.min_center_lesions,
            )
            say(f"validated {spec.name}, {result.split}")
    for (name, split), result in results.items():
        for other in BASELINES:
            baseline = results.get((other, split))
            if baseline is not None and other != name:
                figures += performance.comparison_rows(design, result, baseline)
    checks = {
        "center_confounding": center_confounding(design),
        "events_per_feature": events_per_feature(design),
        "skipped": skipped,
        **_permutation(design, config),
    }
    return predictions, figures, checks


def _out_of_fold(
    design: Design, spec: ModelSpec, split: str, config: CohortConfig
) -> validation.OutOfFold:
    if split == "nested":
        return validation.nested(
            design, spec, outer=config.outer_folds, inner=config.inner_folds, seed=config.seed
        )
    return validation.leave_one_center_out(design, spec, inner=config.inner_folds, seed=config.seed)


def _permutation(design: Design, config: CohortConfig) -> dict[str, Any]:
    """Return areas of the first model on permuted labels: they must lie near 0.5."""
    spec = candidate_models(config)[0]
    areas = []
    for i in range(config.permutations):
        null = validation.permuted(design, config.seed + i)
        if min(int(null.y.sum()), int((1 - null.y).sum())) < config.outer_folds:
            continue
        result = validation.nested(
            null, spec, outer=config.outer_folds, inner=config.inner_folds, seed=config.seed + i
        )
        known = np.isfinite(result.probability)
        within = [f"{a}/{b}" for a, b in zip(result.fold, null.centers, strict=True)]
        area = clustered_auc(
            null.y[known],
            result.probability[known],
            null.patients[known],
            np.array(within)[known],
        ).value
        areas.append(area)
    if not areas:
        return {"permuted_auc_mean": None, "permuted_auc": []}
    return {"permuted_auc_mean": float(np.nanmean(areas)), "permuted_auc": areas}


def rule_catalogue(listed: Sequence[Rule]) -> list[dict[str, Any]]:
    """Return every rule with what it rests on, for reports and the model card."""
    return [
        {
            "rule_id": rule.id,
            "title": rule.title,
            "citation": rule.citation,
            "enabled": rule.enabled,
            "disabled_reason": rule.disabled_reason,
            "cutoff": rule.cutoff,
            "comparator": rule.comparator,
            "unit": rule.unit,
            "n_tp": rule.n_tp,
            "n_rn": rule.n_rn,
            "sensitivity": _published(rule, "sensitivity"),
            "specificity": _published(rule, "specificity"),
            "evidence_level": rule.evidence_level,
            "constant_status": rule.constant_status,
            "note": rule.published.note,
        }
        for rule in listed
    ]


def _published(rule: Rule, name: str) -> dict[str, float | int | None]:
    exact, printed = getattr(rule, name), getattr(rule.published, name)
    if exact is None:
        return {"printed": printed, "k": None, "n": None, "low": None, "high": None}
    return {
        "printed": printed,
        "k": exact.k,
        "n": exact.n,
        "low": exact.low,
        "high": exact.high,
    }
