"""Applying published rules to measured lesions: one call for each lesion, session and rule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from afterglow.cohort.measured import Measured, Missing, Value
from afterglow.cohort.rule_files import load_rules
from afterglow.cohort.rule_model import Call, Limit, Measurement, Rule

__all__ = ["apply", "load_rules"]

Row = Mapping[str, Any]

PERFUSION = frozenset({"DSC", "DCE"})
GATED = "not_perfused_before_srs"


@dataclass(frozen=True)
class Verdict:
    """What one rule says of one lesion at one session.

    ``distance`` is value minus cut-off, in the rule's unit; NaN where there is none.
    """

    call: Call
    value: float = math.nan
    distance: float = math.nan
    reasons: tuple[str, ...] = ()
    record_id: str = ""


def apply(
    rules: Iterable[Rule],
    features_rows: Iterable[Row],
    sessions_rows: Iterable[Row],
    lesions_rows: Iterable[Row],
    *,
    include_disabled: bool = False,
) -> list[dict[str, Any]]:
    """Apply rules to every lesion at every session.

    All speak of lesions after radiosurgery: a session before it is ``not_applicable``, one whose
    day from it is unknown ``not_evaluable`` (``days_from_srs_unknown``).

    Parameters
    ----------
    rules : iterable of Rule
        The rules; disabled ones are passed over unless ``include_disabled``, which lists them as
        ``not_evaluable`` with the reason.
    features_rows : iterable of mapping
        Rows of the features table (long form).
    sessions_rows : iterable of mapping
        Rows of the sessions table, which hold the acquisition.
    lesions_rows : iterable of mapping
        Rows of the lesions table: these lesions and sessions are judged.

    Returns
    -------
    list of dict
        Rows of the rules table, ordered by subject, lesion, session and rule.
    """
    measured = Measured(features_rows, sessions_rows, lesions_rows)
    listed = [rule for rule in rules if rule.enabled or include_disabled]
    rows = []
    for visits in measured.courses():
        decided = [(rule, _course(rule, visits, measured)) for rule in listed]
        closed = _closed_gate(decided)
        for position, visit in enumerate(visits):
            for rule, verdicts in decided:
                verdict = verdicts[position]
                if closed and rule.modality in PERFUSION and rule.kind != "gate":
                    verdict = _gated(verdict)
                rows.append(_row(rule, visit, verdict))
    return rows


def _course(rule: Rule, visits: Sequence[Row], measured: Measured) -> list[Verdict]:
    """Return the verdicts of one rule over the sessions of one lesion, in order of time."""
    if not rule.enabled:
        return [Verdict("not_evaluable", reasons=("rule_disabled",)) for _ in visits]
    verdicts = [_judge(rule, visits, position, measured) for position in range(len(visits))]
    return _with_patience(rule, visits, verdicts, measured) if rule.patience_days else verdicts


def _judge(rule: Rule, visits: Sequence[Row], position: int, measured: Measured) -> Verdict:
    day = measured.day(visits[position])
    if day is None:
        # Every rule speaks of treated lesions: this may as well be a scan from before.
        return Verdict("not_evaluable", reasons=("days_from_srs_unknown",))
    early = _outside_time(rule, day)
    if early is not None:
        return Verdict("not_applicable", reasons=(early,))
    try:
        values = [_value(rule, m, visits, position, measured) for m in rule.measurements]
    except Missing as missing:
        return Verdict("not_evaluable", reasons=(missing.reason,))
    # Several measurements belong to a gate, which shuts only where all lie beyond the cut-off.
    value, record = max(v.number for v in values), values[0].record_id
    withheld, notes = _domain(rule, visits[position], measured)
    call, reasons = _call(rule, value, withheld)
    distance = math.nan if rule.cutoff is None else value - rule.cutoff
    said = dict.fromkeys(note for v in values for note in v.notes)
    return Verdict(call, value, distance, (*reasons, *notes, *said, *_doubts(rule)), record)


def _call(rule: Rule, value: float, withheld: tuple[str, ...]) -> tuple[Call, tuple[str, ...]]:
    if any(reason.endswith("_unknown") for reason in withheld):
        return "not_evaluable", withheld
    if withheld:
        return "not_applicable", withheld
    if rule.kind == "prior":
        return "indeterminate", ("prior_only",)
    if rule.kind == "gate":
        shut = rule.beyond(value)
        return ("not_applicable", (GATED,)) if shut else ("indeterminate", ("gate_open",))
    return _decide(rule, value)


def _outside_time(rule: Rule, day: float) -> str | None:
    if rule.timepoint == "baseline":
        return None
    if rule.window_days is not None:
        low, high = rule.window_days
        return None if low <= day <= high else "outside_time_window"
    return "before_srs" if day <= 0 else None


def _value(
    rule: Rule, wanted: Measurement, visits: Sequence[Row], position: int, measured: Measured
) -> Value:
    """Return the value a rule needs at a session: as measured, before SRS, or as a change."""
    if rule.timepoint in {"single", "sequence"}:
        return measured.value(visits[position], wanted)
    before = _before_srs(wanted, visits, measured)
    if rule.timepoint == "baseline":
        return before
    now = measured.value(visits[position], wanted)
    if not before.number > 0:
        raise Missing("baseline_not_positive")
    notes = (*before.notes, *now.notes)
    return Value(100 * (now.number / before.number - 1), now.record_id, notes)


def _before_srs(wanted: Measurement, visits: Sequence[Row], measured: Measured) -> Value:
    reason = "no_scan_before_srs"
    for visit in reversed(visits):
        day = measured.day(visit)
        if day is None or day > 0:
            continue
        try:
            return measured.value(visit, wanted)
        except Missing as missing:
            reason = f"before_srs:{missing.reason}"
    raise Missing(reason)


def _closed_gate(decided: Sequence[tuple[Rule, list[Verdict]]]) -> bool:
    return any(
        verdict.call == "not_applicable" and GATED in verdict.reasons
        for rule, verdicts in decided
        if rule.kind == "gate"
        for verdict in verdicts
    )


def _gated(verdict: Verdict) -> Verdict:
    if verdict.call not in {"progression", "treatment_effect", "indeterminate"}:
        return verdict
    reasons = (GATED, *verdict.reasons)
    return Verdict("not_applicable", verdict.value, verdict.distance, reasons, verdict.record_id)


def _decide(rule: Rule, value: float) -> tuple[Call, tuple[str, ...]]:
    if rule.beyond(value):
        return rule.positive_class, ("beyond_cutoff",)
    if rule.second is not None and rule.second.holds(value):
        return rule.second.call, ("beyond_second_cutoff",)
    far = rule.other_class
    return far, ("grey_zone" if far == "indeterminate" else "within_cutoff",)


def _domain(rule: Rule, visit: Row, measured: Measured) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the reasons that withhold a call, and those that only accompany it."""
    withheld: list[str] = []
    notes: list[str] = []
    for name in ("field_strength", "echo_time", "flip_angle", "preload", "leakage_model"):
        limit: Limit | None = getattr(rule.domain, name)
        if limit is None:
            continue
        fact = measured.fact(visit, name, rule.modality)
        if fact is not None and limit.contains(fact):
            continue
        reason = f"{name}_unknown" if fact is None else f"{name}_outside_domain"
        (withheld if limit.effect == "withhold" else notes).append(reason)
    return tuple(withheld), tuple(notes)


