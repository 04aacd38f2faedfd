"""Treatment and outcome of lesions, from the site's own CSV files."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from afterglow.errors import AfterglowError

NEAR = 8.0  # mm


@dataclass(frozen=True)
class Person:
    """One patient of one center: the study's label, and by how many days dates are shifted."""

    center: str
    patient: str
    subject: str
    shift_days: int


@dataclass(frozen=True)
class People:
    """The way from the site's names to the study's labels.

    Parameters
    ----------
    persons : sequence of Person
        From the private crosswalk; never written anywhere.
    dates : mapping
        Shifted date of every (subject, session).
    """

    persons: Sequence[Person] = ()
    dates: Mapping[tuple[str, str], date] = field(default_factory=dict)

    def person(self, patient: str, center: str = "") -> Person | None:
        """Return the only person of that name, None where there is none or several."""
        found = [p for p in self.persons if p.patient == patient and center in {"", p.center}]
        return found[0] if len(found) == 1 else None

    def session(self, subject: str, day: date) -> str | None:
        """Return the first session of a subject on a (shifted) day."""
        found = sorted(s for (who, s), d in self.dates.items() if who == subject and d == day)
        return found[0] if found else None


def people_of(private: Path, plan: Sequence[Mapping[str, Any]], secret: Any) -> People:
    """Return the people of a study from its private crosswalk.

    Parameters
    ----------
    private : Path
        Private folder of the study.
    plan : sequence of mapping
        Rows of ``plan.parquet``.
    secret : afterglow.dicom.deidentify.Secret
        Key of the study.
    """
    path = private / "crosswalk.json"
    register = json.loads(path.read_text(encoding="utf-8"))["subjects"] if path.exists() else {}
    persons = []
    for name, entry in sorted(register.items()):
        center, _, patient = name.partition("\0")
        days = secret.shift_days(center, patient)
        persons.append(Person(center, patient, entry["label"], days))
    return People(tuple(persons), dates_of(plan))


def dates_of(plan: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], date]:
    """Return the shifted date of every (subject, session) that has one."""
    return {
        (row["subject"], row["session"]): day
        for row in plan
        if (day := parse_date(str(row.get("date_shifted") or ""))) is not None
    }


def read_rows(path: Path | None, people: People, what: str) -> list[dict[str, Any]]:
    """Read a site's CSV; ``patient`` becomes ``subject`` and every date is shifted.

    Rows of patients that the study does not have are left out. A column ``center`` tells apart
    patients of one name. ``row`` is the number of the row, from 1 below the header.

    Raises
    ------
    AfterglowError
        Unreadable file, or no column ``patient``.
    """
    if path is None:
        return []
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            rows = list(reader)
            columns = reader.fieldnames or []
    except OSError as error:
        raise AfterglowError(f"the {what} file cannot be read ({error.strerror})") from error
    if "patient" not in columns:
        raise AfterglowError(
            f"the {what} file has no column `patient`", expected="a column `patient`"
        )
    found = []
    for number, row in enumerate(rows, start=1):
        plain = {name: (text or "").strip() for name, text in row.items() if name}
        person = people.person(plain.pop("patient"), plain.pop("center", ""))
        if person is not None:
            told = _shifted(plain, person.shift_days)
            found.append({"subject": person.subject, **told, "row": number})
    return found


def row_numbers(
    rows: Sequence[Mapping[str, Any]], places: Sequence[Place], people: People
) -> dict[str, list[int]]:
    """Return the numbers of a file's rows by ``subject``, and by ``subject/lesion`` they name."""
    found: dict[str, list[int]] = {}
    for row in rows:
        lesion = lesion_of(row, places, people)
        names = (
            [row["subject"]] if lesion is None else [row["subject"], f"{row['subject']}/{lesion}"]
        )
        for name in names:
            found.setdefault(name, []).append(row["row"])
    return found


def _shifted(row: Mapping[str, str], days: int) -> dict[str, Any]:
    """Return a row with every date moved like the dates of the subject's sessions."""
    shifted: dict[str, Any] = dict(row)
    for name, text in row.items():
        if name == "date" or name.endswith("_date"):
            day = parse_date(text)
            shifted[name] = None if day is None else day + timedelta(days=days)
    return shifted


