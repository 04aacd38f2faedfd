"""Objects that every study has and no analysis wants: a localizer, a screen save, a report."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from afterglow.phantom import dicom
from afterglow.phantom.geometry import Grid, oriented_grid
from afterglow.phantom.series import Series

if TYPE_CHECKING:
    from pathlib import Path

    from afterglow.phantom.dicom import SeriesWriter, Study
    from afterglow.phantom.scan import Session

_PLANES = {
    "axial": np.diag([-1.0, -1.0, 1.0]),
    "coronal": np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]),
    "sagittal": np.array([[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]),
}
LOCALIZER = Series(
    name="localizer",
    number=1,
    description="3Plane Loc",
    method="spgr",
    shape=(64, 64, 3),
    spacing=(4.0, 4.0, 20.0),
    tr=0.006,
    te=0.002,
    flip=20.0,
    start=5.0,
    scale=20000.0,
    noise=20.0,
)
_SCREEN_SAVE = 90
_REPORT = 99


def write_localizer(
    session: Session, study: Study, folder: Path, writer: SeriesWriter
) -> list[Path]:
    """Write three slices in each of three planes as one series."""
    from afterglow.phantom.scan import Scan, render

    x, y, z = session.pose.translation
    paths: list[Path] = []
    for count, axes in enumerate(_PLANES.values()):
        grid: Grid = oriented_grid(LOCALIZER.shape, LOCALIZER.spacing, (x, y - 18.0, z), axes)
        part = replace(LOCALIZER, name=f"localizer-{count}")
        scan = Scan(
            part, grid, render(session, part, grid), first_instance=1 + count * grid.shape[2]
        )
        paths += writer(study, scan, _made(folder))
    return paths


def write_screen_save(study: Study, folder: Path) -> Path:
    """Write a secondary capture, as a technologist's annotation ends up in the archive."""
    ds = dicom.general(study, _SCREEN_SAVE, "Screen Save", 1400.0)
    ds.SOPClassUID = dicom.SECONDARY_CAPTURE
    ds.SOPInstanceUID = study.uid("screen save")
    ds.ImageType = ["DERIVED", "SECONDARY", "SCREEN SAVE"]
    ds.ConversionType = "WSD"
    ds.PatientOrientation, ds.Laterality = "", ""
    ds.Manufacturer = "GE MEDICAL SYSTEMS"
    ds.InstanceNumber = "1"
    ramp = np.add.outer(np.arange(64), np.arange(64)).astype(np.int16)
    dicom.pixels(ds, ramp.shape)
    ds.PixelRepresentation = 0
    ds.add_new(0x7FE00010, "OW", ramp.astype("<u2").tobytes())
    return dicom.save(ds, _made(folder) / "i00001.dcm")


def write_report(study: Study, folder: Path) -> Path:
    """Write a structured report: a non-image object with free text that names the patient."""
    from pydicom.dataset import Dataset

    ds = dicom.general(study, _REPORT, "Technologist note", 1420.0)
    ds.Modality = "SR"
    ds.SOPClassUID = dicom.BASIC_TEXT_SR
    ds.SOPInstanceUID = study.uid("report")
    ds.Manufacturer = "GE MEDICAL SYSTEMS"
    ds.InstanceNumber = "1"
    ds.ReferencedPerformedProcedureStepSequence = []
    ds.PerformedProcedureCodeSequence = []
    ds.ValueType = "CONTAINER"
    ds.ContinuityOfContent = "SEPARATE"
    ds.ConceptNameCodeSequence = [dicom.code("121106", "DCM", "Comment")]
    ds.CompletionFlag, ds.VerificationFlag = "COMPLETE", "UNVERIFIED"
    note = Dataset()
    note.RelationshipType = "CONTAINS"
    note.ValueType = "TEXT"
    note.ConceptNameCodeSequence = [dicom.code("121106", "DCM", "Comment")]
    note.TextValue = f"{study.subject.name} moved during the localizer; injection by hand timer."
    ds.ContentSequence = [note]
    return dicom.save(ds, _made(folder) / "i00001.dcm")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
