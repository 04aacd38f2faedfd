"""From a patient and study to labels, for truth files that speak of patients."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from afterglow.dicom.crosswalk import Crosswalk, read_mapping
from afterglow.dicom.deidentify import load_secret

if TYPE_CHECKING:
    from afterglow.config import Study


Locate = Callable[[Mapping[str, Any]], tuple[str, str] | None]


def locator(study: Study) -> Locate:
    """Return a function from a row of a truth file to subject and session labels.

    The row names ``patient``, ``study_date`` (YYYYMMDD) and, where it can, ``study_uid``. None
    stands for what the study has not seen, and for one of several studies on a date without its
    UID. Nothing is registered.
    """
    secret = load_secret(study)
    known = Crosswalk(study.private_dir / "crosswalk.json", secret).subjects

    def locate(row: Mapping[str, Any]) -> tuple[str, str] | None:
        patient, date = str(row["patient"]), str(row["study_date"])
        for center in study.centers:
            entry = known.get(f"{center.name}\0{patient}")
            if entry is None:
                continue
            if uid := row.get("study_uid"):
                own = entry["sessions"].get(secret.hash("study", uid, 24))
                labels = [] if own is None else [own["label"]]
            else:
                visits = read_mapping(center.visits, ("patient", "study_date"), "label")
                base = visits.get((patient, date), "").removeprefix("ses-")
                base = base or secret.shifted(center.name, patient, date) or "nodate"
                of_date = re.compile(re.escape(base) + "[a-z]{0,2}").fullmatch
                labels = [s["label"] for s in entry["sessions"].values() if of_date(s["label"])]
            if len(labels) == 1:
                return str(entry["label"]), str(labels[0])
        return None

    return locate