def parse_date(text: str | None) -> date | None:
    """Return a date from YYYYMMDD or YYYY-MM-DD, None where there is none.

    Examples
    --------
    >>> parse_date("20190304") == parse_date("2019-03-04") == date(2019, 3, 4)
    True
    """
    digits = (text or "").replace("-", "").strip()
    if len(digits) != 8 or not digits.isdigit():
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None


@dataclass(frozen=True)
class Place:
    """One lesion at one session: what a row of a site's file can mean."""

    subject: str
    session: str
    label: int
    lesion_id: str
    centroid: tuple[float, float, float]


def lesion_of(row: Mapping[str, Any], places: Sequence[Place], people: People) -> str | None:
    """Return the id of the lesion that a row names, None where it names none or is not clear.

    In this order: a stable id; a position (``centroid_x`` ... in mm, at ``study_date``) within
    8 mm of exactly one lesion's centroid; a label in the mask of ``study_date``, else in the
    subject's first masked session.
    """
    own = [p for p in places if p.subject == row["subject"]]
    name = str(row.get("lesion") or "")
    if any(p.lesion_id == name for p in own):
        return name
    day = row.get("study_date")
    session = None if day is None else people.session(row["subject"], day)
    there = [p for p in own if p.session == session]
    point = [_number(row.get(f"centroid_{axis}")) for axis in "xyz"]
    if there and not any(math.isnan(x) for x in point):
        near = sorted((math.dist(point, p.centroid), p.lesion_id) for p in there)
        clear = len(near) < 2 or near[1][0] > NEAR
        return near[0][1] if near[0][0] <= NEAR and clear else None
    if not name.isdigit() or not own:
        return None
    first = session or min(p.session for p in own)
    found = [p.lesion_id for p in own if p.session == first and p.label == int(name)]
    return found[0] if found else None


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


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
    """Return the first course by (subject, lesion id), and by (subject, None) what all share."""
    found: Treated = {}
    by_subject: dict[str, list[Treatment]] = {}
    own = [row for row in rows if _of_radiosurgery(row)]
    for row in sorted(own, key=lambda r: (r["subject"], r.get("srs_date") or date.max)):
        dose, fractions = _number(row.get("dose_gy")), _number(row.get("fractions"))
        treated = Treatment(
            row.get("srs_date"),
            None if math.isnan(dose) else dose,
            None if math.isnan(fractions) else int(fractions),
            row.get("histology") or None,
        )
        by_subject.setdefault(row["subject"], []).append(treated)
        lesion = lesion_of(row, places, people)
        if lesion is not None:
            found.setdefault((row["subject"], lesion), treated)
    for subject, every in by_subject.items():
        days = [t.srs for t in every if t.srs is not None]
        found[subject, None] = Treatment(
            min(days) if days else None,
            _common([t.dose for t in every]),
            _common([t.fractions for t in every]),
            _common([t.histology for t in every]),
        )
    return found


def _of_radiosurgery(row: Mapping[str, Any]) -> bool:
    """Return whether a row is of radiosurgery, and not of another therapy alone."""
    return not row.get("therapy") or any(row.get(n) for n in ("srs_date", "dose_gy", "fractions"))


def _common(values: Sequence[Any]) -> Any:
    """Return the value that all share, None where they differ."""
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
    """Return labels by (subject, lesion id), and how many rows fit no lesion or two labels."""
    found: dict[tuple[str, str], Outcome] = {}
    lost = 0
    for row in rows:
        lesion = lesion_of(row, places, people)
        if lesion is None or not row.get("label"):
            lost += 1
            continue
        blinded = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        outcome = Outcome(
            row["label"],
            row.get("basis") or None,
            row.get("date"),
            blinded.get(str(row.get("blinded") or "").lower()),
        )
        if found.setdefault((row["subject"], lesion), outcome) != outcome:
            lost += 1
    return found, lost
