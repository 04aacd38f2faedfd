"""Rows of `therapies`: systemic and other therapy of a subject, in days from radiosurgery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, ClassVar

from afterglow.tables.rows import Row, column
from afterglow.tables.words import SUBJECT

Interval = tuple[date | None, date | None]


class TherapyRow(Row):
    """One interval of one therapy of one subject, as the site's clinical file tells it."""

    TABLE: ClassVar[str] = "therapies"
    ONE_PER: ClassVar[str] = "subject x interval of therapy"
    KEYS: ClassVar[tuple[str, ...]] = ("center", "subject", "therapy", "interval")

    center: str = column("Center of the subject.", source="plan")
    subject: str = column(SUBJECT, source="plan")
    therapy: str = column("Drug or therapy, in the site's words.", source="clinical")
    interval: int = column(
        "Number of the interval of this therapy, from 1 in order of start.", source="clinical"
    )
    start_days_from_srs: float | None = column(
        "First day, from the subject's first radiosurgery.", unit="d", source="clinical"
    )
    end_days_from_srs: float | None = column(
        "Last day, from the subject's first radiosurgery.", unit="d", source="clinical"
    )
    reason: str = column(
        "What the site's file leaves open.",
        default="",
        values=("no_srs_date", "no_start_date", "no_end_date", "no_dates", "end_before_start"),
    )


def therapy_rows(
    rows: Sequence[Mapping[str, Any]],
    centers: Mapping[str, str],
    srs: Mapping[str, date | None],
) -> list[dict[str, Any]]:
    """Return one row per subject, therapy and interval.

    An interval that several rows of the file repeat, as where each lesion has its own row, is one.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the clinical file with ``subject``, and ``therapy``, ``therapy_start_date`` and
        ``therapy_end_date`` (shifted) where it has them.
    centers : mapping
        Center by subject; others are left out.
    srs : mapping
        (Shifted) day of the first radiosurgery by subject.

    Examples
    --------
    >>> given = {"subject": "a", "therapy": "osimertinib", "therapy_start_date": date(2020, 1, 11)}
    >>> (row,) = therapy_rows([given], {"a": "north"}, {"a": date(2020, 1, 1)})
    >>> row["start_days_from_srs"], row["end_days_from_srs"], row["reason"]
    (10.0, None, 'no_end_date')
    """
    found: dict[tuple[str, str], set[Interval]] = {}
    for row in rows:
        if row.get("therapy") and row["subject"] in centers:
            dates = (row.get("therapy_start_date"), row.get("therapy_end_date"))
            found.setdefault((row["subject"], row["therapy"]), set()).add(dates)
    return [
        {
            "center": centers[subject],
            "subject": subject,
            "therapy": therapy,
            "interval": number,
            **_days(dates, srs.get(subject)),
        }
        for (subject, therapy), intervals in sorted(found.items())
        for number, dates in enumerate(sorted(intervals, key=_order), start=1)
    ]


def _order(dates: Interval) -> tuple[date, date]:
    start, end = dates
    return start or end or date.min, end or date.max


def _days(dates: Interval, srs: date | None) -> dict[str, Any]:
    start, end = dates
    if srs is None:
        return {"start_days_from_srs": None, "end_days_from_srs": None, "reason": "no_srs_date"}
    return {
        "start_days_from_srs": None if start is None else float((start - srs).days),
        "end_days_from_srs": None if end is None else float((end - srs).days),
        "reason": _left_open(start, end),
    }


def _left_open(start: date | None, end: date | None) -> str:
    if start is None:
        return "no_dates" if end is None else "no_start_date"
    if end is None:
        return "no_end_date"
    return "end_before_start" if end < start else ""
