"""The commented study file that `afterglow init` writes."""

from __future__ import annotations

from pathlib import Path

from afterglow.errors import AfterglowError

TEMPLATE = """\
# An Afterglow study. Only these few lines are needed; every other setting has a default
# (config/default.yaml lists them all with units and bounds).
study: my-cohort
out: out # everything Afterglow writes; relative paths are taken from this file's folder
# The folder `out-private` beside it (mode 0700) will hold the secret key, the crosswalk of
# identifiers and the raw index. Back it up: without it no identifier can be resolved again.

centers:
  - name: north
    dicom: [incoming/north] # folders, zip or tar files; new scans are found at each run
    # What DICOM seldom says and results depend on; leave out what is not known:
    # contrast_agent: gadobutrol
    # dose: 0.1 # mmol/kg
    # preload: none # none, partial, full, or dce where the DCE injection serves as preload
    # hematocrit: 0.42
    # masks: masks-north.csv # patient, study_date, file, rater

# Site files are CSV in UTF-8 with commas; `patient` is PatientID of the headers, dates YYYYMMDD.
# clinical: clinical.csv # patient, lesion, srs_date, dose_gy, fractions, histology; other therapy
# outcomes: outcomes.csv # patient, lesion, label, basis, date, blinded
# decisions: decisions.csv # manual decisions, all recorded
"""


def write_template(directory: Path) -> Path:
    """Write ``study.yaml`` into a folder and return its path; never overwrite one.

    Raises
    ------
    AfterglowError
        The folder has a study file already.
    """
    path = directory / "study.yaml"
    if path.exists():
        raise AfterglowError("there is a study file already", where=str(path))
    directory.mkdir(parents=True, exist_ok=True)
    path.write_text(TEMPLATE, encoding="utf-8")
    return path
