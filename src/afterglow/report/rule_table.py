"""Published rules beside what was found with them here."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from afterglow.report.render import known, unit, words

Row = Mapping[str, Any]
REMEDIES = {"days_from_srs_unknown": "state the treatment in clinical.csv"}
CALLS = ("progression", "treatment_effect", "indeterminate", "not_applicable", "not_evaluable")


def call_counts(rows: Sequence[Row]) -> dict[str, int]:
    """Return how often each call was made."""
    counts = Counter(r["call"] for r in rows)
    return {name: counts.get(name, 0) for name in CALLS}


def rule_table(
    catalogue: Sequence[Row], calls: Sequence[Row], performance: Sequence[Row]
) -> list[dict[str, Any]]:
    """Return one entry per enabled rule: what is published, what was found here, and calls."""
    by_rule: defaultdict[str, list[Row]] = defaultdict(list)
    for call in calls:
        by_rule[call["rule_id"]].append(call)
    here = {(r["model"], r["metric"]): r for r in performance if r["model"].startswith("rule:")}
    out = []
    for rule in catalogue:
        if not rule["enabled"]:
            continue
        own = by_rule[rule["rule_id"]]
        counts = Counter(c["call"] for c in own)
        reasons = Counter(
            reason
            for c in own
            if c["call"] in {"not_applicable", "not_evaluable"}
            for reason in list(c["reasons"])[:1]
        )
        out.append(
            {
                "id": rule["rule_id"],
                "title": rule["title"],
                "citation": rule["citation"],
                "cutoff": cutoff_text(rule),
                "published": [_published(rule[m]) for m in ("sensitivity", "specificity")],
                "here": [
                    _interval(here.get((f"rule:{rule['rule_id']}", m)))
                    for m in ("sensitivity", "specificity")
                ],
                "counts": "; ".join(f"{words(c)} {counts[c]}" for c in CALLS if counts[c])
                or "none",
                "why": "; ".join(f"{why_withheld(r)} ({n})" for r, n in sorted(reasons.items())),
                "evidence": rule["evidence_level"],
            }
        )
    return out


def why_withheld(reason: str) -> str:
    """Return why a rule makes no call, with what to do about it where a site can do something.

    Examples
    --------
    >>> why_withheld("before_srs"), why_withheld("days_from_srs_unknown")
    ('before srs', 'days from srs unknown: state the treatment in clinical.csv')
    """
    remedy = REMEDIES.get(reason)
    return f"{words(reason)}: {remedy}" if remedy else words(reason)


def cutoff_text(rule: Row) -> str:
    """Return on which side of what value a rule of the catalogue makes its call.

    Examples
    --------
    >>> cutoff_text({"unit": "ratio", "comparator": "<=", "cutoff": 10.0})
    '≤ 10 ratio'
    """
    if rule["unit"] == "boolean":
        return "a reader's call"
    sign = {"<=": "≤", ">=": "≥"}.get(rule["comparator"], rule["comparator"] or "")
    if rule["cutoff"] is None:
        return "none"
    return f"{sign} {rule['cutoff']:g} {unit(rule['unit'])}"


def _published(entry: Mapping[str, Any]) -> str:
    if entry["n"] is None:
        return "–" if entry["printed"] is None else f"{entry['printed']} % (counts unknown)"
    low, high = 100 * entry["low"], 100 * entry["high"]
    return (
        f"{100 * entry['k'] / entry['n']:.0f} % ({low:.0f}–{high:.0f}; {entry['k']}/{entry['n']})"
    )


def _interval(row: Row | None) -> str:
    if row is None or not known(row["value"]):
        return "–"
    if not known(row["low"]):
        return f"{100 * row['value']:.0f} %"
    low, high = 100 * row["low"], 100 * row["high"]
    return f"{100 * row['value']:.0f} % ({low:.0f}–{high:.0f}; n {row['n_lesions']})"
