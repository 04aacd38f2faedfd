"""The whole cohort step on rows of tables: rules, validation, and why not where not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from afterglow.cohort import matrix, performance, rules
from afterglow.cohort.checks import within_center
from afterglow.cohort.imaging_labels import ImagingRule
from afterglow.cohort.labels import Mixed, incorporated, label_doubts
from afterglow.cohort.modelling import Analysis, candidate_models, out_of_fold, validate
from afterglow.cohort.rule_model import Rule
from afterglow.cohort.threads import one_thread
from afterglow.config.cohort import CohortConfig
from afterglow.errors import NotEvaluable

__all__ = [
    "Analysis",
    "analyse",
    "candidate_models",
    "needed_features",
    "rule_catalogue",
    "validate",
]

Row = Mapping[str, Any]


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
    tables = {**tables, "lesions": _placed_in_time(tables)}
    listed = rules.load_rules(config.rules)
    calls = rules.apply(listed, tables["features"], tables["sessions"], tables["lesions"])
    say(f"rules: {len(calls)} calls of {sum(r.enabled for r in listed)} rules")
    marks = _landmarks(tables, config, config.mixed)
    design = matrix.design(marks, tables["features"], tables["lesions"])
    figures = performance.rule_rows(listed, calls, design, config.prevalence)
    found = validate(design, config, say)
    beside = performance.beside_rules(listed, calls, design, found.results)
    shared = incorporated(marks.rows, design.names)
    checks = {
        "label_doubts": label_doubts(marks.rows, config.mixed),
        "incorporated_features": shared,
        "mixed_sensitivity": _mixed_sensitivity(tables, marks, config, found),
    }
    return replace(
        found,
        rules=calls,
        performance=figures + found.performance + beside,
        flow=_flow(marks, found.validation),
        checks={**found.checks, **checks},
    )


def _placed_in_time(tables: Mapping[str, Sequence[Row]]) -> list[Row]:
    """Return the rows of lesions with the days since their subject's first session."""
    days = {(r["subject"], r["session"]): r.get("days_from_first") for r in tables["sessions"]}
    return [
        {**row, "days_from_first": days.get((row["subject"], row["session"]))}
        for row in tables["lesions"]
    ]


def _landmarks(
    tables: Mapping[str, Sequence[Row]], config: CohortConfig, mixed: Mixed
) -> matrix.Landmarks:
    rule = ImagingRule(config.imaging_growth, config.imaging_confirmation, config.imaging_follow_up)
    return matrix.landmarks(
        tables["lesions"],
        mixed=mixed,
        landmark_day=config.landmark_day,
        imaging=rule if config.imaging_labels else None,
    )


def _mixed_sensitivity(
    tables: Mapping[str, Sequence[Row]],
    marks: matrix.Landmarks,
    config: CohortConfig,
    found: Analysis,
) -> dict[str, Any]:
    """Return the area of the first model under each policy for mixed lesions, if there are any."""

    def is_mixed(row: Row) -> bool:
        return "_".join(str(row.get("outcome")).lower().split()) == "mixed"

    mixed = any(map(is_mixed, marks.rows)) or "label_mixed" in marks.left_out
    if not mixed or not found.validation["possible"]:
        return {}
    spec, out = candidate_models(config)[0], {}
    for policy in get_args(Mixed):
        other = _landmarks(tables, config, policy)
        design = matrix.design(other, tables["features"], tables["lesions"])
        try:
            with one_thread():
                area = within_center(design, out_of_fold(design, spec, "nested", config))
        except NotEvaluable as reason:
            out[policy] = {"n_lesions": int(design.y.size), "reason": reason.detail}
            continue
        out[policy] = {
            "n_lesions": int(design.y.size),
            "auc": area.value,
            "low": area.low,
            "high": area.high,
        }
    return out


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
