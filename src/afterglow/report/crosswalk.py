"""From a patient and study date to labels, for truth files that speak of patients."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from afterglow.dicom.crosswalk import Crosswalk, read_mapping
from afterglow.dicom.deidentify import load_secret

if TYPE_CHECKING:
    from afterglow.config import Study


def locator(study: Study) -> Callable[[str, str], tuple[str, str] | None]:
    """Return a function from patient and study date (YYYYMMDD) to subject and session labels.

    It gives None for a patient or date that the study has not seen. Nothing is registered. With
    several studies on one date the first is meant.
    """
    secret = load_secret(study)
    known = Crosswalk(study.private_dir / "crosswalk.json", secret).subjects

    def locate(patient: str, date: str) -> tuple[str, str] | None:
        for center in study.centers:
            entry = known.get(f"{center.name}\0{patient}")
            if entry is None:
                continue
            visits = read_mapping(center.visits, ("patient", "study_date"), "label")
            label = visits.get((patient, date), "").removeprefix("ses-")
            label = label or secret.shifted(center.name, patient, date) or ""
            if label in {s["label"] for s in entry["sessions"].values()}:
                return str(entry["label"]), label
        return None

    return locate
