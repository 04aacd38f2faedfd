"""What the DICOM of every vendor shares: patient, study, geometry, contrast, file writing."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from afterglow.phantom.seeds import uid

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.dataset import Dataset

    from afterglow.phantom.geometry import Grid, Matrix
    from afterglow.phantom.plan import CenterPlan, CohortPlan, SubjectPlan
    from afterglow.phantom.scan import Scan

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"
# Trade name, mmol/mL, mg of the chelate per mL.
_AGENTS = {
    "gadobutrol": ("Gadavist", 1.0, 604.72),
    "gadoterate": ("Dotarem", 0.5, 376.9),
    "gadoteridol": ("ProHance", 0.5, 279.3),
}
_STUDY_HOUR = 9 * 3600


@dataclass(frozen=True)
class Study:
    """One study, as its headers name it.

    Attributes
    ----------
    plan, center, subject
        What was planned.
    visit : int
        From 0.
    """

    plan: CohortPlan
    center: CenterPlan
    subject: SubjectPlan
    visit: int

    @property
    def date(self) -> dt.date:
        """Date of the study."""
        return self.subject.visits[self.visit]

    def uid(self, *keys: object) -> str:
        """Return an identifier within this study."""
        return uid(self.plan.seed, self.subject.patient, self.visit, *keys)

    def clock(self, seconds: float) -> str:
        """Return a DICOM time of the session clock, to a hundredth of a second.

        The study starts at a fixed hour plus a minute per visit.
        """
        total = round((_STUDY_HOUR + 660 * self.visit + seconds) * 100)
        whole, hundredths = divmod(total, 100)
        return f"{whole // 3600:02d}{whole // 60 % 60:02d}{whole % 60:02d}.{hundredths:02d}"


class SeriesWriter(Protocol):
    """Writes a series as one vendor does."""

    def __call__(self, study: Study, scan: Scan, folder: Path) -> list[Path]:
        """Write the files of a series into a folder and return their paths."""
        ...


def general(study: Study, number: int, description: str, started: float) -> Dataset:
    """Return the patient, study, series and equipment attributes of one series."""
    from pydicom.dataset import Dataset

    subject, day = study.subject, f"{study.date:%Y%m%d}"
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    for kind in ("Study", "Series", "Acquisition", "Content"):
        setattr(ds, f"{kind}Date", day)
    ds.StudyTime = study.clock(0.0)
    ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = study.clock(started)
    ds.AccessionNumber = f"A{study.uid('accession')[-7:]}"
    ds.Modality = "MR"
    ds.InstitutionName = study.center.institution
    ds.ReferringPhysicianName = "Herbst^Petra"
    ds.StudyDescription = "MRI Brain w/wo contrast"
    ds.SeriesDescription = description
    ds.PatientName = subject.name
    ds.PatientID = subject.patient
    ds.PatientBirthDate = f"{subject.birth:%Y%m%d}"
    ds.PatientSex = subject.sex
    ds.PatientAge = f"{(study.date - subject.birth).days // 365:03d}Y"
    ds.PatientWeight = f"{subject.weight:g}"
    ds.StudyInstanceUID = study.uid("study")
    ds.SeriesInstanceUID = study.uid("series", number)
    ds.StudyID = str(100 + study.visit)
    ds.SeriesNumber = str(number)
    return ds


def add_contrast(ds: Dataset, study: Study) -> None:
    """Add the contrast agent and the dose of the injection imaged."""
    trade, molar, milligrams = _AGENTS[study.center.agent]
    ds.ContrastBolusAgent = trade
    ds.ContrastBolusRoute = "IV"
    ds.ContrastBolusVolume = f"{study.center.dose * study.subject.weight / molar:.1f}"
    ds.ContrastBolusTotalDose = ds.ContrastBolusVolume
    ds.ContrastBolusIngredient = "GADOLINIUM"
    ds.ContrastBolusIngredientConcentration = f"{milligrams:g}"


def lps(affine: Matrix) -> Matrix:
    """Return an affine with DICOM's world axes instead of RAS."""
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def orientation(grid: Grid) -> list[str]:
    """Return ImageOrientationPatient: direction of the columns' index, then of the rows'."""
    axes = lps(grid.affine)[:3, :2]
    return [decimal(value) for value in (axes / np.linalg.norm(axes, axis=0)).T.ravel()]


def position(grid: Grid, index: int) -> list[str]:
    """Return ImagePositionPatient of a slice."""
    return [decimal(value) for value in (lps(grid.affine) @ [0.0, 0.0, index, 1.0])[:3]]


def decimal(value: float) -> str:
    """Return a number as a DICOM decimal string of at most 16 characters.

    Examples
    --------
    >>> decimal(-0.0), decimal(0.9902680687415704)
    ('0', '0.9902680687416')
    """
    text = f"{value:.13f}"[:16].rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def pixels(ds: Dataset, plane: np.ndarray) -> None:
    """Add one slice, given as (columns, rows), as 16-bit pixels."""
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = plane.shape[1], plane.shape[0]
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 1
    low, high = int(plane.min()), int(plane.max())
    ds.SmallestImagePixelValue, ds.LargestImagePixelValue = low, high
    ds.WindowCenter, ds.WindowWidth = str((high + low) // 2), str(max(high - low, 1))
    ds.PixelData = np.ascontiguousarray(plane.T).astype("<i2").tobytes()


def save(ds: Dataset, path: Path) -> Path:
    """Write a dataset with explicit little-endian syntax; the same dataset gives the same bytes."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = uid(0, "afterglow.phantom")
    meta.ImplementationVersionName = "AFTERGLOW"
    ds.file_meta = meta
    ds.save_as(path, enforce_file_format=True)
    return path


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """Return a coded concept."""
    from pydicom.dataset import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def private(ds: Dataset, group: int, creator: str, elements: dict[int, tuple[str, Any]]) -> None:
    """Add private elements, by their offset in the creator's block."""
    block = ds.private_block(group, creator, create=True)
    for offset, (vr, value) in elements.items():
        block.add_new(offset, vr, value)
