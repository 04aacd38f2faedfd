"""What was decided once and must never change: labels, order of arrival, reference sessions."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from afterglow.config.center import CenterConfig
from afterglow.dicom.clock import ordinal
from afterglow.dicom.deidentify import Secret, write_private
from afterglow.errors import AfterglowError

_LABEL = re.compile(r"^[0-9A-Za-z]+$")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Crosswalk:
    """The private register of subjects and sessions.

    Parameters
    ----------
    path : Path
        JSON file in the private folder.
    secret : Secret
        Key of the study.
    """

    def __init__(self, path: Path, secret: Secret) -> None:
        self.path, self.secret = path, secret
        self.subjects: dict[str, dict[str, Any]] = {}
        self._mappings: dict[Path, dict[tuple[str, ...], str]] = {}
        self._other: dict[tuple[str, str, str], set[str]] = {}
        if path.exists():
            self.subjects = json.loads(path.read_text(encoding="utf-8"))["subjects"]

    def save(self) -> None:
        """Write the register where it changed."""
        write_private(self.path, {"version": 1, "subjects": self.subjects})

    def patients(self) -> set[tuple[str, str]]:
        """Return center and identifier of every patient who was ever seen."""
        keys = (key.partition("\0") for key in self.subjects)
        return {(center, patient) for center, _, patient in keys}

    def subject(self, center: CenterConfig, patient: str) -> dict[str, Any]:
        """Return the entry of a patient of a center, made at first sight."""
        key = f"{center.name}\0{patient}"
        if key in self.subjects:
            mapped = self._mapped(center.subjects, (patient,), "sub-")
            if mapped not in {None, self.subjects[key]["label"]}:
                self._note(center, "subjects", center.subjects, key)
        else:
            taken = {entry["label"] for entry in self.subjects.values()}
            self.subjects[key] = {
                "label": self._subject_label(center, patient, taken),
                "sessions": {},
                "reference": None,
            }
        return self.subjects[key]

    def _subject_label(self, center: CenterConfig, patient: str, taken: set[str]) -> str:
        label = self._mapped(center.subjects, (patient,), "sub-")
        if label is not None:
            if not _LABEL.match(label) or label in taken:
                raise AfterglowError(
                    f"the subject label {label!r} is taken or not letters and digits",
                    where=f"subjects of center {center.name}",
                    expected="a label of its own for every patient",
                )
            return label
        full = self.secret.hash("subject", f"{center.name}\0{patient}", 64)
        return next(full[:n] for n in range(8, 64) if full[:n] not in taken)

    def session(
        self, center: CenterConfig, patient: str, study_uid: str, date: str | None
    ) -> dict[str, Any]:
        """Return the entry of one imaging study of a patient, made at first sight.

        Studies must be offered in order of ``new_order``, which decides letters and arrival.
        """
        sessions = self.subject(center, patient)["sessions"]
        key = self.secret.hash("study", study_uid, 24)
        if key in sessions:
            mapped = self._visit(center, patient, date)
            # Of two studies on one day the second has a letter of its own.
            if mapped and not re.fullmatch(rf"{re.escape(mapped)}[a-z]*", sessions[key]["label"]):
                self._note(center, "visits", center.visits, key)
        else:
            sessions[key] = {
                "label": self._session_label(center, patient, date, sessions),
                "arrival": 1 + max((s["arrival"] for s in sessions.values()), default=0),
            }
        entry: dict[str, Any] = sessions[key]
        return entry

    def _session_label(
        self, center: CenterConfig, patient: str, date: str | None, sessions: dict[str, Any]
    ) -> str:
        taken = {entry["label"] for entry in sessions.values()}
        base = (
            self._visit(center, patient, date)
            or self.secret.shifted(center.name, patient, date)
            or "nodate"
        )
        if not _LABEL.match(base):
            raise AfterglowError(
                f"the session label {base!r} is not letters and digits",
                where=f"visits of center {center.name}",
            )
        if base not in taken:
            return base
        names = (f"{base}{a}{b}" for a in ("", *_LETTERS) for b in _LETTERS)
        return next(name for name in names if name not in taken and name != f"{base}a")

    def ignored(self) -> list[str]:
        """Return a warning per mapping file whose labels came too late for some that were seen."""
        return [
            f"{file}: {len(keys)} {name[:-1]}{'s' * (len(keys) > 1)} of center {center} got "
            f"another label when first indexed, which stays; the file counts for new {name} only; "
            "remedy: name a new `out` in the study file to index with these labels from the start"
            for (center, name, file), keys in sorted(self._other.items())
        ]

    def _note(self, center: CenterConfig, name: str, path: Path | None, key: str) -> None:
        file = path.name if path is not None else ""
        self._other.setdefault((center.name, name, file), set()).add(key)

    def _visit(self, center: CenterConfig, patient: str, date: str | None) -> str | None:
        return self._mapped(center.visits, (patient, _digits(date)), "ses-") or None

    def _mapped(self, path: Path | None, key: tuple[str, ...], prefix: str) -> str | None:
        """Return the label that a mapping of the site has for a key; None where it has none."""
        if path is None:
            return None
        if path not in self._mappings:
            names = ("patient",) if len(key) == 1 else ("patient", "study_date")
            self._mappings[path] = read_mapping(path, names, "label")
        label = self._mappings[path].get(key)
        return None if label is None else label.removeprefix(prefix)

    def new_order(self, studies: Iterable[tuple[str, str | None]]) -> list[tuple[str, str | None]]:
        """Return studies (UID, date) in order of date, then of keyed hash."""
        return sorted(
            studies, key=lambda s: (ordinal(s[1]) or 0, self.secret.hash("study", s[0], 24))
        )


def _digits(date: str | None) -> str:
    return re.sub(r"\D", "", date or "")


def read_mapping(
    path: Path | None, keys: tuple[str, ...], value: str
) -> dict[tuple[str, ...], str]:
    """Read a CSV as a mapping; dates are reduced to their digits.

    Raises
    ------
    AfterglowError
        The file is missing or lacks a column.
    """
    rows = read_csv(path, (*keys, value))
    return {
        tuple(_digits(r[k]) if k.endswith("date") else r[k].strip() for k in keys): r[value].strip()
        for r in rows
    }


def read_csv(path: Path | None, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Read the rows of a site's CSV file and check that it has the columns.

    Raises
    ------
    AfterglowError
        The file is missing or lacks a column.
    """
    if path is None:
        return []
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            rows = [{k: v or "" for k, v in row.items() if k} for row in reader]
            names = set(reader.fieldnames or ())
    except OSError as error:
        raise AfterglowError(
            f"a CSV file of the study cannot be read ({error.strerror})",
            where=path.name,
            remedy="correct its path in the study file",
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise AfterglowError(
            "a CSV file of the study is no text in UTF-8",
            where=path.name,
            remedy="save it as CSV in UTF-8, separated by commas",
        ) from error
    missing = [name for name in columns if name not in names]
    if missing:
        raise AfterglowError(
            f"a CSV file lacks the column {', '.join(missing)}",
            where=path.name,
            expected=f"a first line with {', '.join(columns)}, separated by commas",
            remedy=_column_hint(names, missing),
        )
    return rows


def _column_hint(names: set[str], missing: list[str]) -> str:
    """Return what makes a header unlike the one expected; its words are never repeated."""
    if any(separator in name for name in names for separator in ";\t"):
        return "save it with commas in place of semicolons or tabs"
    plain = {name.strip().lower() for name in names}
    return "write column names in lower case, without spaces" if plain & set(missing) else ""
