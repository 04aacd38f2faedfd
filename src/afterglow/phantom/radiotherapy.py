"""What the planning system sends: the targets as RTSTRUCT and the planned dose as RTDOSE.

Both refer to the post-contrast T1w of the first visit, on which radiosurgery is planned: days
before treatment, in the same frame of reference. No scan is added to the cohort for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from afterglow.phantom import dicom, encoding
from afterglow.phantom.geometry import Floats, Grid, Pose, axial_grid, box_around, points

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from afterglow.phantom.dicom import Study
    from afterglow.phantom.encoding import Own
    from afterglow.phantom.lesions import Solid
    from afterglow.phantom.scan import Session
    from afterglow.phantom.series import Series

STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
DOSE = "1.2.840.10008.5.1.4.1.1.481.2"
PLAN = "1.2.840.10008.5.1.4.1.1.481.5"
_STRUCTURES_NUMBER, _DOSE_NUMBER = 81, 82
# A planning scan is at most this old when treatment starts, days.
_OLDEST = 42
_MARGIN = 1.0
_DOSE_SHAPE, _DOSE_SPACING = (76, 92, 72), (2.5, 2.5, 2.5)
_STORED_MAXIMUM = 60000


def is_planning(session: Session) -> bool:
    """Tell whether radiosurgery was planned on a session's scan."""
    subject = session.subject
    return 0 <= (subject.srs_date - subject.visits[session.visit]).days <= _OLDEST


def write_plan(session: Session, study: Study, folder: Path) -> list[Path]:
    """Write targets and dose of the planning scan; each lesion there is one target."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _write_structures(session, study, folder / "rtstruct.dcm"),
        _write_dose(session, study, folder / "rtdose.dcm"),
    ]


def planned_dose(session: Session, grid: Grid, pose: Pose) -> Floats:
    """Return the dose on a grid in Gy: the prescription at the edge of every target.

    Inside a target dose rises to a quarter above the prescription; outside it falls to half
    within 4 mm and then slowly, as fields that cross do. Of several targets the highest counts.
    """
    whole = (slice(0, grid.shape[0]), slice(0, grid.shape[1]), slice(0, grid.shape[2]))
    where = points(grid, pose, whole)
    share = np.zeros(grid.shape, np.float32)
    for solid in session.solids:
        depth = _outside(solid, where) - np.float32(_MARGIN)
        inner = 1.0 + 0.25 * (1.0 - np.exp(np.minimum(depth, 0.0) / 4.0))
        outer = 0.88 * np.exp(-np.maximum(depth, 0.0) / 5.0)
        outer += 0.12 * np.exp(-np.maximum(depth, 0.0) / 30.0)
        share = np.maximum(share, inner * outer)
    return np.asarray(share * np.float32(session.subject.dose_gy), dtype=np.float32)


def _outside(solid: Solid, where: Floats) -> Floats:
    """Return how far points lie outside a lesion along the ray from its centre, mm."""
    away = where - solid.center.reshape(3, 1, 1, 1).astype(np.float32)
    distance = np.sqrt((away**2).sum(axis=0))
    profile = solid.profile(away / np.maximum(distance, 1e-3)).astype(np.float32)
    return np.asarray(distance - solid.radius * profile, dtype=np.float32)


def _write_structures(session: Session, study: Study, path: Path) -> Path:
    series = session.series("T1w_ce")
    grid, pose = session.grid_of(series), session.pose_of(series)
    rois = [
        (f"{kind}_{solid.number}", kind, solid, margin)
        for solid in session.solids
        for kind, margin in (("GTV", 0.0), ("PTV", _MARGIN))
    ]
    numbered = list(enumerate(rois, start=1))
    outlines = [
        _contours(study, series, grid, n, _outlines(solid, grid, pose, margin))
        for n, (_, _, solid, margin) in numbered
    ]
    own: Own = {
        0x30060010: ("SQ", [_frame_of_reference(study, series, grid)]),
        0x30060020: ("SQ", [_roi(study, n, roi[0]) for n, roi in numbered]),
        0x30060039: ("SQ", outlines),
        0x30060080: ("SQ", [_observed(n, roi[1]) for n, roi in numbered]),
    }
    ds = _general(study, _STRUCTURES_NUMBER, "Targets", "RTSTRUCT", STRUCTURE_SET)
    ds.StructureSetLabel, ds.StructureSetName = "SRS", "Targets"
    ds.StructureSetDate, ds.StructureSetTime = ds.StudyDate, ds.SeriesTime
    ds.InstanceNumber = "1"
    return encoding.Encoder(ds).save(study.uid("structures"), own, path)


def _general(study: Study, number: int, name: str, modality: str, sop_class: str) -> Dataset:
    ds = dicom.general(study, number, name, 7200.0)
    del ds.AcquisitionDate, ds.AcquisitionTime
    ds.SOPClassUID, ds.Modality = sop_class, modality
    ds.Manufacturer, ds.ManufacturerModelName = "Planning", "Radiosurgery"
    ds.SoftwareVersions = "6.1"
    ds.OperatorsName = ""
    ds.FrameOfReferenceUID = study.uid("frame of reference")
    ds.PositionReferenceIndicator = ""
    return ds


def _outlines(solid: Solid, grid: Grid, pose: Pose, margin: float) -> list[tuple[int, Floats]]:
    """Return slice and outline (columns and rows) of a lesion grown by a margin."""
    from contourpy import contour_generator

    reach = 0.8 * solid.state.diameter + margin + 2.0
    box = box_around(grid, pose, solid.center, reach)
    away = _outside(solid, points(grid, pose, box))
    corner = np.array([box[0].start, box[1].start], dtype=np.float32)
    found: list[tuple[int, Floats]] = []
    for at in range(away.shape[2]):
        lines = contour_generator(z=away[:, :, at].T).lines(margin)
        closed = [np.asarray(line, dtype=np.float32)[:-1] + corner for line in lines]
        found += [(box[2].start + at, line) for line in closed if len(line) > 2]
    return found


def _frame_of_reference(study: Study, series: Series, grid: Grid) -> Own:
    images = [_image(study, series, k) for k in range(grid.shape[2])]
    image_series: Own = {
        0x0020000E: ("UI", study.uid("series", series.number)),
        0x30060016: ("SQ", images),
    }
    referenced: Own = {
        0x00081150: ("UI", "1.2.840.10008.3.1.2.3.1"),
        0x00081155: ("UI", study.uid("study")),
        0x30060014: ("SQ", [image_series]),
    }
    return {
        0x00200052: ("UI", study.uid("frame of reference")),
        0x30060012: ("SQ", [referenced]),
    }


def _image(study: Study, series: Series, k: int) -> Own:
    return {
        0x00081150: ("UI", dicom.MR_IMAGE),
        0x00081155: ("UI", study.uid(series.name, k + 1)),
    }


def _roi(study: Study, number: int, name: str) -> Own:
    return {
        0x30060022: ("IS", number),
        0x30060024: ("UI", study.uid("frame of reference")),
        0x30060026: ("LO", name),
        0x30060036: ("CS", "MANUAL"),
    }


def _observed(number: int, kind: str) -> Own:
    return {
        0x30060082: ("IS", number),
        0x30060084: ("IS", number),
        0x300600A4: ("CS", kind),
        0x300600A6: ("PN", ""),
    }


def _contours(
    study: Study, series: Series, grid: Grid, number: int, outlines: list[tuple[int, Floats]]
) -> Own:
    """Return a structure's outlines in patient coordinates."""
    to_world = dicom.lps(grid.affine)
    drawn: list[Own] = []
    for k, line in outlines:
        place = np.pad(line.astype(float), ((0, 0), (0, 2)), constant_values=1.0)
        place[:, 2] = k
        flat = (place @ to_world.T)[:, :3].ravel()
        drawn.append(
            {
                0x30060016: ("SQ", [_image(study, series, k)]),
                0x30060042: ("CS", "CLOSED_PLANAR"),
                0x30060046: ("IS", len(line)),
                0x30060050: ("DS", [f"{value:.3f}" for value in flat]),
            }
        )
    return {
        0x3006002A: ("IS", ["255", "0", "0"]),
        0x30060040: ("SQ", drawn),
        0x30060084: ("IS", number),
    }


