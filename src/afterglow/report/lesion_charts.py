"""Charts of the page of one lesion: its course over the sessions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from afterglow.lesions.response import repeatability_limits
from afterglow.report.charts import Band, Interval, Level, Line, chart
from afterglow.report.lesion_rows import MEASURES, LesionFacts, Measure, Row
from afterglow.report.render import known, number, words
from afterglow.report.therapies import spoken


def time_axis(facts: LesionFacts) -> tuple[dict[str, float], str]:
    """Return the place of each session on the time axis, and what it counts."""
    for column, text in (
        ("days_from_srs", "Days from radiosurgery"),
        ("days_from_first", "Days from first session (day of SRS unknown)"),
    ):
        found = {}
        for visit in facts.visits:
            row = facts.sessions.get(visit["session"], {})
            day = visit.get(column)
            found[visit["session"]] = row.get(column) if day is None else day
        days = {session: _float(day) for session, day in found.items()}
        if all(map(math.isfinite, days.values())):
            return days, text
    return {
        v["session"]: float(i) for i, v in enumerate(facts.visits, start=1)
    }, "Session (days unknown)"


def lesion_charts(
    facts: LesionFacts,
    times: Mapping[str, float],
    axis: str,
    repeatability: Mapping[str, float],
    given: Sequence[Interval],
) -> list[dict[str, str]]:
    """Return a chart of each measure, its title, and why sessions have no value in it.

    Parameters
    ----------
    facts : LesionFacts
        Rows of the lesion.
    times, axis
        As `time_axis` returns them.
    repeatability : mapping
        Within-subject coefficient of variation by map (fraction).
    given : sequence of Interval
        Therapies, on the same axis.
    """
    found = []
    span = (min(times.values()), max(times.values()))
    moments = []
    if "radiosurgery" in axis:
        moments.append(Level("SRS", 0.0))
        outcome = _float(facts.visits[-1].get("outcome_days_from_srs"))
        # A label years later would leave no room for the course.
        if outcome <= 2 * max(span[1], 90.0):
            moments.append(Level("outcome", outcome))
    for measure in MEASURES:
        points = [_point(facts, measure, visit) for visit in facts.visits]
        x = [times[v["session"]] for v in facts.visits]
        line = Line(measure.title, x, [p[0] for p in points], spans=[p[1] for p in points])
        label = f"{measure.title}, {measure.unit}"
        svg = chart(
            [line],
            x_label=axis,
            y_label=f"{measure.name}, {measure.unit}",
            alt=f"{_alt(label, axis, line)} {spoken(given)}".strip(),
            bands=_noise(measure, line, repeatability),
            moments=moments,
            intervals=given,
            x_range=span,
        )
        gaps = _gaps(facts, measure)
        found.append({"svg": svg, "title": label, "gaps": gaps})
    return found


def _point(
    facts: LesionFacts, measure: Measure, visit: Row
) -> tuple[float, tuple[float, float] | None]:
    """Return the value at a visit and the quartiles of the voxels where there are any."""
    if not measure.map:
        return _float(visit.get(measure.name)), None
    low, value, high = (
        _value(facts.features.get((visit["session"], measure.map, s)))
        for s in ("p25", "median", "p75")
    )
    whole = math.isfinite(low) and math.isfinite(high)
    return value, (low, high) if whole else None


def _value(cell: Row | None) -> float:
    return _float(cell["value"]) if cell is not None and cell["evaluable"] else math.nan


def _float(value: Any) -> float:
    return float(value) if known(value) else math.nan


def _noise(measure: Measure, line: Line, repeatability: Mapping[str, float]) -> list[Band]:
    """Return the band around the first value within which a change is no more than noise."""
    cv = repeatability.get(measure.map or measure.name)
    first = next((y for _, y in line.points), math.nan)
    if cv is None or not math.isfinite(first):
        return []
    low, high = repeatability_limits(cv)
    return [Band("limits of repeatability around the first value", first * low, first * high)]


def _gaps(facts: LesionFacts, measure: Measure) -> str:
    """Return why sessions have no value."""
    if not measure.map:
        return ""
    parts = []
    for visit in facts.visits:
        cell = facts.features.get((visit["session"], measure.map, "median"))
        if cell is None or not cell["evaluable"]:
            why = "not measured" if cell is None else words(cell["reason"])
            parts.append(f"ses-{visit['session']}: {why}")
    return "; ".join(parts)


def _alt(label: str, axis: str, line: Line) -> str:
    place = "session" if axis.startswith("Session") else "day"
    told = ", ".join(f"{number(y)} at {place} {x:g}" for x, y in line.points)
    return f"{label} against {axis.lower()}: {told or 'no value'}."
