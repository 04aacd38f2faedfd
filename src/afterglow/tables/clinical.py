"""Treatment and outcome of lesions, from the site's own CSV files."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from afterglow.errors import AfterglowError

NEAR = 8.0  # mm
# A spreadsheet that leaves some cells of a column empty writes its whole numbers as 1.0.
_NUMBER = re.compile(r"^(\d+)(?:\.0+)?$")


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

    def first(self, subject: str, sessions: Sequence[str]) -> str | None:
        """Return the earliest of some sessions of a subject, by date where they have one."""
        return min(
            sessions, key=lambda s: (self.dates.get((subject, s), date.max), s), default=None
        )


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


def read_rows(
    path: Path | None, people: People, what: str, warn: Callable[[str], None] = lambda _: None
) -> list[dict[str, Any]]:
    """Read a site's CSV; ``patient`` becomes ``subject`` and every date is shifted.

    Rows of patients that the study does not have are left out. A column ``center`` tells apart
    patients of one name. ``row`` is the number of the row, from 1 below the header. ``warn`` is
    told which rows were left out, and which hold a date that cannot be read.

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
    strangers: list[int] = []
    undated: dict[str, list[int]] = {}
    for number, row in enumerate(rows, start=1):
        plain = {name: (text or "").strip() for name, text in row.items() if name}
        person = people.person(plain.pop("patient"), plain.pop("center", ""))
        if person is None:
            strangers.append(number)
            continue
        told = _shifted(plain, person.shift_days)
        for name, text in plain.items():
            if text and told[name] is None:
                undated.setdefault(name, []).append(number)
        found.append({"subject": person.subject, **told, "row": number})
    if strangers:
        warn(
            f"the {what} file has {len(strangers)} of {len(rows)} rows of a patient that the study"
            f" does not have, or has in several centers (rows {some(strangers)}): left out"
        )
    for name, numbers in sorted(undated.items()):
        warn(
            f"the {what} file has a `{name}` that is no date in rows {some(numbers)}: read as"
            " unknown, expected YYYYMMDD or YYYY-MM-DD"
        )
    return found


def some(numbers: Sequence[int]) -> str:
    """Return the first few numbers as text."""
    shown = ", ".join(map(str, numbers[:10]))
    return shown if len(numbers) <= 10 else f"{shown} and {len(numbers) - 10} more"


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
    """One lesion at one session: what a row of a site's file can mean.

    ``given`` says that the site drew the mask, so that its numbers are the site's own.
    """

    subject: str
    session: str
    label: int
    lesion_id: str
    centroid: tuple[float, float, float]
    given: bool = True


def lesion_of(row: Mapping[str, Any], places: Sequence[Place], people: People) -> str | None:
    """Return the id of the lesion that a row names, None where it names none or is not clear.

    In this order: a stable id; a position (``centroid_x`` ... in mm, at ``study_date``) within
    8 mm of exactly one lesion's centroid; a label in the mask of ``study_date``; without a
    ``study_date`` a label in the subject's first mask that the site gave. The labels of a
    segmentation are not the site's, and no number of a site's file means one of them.
    """
    own = [p for p in places if p.subject == row["subject"]]
    name = str(row.get("lesion") or "")
    if any(p.lesion_id == name for p in own):
        return name
    day = row.get("study_date")
    if day is None:
        session = people.first(row["subject"], [p.session for p in own if p.given])
    else:
        session = people.session(row["subject"], day)
    there = [p for p in own if p.session == session]
    point = [number_of(row.get(f"centroid_{axis}")) for axis in "xyz"]
    if day is not None and there and not any(math.isnan(x) for x in point):
        near = sorted((math.dist(point, p.centroid), p.lesion_id) for p in there)
        clear = len(near) < 2 or near[1][0] > NEAR
        return near[0][1] if near[0][0] <= NEAR and clear else None
    number = _NUMBER.match(name)
    if number is None:
        return None
    found = [p.lesion_id for p in there if p.label == int(number.group(1))]
    return found[0] if found else None


def number_of(value: Any) -> float:
    """Return a cell as a number, NaN where it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
