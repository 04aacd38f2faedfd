"""Classic DICOM as GE scanners write it: one file per slice and phase.

All files of a dynamic series share one AcquisitionTime; TriggerTime (ms) and
TemporalPositionIdentifier alone say when a slice was acquired, and RepetitionTime is that of the
sequence, not the spacing of the frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from afterglow.phantom import dicom, encoding

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.dataset import Dataset

    from afterglow.phantom.dicom import Study
    from afterglow.phantom.scan import Scan
    from afterglow.phantom.series import Series

_SEQUENCE = {
    "spgr": (["GR"], ["SS", "SP"], ["FAST_GEMS", "EDR_GEMS"], "EFGRE3D", "efgre3d"),
    "flair": (["SE", "IR"], ["SK"], ["FAST_GEMS", "FS", "TRF_GEMS"], "T2FLAIR", "fse-xl"),
    "epi": (["EP", "GR"], ["SS"], ["EPI_GEMS", "MPH_GEMS", "FS"], "EPI", "epi"),
}


def write_series(study: Study, scan: Scan, folder: Path) -> list[Path]:
    """Write a series, instances numbered slice by slice within each phase."""
    series, grid = scan.series, scan.grid
    encoder = encoding.Encoder(_common(study, scan))
    slices = grid.shape[2]
    starts, offsets = series.frame_starts(), series.slice_offsets()
    paths = []
    for frame in range(series.frames):
        for k in range(slices):
            number = scan.first_instance + frame * slices + k
            own: encoding.Own = {
                0x00200013: ("IS", number),
                0x00200032: ("DS", dicom.position(grid, k)),
                0x00201041: ("DS", f"{grid.location(k):.3f}"),
                0x00209057: ("UL", k + 1),
            }
            if series.frames > 1:
                own[0x00181060] = ("DS", f"{1000.0 * (starts[frame] + offsets[k]):.0f}")
                own[0x00200100] = ("IS", frame + 1)
            own |= dicom.plane(scan.data[:, :, k, frame])
            uid = study.uid(series.name, number)
            paths.append(encoder.save(uid, own, folder / f"i{number:05d}.dcm"))
    return paths


def _common(study: Study, scan: Scan) -> Dataset:
    """Return what all instances of a series share."""
    series, grid = scan.series, scan.grid
    ds = dicom.general(study, series.number, series.description, series.start)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    ds.SOPClassUID = dicom.MR_IMAGE
    ds.Manufacturer = "GE MEDICAL SYSTEMS"
    ds.ManufacturerModelName = "SIGNA Architect"
    ds.StationName = "NORTHMR1"
    ds.DeviceSerialNumber = "000000000NORTHMR"
    ds.SoftwareVersions = ["29", "LX", "MR Software release:DV29.1_R03_2051.a"]
    ds.ProtocolName = series.protocol
    ds.PatientPosition = "HFS"
    ds.BodyPartExamined = "BRAIN"
    _sequence(ds, study, series)
    ds.SliceThickness = ds.SpacingBetweenSlices = f"{grid.spacing[2]:g}"
    ds.PixelSpacing = [f"{grid.spacing[1]:g}", f"{grid.spacing[0]:g}"]
    ds.ReconstructionDiameter = (
        f"{max(grid.shape[0] * grid.spacing[0], grid.shape[1] * grid.spacing[1]):g}"
    )
    ds.AcquisitionMatrix = [grid.shape[0], 0, 0, grid.shape[1]]
    ds.InPlanePhaseEncodingDirection = "COL" if series.method == "epi" else "ROW"
    ds.ImageOrientationPatient = dicom.orientation(grid)
    ds.FrameOfReferenceUID = study.uid("frame of reference")
    ds.PositionReferenceIndicator = ""
    ds.AcquisitionNumber = "1"
    ds.StackID = "1"
    ds.ImagesInAcquisition = str(grid.shape[2] * series.frames)
    if series.frames > 1:
        ds.NumberOfTemporalPositions = str(series.frames)
    if series.contrast:
        dicom.add_contrast(ds, study, series)
    dicom.pixels(ds, grid.shape)
    _private(ds, series, grid.shape[2])
    dicom.state(ds, series)
    return ds


def _sequence(ds: Dataset, study: Study, series: Series) -> None:
    """Add the sequence and its timing."""
    scanning, variant, options, _, _ = _SEQUENCE[series.method]
    ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions = scanning, variant, options
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
    ds.EchoTrainLength = "1"
    ds.PercentSampling = ds.PercentPhaseFieldOfView = "100"
    ds.PixelBandwidth = "7812.5" if series.method == "epi" else "325.5"
    ds.ReceiveCoilName = "48HP"
    ds.VariableFlipAngleFlag = "N"


def _private(ds: Dataset, series: Series, slices: int) -> None:
    """Add the private elements by which software recognizes GE's sequences."""
    *_, internal, name = _SEQUENCE[series.method]
    dicom.private(
        ds,
        0x0019,
        "GEMS_ACQU_01",
        {0x9C: ("LO", name), 0x9E: ("LO", internal), 0xF2: ("SS", series.frames)},
    )
    dicom.private(ds, 0x0021, "GEMS_RELA_01", {0x4F: ("SS", slices)})
    dicom.private(ds, 0x0025, "GEMS_SERS_01", {0x07: ("SL", slices * series.frames)})
    dicom.private(ds, 0x0043, "GEMS_PARM_01", {0x01: ("SS", 4), 0x2F: ("SS", 0), 0x2C: ("SS", 544)})
