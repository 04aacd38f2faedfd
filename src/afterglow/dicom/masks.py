"""Lesion masks that a center gives along with its DICOM."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afterglow.dicom.clock import ordinal
from afterglow.dicom.crosswalk import read_csv
from afterglow.dicom.deidentify import Secret, write_private
from afterglow.dicom.digests import whole_digest
from afterglow.dicom.site_files import shown_rows

if TYPE_CHECKING:
    from afterglow.config.center import CenterConfig

_RATER = re.compile(r"^[A-Za-z]?[0-9]{1,3}$|^(rater|reader)-?[0-9A-Za-z]{1,3}$")


@dataclass(frozen=True)
class GivenMask:
    """One row of a center's mask list; ``day`` is the day number of its study, or None.

    ``row`` counts from 1 below the header of the list.
    """

    patient: str
    day: int | None
    study_uid: str
    path: str
    file: str
    sha256: str
    rater: str
    kind: str
    row: int = 0

    def public(self) -> dict[str, str]:
        """Return what the manifest says about it."""
        return {"file": self.file, "sha256": self.sha256, "rater": self.rater, "kind": self.kind}


def given_masks(
    center: CenterConfig, secret: Secret, private: Path
) -> tuple[list[GivenMask], list[str]]:
    """Read a center's mask list and digest the files it names.

    A mask whose size, time and inode did not move is not read again.

    Returns
    -------
    tuple
        The masks, and warnings about rows that name no readable file.
    """
    if center.masks is None:
        return [], []
    cache_path = private / f"masks-{center.name}.json"
    old = json.loads(cache_path.read_text(encoding="utf-8")) if cache_path.exists() else {}
    new: dict[str, dict[str, Any]] = {}
    found: list[GivenMask] = []
    missing: list[int] = []
    for number, row in enumerate(read_csv(center.masks, ("patient", "file")), start=1):
        path = Path(row["file"])
        path = path if path.is_absolute() else center.masks.parent / path
        if not path.is_file():
            missing.append(number)
            continue
        entry = _digested(path, old.get(str(path), {}))
        new[str(path)] = entry
        found.append(_given(row, number, path, entry["sha256"], secret))
    write_private(cache_path, new)
    if not missing:
        return found, []
    rows = shown_rows(missing)
    return found, [f"masks of {center.name}: the file that {rows} of the list names is not there"]


def _digested(path: Path, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return stamp and digest of a file, which is read only where its stamp moved."""
    info = path.stat()
    stamp = [info.st_size, info.st_mtime_ns, info.st_ino]
    sha256 = known["sha256"] if known.get("stamp") == stamp else whole_digest(str(path))
    return {"stamp": stamp, "sha256": sha256}


def _given(
    row: Mapping[str, str], number: int, path: Path, sha256: str, secret: Secret
) -> GivenMask:
    """Return a row of the list; a rater's name that may be a person's is hashed."""
    rater = row.get("rater", "").strip()
    if rater and not _RATER.match(rater):
        rater = f"r{secret.hash('rater', rater, 6)}"
    return GivenMask(
        patient=row["patient"].strip(),
        day=ordinal(row.get("study_date")),
        study_uid=row.get("study_uid", "").strip(),
        path=str(path),
        file=secret.hash("mask", sha256),
        sha256=sha256,
        rater=rater,
        kind=re.sub(r"[^a-z_]", "", row.get("kind", "").lower()) or "lesions",
        row=number,
    )
