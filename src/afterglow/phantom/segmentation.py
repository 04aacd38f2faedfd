"""Lesion masks as DICOM SEG: what a reader's workstation sends back to the archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from afterglow.phantom import dicom, encoding

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from afterglow.phantom.dicom import Study
    from afterglow.phantom.encoding import Own
    from afterglow.phantom.geometry import Grid
    from afterglow.phantom.series import Series

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
_NUMBER = 70
_SEGMENT, _SLICE = 0x0062000B, 0x00200032
_DIMENSIONS = ((_SEGMENT, 0x0062000A), (_SLICE, 0x00209113))


def write_segmentation(
    study: Study, series: Series, grid: Grid, labels: NDArray[np.uint8], folder: Path
) -> Path:
    """Write a mask as a segmentation of a static series, one segment for each lesion.

    Parameters
    ----------
    study : Study
        To which the series belongs.
    series, grid
        The series that was segmented, and its grid.
    labels : ndarray, shape (columns, rows, slices)
        Number of the lesion in every voxel of the grid, 0 outside.
    folder : Path
        Receives the object.
    """
    numbers = [int(number) for number in np.unique(labels) if number]
    frames = [
        (segment, k)
        for segment, number in enumerate(numbers, start=1)
        for k in np.flatnonzero((labels == number).any(axis=(0, 1))).tolist()
    ]
    bits = np.stack([np.equal(labels[:, :, k].T, numbers[n - 1]) for n, k in frames])
    own: Own = {
        0x52009229: ("SQ", [_shared(grid)]),
        0x52009230: ("SQ", [_frame(study, series, grid, *frame) for frame in frames]),
        0x7FE00010: ("OB", np.packbits(bits, bitorder="little").tobytes()),
    }
    folder.mkdir(parents=True, exist_ok=True)
    common = _common(study, series, grid, numbers, len(frames))
    return encoding.Encoder(common).save(study.uid("segmentation"), own, folder / "seg.dcm")


def _common(study: Study, series: Series, grid: Grid, numbers: list[int], count: int) -> Dataset:
    ds = dicom.general(study, _NUMBER, "Segmentation", series.start + 3600.0)
    del ds.AcquisitionDate, ds.AcquisitionTime
    ds.SOPClassUID, ds.Modality = SEGMENTATION, "SEG"
    ds.Manufacturer, ds.ManufacturerModelName = "Reading Room", "Contour"
    ds.DeviceSerialNumber, ds.SoftwareVersions = "1", "2.1"
    ds.FrameOfReferenceUID = study.uid("frame of reference")
    ds.PositionReferenceIndicator = ""
    ds.InstanceNumber, ds.NumberOfFrames = "1", str(count)
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = grid.shape[1], grid.shape[0]
    ds.BitsAllocated = ds.BitsStored = 1
    ds.HighBit = ds.PixelRepresentation = 0
    ds.LossyImageCompression = "00"
    ds.SegmentationType, ds.SegmentsOverlap = "BINARY", "NO"
    ds.ContentLabel, ds.ContentDescription = "LESIONS", "Enhancing lesions"
    ds.ContentCreatorName = "Reader^One"
    ds.SegmentSequence = [_segment(n, number) for n, number in enumerate(numbers, start=1)]
    ds.ReferencedSeriesSequence = [_referenced(study, series, grid)]
    dicom.count_frames_by(ds, study.uid("dimensions", "segmentation"), _DIMENSIONS)
    return ds


def _segment(segment: int, number: int) -> Dataset:
    """Return the description of one segment."""
    from pydicom.dataset import Dataset

    item = Dataset()
    item.SegmentNumber, item.SegmentLabel = segment, f"Lesion {number}"
    item.SegmentAlgorithmType = "MANUAL"
    item.SegmentedPropertyCategoryCodeSequence = [
        dicom.code("49755003", "SCT", "Morphologically Abnormal Structure")
    ]
    item.SegmentedPropertyTypeCodeSequence = [dicom.code("108369006", "SCT", "Neoplasm")]
    return item


def _referenced(study: Study, series: Series, grid: Grid) -> Dataset:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.SeriesInstanceUID = study.uid("series", series.number)
    item.ReferencedInstanceSequence = []
    for k in range(grid.shape[2]):
        instance = Dataset()
        instance.ReferencedSOPClassUID = dicom.MR_IMAGE
        instance.ReferencedSOPInstanceUID = study.uid(series.name, k + 1)
        item.ReferencedInstanceSequence.append(instance)
    return item


def _shared(grid: Grid) -> Own:
    spacing = [f"{grid.spacing[1]:g}", f"{grid.spacing[0]:g}"]
    measures: Own = {
        0x00180050: ("DS", f"{grid.spacing[2]:g}"),
        0x00180088: ("DS", f"{grid.spacing[2]:g}"),
        0x00280030: ("DS", spacing),
    }
    orientation: Own = {0x00200037: ("DS", dicom.orientation(grid))}
    return {0x00289110: ("SQ", [measures]), 0x00209116: ("SQ", [orientation])}


def _frame(study: Study, series: Series, grid: Grid, segment: int, k: int) -> Own:
    """Return the functional groups of one slice of one segment."""
    source: Own = {
        0x00081150: ("UI", dicom.MR_IMAGE),
        0x00081155: ("UI", study.uid(series.name, k + 1)),
        0x0040A170: (
            "SQ",
            [_coded("121322", "DCM", "Source image for image processing operation")],
        ),
    }
    derivation: Own = {
        0x00082112: ("SQ", [source]),
        0x00089215: ("SQ", [_coded("113076", "DCM", "Segmentation")]),
    }
    return {
        0x00089124: ("SQ", [derivation]),
        0x00209111: ("SQ", [{0x00209157: ("UL", [segment, k + 1])}]),
        0x00209113: ("SQ", [{_SLICE: ("DS", dicom.position(grid, k))}]),
        0x0062000A: ("SQ", [{_SEGMENT: ("US", segment)}]),
    }


def _coded(value: str, scheme: str, meaning: str) -> Own:
    return {0x00080100: ("SH", value), 0x00080102: ("SH", scheme), 0x00080104: ("LO", meaning)}
