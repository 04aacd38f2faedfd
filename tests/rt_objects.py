"""Radiotherapy objects and segmentations of a small MR series, written for the tests."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

_CLASSES = {
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "RTSTRUCT": "1.2.840.10008.5.1.4.1.1.481.3",
    "RTDOSE": "1.2.840.10008.5.1.4.1.1.481.2",
}
LPS = np.array([-1.0, -1.0, 1.0])


def _new(modality, frame, uid=None):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = _CLASSES[modality]
    meta.MediaStorageSOPInstanceUID = uid or generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    found.SOPClassUID, found.SOPInstanceUID = _CLASSES[modality], meta.MediaStorageSOPInstanceUID
    found.Modality, found.PatientID, found.PatientName = modality, "P", "A^B"
    found.PatientBirthDate = found.PatientSex = found.StudyID = found.AccessionNumber = ""
    found.StudyDate, found.StudyTime = "20200101", "100000"
    found.StudyInstanceUID, found.SeriesInstanceUID = "1.2.3.4", generate_uid()
    found.FrameOfReferenceUID, found.SeriesNumber, found.InstanceNumber = frame, 1, 1
    found.ReferringPhysicianName = found.Manufacturer = ""
    return found


def mr_series(grid, frame):
    """Return one MR slice per plane along the third axis of a grid."""
    slices, series = [], generate_uid()
    columns, rows = grid.affine[:3, 0] * LPS, grid.affine[:3, 1] * LPS
    for plane in range(grid.shape[2]):
        one = _new("MR", frame)
        one.SeriesInstanceUID, one.InstanceNumber = series, plane + 1
        one.Rows, one.Columns = grid.shape[1], grid.shape[0]
        one.PixelSpacing = [float(np.linalg.norm(rows)), float(np.linalg.norm(columns))]
        one.SliceThickness = float(grid.spacing[2])
        one.ImageOrientationPatient = [
            *(columns / np.linalg.norm(columns)),
            *(rows / np.linalg.norm(rows)),
        ]
        one.ImagePositionPatient = list(grid.world(np.array([[0, 0, plane]]))[0] * LPS)
        one.BitsAllocated, one.BitsStored, one.HighBit = 16, 12, 11
        one.SamplesPerPixel, one.PixelRepresentation = 1, 0
        one.PhotometricInterpretation = "MONOCHROME2"
        one.PixelData = np.zeros((grid.shape[1], grid.shape[0]), np.uint16).tobytes()
        slices.append(one)
    return slices


def rtstruct(path, rois, frame="1.2.9"):
    """Write a structure set of ``rois``: (name, type, [(geometric type, (n, 3) LPS points)])."""
    found = _new("RTSTRUCT", frame)
    found.StructureSetLabel = "S"
    sets, drawn, seen = [], [], []
    for number, (name, kind, contours) in enumerate(rois, start=1):
        one = Dataset()
        one.ROINumber, one.ROIName, one.ReferencedFrameOfReferenceUID = number, name, frame
        sets.append(one)
        item = Dataset()
        item.ReferencedROINumber = number
        parts = []
        for shape, points in contours:
            part = Dataset()
            part.ContourGeometricType = shape
            part.NumberOfContourPoints = len(points)
            part.ContourData = [f"{x:.6f}"[:16] for x in np.asarray(points, float).ravel()]
            parts.append(part)
        if parts:
            item.ContourSequence = Sequence(parts)
        drawn.append(item)
        observed = Dataset()
        observed.ObservationNumber = observed.ReferencedROINumber = number
        observed.RTROIInterpretedType = kind
        seen.append(observed)
    found.StructureSetROISequence = Sequence(sets)
    found.ROIContourSequence = Sequence(drawn)
    found.RTROIObservationsSequence = Sequence(seen)
    found.save_as(path, enforce_file_format=True)
    return path


def seg(path, grid, labels, names, kind="BINARY"):
    """Write a DICOM segmentation of integer labels on a grid whose third axis is the slices."""
    import highdicom as hd
    from pydicom.sr.codedict import codes

    slices = mr_series(grid, "1.2.9")
    described = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Neoplasm,
            algorithm_type="MANUAL",
        )
        for number, name in enumerate(names, start=1)
    ]
    stack = np.stack(
        [np.transpose(labels == k, (2, 1, 0)) for k in range(1, len(names) + 1)], axis=-1
    )
    pixels = stack.astype(np.float32 if kind == "FRACTIONAL" else np.uint8)
    if kind == "LABELMAP":
        pixels = np.transpose(labels, (2, 1, 0)).astype(np.uint8)
    file = hd.seg.Segmentation(
        source_images=slices,
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="m",
        manufacturer_model_name="m",
        software_versions="1",
        device_serial_number="1",
    )
    file.save_as(path)
    return path


def rtdose(path, gray, grid, *, offsets="relative", units="GY", summation="PLAN"):
    """Write a dose (x, y, z) in gray on an axial grid; ``offsets`` may be absolute, descending."""
    found = _new("RTDOSE", "1.2.9")
    frames = np.transpose(gray, (2, 1, 0))
    steps = np.arange(frames.shape[0]) * float(grid.spacing[2])
    corner = grid.world(np.array([[0, 0, 0]]))[0] * LPS
    if offsets == "descending":
        frames, corner = frames[::-1], grid.world(np.array([[0, 0, grid.shape[2] - 1]]))[0] * LPS
        steps = -steps
    scaling = float(gray.max()) / 60_000
    found.DoseUnits, found.DoseType, found.DoseSummationType = units, "PHYSICAL", summation
    found.DoseGridScaling = f"{scaling:.10g}"
    found.GridFrameOffsetVector = [
        f"{x:.6g}" for x in (steps + corner[2] if offsets == "absolute" else steps)
    ]
    found.Rows, found.Columns, found.NumberOfFrames = *frames.shape[1:], frames.shape[0]
    columns, rows = grid.affine[:3, 0] * LPS, grid.affine[:3, 1] * LPS
    found.PixelSpacing = [float(np.linalg.norm(rows)), float(np.linalg.norm(columns))]
    found.ImageOrientationPatient = [
        *(columns / np.linalg.norm(columns)),
        *(rows / np.linalg.norm(rows)),
    ]
    found.ImagePositionPatient = [f"{x:.6f}" for x in corner]
    found.BitsAllocated = found.BitsStored = 16
    found.HighBit, found.SamplesPerPixel, found.PixelRepresentation = 15, 1, 0
    found.PhotometricInterpretation = "MONOCHROME2"
    found.FrameIncrementPointer = (0x3004, 0x000C)
    found.PixelData = np.round(frames / scaling).astype(np.uint16).tobytes()
    found.save_as(path, enforce_file_format=True)
    return path
