"""Lesions over time: one chart per subject and measure, one line per stable lesion id."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from afterglow.report.charts import Line, chart
from afterglow.report.render import number

Row = Mapping[str, Any]
COURSES = (
    ("volume", "Volume, mL", None),
    ("rCBV", "rCBV, ratio to white matter", ("rCBV", "median")),
    ("Ktrans", "Ktrans, 1/min", ("Ktrans", "median")),
)


def lesion_courses(
    sessions: Sequence[Row], lesions: Sequence[Row], features: Sequence[Row]
) -> list[dict[str, Any]]:
    """Return, for each subject, one chart per measure with a line for each lesion."""
    days = {(r["subject"], r["session"]): r for r in sessions}
    values = {
        (r["subject"], r["session"], r["lesion_id"], r["map"], r["statistic"]): r["value"]
        for r in features
        if r["region"] == "lesion" and r["evaluable"]
    }
    by_subject: defaultdict[str, list[Row]] = defaultdict(list)
    for row in lesions:
        by_subject[row["subject"]].append(row)
    blocks = []
    for subject, rows in sorted(by_subject.items()):
        axis, label = _axis(rows, days)
        names = sorted({r["lesion_id"] for r in rows})
        charts = [
            _course(name, text, key, rows, axis, label, values) for name, text, key in COURSES
        ]
        found = [c for c in charts if c]
        blocks.append({"subject": subject, "lesions": names, "charts": found})
    return blocks


def _axis(
    rows: Sequence[Row], sessions: Mapping[tuple[str, str], Row]
) -> tuple[dict[tuple[str, str], float], str]:
    """Return the time of each lesion and session, and what it counts from."""
    srs, first = {}, {}
    for row in rows:
        key = (row["lesion_id"], row["session"])
        session = sessions.get((row["subject"], row["session"]), {})
        day = row.get("days_from_srs")
        srs[key] = day if day is not None else session.get("days_from_srs")
        first[key] = session.get("days_from_first")
    if all(v is not None for v in srs.values()):
        return {k: float(v) for k, v in srs.items() if v is not None}, "Days from radiosurgery"
    if all(v is not None for v in first.values()):
        text = "Days from first session (day of SRS unknown)"
        return {k: float(v) for k, v in first.items() if v is not None}, text
    order = {s: i for i, s in enumerate(sorted({r["session"] for r in rows}), start=1)}
    return {k: float(order[k[1]]) for k in srs}, "Session (days unknown)"


def _course(
    name: str,
    text: str,
    key: tuple[str, str] | None,
    rows: Sequence[Row],
    axis: Mapping[tuple[str, str], float],
    label: str,
    values: Mapping[tuple[Any, ...], Any],
) -> str:
    lines = []
    for lesion in sorted({r["lesion_id"] for r in rows}):
        visits = sorted(
            (axis[lesion, r["session"]], r["session"], r) for r in rows if r["lesion_id"] == lesion
        )
        if key is None:
            y = [_float(r.get("volume")) for _, _, r in visits]
        else:
            y = [_float(values.get((r["subject"], s, lesion, *key))) for _, s, r in visits]
        lines.append(Line(lesion, [day for day, _, _ in visits], y))
    alt = f"{text} of each lesion over time: " + "; ".join(
        f"{line.label} {' to '.join(number(v) for _, v in line.points) or 'no value'}"
        for line in lines
    )
    span = min(axis.values()), max(axis.values())
    return chart(lines, x_label=label, y_label=text, alt=f"{name}. {alt}", x_range=span)


def _float(value: Any) -> float:
    return math.nan if value is None else float(value)
