"""All series of one session as the scanner of its center writes them."""

from __future__ import annotations

from pathlib import Path

from afterglow.phantom import extras, ge, philips, siemens
from afterglow.phantom.dicom import SeriesWriter, Study
from afterglow.phantom.protocol import series_of
from afterglow.phantom.scan import Session, acquire

WRITERS: dict[str, SeriesWriter] = {
    "GE": ge.write_series,
    "Siemens": siemens.write_series,
    "Philips": philips.write_series,
}


def write_dicom(session: Session, folder: Path) -> dict[str, Path]:
    """Write a session and return the folder of every series by name."""
    study = Study(session.plan, session.center, session.subject, session.visit)
    writer = WRITERS[session.center.vendor]
    folders = {"localizer": folder / "001_localizer"}
    extras.write_localizer(session, study, folders["localizer"], writer)
    for series in series_of(session.center):
        where = folder / f"{series.number:03d}_{series.name}"
        where.mkdir(parents=True)
        writer(study, acquire(session, series.name), where)
        folders[series.name] = where
    folders["screen_save"] = folder / "090_screen"
    extras.write_screen_save(study, folders["screen_save"])
    folders["report"] = folder / "099_report"
    extras.write_report(study, folders["report"])
    return folders
