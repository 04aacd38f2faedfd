"""The page of a study: who entered, what failed, lesions over time, rules, models, accuracy."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from afterglow import __version__
from afterglow.report.accuracy import Agreement
from afterglow.report.charts import Level, Line, chart
from afterglow.report.courses import lesion_courses
from afterglow.report.models import check_lines, model_tables
from afterglow.report.render import known, number, page, words
from afterglow.report.rule_table import call_counts, rule_table

Row = Mapping[str, Any]


def cohort_page(
    tables: Mapping[str, Sequence[Row]],
    cohort: Mapping[str, Any],
    catalogue: Sequence[Row],
    *,
    study: str,
    accuracy: Sequence[Agreement] | None,
    figures: Sequence[Mapping[str, str]] = (),
    checklists: Sequence[Mapping[str, Any]] = (),
    record_id: str = "",
) -> str:
    """Return the page of a study.

    Parameters
    ----------
    tables : mapping
        Rows of the tables by name; an absent table is empty.
    cohort : mapping
        Summary of the cohort stage (validation, checks, model, flow).
    catalogue : sequence of mapping
        All rules with what is published of them.
    study : str
        Name of the study.
    accuracy : sequence of Agreement, optional
        Agreement with truth; None where the study has no truth.
    figures : sequence of mapping
        Figures of the validated models: ``src``, ``alt``, ``caption``.
    checklists : sequence of mapping
        Filled reporting checklists.
    record_id : str
        Key of the page.
    """
    rows = {name: list(tables.get(name, [])) for name in _TABLES}
    subjects = {r["subject"] for r in rows["sessions"]}
    lesions = [r for r in rows["lesions"] if r["label"] != 0]
    return page(
        "cohort.html.j2",
        version=__version__,
        study=study,
        n_subjects=len(subjects),
        n_sessions=len(rows["sessions"]),
        n_lesions=len({(r["subject"], r["lesion_id"]) for r in lesions}),
        failures=_failures(rows["failures"]),
        flow=_flow(rows["flow"], cohort.get("flow") or []),
        centers=_centers(rows["sessions"], lesions),
        sessions=_sessions(rows["sessions"]),
        courses=lesion_courses(rows["sessions"], rows["lesions"], rows["features"]),
        rules=rule_table(catalogue, rows["rules"], rows["performance"]),
        disabled=[r for r in catalogue if not r["enabled"]],
        calls=call_counts(rows["rules"]),
        validation=cohort.get("validation") or {"possible": False, "detail": "not run"},
        checks=check_lines(cohort.get("checks") or {}),
        model_tables=model_tables(
            rows["performance"], rows["feature_tests"], cohort.get("checks") or {}
        ),
        performance=_performance(rows["performance"]),
        figures=figures,
        checklists=checklists,
        accuracy=None if accuracy is None else [_agreement(a) for a in accuracy],
        accuracy_centers=_by_center(accuracy or ()),
        record_id=record_id,
    )


_TABLES = (
    *("sessions", "lesions", "features", "rules", "performance", "feature_tests"),
    *("flow", "failures"),
)


def _failures(rows: Sequence[Row]) -> list[list[Any]]:
    shown = sorted(rows, key=lambda r: (r["subject"], r["session"], r["stage"], r["what"]))
    return [[_name(r), r["stage"], r["what"], r["cause"], r["remedy"], r.get("log")] for r in shown]


def _name(row: Row) -> str:
    parts = [f"sub-{row['subject']}" if row.get("subject") else "study"]
    return " ".join([*parts, f"ses-{row['session']}"] if row.get("session") else parts)


def _flow(rows: Sequence[Row], cohort_rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the steps in order; each holds who stays and who left, with reasons.

    The steps of the cohort stage follow those of the tables stage.
    """
    last = max((int(r["step"]) for r in rows), default=0)
    order: dict[str, int] = {}
    for row in cohort_rows:
        order.setdefault(str(row["name"]), last + 1 + len(order))
    known = {str(r["name"]) for r in rows}
    more = [{**r, "step": order[str(r["name"])]} for r in cohort_rows if r["name"] not in known]
    steps: defaultdict[tuple[int, str], list[Row]] = defaultdict(list)
    for row in [*rows, *more]:
        steps[int(row["step"]), str(row["name"])].append(row)
    return [
        {
            "name": name,
            "stay": next((_counts(r) for r in found if not r["reason"]), ""),
            "left": [f"{_counts(r)}: {_reason(r['reason'])}" for r in found if r["reason"]],
        }
        for (_, name), found in sorted(steps.items())
    ]


def _reason(reason: str) -> str:
    """Return a reason as words; of `code: sentence` the sentence says more."""
    code, _, sentence = reason.partition(": ")
    return (
        sentence if " " in sentence else ": ".join(words(part) for part in (code, sentence) if part)
    )


