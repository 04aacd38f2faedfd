"""A structure set, a segmentation, a dose and a plan as planning systems write them, for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
RTDOSE = "1.2.840.10008.5.1.4.1.1.481.2"
RTPLAN = "1.2.840.10008.5.1.4.1.1.481.5"


def uid(text: str) -> str:
    return generate_uid(entropy_srcs=[text])


def head(image: Path, sop_class: str, name: str, study_uid: str | None = None) -> Dataset:
    """Return an object of the patient of an image."""
    source = pydicom.dcmread(image, stop_before_pixels=True)
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = sop_class
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = uid(name)
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "StudyDate", "StudyTime"):
        setattr(ds, keyword, source.get(keyword))
    ds.StudyInstanceUID = study_uid or source.StudyInstanceUID
    ds.SeriesInstanceUID = uid(f"{name} series")
    ds.Modality = {RTSTRUCT: "RTSTRUCT", RTDOSE: "RTDOSE", RTPLAN: "RTPLAN"}[sop_class]
    ds.Manufacturer = "Planner"
    return ds


def item(**values: object) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def write_rtstruct(
    path: Path,
    images: list[Path],
    rois: dict[str, list[np.ndarray]],
    *,
    references: bool = True,
    frame: str | None = None,
    study_uid: str | None = None,
) -> Dataset:
    """Write a structure set; ``rois`` maps a name to contours (n, 3) in mm, LPS."""
    ds = head(images[0], RTSTRUCT, path.name, study_uid)
    first = pydicom.dcmread(images[0], stop_before_pixels=True)
    frame = first.FrameOfReferenceUID if frame is None else frame
    ds.StructureSetLabel = "PLAN of Doe^Jane"
    if references:
        instances = [
            item(
                ReferencedSOPClassUID=first.SOPClassUID,
                ReferencedSOPInstanceUID=pydicom.dcmread(p, stop_before_pixels=True).SOPInstanceUID,
            )
            for p in images
        ]
        series = item(SeriesInstanceUID=first.SeriesInstanceUID, ContourImageSequence=instances)
        study = item(ReferencedSOPInstanceUID=first.StudyInstanceUID,
                     RTReferencedSeriesSequence=[series])  # fmt: skip
        ds.ReferencedFrameOfReferenceSequence = [
            item(FrameOfReferenceUID=frame, RTReferencedStudySequence=[study])
        ]
    ds.StructureSetROISequence = [
        item(ROINumber=n, ReferencedFrameOfReferenceUID=frame, ROIName=name)
        for n, name in enumerate(rois, start=1)
    ]
    ds.ROIContourSequence = [
        item(
            ReferencedROINumber=n,
            ContourSequence=[
                item(
                    ContourGeometricType="CLOSED_PLANAR",
                    NumberOfContourPoints=len(points),
                    ContourData=[f"{v:.4f}" for v in np.ravel(points)],
                )
                for points in contours
            ],
        )
        for n, contours in enumerate(rois.values(), start=1)
    ]
    ds.RTROIObservationsSequence = [
        item(ObservationNumber=n, ReferencedROINumber=n, RTROIInterpretedType="GTV")
        for n in range(1, len(rois) + 1)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return ds


def write_plan(path: Path, image: Path, structures: Dataset) -> Dataset:
    ds = head(image, RTPLAN, path.name, structures.StudyInstanceUID)
    ds.ReferencedStructureSetSequence = [
        item(ReferencedSOPClassUID=RTSTRUCT, ReferencedSOPInstanceUID=structures.SOPInstanceUID)
    ]
    ds.save_as(path, enforce_file_format=True)
    return ds


def write_dose(
    path: Path, image: Path, values: np.ndarray, plan: Dataset | None, *, offsets: list[float]
) -> Dataset:
    """Write a dose; ``values`` (planes, rows, columns) in Gy on a 2 mm grid from (-8, -8, -20)."""
    ds = head(image, RTDOSE, path.name, plan.StudyInstanceUID if plan else None)
    if plan is not None:
        ds.ReferencedRTPlanSequence = [
            item(ReferencedSOPClassUID=RTPLAN, ReferencedSOPInstanceUID=plan.SOPInstanceUID)
        ]
    ds.FrameOfReferenceUID = uid("another frame")
    scale = float(values.max()) / 60000
    ds.DoseUnits, ds.DoseType, ds.DoseSummationType = "GY", "PHYSICAL", "PLAN"
    ds.DoseGridScaling = scale
    ds.ImagePositionPatient, ds.PixelSpacing = [-8.0, -8.0, -20.0], [2.0, 2.0]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.GridFrameOffsetVector = offsets
    ds.NumberOfFrames, ds.Rows, ds.Columns = values.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 0
    ds.PixelData = np.rint(values / scale).astype("<u2").tobytes()
    ds.save_as(path, enforce_file_format=True)
    return ds


def write_seg(path: Path, images: list[Path], masks: list[np.ndarray]) -> None:
    """Write a segmentation; masks are (slices, rows, columns) in the order of the images."""
    import highdicom as hd
    from pydicom.sr.codedict import codes

    sources = []
    for image in images:
        source = pydicom.dcmread(image)
        # what highdicom copies but the small test series leave out
        for keyword in ("StudyID", "PatientSex"):
            setattr(source, keyword, "")
        sources.append(source)
    described = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=f"Lesion {number} Doe",
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Neoplasm,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
            tracking_uid=uid(f"lesion {number}"),
            tracking_id=f"lesion {number}",
        )
        for number in range(1, len(masks) + 1)
    ]
    made = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=np.stack(masks, axis=-1).astype(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=described,
        series_instance_uid=uid(f"{path.name} series"),
        series_number=70,
        sop_instance_uid=uid(path.name),
        instance_number=1,
        manufacturer="Reader",
        manufacturer_model_name="Reader",
        software_versions="1",
        device_serial_number="1",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path)
