"""DICOM as Philips scanners write it: classic here, DSC as one enhanced object.

Stored values are fitted to 12 bits series by series; a private scale slope (2005,100E) leads to
values that can be compared between series, the public rescale slope to what is displayed. In
classic dynamic series all files share one AcquisitionTime: a private element holds the start of
each dynamic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from afterglow.phantom import dicom, encoding, philips_enhanced

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.dataset import Dataset

    from afterglow.phantom.dicom import Study
    from afterglow.phantom.scan import Scan
    from afterglow.phantom.series import Series

_SEQUENCE = {
    "spgr": (["GR"], ["SP"], ["OTHER"], "T1FFE", ["M_FFE", "M", "FFE"]),
    "flair": (["SE", "IR"], ["SK"], ["FS"], "TSE", ["M_IR", "M", "IR"]),
    "epi": (["GR"], ["SK"], ["FS"], "FEEPI", ["M_FFE", "M", "FFE"]),
}


def write_series(study: Study, scan: Scan, folder: Path) -> list[Path]:
    """Write a series, EPI as one enhanced object, else a file per slice and dynamic."""
    if scan.series.method == "epi":
        return [philips_enhanced.write_series(study, scan, folder)]
    series, grid = scan.series, scan.grid
    encoder = encoding.Encoder(_common(study, scan))
    paths = []
    for k in range(grid.shape[2]):
        for frame, seconds in enumerate(series.frame_starts()):
            number = scan.first_instance + k * series.frames + frame
            own: encoding.Own = {
                0x00200013: ("IS", number),
                0x00200032: ("DS", dicom.position(grid, k)),
                0x00201041: ("DS", f"{grid.location(k):.6f}"),
                0x2001100A: ("IS", k + 1),
                0x7FE00010: ("OW", dicom.words(scan.data[:, :, k, frame])),
            }
            if series.frames > 1:
                own[0x00200100] = ("IS", frame + 1)
                own[0x200510A0] = ("FL", seconds)
            uid = study.uid(series.name, number)
            paths.append(encoder.save(uid, own, folder / f"IM_{number:04d}"))
    return paths


def _common(study: Study, scan: Scan) -> Dataset:
    """Return what all instances of a classic series share."""
    series, grid = scan.series, scan.grid
    ds = dicom.general(study, series.number, series.description, series.start)
    *_, technique, kinds = _SEQUENCE[series.method]
    ds.ImageType = ["ORIGINAL", "PRIMARY", *kinds]
    ds.SOPClassUID = dicom.MR_IMAGE
    equipment(ds)
    ds.ProtocolName = f"{series.description} CLEAR"
    ds.PatientPosition = "HFS"
    ds.BodyPartExamined = "BRAIN"
    _sequence(ds, study, series)
    ds.SliceThickness = ds.SpacingBetweenSlices = f"{grid.spacing[2]:g}"
    ds.PixelSpacing = [f"{grid.spacing[1]:g}", f"{grid.spacing[0]:g}"]
    ds.AcquisitionMatrix = [grid.shape[0], 0, 0, grid.shape[1]]
    ds.InPlanePhaseEncodingDirection = "ROW"
    ds.ImageOrientationPatient = dicom.orientation(grid)
    ds.FrameOfReferenceUID = study.uid("frame of reference")
    ds.PositionReferenceIndicator = ""
    ds.AcquisitionNumber = str(series.number // 100)
    if series.frames > 1:
        ds.NumberOfTemporalPositions = str(series.frames)
    if series.contrast:
        dicom.add_contrast(ds, study, series)
    dicom.pixels(ds, grid.shape, dicom.stored_bits(scan.data), signed=False)
    ds.RescaleSlope = dicom.decimal(display_slope(scan))
    ds.RescaleIntercept, ds.RescaleType = "0", "normalized"
    high = float(scan.data.max()) * display_slope(scan)
    ds.WindowCenter, ds.WindowWidth = f"{high / 2.0:.6g}", f"{high:.6g}"
    ds.PresentationLUTShape = "IDENTITY"
    _private(ds, scan, technique)
    dicom.state(ds, series)
    return ds


def equipment(ds: Dataset) -> None:
    """Add the scanner."""
    ds.Manufacturer = "Philips Medical Systems"
    ds.ManufacturerModelName = "Ingenia"
    ds.StationName = "WEST-MR3"
    ds.DeviceSerialNumber = "42733"
    ds.SoftwareVersions = ["5.7.1", "5.7.1.1"]


def scale_slope(series: Series) -> float:
    """Return the private scale slope: stored values over it are comparable between series."""
    return float(np.float32(series.scale / 1000.0))


def display_slope(scan: Scan) -> float:
    """Return the public rescale slope, with which the brightest value is displayed as 2000."""
    return round(2000.0 / float(scan.data.max()), 9)


def _sequence(ds: Dataset, study: Study, series: Series) -> None:
    """Add the sequence and its timing."""
    scanning, variant, options, *_ = _SEQUENCE[series.method]
    ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions = scanning, variant, options
    ds.MRAcquisitionType = "3D" if series.is_3d else "2D"
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
    ds.EchoTrainLength = "24" if series.method == "flair" else "1"
    ds.NumberOfPhaseEncodingSteps = str(series.shape[1])
    ds.PercentSampling = ds.PercentPhaseFieldOfView = "100"
    ds.PixelBandwidth = "434"
    ds.ReceiveCoilName = "MULTI COIL"


def _private(ds: Dataset, scan: Scan, technique: str) -> None:
    """Add the private elements: number of slices and dynamics, and the scale of the values."""
    series = scan.series
    imaging: dict[int, tuple[str, object]] = {
        0x13: ("SL", 1),
        0x18: ("SL", scan.grid.shape[2]),
        0x20: ("LO", technique),
        0x81: ("IS", series.frames),
    }
    dicom.private(ds, 0x2001, "Philips Imaging DD 001", imaging)
    scaling = {0x0D: ("FL", 0.0), 0x0E: ("FL", scale_slope(series)), 0xA0: ("FL", 0.0)}
    dicom.private(ds, 0x2005, "Philips MR Imaging DD 001", scaling)
