"""What comes with the images of a session: targets, dose and segmentation as planned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from afterglow.bids.structures import dose, segments
from afterglow.lesions.grids import Grid as ImageGrid
from afterglow.lesions.rtstruct import rasterize
from afterglow.phantom import truth
from afterglow.phantom.dicom import Study
from afterglow.phantom.radiotherapy import planned_dose, write_plan
from afterglow.phantom.segmentation import write_segmentation
from phantom_sessions import bare_session

PATIENTS = {"GE": "NORTH-0001", "Siemens": "SOUTH-0001", "Philips": "WEST-0001"}


@pytest.mark.parametrize("vendor", list(PATIENTS))
def test_targets_enclose_the_lesions_and_get_their_dose(vendor: str, tmp_path: Path) -> None:
    session = bare_session(PATIENTS[vendor])
    study = Study(session.plan, session.center, session.subject, 0)
    targets, planned = (pydicom.dcmread(path) for path in write_plan(session, study, tmp_path))
    series = session.series("T1w_ce")
    grid = session.grid_of(series)
    found = dose(planned)
    volumes = {s.number: s.volume_ml for s in session.solids}
    names = {int(r.ROINumber): str(r.ROIName) for r in targets.StructureSetROISequence}
    for roi in targets.ROIContourSequence:
        kind, number = names[int(roi.ReferencedROINumber)].split("_")
        lines = [np.array(c.ContourData, float).reshape(-1, 3) for c in roi.ContourSequence]
        inside = rasterize(lines, ImageGrid(grid.shape, grid.affine)).mask
        volume = inside.sum() * np.prod(grid.spacing) / 1000.0
        if kind == "GTV" and volumes[int(number)] > 0.3:
            assert volume == pytest.approx(volumes[int(number)], rel=0.05)
        if kind == "PTV":
            assert volume > 1.1 * volumes[int(number)]
    pose = session.pose_of(series)
    expected = planned_dose(
        session, replace(grid, shape=found.values.shape, affine=found.affine), pose
    )
    np.testing.assert_allclose(found.values, expected, atol=1e-3)
    for solid in session.solids:
        middle = np.linalg.inv(found.affine) @ pose.matrix() @ [*solid.centroid, 1.0]
        at = found.values[tuple(np.rint(middle[:3]).astype(int))]
        assert session.subject.dose_gy <= at <= 1.25 * session.subject.dose_gy


def test_segmentation_holds_the_labels(tmp_path: Path) -> None:
    session = bare_session(PATIENTS["Siemens"])
    study = Study(session.plan, session.center, session.subject, 0)
    labels = truth.labels_on_grid(session)
    series = session.series("T1w_ce")
    grid = session.grid_of(series)
    path = write_segmentation(study, series, grid, labels, tmp_path)
    found = segments(pydicom.dcmread(path))
    assert [s["Name"] for s in found.facts["Segments"]] == ["lesion 1", "lesion 2", "lesion 3"]
    index = np.argwhere(labels)
    to_found = np.linalg.inv(found.affine) @ grid.affine
    at = np.rint(index @ to_found[:3, :3].T + to_found[:3, 3]).astype(int)
    values = found.values[at[:, 0], at[:, 1], at[:, 2]]
    assert np.array_equal(values.argmax(axis=1) + 1, labels[tuple(index.T)])
    assert values.sum() == found.values.sum() == len(index)
