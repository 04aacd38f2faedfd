"""Rows of the tables, gathered lesion by lesion."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
Key = tuple[str, str]


@dataclass(frozen=True)
class Measure:
    """What one chart of the page shows: median of a map over the lesion, or a column of the row."""

    name: str
    title: str
    unit: str
    map: str = ""


MEASURES = (
    Measure("volume", "Volume", "mL"),
    Measure("rCBV", "rCBV", "ratio to white matter", "rCBV"),
    Measure("PSR", "Percentage of signal recovery", "%", "PSR"),
    Measure("Ktrans", "Ktrans", "1/min", "Ktrans"),
)
STATISTICS = ("median", "p25", "p75")


@dataclass(frozen=True)
class LesionFacts:
    """All rows of one lesion.

    Parameters
    ----------
    visits : sequence of mapping
        Rows of ``lesions``, in order of time.
    sessions : mapping
        Rows of ``sessions`` by session.
    features : mapping
        Rows of ``features`` by (session, map, statistic).
    rules, predictions : sequence of mapping
        Rows of the lesion.
    slices : mapping
        Entry of the lesion in the subject's slices; empty where there are none.
    therapies : sequence of mapping
        Rows of ``therapies`` of the subject.
    """

    visits: Sequence[Row]
    sessions: Mapping[str, Row]
    features: Mapping[tuple[str, str, str], Row]
    rules: Sequence[Row] = ()
    predictions: Sequence[Row] = ()
    slices: Mapping[str, Any] | None = None
    therapies: Sequence[Row] = ()


def lesion_facts(
    tables: Mapping[str, Sequence[Row]], slices: Mapping[str, Any]
) -> dict[Key, LesionFacts]:
    """Return the facts of every lesion, by subject and lesion id.

    Parameters
    ----------
    tables : mapping
        Rows of ``sessions``, ``lesions``, ``features``, ``rules``, ``predictions`` and
        ``therapies``.
    slices : mapping
        What stage ``stories`` wrote, by subject.
    """
    sessions: defaultdict[str, dict[str, Row]] = defaultdict(dict)
    for row in tables["sessions"]:
        sessions[row["subject"]][row["session"]] = row
    visits = _grouped(tables["lesions"])
    features = _features(tables["features"])
    rules, predictions = _grouped(tables["rules"]), _grouped(tables.get("predictions", ()))
    therapies: defaultdict[str, list[Row]] = defaultdict(list)
    for row in tables.get("therapies", ()):
        therapies[row["subject"]].append(row)
    found = {}
    for key, rows in sorted(visits.items()):
        subject, lesion = key
        of_subject = (slices.get(subject) or {}).get("lesions") or {}
        found[key] = LesionFacts(
            sorted(rows, key=lambda r: _order(r, sessions[subject].get(r["session"], {}))),
            sessions[subject],
            features.get(key, {}),
            rules.get(key, ()),
            predictions.get(key, ()),
            of_subject.get(lesion),
            therapies[subject],
        )
    return found


def _order(row: Row, session: Row) -> tuple[float, str]:
    """Return the place of a visit in time."""
    for day in (session.get("days_from_first"), row.get("days_from_srs")):
        if day is not None:
            return float(day), row["session"]
    return 0.0, row["session"]


def _grouped(rows: Sequence[Row]) -> dict[Key, list[Row]]:
    found: defaultdict[Key, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["subject"], row["lesion_id"]].append(row)
    return dict(found)


def _features(rows: Sequence[Row]) -> dict[Key, dict[tuple[str, str, str], Row]]:
    maps = {m.map for m in MEASURES if m.map}
    found: defaultdict[Key, dict[tuple[str, str, str], Row]] = defaultdict(dict)
    for row in rows:
        if row["region"] == "lesion" and row["map"] in maps and row["statistic"] in STATISTICS:
            key = row["session"], row["map"], row["statistic"]
            found[row["subject"], row["lesion_id"]][key] = row
    return dict(found)
