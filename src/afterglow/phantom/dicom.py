"""What the DICOM of every vendor shares: patient, study, geometry, contrast."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from afterglow.phantom.encoding import Own
from afterglow.phantom.seeds import uid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pydicom.dataset import Dataset

    from afterglow.phantom.geometry import Grid, Matrix
    from afterglow.phantom.plan import CenterPlan, CohortPlan, SubjectPlan
    from afterglow.phantom.scan import Scan
    from afterglow.phantom.series import Series


MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
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
    part : str
        Empty, or what tells a further study of the same day from the first.
    begins : float
        On the session clock, s.
    """

    plan: CohortPlan
    center: CenterPlan
    subject: SubjectPlan
    visit: int
    part: str = ""
    begins: float = 0.0

    @property
    def date(self) -> dt.date:
        """Date of the study."""
        return self.subject.visits[self.visit]

    def uid(self, *keys: object) -> str:
        """Return an identifier within this study."""
        part = (self.part,) if self.part else ()
        return uid(self.plan.seed, self.subject.patient, self.visit, *part, *keys)

    def clock(self, seconds: float, digits: int = 2) -> str:
        """Return a DICOM time of the session clock.

        The study starts at a fixed hour plus a minute per visit.
        """
        total = round((_STUDY_HOUR + 660 * self.visit + seconds) * 10**digits)
        whole, rest = divmod(total, 10**digits)
        hours, minutes = whole // 3600, whole // 60 % 60
        return f"{hours:02d}{minutes:02d}{whole % 60:02d}.{rest:0{digits}d}"

    def instant(self, seconds: float) -> str:
        """Return a DICOM date and time of the session clock."""
        return f"{self.date:%Y%m%d}{self.clock(seconds, 6)}"


@dataclass(frozen=True)
class Contrast:
    """Trade name, volume injected (mL) and mg of the chelate per mL."""

    agent: str
    volume: float
    concentration: float


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
    ds.StudyTime = study.clock(study.begins)
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
    ds.StudyInstanceUID = study.plan.study_uid(study.subject.patient, study.visit, study.part)
    ds.SeriesInstanceUID = study.uid("series", number)
    ds.StudyID = str(100 + study.visit)
    ds.SeriesNumber = str(number)
    return ds


def contrast_of(study: Study, series: Series) -> Contrast:
    """Return what the header of a series says of contrast.

    A dynamic series names its own injection, a later one everything injected so far.
    """
    trade, molar, milligrams = _AGENTS[study.center.agent]
    parts: tuple[Literal["dce", "dsc"], ...] = tuple(
        part for part in ("dce", "dsc") if part in study.center.order
    )
    own = tuple(part for part in parts if part == series.name)
    dose = sum(study.center.dose_of(part) for part in own or parts)
    return Contrast(trade, dose * study.subject.weight / molar, milligrams)


def add_contrast(ds: Dataset, study: Study, series: Series) -> None:
    """Add the contrast agent and how much of it was injected."""
    contrast = contrast_of(study, series)
    ds.ContrastBolusAgent = contrast.agent
    ds.ContrastBolusRoute = "IV"
    ds.ContrastBolusVolume = f"{contrast.volume:.1f}"
    ds.ContrastBolusTotalDose = ds.ContrastBolusVolume
    ds.ContrastBolusIngredient = "GADOLINIUM"
    ds.ContrastBolusIngredientConcentration = f"{contrast.concentration:g}"


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


def pixels(ds: Dataset, shape: tuple[int, ...], bits: int = 16, *, signed: bool = True) -> None:
    """Describe 16-bit pixels of (columns, rows); `plane` holds the values of one instance."""
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = shape[1], shape[0]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, bits, bits - 1
    ds.PixelRepresentation = int(signed)


def stored_bits(values: np.ndarray) -> int:
    """Return 12, as most scanners store, or 16 where the values need more."""
    return 12 if values.max() < 4096 else 16


def plane(values: np.ndarray, *, signed: bool = True) -> Own:
    """Return the elements of one slice's values, given as (columns, rows)."""
    low, high = int(values.min()), int(values.max())
    return {
        0x00280106: ("SS" if signed else "US", low),
        0x00280107: ("SS" if signed else "US", high),
        **window(low, high),
        0x7FE00010: ("OW", words(values)),
    }


def words(values: np.ndarray) -> bytes:
    """Return the values of one slice, given as (columns, rows), row by row in 16 bits."""
    return np.ascontiguousarray(values.T).astype("<i2").tobytes()


def window(low: float, high: float) -> Own:
    """Return centre and width of the window that shows all values."""
    return {
        0x00281050: ("DS", f"{(high + low) / 2.0:.6g}"),
        0x00281051: ("DS", f"{max(high - low, 1.0):.6g}"),
    }


def state(ds: Dataset, series: Series) -> None:
    """Put in what the header says instead of what is true or usual."""
    for keyword, value in series.stated:
        setattr(ds, keyword, list(value) if isinstance(value, tuple) else value)


def count_frames_by(ds: Dataset, organization: str, dimensions: Sequence[tuple[int, int]]) -> None:
    """Say by which elements, each in its functional group, the frames of an object are counted."""
    from pydicom.dataset import Dataset

    whole = Dataset()
    whole.DimensionOrganizationUID = organization
    ds.DimensionOrganizationSequence = [whole]
    ds.DimensionIndexSequence = []
    for pointer, group in dimensions:
        item = Dataset()
        item.DimensionOrganizationUID = organization
        item.DimensionIndexPointer, item.FunctionalGroupPointer = pointer, group
        ds.DimensionIndexSequence.append(item)


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