def _doubts(rule: Rule) -> tuple[str, ...]:
    doubts = []
    if any(m.statistic_status == "recall" for m in rule.measurements):
        doubts.append("statistic_recalled")
    if rule.evidence_level == "failed_external":
        doubts.append("failed_external_validation")
    if rule.modality == "DSC" and rule.kind == "threshold" and rule.domain.leakage_model is None:
        doubts.append("leakage_model_of_source_unknown")
    return tuple(doubts)


def _with_patience(
    rule: Rule, visits: Sequence[Row], verdicts: list[Verdict], measured: Measured
) -> list[Verdict]:
    """Turn a grey zone that has lasted long enough into treatment effect."""
    patience = rule.patience_days or 0.0
    since: float | None = None
    out = []
    for visit, verdict in zip(visits, verdicts, strict=True):
        day = measured.day(visit)
        if "grey_zone" not in verdict.reasons or day is None:
            since = since if verdict.call in {"not_evaluable", "not_applicable"} else None
            out.append(verdict)
            continue
        since = day if since is None else since
        if day - since >= patience:
            reasons = ("grey_zone_persisted", *verdict.reasons[1:])
            call: Call = "treatment_effect"
        else:
            reasons, call = ("grey_zone", "repeat_later", *verdict.reasons[1:]), "indeterminate"
        out.append(Verdict(call, verdict.value, verdict.distance, reasons, verdict.record_id))
    return out


def _row(rule: Rule, visit: Row, verdict: Verdict) -> dict[str, Any]:
    return {
        "center": visit.get("center"),
        "subject": visit["subject"],
        "session": visit["session"],
        "lesion_id": visit["lesion_id"],
        "rule_id": rule.id,
        "rule_version": str(rule.version),
        "call": verdict.call,
        "value": verdict.value,
        "unit": rule.unit,
        "cutoff": math.nan if rule.cutoff is None else rule.cutoff,
        "distance": verdict.distance,
        "reasons": list(verdict.reasons),
        "evidence_level": rule.evidence_level,
        "constant_status": rule.constant_status,
        "record_id": verdict.record_id,
    }
