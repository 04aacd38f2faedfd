"""Instances that must never be merged: one identifier, two contents, or two patients."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from afterglow.dicom.archives import read_member

_BLOCK = 2**20

Row = dict[str, Any]


@dataclass
class Sorted:
    """What is left of an inventory once copies and conflicts are taken out.

    ``quarantined`` pairs each refused row with its reason; ``patients`` holds the patient
    identifiers whose every study is refused, with the reason.
    """

    rows: list[Row] = field(default_factory=list)
    duplicates: int = 0
    quarantined: list[tuple[Row, str]] = field(default_factory=list)
    patients: dict[str, str] = field(default_factory=dict)


def sort_out(rows: Iterable[Row], known: Mapping[str, str]) -> Sorted:
    """Take copies and conflicts out of the accepted rows of one center.

    Parameters
    ----------
    rows : iterable of dict
        Inventory rows with status ``ok``.
    known : mapping
        SOP instance UID to the header digest in use so far: what was accepted stays in use when
        something else arrives under its name.
    """
    result = Sorted()
    by_uid: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_uid[row["sop_uid"]].append(row)
    for uid in sorted(by_uid):
        _one_uid(by_uid[uid], known.get(uid), result)
    result.patients = two_patients(result.rows)
    _one_study_two_patients(result)
    return result


def _one_uid(copies: list[Row], known: str | None, result: Sorted) -> None:
    if len(copies) == 1:
        result.rows.append(copies[0])
        return
    copies.sort(key=lambda row: (row["path"], row["member"]))
    whole = [row for row in copies if not is_short(row)]
    if whole and len(whole) < len(copies):
        result.quarantined += [(row, "truncated_copy") for row in copies if is_short(row)]
        copies = whole
    contents: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in copies:
        contents[row["header_sha256"], pixel_digest(row) if len(copies) > 1 else ""].append(row)
    accepted = [key for key in contents if len(contents) == 1 or key[0] == known]
    for key, members in contents.items():
        if len(accepted) == 1 and key == accepted[0]:
            result.rows.append(members[0])
            result.duplicates += len(members) - 1
        else:
            result.quarantined += [(row, "same_uid_other_content") for row in members]


def is_short(row: Mapping[str, Any]) -> bool:
    """Tell whether a file ends before its pixels do."""
    offset, length = row.get("pixel_offset") or -1, row.get("pixel_length") or 0
    return offset >= 0 and length > 0 and not _deflated(row) and row["bytes"] < offset + length


def _deflated(row: Mapping[str, Any]) -> bool:
    # its offsets count from the start of what was inflated
    return str(row.get("transfer_syntax")).endswith(".1.99")


def pixel_digest(row: Mapping[str, Any]) -> str:
    """Return the digest of what follows the header of a file; empty where it cannot be read."""
    digest = hashlib.sha256()
    start = 0 if _deflated(row) else max(row.get("pixel_offset") or 0, 0)
    try:
        if row["member"]:
            digest.update(read_member(row["path"], row["member"])[start:])
            return digest.hexdigest()
        with open(row["path"], "rb") as stream:  # noqa: PTH123 (speed)
            stream.seek(start)
            while block := stream.read(_BLOCK):
                digest.update(block)
    except (OSError, KeyError):
        return ""
    return digest.hexdigest()


def two_patients(rows: Iterable[Row]) -> dict[str, str]:
    """Return the patient identifiers that stand for more than one person, with the reason.

    Two birth dates are two persons. Without birth dates, two different names are, unless one
    contains the other's words (a name may be written in more or less detail).
    """
    births: dict[str, set[str]] = defaultdict(set)
    names: dict[str, set[frozenset[str]]] = defaultdict(set)
    for row in rows:
        patient = row.get("patient_id") or ""
        if row.get("birth_date"):
            births[patient].add(row["birth_date"])
        words = frozenset(re.findall(r"\w+", (row.get("patient_name") or "").lower()))
        if words:
            names[patient].add(words)
    found = {patient: "two_birth_dates" for patient, dates in births.items() if len(dates) > 1}
    for patient, every in names.items():
        longest = max(every, key=lambda words: (len(words), sorted(words)))
        if not births.get(patient) and any(not words <= longest for words in every):
            found.setdefault(patient, "two_names")
    return found


def _one_study_two_patients(result: Sorted) -> None:
    patients: dict[str, set[str]] = defaultdict(set)
    for row in result.rows:
        patients[row["study_uid"]].add(row.get("patient_id") or "")
    shared = {uid for uid, found in patients.items() if len(found) > 1}
    for uid in shared:
        for patient in patients[uid]:
            result.patients.setdefault(patient, "study_of_two_patients")