def _write_dose(session: Session, study: Study, path: Path) -> Path:
    pose = session.pose_of(session.series("T1w_ce"))
    x, y, z = session.pose.translation
    grid = axial_grid(
        _DOSE_SHAPE, _DOSE_SPACING, (round(x, 1), round(y, 1) - 18.0, round(z, 1) + 12.0)
    )
    dose = planned_dose(session, grid, pose)
    scaling = f"{float(dose.max()) / _STORED_MAXIMUM:.9g}"
    stored: NDArray[np.uint16] = np.rint(dose / float(scaling)).astype("<u2")
    ds = _general(study, _DOSE_NUMBER, "Dose", "RTDOSE", DOSE)
    ds.InstanceNumber = "1"
    ds.DoseUnits, ds.DoseType, ds.DoseSummationType = "GY", "PHYSICAL", "PLAN"
    ds.DoseGridScaling = scaling
    ds.ImagePositionPatient, ds.ImageOrientationPatient = (
        dicom.position(grid, 0),
        dicom.orientation(grid),
    )
    ds.PixelSpacing = [f"{grid.spacing[1]:g}", f"{grid.spacing[0]:g}"]
    ds.SliceThickness = f"{grid.spacing[2]:g}"
    ds.GridFrameOffsetVector = [f"{k * grid.spacing[2]:g}" for k in range(grid.shape[2])]
    ds.FrameIncrementPointer = 0x3004000C
    ds.NumberOfFrames = str(grid.shape[2])
    dicom.pixels(ds, grid.shape, signed=False)
    own: Own = {
        0x300C0002: (
            "SQ",
            [{0x00081150: ("UI", PLAN), 0x00081155: ("UI", study.uid("plan"))}],
        ),
        0x7FE00010: ("OW", np.ascontiguousarray(stored.transpose(2, 1, 0)).tobytes()),
    }
    return encoding.Encoder(ds).save(study.uid("dose"), own, path)
