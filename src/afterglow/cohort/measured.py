"""What is known of a lesion at a session: measured values, acquisition facts, days from SRS."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from afterglow.cohort.rule_model import Measurement, Normalizer

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
    """A number and the record it comes from."""

    number: float
    record_id: str


class Measured:
    """Index over the rows of the features, sessions and lesions tables.

    Parameters
    ----------
    features_rows, sessions_rows, lesions_rows : iterable of mapping
        Rows; features are found by subject, session, lesion, region, map and statistic.
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
        """Return, for each lesion, its rows in order of time (then of session label)."""
        by_lesion: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in self._lesions:
            by_lesion[row["subject"], row["lesion_id"]].append(row)
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
        found = self._feature(visit, wanted.map, wanted.region, wanted.statistic)
        number = found.number * wanted.scale
        if wanted.normalization is not None:
            number /= self._reference(visit, wanted.map, wanted.normalization)
        return Value(number, found.record_id)

    def _column(self, visit: Row, wanted: Measurement) -> Value:
        row = visit if wanted.source == "lesions" else self._session(visit)
        number = _number(row.get(wanted.map))
        if number is None and wanted.map == "days_from_srs":
            number = self.day(visit)
        if number is None:
            raise Missing(f"no_{wanted.map}")
        return Value(number * wanted.scale, str(row.get("record_id") or ""))

    def _reference(self, visit: Row, name: str, by: Normalizer) -> float:
        number = self._feature(visit, name, by.region, by.statistic).number
        if not number > 0:
            raise Missing(f"{by.region}:{name}_not_positive")
        return number

    def _feature(self, visit: Row, name: str, region: str, statistic: str) -> Value:
        row = self._features.get((*_lesion(visit), region, name, statistic))
        label = name if region == "lesion" else f"{region}:{name}"
        if row is None:
            raise Missing(f"{label}_not_measured")
        number = _number(row.get("value"))
        if number is None or row.get("evaluable") is False:
            raise Missing(f"{label}:{row.get('reason') or 'not_evaluable'}")
        return Value(number, str(row.get("record_id") or ""))

    def _session(self, visit: Row) -> Row:
        return self._sessions.get((visit["subject"], visit["session"]), {})


def _lesion(row: Row) -> tuple[str, str, str]:
    return row["subject"], row["session"], row["lesion_id"]


def _number(value: Any) -> float | None:
    if value is None or isinstance(value, str):
        return None
    number = float(value)
    return number if math.isfinite(number) else None
