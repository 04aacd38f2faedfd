"""All that one session sends to the archive, as the scanner of its center writes it."""

from __future__ import annotations

from pathlib import Path

from afterglow.phantom import (
    extras,
    ge,
    philips,
    radiotherapy,
    segmentation,
    siemens,
    troubles,
    truth,
)
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
    kinds = session.subject.troubled(session.visit)
    folders = {"localizer": folder / "001_localizer"}
    extras.write_localizer(session, study, folders["localizer"], writer)
    for series in series_of(session.center):
        where = folder / f"{series.number:03d}_{series.name}"
        where.mkdir(parents=True)
        scan = troubles.mislabel(acquire(session, series.name), kinds)
        writer(study, scan, where)
        folders[series.name] = where
        if series.name == "dsc":
            folders["console_map"] = folder / "050_map"
            extras.write_console_map(study, scan, folders["console_map"], writer)
    folders |= _objects(session, study, folder)
    folders |= troubles.add_series(session, study, folder, writer)
    troubles.damage(kinds, folder, folders)
    return folders


def _objects(session: Session, study: Study, folder: Path) -> dict[str, Path]:
    """Write what is no image: notes, raw data, masks drawn in the archive, the treatment plan."""
    folders = {
        "screen_save": folder / "090_screen",
        "raw": folder / "095_raw",
        "report": folder / "099_report",
    }
    extras.write_screen_save(study, folders["screen_save"])
    extras.write_raw(study, folders["raw"])
    extras.write_report(study, folders["report"])
    if session.center.masks == "seg":
        folders["segmentation"] = folder / "070_segmentation"
        series = session.series("T1w_ce")
        segmentation.write_segmentation(
            study,
            series,
            session.grid_of(series),
            truth.labels_on_grid(session),
            folders["segmentation"],
        )
    if radiotherapy.is_planning(session):
        folders["plan"] = folder / "080_plan"
        radiotherapy.write_plan(session, study, folders["plan"])
    return folders
