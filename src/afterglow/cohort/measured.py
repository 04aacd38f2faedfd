"""What is known of a lesion at a session: measured values, acquisition facts, days from SRS."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from afterglow.cohort.rule_model import Measurement

Row = Mapping[str, Any]

# Columns of the sessions table by the name a rule's domain uses; {} is the modality in lower case.
_FACTS = {
    "field_strength": ("field_strength",),
    "echo_time": ("{}_echo_time", "echo_time"),
    "flip_angle": ("{}_flip_angle", "flip_angle"),
    "preload": ("preload",),
    "leakage_model": ("leakage_model",),
}


class Missing(Exception):
    """A value that a rule needs is not there; ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True)
class Value:
    """A number, the record it comes from, and what to say about it."""

    number: float
    record_id: str
    notes: tuple[str, ...] = ()


class Measured:
    """Index over the rows of the features, sessions and lesions tables.

    Parameters
    ----------
    features_rows, sessions_rows, lesions_rows : iterable of mapping
        Rows; features are found by subject, session, lesion, label, region, map, statistic.
    """

    def __init__(
        self,
        features_rows: Iterable[Row],
        sessions_rows: Iterable[Row],
        lesions_rows: Iterable[Row],
    ) -> None:
        self._features = {
            (*_lesion(r), r["region"], r["map"], r["statistic"]): r for r in features_rows
        }
        self._sessions = {(r["subject"], r["session"]): r for r in sessions_rows}
        self._lesions = list(lesions_rows)

    def courses(self) -> list[list[Row]]:
        """Return, for each lesion, the sessions that show it in order of time.

        Where a lesion lies in several pieces, the largest piece stands for it.
        """
        pieces: dict[tuple[str, str, str], Row] = {}
        for row in sorted(
            self._lesions, key=lambda r: (-(r.get("volume") or 0), r.get("label", 1))
        ):
            if row.get("label") != 0:
                pieces.setdefault((row["subject"], row["lesion_id"], row["session"]), row)
        by_lesion: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
        for (subject, lesion, _), row in pieces.items():
            by_lesion[subject, lesion].append(row)
        return [sorted(by_lesion[key], key=self._order) for key in sorted(by_lesion)]

    def _order(self, row: Row) -> tuple[float, str]:
        day = self.day(row)
        return (math.inf if day is None else day, row["session"])

    def day(self, visit: Row) -> float | None:
        """Return days from radiosurgery of the lesion, else of the subject; None where unknown."""
        for row in (visit, self._session(visit)):
            number = _number(row.get("days_from_srs"))
            if number is not None:
                return number
        return None

    def fact(self, visit: Row, name: str, modality: str) -> float | str | None:
        """Return an acquisition fact of a session by the name a rule's domain uses."""
        session = self._session(visit)
        for column in _FACTS[name]:
            found = session.get(column.format(modality.lower()))
            if found is not None and found == found and found != "unknown":  # noqa: PLR0124 - NaN
                return found if isinstance(found, str) else float(found)
        return None

    def value(self, visit: Row, wanted: Measurement) -> Value:
        """Return a measured value in the rule's unit.

        Raises
        ------
        Missing
            Where it, or the tissue that normalizes it, was not measured or is not evaluable.
        """
        if wanted.source != "features":
            return self._column(visit, wanted)
        row = self._features.get((*_lesion(visit), wanted.region, wanted.map, wanted.statistic))
        if row is None:
            raise Missing(f"{wanted.map}_not_measured")
        number = _number(row.get("value"))
        if number is None or row.get("evaluable") is False:
            raise Missing(f"{wanted.map}:{row.get('reason') or 'not_evaluable'}")
        notes = _reference_notes(wanted, str(row.get("normalization") or "none"))
        return Value(number * wanted.scale, str(row.get("record_id") or ""), notes)

    def _column(self, visit: Row, wanted: Measurement) -> Value:
        row = visit if wanted.source == "lesions" else self._session(visit)
        number = _number(row.get(wanted.map))
        if number is None and wanted.map == "days_from_srs":
            number = self.day(visit)
        if number is None:
            raise Missing(f"no_{wanted.map}")
        return Value(number * wanted.scale, str(row.get("record_id") or ""))

    def _session(self, visit: Row) -> Row:
        return self._sessions.get((visit["subject"], visit["session"]), {})


def _lesion(row: Row) -> tuple[str, str, str, Any]:
    return row["subject"], row["session"], row["lesion_id"], row.get("label")


def _reference_notes(wanted: Measurement, used: str) -> tuple[str, ...]:
    """Return what to say where another reference tissue was used than the rule asks for."""
    if wanted.normalization in {used, "none"}:
        return ()
    if wanted.normalization == "contralateral_nawm" and used == "whole_brain_nawm":
        return ("normalized_by_whole_brain_nawm",)
    raise Missing(f"{wanted.map}:not_normalized_by_{wanted.normalization}")


def _number(value: Any) -> float | None:
    if value is None or isinstance(value, str):
        return None
    number = float(value)
    return number if math.isfinite(number) else None
