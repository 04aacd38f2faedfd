"""Structure sets, segmentations and doses: to the right image, with the right voxels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from afterglow.bids.images import load_nifti
from afterglow.bids.session import write_session
from afterglow.bids.structures import safe_name
from afterglow.config import Study
from afterglow.config.center import CenterConfig
from afterglow.dicom.index import build_index
from afterglow.provenance.job import Job
from ingest_dicom import DSC, T1W, T1W_CE, Person, write_series
from ingest_objects import uid, write_dose, write_plan, write_rtstruct, write_seg

SHORT_DSC = replace(DSC, n_slices=1, times=[1.5 * n for n in range(20)])


def circle(x: float, y: float, z: float, radius: float) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle), 0 * angle + z], axis=1)


ROIS = {"GTV_1 Doe": [circle(0, 0, -20 + 3 * k, 4) for k in range(3, 6)], "Skull": []}


class Case:
    """Two sessions of one patient, the later of which has other identifiers."""

    def __init__(self, folder: Path) -> None:
        self.incoming = folder / "incoming"
        self.study = Study(study="t", out=folder / "out",
                           centers=[CenterConfig(name="north", dicom=[self.incoming])])  # fmt: skip
        for number, date in enumerate(("20190304", "20190601"), start=1):
            place = self.incoming / date
            for series in (T1W, SHORT_DSC) if number == 1 else (T1W,):
                write_series(place / str(series.number), series, Person(), date, number)
        self.images = write_series(self.incoming / "x", T1W_CE, Person(), "20190304", 1)

    def index(self) -> dict[str, dict]:
        self.result = build_index(self.study)
        return {
            path.stem: json.loads(path.read_text())
            for path in (self.study.out / "index" / "manifests").glob("*.json")
        }

    def linked(self) -> list[dict]:
        """Return the objects of the first session, with the class of their image."""
        first = next(row for row in self.result.plan if row["arrival"] == 1)
        manifest = self.index()[f"sub-{first['subject']}_ses-{first['session']}"]
        classes = {s["series_key"]: s["class"] for s in manifest["series"]}
        return [{**o, "class": classes[o["image"]]} for o in manifest["objects"]]

    def convert(self) -> Job:
        row = next(row for row in self.result.plan if row["arrival"] == 1)
        job = Job("bids", "k", self.study.out, self.study.out, self.study, row["subject"],
                  row["session"], row["center"], say=lambda _: None)  # fmt: skip
        write_session(job)
        return job


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_structures_and_dose_go_to_the_image_they_name(case):
    elsewhere = uid("a study of the planning system")
    plan_folder = case.incoming / "plan"
    drawn = write_rtstruct(plan_folder / "rs.dcm", case.images, ROIS, study_uid=elsewhere)
    plan = write_plan(plan_folder / "rp.dcm", case.images[0], drawn)
    planes, rows, columns = np.mgrid[0:5, 0:8, 0:9]
    values = 24.0 * np.exp(-((planes - 2) ** 2 + (rows - 4) ** 2 + (columns - 3) ** 2) / 9)
    write_dose(plan_folder / "rd.dcm", case.images[0], values, plan, offsets=[0, 2, 4, 6, 8])
    case.index()
    found = {o["kind"]: o for o in case.linked()}
    assert {kind: (o["class"], o["linked_by"]) for kind, o in found.items()} == {
        "RTSTRUCT": ("T1w_ce", "instances"),
        "RTDOSE": ("T1w_ce", "plan"),
    }
    planning = [row for row in case.result.plan if row["status"] == "skipped"]
    assert [row["reason"] for row in planning] == ["objects_of_another_session"]
    used = {r["class"]: r["status"] for r in case.result.series if r["class"].startswith("RT")}
    assert used == {"RTSTRUCT": "used", "RTDOSE": "used"}

    job = case.convert()
    assert job.problems == []
    objects = {o["kind"]: o for o in job.summary["objects"]}
    assert objects["rtstruct"]["image"] == job.summary["series"]["T1w_ce"]["path"]
    content = json.loads((case.study.out / objects["rtstruct"]["path"]).read_text())
    assert [(s["Name"], s["Type"], len(s["Contours"])) for s in content["Structures"]] == [
        ("gtv 1 x", "GTV", 3),
        ("skull", "GTV", 0),
    ]
    np.testing.assert_allclose(
        content["Structures"][0]["Contours"][1]["Points"], ROIS["GTV_1 Doe"][1], atol=1e-3
    )
    grid, affine = load_nifti(case.study.out / objects["dose"]["path"])
    assert grid.shape == (9, 8, 5)
    np.testing.assert_allclose(grid.transpose(2, 1, 0), values, atol=24 / 60000)
    place = affine @ [3, 4, 2, 1]
    np.testing.assert_allclose(place[:3], [-(-8 + 6), -(-8 + 8), -20 + 4], atol=1e-6)


def test_a_segmentation_has_the_voxels_of_its_masks_on_its_image(case):
    masks = [np.zeros((24, 16, 16), bool), np.zeros((24, 16, 16), bool)]
    masks[0][3:6, 4:9, 5:7] = True
    masks[1][5:8, 8:12, 6:9] = True
    write_seg(case.incoming / "seg" / "s.dcm", case.images, masks)
    case.index()
    (entry,) = case.linked()
    assert (entry["kind"], entry["class"], entry["linked_by"]) == ("SEG", "T1w_ce", "instances")
    job = case.convert()
    (written,) = job.summary["objects"]
    assert written["count"] == 2
    array, affine = load_nifti(case.study.out / written["path"])
    for number, mask in enumerate(masks):
        lps = np.array([[-10 + 1.25 * x, -12 + 1.25 * y, 3.0 * z - 20] for z, y, x in
                        np.argwhere(mask)])  # fmt: skip
        index = (lps * [-1, -1, 1] - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
        found = {tuple(i) for i in np.argwhere(array[..., number] > 0)}
        assert found == {tuple(i) for i in np.rint(index).astype(int)}
    sidecar = json.loads((case.study.out / written["sidecar"]).read_text())
    assert [s["Name"] for s in sidecar["Segments"]] == ["lesion 1 x", "lesion 2 x"]


def test_without_identifiers_the_frame_of_reference_then_geometry_tells(case):
    place = case.incoming / "plan" / "rs.dcm"
    write_rtstruct(place, case.images, ROIS, references=False)
    case.index()
    assert [(o["class"], o["linked_by"]) for o in case.linked()] == [
        ("T1w_ce", "frame_of_reference")
    ]
    assert "doubts" not in case.linked()[0]
    write_rtstruct(place, case.images, ROIS, references=False, frame=uid("lost"))
    case.index()
    assert [(o["class"], o["linked_by"]) for o in case.linked()] == [("T1w_ce", "geometry")]
    assert case.linked()[0]["doubts"] == ["linked_by_geometry_alone"]
    text = " ".join(case.result.summary(width=400).split())
    assert "RTSTRUCT:linked_by_geometry_alone" in text
    assert "linked_by_geometry_alone: it fits where it lies" in text
    job = case.convert()
    assert job.summary["doubts"] == ["RTSTRUCT: linked_by_geometry_alone"]
    assert "RTSTRUCT object: linked by geometry alone" in job.warnings
    far = {"GTV": [circle(300, 0, -11, 4)]}
    write_rtstruct(place, case.images, far, references=False, frame=uid("lost"))
    case.index()
    assert case.linked() == []
    (row,) = [r for r in case.result.series if r["class"] == "RTSTRUCT"]
    assert (row["status"], row["skipped"]) == ("skipped", "no_referenced_image")


def planning_ct(case: Case) -> list[Path]:
    """Write a CT of the day in the head of the MR, with coordinates of its own."""
    paths = write_series(case.incoming / "ct", replace(T1W, number=50), Person(), "20190304", 1)
    for path in paths:
        dataset = pydicom.dcmread(path)
        dataset.Modality, dataset.FrameOfReferenceUID = "CT", uid("ct")
        dataset.save_as(path)
    return paths


def skipped(case: Case, kind: str) -> str:
    (row,) = [r for r in case.result.series if r["class"] == kind]
    return row["skipped"]


def test_what_is_drawn_on_a_ct_is_not_taken_to_an_mr_that_it_lies_in(case):
    scans = planning_ct(case)
    write_rtstruct(case.incoming / "rs.dcm", scans, ROIS)
    case.index()
    assert case.linked() == []
    assert skipped(case, "RTSTRUCT") == "referenced_image_not_used"


def test_a_dose_in_the_coordinates_of_another_image_is_not_used(case):
    planning_ct(case)
    drawn = write_rtstruct(case.incoming / "rs.dcm", case.images, ROIS)
    plan = write_plan(case.incoming / "rp.dcm", case.images[0], drawn)
    write_dose(case.incoming / "rd.dcm", case.images[0], np.ones((3, 4, 4)), plan,
               offsets=[0, 2, 4])  # fmt: skip
    dose = pydicom.dcmread(case.incoming / "rd.dcm")
    dose.FrameOfReferenceUID = uid("ct")
    dose.save_as(case.incoming / "rd.dcm")
    case.index()
    assert [o["kind"] for o in case.linked()] == ["RTSTRUCT"]
    assert skipped(case, "RTDOSE") == "other_frame_of_reference"


def test_contours_between_the_slices_were_drawn_elsewhere(case):
    between = {"GTV": [circle(0, 0, -20 + 3 * k + 1.2, 4) for k in range(3, 6)]}
    write_rtstruct(case.incoming / "rs.dcm", case.images, between, references=False,
                   frame=uid("lost"))  # fmt: skip
    case.index()
    assert case.linked() == []


def test_an_unreadable_object_is_a_problem_and_the_images_go_on(case):
    values = np.ones((3, 4, 4))
    write_dose(case.incoming / "rd.dcm", case.images[0], values, None, offsets=[0, 2, 7])
    case.index()
    assert [o["linked_by"] for o in case.linked()] == []
    drawn = write_rtstruct(case.incoming / "rs.dcm", case.images, ROIS)
    plan = write_plan(case.incoming / "rp.dcm", case.images[0], drawn)
    write_dose(case.incoming / "rd.dcm", case.images[0], values, plan, offsets=[0, 2, 7])
    case.index()
    job = case.convert()
    assert [problem.what for problem in job.problems] == ["RTDOSE object"]
    assert "not evenly spaced" in job.problems[0].cause
    assert [o["kind"] for o in job.summary["objects"]] == ["rtstruct"]
    assert "T1w_ce" in job.summary["series"]


def test_names_keep_what_they_mean_and_lose_whom(case):
    assert safe_name("PTV 12Gy MILLER, John 1951-02-03") == "ptv 12 gy x x x 02 03"
    assert safe_name(None) == ""
