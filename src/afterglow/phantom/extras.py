"""What studies hold and no analysis wants: localizers, maps of the console, notes, raw data."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from afterglow.phantom import dicom, encoding
from afterglow.phantom.geometry import Grid, oriented_grid
from afterglow.phantom.scan import Scan, render
from afterglow.phantom.series import PLANES, Series

if TYPE_CHECKING:
    from pathlib import Path

    from afterglow.phantom.dicom import SeriesWriter, Study
    from afterglow.phantom.scan import Session

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
_MAP, _SCREEN_SAVE, _RAW, _REPORT = 50, 90, 95, 99
_MANUFACTURERS = {
    "GE": "GE MEDICAL SYSTEMS",
    "Siemens": "SIEMENS",
    "Philips": "Philips Medical Systems",
}
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"
_RAW_DATA = "1.2.840.10008.5.1.4.1.1.66"
# Siemens keeps its protocol reports under a class of its own.
_SIEMENS_NON_IMAGE = "1.3.12.2.1107.5.9.1"
_MAP_KINDS = {
    "GE": ("DERIVED", "SECONDARY", "CBV"),
    "Siemens": ("DERIVED", "PRIMARY", "PERFUSION", "RELCBV"),
    "Philips": ("DERIVED", "SECONDARY", "RCBV", "M"),
}


def write_localizer(
    session: Session, study: Study, folder: Path, writer: SeriesWriter
) -> list[Path]:
    """Write three slices in each of three planes as one series."""
    x, y, z = session.pose.translation
    paths: list[Path] = []
    for count, axes in enumerate(PLANES.values()):
        grid: Grid = oriented_grid(LOCALIZER.shape, LOCALIZER.spacing, (x, y - 18.0, z), axes)
        part = replace(LOCALIZER, name=f"localizer-{count}")
        scan = Scan(
            part, grid, render(session, part, grid), first_instance=1 + count * grid.shape[2]
        )
        paths += writer(study, scan, _made(folder))
    return paths


def write_console_map(study: Study, scan: Scan, folder: Path, writer: SeriesWriter) -> list[Path]:
    """Write the blood volume that the console makes of a DSC series: area of the signal's drop."""
    signal = scan.data.astype(np.float32)
    before = np.maximum(signal[..., 1:8].mean(axis=3, keepdims=True), 1.0)
    drop = -np.log(np.maximum(signal, 1.0) / before).sum(axis=3, keepdims=True)
    shown = np.where(before > 0.1 * before.max(), np.clip(100.0 * drop, 0.0, 4095.0), 0.0)
    series = replace(
        scan.series,
        name="console-map",
        number=_MAP,
        description="rCBV",
        method="spgr",
        frames=1,
        frame_time=0.0,
        stated=(
            ("ImageType", _MAP_KINDS[study.center.vendor]),
            ("ScanningSequence", ("EP", "GR")),
            ("MRAcquisitionType", "2D"),
        ),
    )
    return writer(study, Scan(series, scan.grid, np.rint(shown).astype(np.int16)), _made(folder))


def write_screen_save(study: Study, folder: Path) -> Path:
    """Write a secondary capture, as a technologist's annotation ends up in the archive."""
    ds = dicom.general(study, _SCREEN_SAVE, "Screen Save", 1400.0)
    ds.SOPClassUID = _SECONDARY_CAPTURE
    ds.SOPInstanceUID = study.uid("screen save")
    ds.ImageType = ["DERIVED", "SECONDARY", "SCREEN SAVE"]
    ds.ConversionType = "WSD"
    ds.PatientOrientation, ds.Laterality = "", ""
    ds.Manufacturer = _MANUFACTURERS[study.center.vendor]
    ds.InstanceNumber = "1"
    ramp = np.add.outer(np.arange(64), np.arange(64)).astype(np.int16)
    dicom.pixels(ds, ramp.shape)
    ds.PixelRepresentation = 0
    ds.add_new(0x7FE00010, "OW", ramp.astype("<u2").tobytes())
    return encoding.save(ds, _made(folder) / "i00001.dcm")


def write_report(study: Study, folder: Path) -> Path:
    """Write a structured report: a non-image object with free text that names the patient."""
    from pydicom.dataset import Dataset

    ds = dicom.general(study, _REPORT, "Technologist note", 1420.0)
    ds.Modality = "SR"
    ds.SOPClassUID = _BASIC_TEXT_SR
    ds.SOPInstanceUID = study.uid("report")
    ds.Manufacturer = _MANUFACTURERS[study.center.vendor]
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
    return encoding.save(ds, _made(folder) / "i00001.dcm")


def write_raw(study: Study, folder: Path) -> Path:
    """Write an object without image that only the vendor can read."""
    ds = dicom.general(study, _RAW, "Raw data", 1440.0)
    own_class = study.center.vendor == "Siemens"
    ds.SOPClassUID = _SIEMENS_NON_IMAGE if own_class else _RAW_DATA
    ds.SOPInstanceUID = study.uid("raw")
    ds.Manufacturer = _MANUFACTURERS[study.center.vendor]
    ds.InstanceNumber = "1"
    ds.Laterality = ""
    ds.CreatorVersionUID = study.uid("creator")
    ds.AcquisitionContextSequence = []
    dicom.private(ds, 0x0099, "AFTERGLOW RAW", {0x10: ("OB", bytes(range(256)))})
    return encoding.save(ds, _made(folder) / "i00001.dcm")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
