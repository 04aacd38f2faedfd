"""Systemic and other therapy of a lesion's subject, on the time axis of the lesion's charts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from afterglow.report.charts import Interval
from afterglow.report.render import DASH, known

Row = Mapping[str, Any]
_REMARKS = {
    "no_srs_date": "no day of radiosurgery is known to count from",
    "no_start_date": "no start is recorded",
    "no_end_date": "no end is recorded",
    "no_dates": "no dates are recorded",
    "end_before_start": "ends before it starts: not drawn",
}


def axis_shift(times: Mapping[str, float], sessions: Mapping[str, Row], in_days: bool) -> float:
    """Return what brings days from the subject's radiosurgery to those of an axis.

    Parameters
    ----------
    times : mapping
        Place of each session on the axis.
    sessions : mapping
        Rows of ``sessions`` by session.
    in_days : bool
        Whether the axis counts days at all.

    Returns
    -------
    float
        Days; NaN where no session tells.
    """
    if in_days:
        for name, place in sorted(times.items()):
            day = sessions.get(name, {}).get("days_from_srs", math.nan)
            if known(day) and math.isfinite(place):
                return place - float(day)
    return math.nan


def intervals(rows: Sequence[Row], shift: float) -> list[Interval]:
    """Return what is drawn of therapies: an interval that one date leaves open has no such end.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of ``therapies`` of one subject.
    shift : float
        As of `axis_shift`; NaN draws nothing.
    """
    found = []
    for row in rows if math.isfinite(shift) else ():
        start, end = row["start_days_from_srs"], row["end_days_from_srs"]
        if row["reason"] in {"", "no_start_date", "no_end_date"}:
            low = -math.inf if start is None else start + shift
            high = math.inf if end is None else end + shift
            found.append(Interval(row["therapy"], low, high))
    return found


def therapy_table(rows: Sequence[Row], shift: float) -> list[list[Any]]:
    """Return therapy, first and last day on the axis (as recorded without one), and a remark."""
    by = shift if math.isfinite(shift) else 0.0

    def day(value: float | None) -> str:
        return DASH if value is None else f"{value + by:g}"

    return [
        [
            row["therapy"],
            day(row["start_days_from_srs"]),
            day(row["end_days_from_srs"]),
            _REMARKS.get(row["reason"], row["reason"]),
        ]
        for row in rows
    ]


def spoken(found: Sequence[Interval]) -> str:
    """Return intervals in words.

    Examples
    --------
    >>> spoken([Interval("osimertinib", -60, 95), Interval("bevacizumab", 98, math.inf)])
    'Therapy: osimertinib from day -60 to day 95; bevacizumab from day 98, no end recorded.'
    """
    told = [f"{i.label} {_edge('from', i.start)}{_edge(' to', i.end)}" for i in found]
    return f"Therapy: {'; '.join(told)}." if told else ""


def _edge(word: str, day: float) -> str:
    if math.isfinite(day):
        return f"{word} day {day:g}"
    return "no start recorded" if day < 0 else ", no end recorded"
