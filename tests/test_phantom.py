"""The phantom as a study: DICOM, masks, tables and truth of the tiny cohort."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest

from afterglow.phantom import cohort
from afterglow.phantom.scan import Session, acquire, open_session

PATIENT, DATE = "NORTH-0001", "20190304"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("phantom")
    cohort.write_cohort(root, size="tiny", jobs=1)
    return root


@pytest.fixture(scope="module")
def session() -> Session:
    return open_session(cohort.plan_cohort("tiny"), PATIENT, 0)


def _headers(study: Path, series: str) -> list[pydicom.Dataset]:
    folder = cohort.series_folder(study, PATIENT, DATE, series)
    return [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]


def _truth(study: Path) -> list[dict[str, str]]:
    with (study / "truth" / "truth.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_dynamic_series_state_time_only_in_trigger_times(study: Path) -> None:
    dsc = _headers(study, "dsc")
    assert len(dsc) == 1200
    assert {ds.AcquisitionTime for ds in dsc} == {dsc[0].AcquisitionTime}
    first = [float(ds.TriggerTime) for ds in dsc if ds.InStackPositionNumber == 1]
    assert np.diff(first) == pytest.approx(np.full(59, 1500.0))
    assert {int(ds.NumberOfTemporalPositions) for ds in dsc} == {60}
    dce = _headers(study, "dce")
    starts = sorted({float(ds.TriggerTime) for ds in dce})
    assert starts == pytest.approx([5000.0 * k for k in range(60)])
    assert float(dce[0].RepetitionTime) == 5.0


def test_instances_are_unique_and_belong_to_one_study(study: Path) -> None:
    paths = sorted((study / "incoming").rglob("*.dcm"))
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    assert len({ds.SOPInstanceUID for ds in headers}) == len(headers)
    assert len({ds.StudyInstanceUID for ds in headers}) == 1
    assert all(ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID for ds in headers)
    assert {ds.Modality for ds in headers} == {"MR", "SR", "RTSTRUCT", "RTDOSE"}


def test_converter_returns_the_arrays_on_the_stated_grid(
    study: Path, session: Session, tmp_path: Path
) -> None:
    tool = Path(sys.executable).parent / "dcm2niix"
    for series in ("dsc", "T1w_ce", "FLAIR"):
        folder = cohort.series_folder(study, PATIENT, DATE, series)
        arguments = ["-z", "n", "-b", "n", "-f", series, "-o", str(tmp_path), str(folder)]
        subprocess.run([str(tool), *arguments], check=True, capture_output=True)
        image = nibabel.as_closest_canonical(nibabel.load(tmp_path / f"{series}.nii"))
        scan = acquire(session, series)
        expected = scan.data[::-1, ::-1]
        got = np.asarray(image.dataobj).reshape(expected.shape)
        assert np.array_equal(got, expected), series
        corner = scan.grid.affine @ [scan.grid.shape[0] - 1, scan.grid.shape[1] - 1, 0, 1]
        assert image.affine[:3, 3] == pytest.approx(corner[:3], abs=1e-3)


def test_mask_matches_the_true_volumes_and_places(study: Path) -> None:
    image = nibabel.load(study / "masks" / "north" / f"{PATIENT}_{DATE}.nii.gz")
    labels, voxel = np.asarray(image.dataobj), np.prod(image.header.get_zooms()) / 1000.0
    for row in _truth(study):
        where = np.argwhere(labels == int(row["lesion"]))
        tolerance = 0.03 if float(row["diameter_mm"]) > 10 else 0.25
        assert len(where) * voxel == pytest.approx(float(row["volume_ml"]), rel=tolerance)
        center = image.affine[:3, :3] @ where.mean(axis=0) + image.affine[:3, 3]
        expected = [float(row[f"centroid_{axis}"]) for axis in "xyz"]
        assert center == pytest.approx(expected, abs=0.4)


def test_lesions_lie_in_brain_and_their_mirror_is_free(session: Session) -> None:
    from afterglow.phantom.scan import lesion_fractions

    series = session.series("T1w_ce")
    grid, pose = session.grid_of(series), session.pose_of(series)
    brain = session.head.fraction("gm") + session.head.fraction("wm")
    for solid in session.solids:
        index = np.linalg.inv(session.head.affine) @ [*solid.centroid, 1.0]
        low = np.floor(index[:3] - solid.radius / 1.2).astype(int)
        high = np.ceil(index[:3] + solid.radius / 1.2).astype(int)
        inside = brain[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
        assert inside.mean() > 0.9
        mirrored = solid.centroid * [-1.0, 1.0, 1.0]
        for other in session.solids:
            reach = solid.radius + other.radius + 4.0
            assert np.linalg.norm(other.centroid - mirrored) > reach
    each, whole, _ = lesion_fractions(session, grid, pose, (2, 2, 2))
    assert sum(part.sum() for part in each.values()) == pytest.approx(whole.sum(), rel=1e-5)


def test_large_vessels_hold_pure_blood_at_the_resolution_of_the_dynamic_series(
    session: Session,
) -> None:
    from afterglow.phantom.scan import fractions

    for name in ("dsc", "dce"):
        series = session.series(name)
        parts = fractions(session, session.grid_of(series), session.pose_of(series), (2, 2, 4))
        shares = dict(zip(session.components, np.moveaxis(parts, -1, 0), strict=True))
        assert (shares["artery"] > 0.97).sum() >= 10, name
        assert (shares["vein"] > 0.97).sum() >= 10, name


def test_signals_carry_the_truth(study: Path, session: Session) -> None:
    from afterglow.phantom.fields import distortion
    from afterglow.phantom.scan import fractions

    series = session.series("dsc")
    grid, pose = session.grid_of(series), session.pose_of(series)
    shift, _ = distortion(session.center.field, grid, pose)
    parts = fractions(session, grid, pose, series.factors, shift)
    share = dict(zip(session.components, np.moveaxis(parts, -1, 0), strict=True))
    signal = acquire(session, "dsc").data.astype(float)

    def rates(mask: np.ndarray) -> np.ndarray:
        mean = signal[mask].mean(axis=0)
        return -np.log(mean / mean[1:9].mean()) / series.te

    reference = rates(share["wm"] > 0.98)
    spent = np.cumsum(reference) * series.frame_time
    for row in _truth(study)[:2]:
        curve = rates(share[f"lesion-{row['lesion']}"] > 0.98)
        design = np.stack([reference, -spent], axis=1)
        leak = np.linalg.lstsq(design, curve, rcond=None)[0][1]
        measured = (curve + leak * spent).sum() / reference.sum()
        assert measured == pytest.approx(float(row["rcbv"]), rel=0.15)


def test_one_session_more_leaves_the_others_alone(study: Path, tmp_path: Path) -> None:
    plan = cohort.plan_cohort("tiny")
    more = cohort.plan_cohort("tiny", sessions={PATIENT: 2})
    assert len(more.subject(PATIENT).visits) == len(plan.subject(PATIENT).visits) + 1
    record = json.loads((study / "truth" / "sessions" / f"{PATIENT}_{DATE}.json").read_text())
    assert record["plan"] == cohort._digest(more, more.subject(PATIENT), 0)
    before = _digests(study)
    cohort.write_cohort(study, size="tiny", jobs=1)
    assert _digests(study) == before


def test_tables_name_every_lesion_and_label(study: Path) -> None:
    with (study / "outcomes.csv").open(encoding="utf-8") as stream:
        labels = {row["label"] for row in csv.DictReader(stream)}
    assert labels == {"progression", "treatment_effect"}
    with (study / "clinical.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len([row for row in rows if row["lesion"]]) == len(_truth(study)) == 3
    therapies = {row["therapy"]: row for row in rows if row["therapy"]}
    assert set(therapies) == {"pembrolizumab", "dexamethasone"}
    assert therapies["dexamethasone"]["therapy_end_date"] == "20190327"
    assert therapies["pembrolizumab"]["therapy_end_date"] == ""
    assert therapies["pembrolizumab"]["srs_date"] == ""


def _digests(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
