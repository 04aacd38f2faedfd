"""What a site's own CSV files say beside the headers, and which of their rows fit nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from afterglow.dicom.clock import ordinal
from afterglow.dicom.crosswalk import read_csv

if TYPE_CHECKING:
    from afterglow.config import Study

Days = Mapping[tuple[str, str], int]

_SHOWN = 8


def shown_rows(numbers: Sequence[int]) -> str:
    """Return the numbers of rows, from 1 below the header, as a message names them.

    Examples
    --------
    >>> shown_rows([3]), shown_rows([1, 4]), shown_rows(range(1, 11))
    ('row 3', 'rows 1, 4', 'rows 1, 2, 3, 4, 5, 6, 7, 8 and 2 more')
    """
    named = ", ".join(str(number) for number in numbers[:_SHOWN])
    more = f" and {len(numbers) - _SHOWN} more" if len(numbers) > _SHOWN else ""
    return f"row{'s' * (len(numbers) > 1)} {named}{more}"


def srs_days(study: Study, warnings: list[str]) -> dict[tuple[str, str], int]:
    """Return the day number of the first radiosurgery by center and patient."""
    found: dict[tuple[str, str], int] = {}
    wrong: list[int] = []
    for number, row in enumerate(read_csv(study.clinical, ("patient",)), start=1):
        text = row.get("srs_date", "").strip()
        day = ordinal(text) if text else None
        if text and day is None:
            wrong.append(number)
        if day is None:
            continue
        centers = [row["center"].strip()] if row.get("center") else [c.name for c in study.centers]
        for center in centers:
            key = (center, row["patient"].strip())
            found[key] = min(day, found.get(key, day))
    if wrong:
        warnings.append(f"clinical: srs_date of {shown_rows(wrong)} is no date, expected YYYYMMDD")
    return found


def warn_of_strangers(study: Study, known: set[tuple[str, str]], warnings: list[str]) -> None:
    """Warn of rows whose patient the incoming folders do not have.

    Parameters
    ----------
    study : Study
        The validated study.
    known : set of tuple
        Center and patient identifier of everyone who was found.
    warnings : list of str
        Warnings to add to; they name rows, never patients.
    """
    named: tuple[tuple[str, Path | None], ...] = (
        ("clinical", study.clinical),
        ("outcomes", study.outcomes),
    )
    patients = {patient for _, patient in known}
    for name, path in named:
        strangers = []
        for number, row in enumerate(read_csv(path, ("patient",)), start=1):
            center, patient = row.get("center", "").strip(), row["patient"].strip()
            if (center, patient) not in known if center else patient not in patients:
                strangers.append(number)
        if strangers:
            warnings.append(
                f"{name}: no DICOM of the patient of {shown_rows(strangers)}, which counts for "
                "nothing; `patient` must be PatientID of the headers"
            )
