"""Classic DICOM as Siemens scanners write it.

EPI comes as mosaics, all slices of a volume tiled into one image, with the times of the slices in
private elements; everything else as one file per slice. AcquisitionTime is that of the volume,
RepetitionTime that of a whole 2D volume but of a single excitation in 3D.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from afterglow.phantom import csa, dicom, encoding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydicom.dataset import Dataset

    from afterglow.phantom.dicom import Study
    from afterglow.phantom.geometry import Grid
    from afterglow.phantom.scan import Scan
    from afterglow.phantom.series import Series

_SEQUENCE = {
    "spgr": (["GR"], ["SP", "OSP"], ["PFP"], "*fl3d1"),
    "flair": (["SE", "IR"], ["SK", "SP", "MP"], ["FS"], "*tir2d1_16"),
    "epi": (["EP"], ["SK"], ["FS"], "*epfid2d1_96"),
}
_BANDWIDTH_PER_PIXEL = 13.021


def write_series(study: Study, scan: Scan, folder: Path) -> list[Path]:
    """Write a series: a mosaic per volume for EPI, else a file per slice and frame."""
    encoder = encoding.Encoder(_common(study, scan))
    instances = _mosaics(study, scan) if scan.series.method == "epi" else _slices(study, scan)
    paths = []
    for number, own in enumerate(instances, start=scan.first_instance):
        own[0x00200013] = ("IS", number)
        uid = study.uid(scan.series.name, number)
        paths.append(encoder.save(uid, own, folder / f"{scan.series.number:04d}-{number:05d}.ima"))
    return paths


def _slices(study: Study, scan: Scan) -> Iterator[encoding.Own]:
    grid = scan.grid
    for frame, seconds in enumerate(scan.series.frame_starts()):
        times = _times(study, scan.series, seconds, frame)
        for k in range(grid.shape[2]):
            own = {
                0x00200032: ("DS", dicom.position(grid, k)),
                0x00201041: ("DS", f"{grid.location(k):.6f}"),
            }
            yield own | times | dicom.plane(scan.data[:, :, k, frame], signed=False)


def _mosaics(study: Study, scan: Scan) -> Iterator[encoding.Own]:
    grid = scan.grid
    tiles = _tiles(grid)
    # the corner from which the first slice would be seen in the middle of the mosaic
    shift = [-(tiles - 1) * grid.shape[0] / 2.0, -(tiles - 1) * grid.shape[1] / 2.0, 0.0, 1.0]
    corner = (dicom.lps(grid.affine) @ shift)[:3]
    place: encoding.Own = {
        0x00200032: ("DS", [dicom.decimal(value) for value in corner]),
        0x00201041: ("DS", f"{grid.location(0):.6f}"),
    }
    for frame, seconds in enumerate(scan.series.frame_starts()):
        values = dicom.plane(mosaic(scan.data[..., frame]), signed=False)
        yield {**place, **_times(study, scan.series, seconds, frame), **values}


def mosaic(volume: np.ndarray) -> np.ndarray:
    """Return the slices of a volume (columns, rows, slices) tiled row by row into a square.

    Examples
    --------
    >>> mosaic(np.arange(3).reshape(1, 1, 3)).T
    array([[0, 1],
           [2, 0]])
    """
    columns, rows, count = volume.shape
    tiles = math.ceil(math.sqrt(count))
    out = np.zeros((tiles * columns, tiles * rows), dtype=volume.dtype)
    for k in range(count):
        row, column = divmod(k, tiles)
        x, y = column * columns, row * rows
        out[x : x + columns, y : y + rows] = volume[:, :, k]
    return out


def _tiles(grid: Grid) -> int:
    return math.ceil(math.sqrt(grid.shape[2]))


def _times(study: Study, series: Series, seconds: float, frame: int) -> encoding.Own:
    """Return when a volume was acquired, and its number."""
    clock = study.clock(series.start + seconds, 6)
    return {
        0x00080032: ("TM", clock),
        0x00080033: ("TM", study.clock(series.start + seconds + series.frame_time + 0.4, 6)),
        0x00191016: ("DS", f"{seconds:g}"),
        0x00200012: ("IS", frame + 1),
    }


def _common(study: Study, scan: Scan) -> Dataset:
    """Return what all instances of a series share."""
    series, grid = scan.series, scan.grid
    ds = dicom.general(study, series.number, series.description, series.start)
    planar = series.method == "epi"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", *(["MOSAIC"] if planar else [])]
    ds.SOPClassUID = dicom.MR_IMAGE
    ds.Manufacturer = "SIEMENS"
    ds.ManufacturerModelName = "Aera"
    ds.StationName = "SOUTHAWP1"
    ds.DeviceSerialNumber = "41077"
    ds.SoftwareVersions = "syngo MR E11"
    ds.ProtocolName = series.description
    ds.PatientPosition = "HFS"
    ds.BodyPartExamined = "BRAIN"
    _sequence(ds, study, series)
    ds.SliceThickness = ds.SpacingBetweenSlices = f"{grid.spacing[2]:g}"
    ds.PixelSpacing = [f"{grid.spacing[1]:g}", f"{grid.spacing[0]:g}"]
    ds.AcquisitionMatrix = [grid.shape[0], 0, 0, grid.shape[1]]
    ds.InPlanePhaseEncodingDirection = "COL" if planar else "ROW"
    ds.ImageOrientationPatient = dicom.orientation(grid)
    ds.FrameOfReferenceUID = study.uid("frame of reference")
    ds.PositionReferenceIndicator = ""
    ds.AcquisitionNumber = "1"
    if series.contrast:
        dicom.add_contrast(ds, study, series)
    tiles = _tiles(grid) if planar else 1
    shape = (tiles * grid.shape[0], tiles * grid.shape[1])
    dicom.pixels(ds, shape, dicom.stored_bits(scan.data), signed=False)
    _private(ds, series, grid)
    dicom.state(ds, series)
    return ds


def _sequence(ds: Dataset, study: Study, series: Series) -> None:
    """Add the sequence and its timing."""
    scanning, variant, options, name = _SEQUENCE[series.method]
    ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions = scanning, variant, options
    ds.SequenceName = name
    ds.MRAcquisitionType = "3D" if series.is_3d else "2D"
    ds.AngioFlag = "N"
    ds.RepetitionTime = series.repetition_time
    ds.EchoTime = f"{series.te * 1000:g}"
    if series.ti:
        ds.InversionTime = f"{series.ti * 1000:g}"
    ds.FlipAngle = f"{series.flip:g}"
    ds.NumberOfAverages = "1"
    ds.MagneticFieldStrength = f"{study.center.field:g}"
    ds.ImagingFrequency = f"{42.576 * study.center.field:.6f}"
    ds.ImagedNucleus = "1H"
    ds.EchoNumbers = "1"
    ds.EchoTrainLength = {"epi": "48", "flair": "16", "spgr": "1"}[series.method]
    ds.PercentSampling = ds.PercentPhaseFieldOfView = "100"
    ds.PixelBandwidth = "1302" if series.method == "epi" else "300"
    ds.TransmitCoilName = "Body"
    ds.VariableFlipAngleFlag = "N"


def _private(ds: Dataset, series: Series, grid: Grid) -> None:
    """Add the private elements and the private header that converters read."""
    tags: dict[str, csa.Tag] = {"ProtocolSliceNumber": ("IS", [0])}
    elements: dict[int, tuple[str, object]] = {0x08: ("CS", "IMAGE NUM 4"), 0x09: ("LO", "1.0")}
    if series.method == "epi":
        times = [round(1000.0 * offset, 4) for offset in series.slice_offsets()]
        normal = (dicom.lps(grid.affine)[:3, 2] / grid.spacing[2]).tolist()
        tags |= {
            "NumberOfImagesInMosaic": ("US", [grid.shape[2]]),
            "SliceNormalVector": ("FD", normal),
            "PhaseEncodingDirectionPositive": ("IS", [1]),
            "BandwidthPerPixelPhaseEncode": ("FD", [_BANDWIDTH_PER_PIXEL]),
            "MosaicRefAcqTimes": ("FD", times),
        }
        elements |= {
            0x0A: ("US", grid.shape[2]),
            0x28: ("FD", _BANDWIDTH_PER_PIXEL),
            0x29: ("FD", times),
        }
    dicom.private(ds, 0x0019, "SIEMENS MR HEADER", elements)
    header = {
        0x08: ("CS", "IMAGE NUM 4"),
        0x09: ("LO", ds.StudyDate),
        0x10: ("OB", csa.encode(tags)),
    }
    dicom.private(ds, 0x0029, "SIEMENS CSA HEADER", header)
