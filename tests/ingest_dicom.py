"""Small DICOM series in the vendors' shapes, for tests of the ingest."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

ROOT = "1.2.826.0.1.3680043.10.999"


@dataclass
class Person:
    """Who is scanned; every field is something that must never leak."""

    id: str = "SECRET-PID-0001"
    name: str = "Doe^Jane^Q"
    birth: str = "19510203"
    accession: str = "ACC998877"


JANE = Person()


@dataclass
class Series:
    """One classic series; ``times`` (s) has one value per volume."""

    name: str
    number: int
    clock: str = "100000"
    vendor: str = "GE MEDICAL SYSTEMS"
    sequence: tuple[str, ...] = ("GR",)
    kind: str = "3D"
    tr: float = 8.0
    te: float = 3.0
    ti: float | None = None
    fa: float = 12.0
    times: list[float] = field(default_factory=lambda: [0.0])
    n_slices: int = 4
    size: int = 16
    timing: str = "trigger"
    agent: str | None = None
    options: dict[str, object] = field(default_factory=dict)


T1W = Series("AX T1 BRAVO", 2, "100100", n_slices=24)
FLAIR = Series("AX T2 FLAIR", 3, "100400", sequence=("SE",), tr=9000, te=120, ti=2400, kind="2D")
DSC = Series(
    "PERF DSC",
    6,
    "102000",
    sequence=("EP", "GR"),
    kind="2D",
    tr=1500,
    te=30,
    fa=60,
    times=[1.5 * n for n in range(24)],
    agent="Gadovist",
)
DCE = Series(
    "DCE perm",
    5,
    "101000",
    tr=4.0,
    te=1.5,
    fa=15,
    times=[5.0 * n for n in range(12)],
    agent="Gadovist",
)
T1W_CE = replace(T1W, name="AX T1 BRAVO", number=7, clock="103000", agent="Gadovist")


def vfa(angle: float, number: int) -> Series:
    """Return one series of a variable flip angle protocol on the grid of ``DCE``."""
    return replace(
        DCE,
        name=f"T1MAP FA {angle:g}",
        number=number,
        fa=angle,
        times=[0.0],
        clock=f"1008{number:02d}",
        agent=None,
    )


FULL = [T1W, FLAIR, vfa(2, 41), vfa(10, 42), DCE, DSC, T1W_CE]


def write_series(
    folder: Path,
    series: Series,
    person: Person = JANE,
    date: str = "20190304",
    study: int = 1,
) -> list[Path]:
    """Write a series, one file per slice and volume; pixel values tell slice and volume."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for volume, time in enumerate(series.times):
        for place in range(series.n_slices):
            number = volume * series.n_slices + place + 1
            dataset = _dataset(series, person, date, study, number, volume, place, time)
            path = folder / f"IM{number:05d}"
            dataset.save_as(path, enforce_file_format=True)
            paths.append(path)
    return paths


def write_study(
    folder: Path,
    series: list[Series] | None = None,
    person: Person = JANE,
    date: str = "20190304",
    study: int = 1,
) -> Path:
    """Write a whole imaging study."""
    for item in FULL if series is None else series:
        write_series(folder / f"{item.number:03d}", item, person, date, study)
    return folder


def pixels(series: Series, volume: int, place: int) -> np.ndarray:
    """Return the pixels of one slice: an asymmetric ramp that names slice and volume."""
    row, column = np.mgrid[0 : series.size, 0 : series.size]
    return (1000 * (place + 1) + 37 * volume + 3 * row + column).astype(np.uint16)


def _dataset(
    series: Series,
    person: Person,
    date: str,
    study: int,
    number: int,
    volume: int,
    place: int,
    time: float,
) -> Dataset:
    ds = Dataset()
    base = f"{ROOT}.{study}.{date}"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = MRImageStorage
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = MRImageStorage
    ds.SOPInstanceUID = f"{base}.{series.number}.{number}"
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.StudyInstanceUID, ds.SeriesInstanceUID = base, f"{base}.{series.number}"
    ds.FrameOfReferenceUID = f"{base}.0"
    ds.PatientID, ds.PatientName, ds.PatientBirthDate = person.id, person.name, person.birth
    ds.AccessionNumber, ds.InstitutionName = person.accession, "Saint Nowhere Hospital"
    ds.ReferringPhysicianName = "House^Gregory"
    ds.PatientWeight = 70
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "MR", series.vendor, "SIGNA"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = date
    ds.StudyTime, ds.SeriesTime = "100000", series.clock
    ds.SeriesDescription, ds.ProtocolName = series.name, "BRAIN METS"
    ds.SeriesNumber, ds.InstanceNumber, ds.AcquisitionNumber = series.number, number, 1
    ds.ScanningSequence, ds.MRAcquisitionType = list(series.sequence), series.kind
    ds.RepetitionTime, ds.EchoTime, ds.FlipAngle = series.tr, series.te, series.fa
    if series.ti is not None:
        ds.InversionTime = series.ti
    ds.MagneticFieldStrength = 3
    if series.agent:
        ds.ContrastBolusAgent, ds.ContrastBolusVolume = series.agent, 7
    start = dt.datetime.strptime(series.clock, "%H%M%S")
    ds.AcquisitionTime = series.clock
    if len(series.times) > 1 and series.timing == "trigger":
        ds.TriggerTime = round(1000 * time)
        ds.TemporalPositionIdentifier = volume + 1
        ds.NumberOfTemporalPositions = len(series.times)
    elif len(series.times) > 1 and series.timing == "acquisition":
        moved = start + dt.timedelta(seconds=time)
        ds.AcquisitionTime = moved.strftime("%H%M%S.%f")
        ds.AcquisitionNumber = volume + 1
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.ImagePositionPatient = [-10.0, -12.0, 3.0 * place - 20]
    ds.PixelSpacing, ds.SliceThickness, ds.SpacingBetweenSlices = [1.25, 1.25], 3, 3
    ds.SliceLocation = 3.0 * place - 20
    ds.Rows = ds.Columns = series.size
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 0
    for keyword, value in series.options.items():
        setattr(ds, keyword, value)
    ds.PixelData = pixels(series, volume, place).tobytes()
    return ds