def _counts(row: Row) -> str:
    parts = []
    for key, name in (
        ("n_subjects", "subject"),
        ("n_sessions", "session"),
        ("n_lesions", "lesion"),
    ):
        n = row.get(key)
        if n is not None:
            parts.append(f"{n} {name}{'' if n == 1 else 's'}")
    return ", ".join(parts)


def _centers(sessions: Sequence[Row], lesions: Sequence[Row]) -> list[list[Any]]:
    rows = []
    for center in sorted({r["center"] for r in sessions}):
        own = [r for r in sessions if r["center"] == center]
        measured = [r for r in lesions if r["center"] == center]
        volumes = sorted(r["volume"] for r in measured if r.get("volume"))
        rows.append(
            [
                center,
                len({r["subject"] for r in own}),
                len(own),
                len({(r["subject"], r["lesion_id"]) for r in measured}),
                _range(volumes),
                _listing(r.get("vendor") for r in own),
                _listing(number(r.get("field_strength")) for r in own),
                f"{sum(r.get('state_dsc') == 'done' for r in own)} of {len(own)}",
                f"{sum(r.get('state_dce') == 'done' for r in own)} of {len(own)}",
                _listing(r.get("preload") for r in own),
            ]
        )
    return rows


def _range(values: Sequence[float]) -> str:
    if not values:
        return "–"
    middle = values[len(values) // 2] if len(values) % 2 else sum(_middle(values)) / 2
    return f"{number(middle)} ({number(values[0])} to {number(values[-1])})"


def _middle(values: Sequence[float]) -> tuple[float, float]:
    return values[len(values) // 2 - 1], values[len(values) // 2]


def _listing(values: Any) -> str:
    counts = Counter(str(v) for v in values if v is not None)
    return ", ".join(f"{name} ({n})" for name, n in sorted(counts.items())) or "unknown"


def _sessions(rows: Sequence[Row]) -> list[dict[str, Any]]:
    stages = ("bids", "anat", "dsc", "dce", "features")
    shown = sorted(rows, key=lambda r: (r["subject"], r["session"]))
    return [
        {
            "center": r["center"],
            "subject": r["subject"],
            "session": r["session"],
            "page": f"../derivatives/sub-{r['subject']}_ses-{r['session']}.html",
            "day": r.get("days_from_srs"),
            "verdict": r.get("qc_verdict"),
            "states": [r.get(f"state_{stage}") or "absent" for stage in stages],
            "n_lesions": r.get("n_lesions"),
        }
        for r in shown
    ]


def _performance(rows: Sequence[Row]) -> list[list[Any]]:
    shown = [r for r in rows if not r["model"].startswith("rule:")]
    shown.sort(key=lambda r: (r["model"], r["split"], r["metric"]))
    return [
        [
            words(r["model"]),
            words(r["split"]),
            words(r["metric"]),
            r["value"],
            f"{r['low']:.2f} to {r['high']:.2f}" if known(r["low"]) else "–",
            r["interval"] or "–",
            r["n_subjects"],
            r["n_lesions"],
        ]
        for r in shown
    ]


def _by_center(accuracy: Sequence[Agreement]) -> list[list[Any]]:
    """Return bias and limits of agreement of every quantity within every center."""
    rows = []
    for agreement in accuracy:
        for center, own in agreement.by_center().items():
            low, high = own.limits
            rows.append(
                [
                    agreement.quantity.name,
                    center,
                    len(own.truth),
                    own.median_error,
                    own.bias,
                    f"{number(low)} to {number(high)}" if math.isfinite(low) else "–",
                    agreement.quantity.unit,
                ]
            )
    return rows


def _agreement(agreement: Agreement) -> dict[str, Any]:
    q, (low, high) = agreement.quantity, agreement.limits
    mean = [(t + m) / 2 for t, m in zip(agreement.truth, agreement.measured, strict=True)]
    gap = [m - t for t, m in zip(agreement.truth, agreement.measured, strict=True)]
    levels = [
        Level(f"{text} {number(value)}", value, dashed=text != "bias")
        for text, value in (("bias", agreement.bias), ("−1.96 SD", low), ("+1.96 SD", high))
        if math.isfinite(value)
    ]
    alt = (
        f"Bland-Altman plot of {q.name}: bias {number(agreement.bias)} {q.unit}, limits of"
        f" agreement {number(low)} to {number(high)} {q.unit}, {len(gap)} pairs."
    )
    plot = chart(
        [Line(q.name, mean, gap, joined=False)],
        x_label=f"Mean of measured and true, {q.unit}",
        y_label=f"Measured − true, {q.unit}",
        alt=alt,
        levels=levels,
    )
    return {
        "name": q.name,
        "unit": q.unit,
        "target": q.target,
        "error": agreement.median_error,
        "bias": agreement.bias,
        "limits": f"{number(low)} to {number(high)}",
        "verdict": agreement.verdict,
        "n": len(gap),
        "n_missing": agreement.n_missing,
        "plot": plot,
    }
