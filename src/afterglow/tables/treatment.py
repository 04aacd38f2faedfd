"""Radiosurgery and outcome of lesions, as a site's files tell them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from afterglow.tables.clinical import People, Place, lesion_of, number_of, some


@dataclass(frozen=True)
class Treatment:
    """Radiosurgery of one lesion, or of a subject where all rows agree."""

    srs: date | None
    dose: float | None
    fractions: int | None
    histology: str | None


Treated = dict[tuple[str, str | None], Treatment]


def treatments(
    rows: Sequence[Mapping[str, Any]], places: Sequence[Place], people: People
) -> Treated:
    """Return the first course by (subject, lesion id), and by (subject, None) that of the rest.

    The rest has the day of the subject's first radiosurgery. It has a dose only from rows that
    were matched to no lesion, where these agree: a lesion beside others that are all named was
    not treated as far as anybody said.
    """
    found: Treated = {}
    every: dict[str, list[Treatment]] = {}
    loose: dict[str, list[Treatment]] = {}
    own = [row for row in rows if _of_radiosurgery(row)]
    for row in sorted(own, key=lambda r: (r["subject"], r.get("srs_date") or date.max)):
        dose, fractions = number_of(row.get("dose_gy")), number_of(row.get("fractions"))
        treated = Treatment(
            row.get("srs_date"),
            None if math.isnan(dose) else dose,
            None if math.isnan(fractions) else int(fractions),
            row.get("histology") or None,
        )
        every.setdefault(row["subject"], []).append(treated)
        lesion = lesion_of(row, places, people)
        if lesion is not None:
            found.setdefault((row["subject"], lesion), treated)
        else:
            loose.setdefault(row["subject"], []).append(treated)
    for subject, listed in every.items():
        days = [t.srs for t in listed if t.srs is not None]
        rest = loose.get(subject, [])
        found[subject, None] = Treatment(
            min(days) if days else None,
            _common([t.dose for t in rest]),
            _common([t.fractions for t in rest]),
            _common([t.histology for t in listed]),
        )
    return found


def treatment_doubts(
    rows: Sequence[Mapping[str, Any]], places: Sequence[Place], people: People
) -> list[str]:
    """Return what of a site's radiosurgery the tables cannot hold: one sentence for each kind."""
    own = [row for row in rows if _of_radiosurgery(row)]
    named = [(row, lesion_of(row, places, people)) for row in own if row.get("lesion")]
    lost = [row["row"] for row, lesion in named if lesion is None]
    days: dict[tuple[str, str], set[date]] = {}
    for row, lesion in named:
        if lesion is not None and row.get("srs_date") is not None:
            days.setdefault((row["subject"], lesion), set()).add(row["srs_date"])
    again = sum(len(found) > 1 for found in days.values())
    doubts = []
    if lost:
        doubts.append(
            f"{len(lost)} of {len(own)} clinical rows name a lesion that is none of the tables"
            f" (rows {some(lost)}); expected a lesion id such as L001, the number in the first"
            " mask that the site gave, or `study_date` with `centroid_x` to `centroid_z`"
        )
    if again:
        doubts.append(
            f"{again} lesions were treated on several days: days and dose are those of the first"
            " course, also at scans after a later one"
        )
    return doubts


def _of_radiosurgery(row: Mapping[str, Any]) -> bool:
    """Return whether a row is of radiosurgery, and not of another therapy alone."""
    return not row.get("therapy") or any(row.get(n) for n in ("srs_date", "dose_gy", "fractions"))


def _common(values: Sequence[Any]) -> Any:
    """Return the value that all share, None where they differ or there is none."""
    return values[0] if len(set(values)) == 1 else None


@dataclass(frozen=True)
class Outcome:
    """The adjudicated label of one lesion."""

    label: str
    basis: str | None
    day: date | None
    blinded: bool | None


def outcomes(
    rows: Sequence[Mapping[str, Any]], places: Sequence[Place], people: People
) -> tuple[dict[tuple[str, str], Outcome], int]:
    """Return labels by (subject, lesion id), and how many rows were not used.

    Those fit no lesion, have no label, or contradict another row: a lesion with two labels has
    none. Of several rows with one label the first of the file counts.
    """
    found: dict[tuple[str, str], list[Outcome]] = {}
    lost = 0
    blinded = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    for row in rows:
        lesion = lesion_of(row, places, people)
        if lesion is None or not row.get("label"):
            lost += 1
            continue
        outcome = Outcome(
            row["label"],
            row.get("basis") or None,
            row.get("date"),
            blinded.get(str(row.get("blinded") or "").lower()),
        )
        found.setdefault((row["subject"], lesion), []).append(outcome)
    clear = {key: told for key, told in found.items() if len({o.label for o in told}) == 1}
    lost += sum(len(told) for key, told in found.items() if key not in clear)
    return {key: told[0] for key, told in clear.items()}, lost
