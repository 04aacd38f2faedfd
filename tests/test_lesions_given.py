"""Given masks of every format: same voxels, rules on names, raters, and nothing lost silently."""

from __future__ import annotations

import gzip
import json

import nibabel as nib
import numpy as np
import pytest

from afterglow.bids.images import load_nifti, save_nifti
from afterglow.config import Study
from afterglow.config.center import CenterConfig
from afterglow.config.lesions import GivenConfig
from afterglow.dicom.deidentify import session_file
from afterglow.errors import AfterglowError
from afterglow.lesions.agreement import agreement
from afterglow.lesions.given import Given, rating_of, read_file
from afterglow.lesions.given_stage import _by_rater, write_given
from afterglow.lesions.grids import Grid
from afterglow.lesions.naming import role_of
from afterglow.lesions.placing import place
from afterglow.provenance.job import Job
from rt_objects import rtstruct, seg
from test_lesions_rtstruct import GRIDS, circles

RULES = GivenConfig()


def two_balls(grid):
    labels = np.zeros(grid.shape, np.int32)
    for label, (center, radius) in enumerate([((-5.1, 2.2, 0.3), 4.0), ((6.2, -4.1, 0.1), 3.0)], 1):
        _, mask = circles(grid, radius, np.array(center))
        labels[mask] = label
    return labels


def contours_of(grid):
    first, _ = circles(grid, 4.0, np.array((-5.1, 2.2, 0.3)))
    second, _ = circles(grid, 3.0, np.array((6.2, -4.1, 0.1)))
    return first, second


def closed(contours):
    return [("CLOSED_PLANAR", points) for points in contours]


def nrrd(path, labels, affine, names=()):
    """Write labels as 3D Slicer does: gzip, LPS, named segments."""
    turned = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    axes = " ".join(f"({','.join(f'{x:.9g}' for x in turned[:3, k])})" for k in range(3))
    lines = ["NRRD0004", "type: short", "dimension: 3", "space: left-posterior-superior"]
    lines += [f"sizes: {' '.join(map(str, labels.shape))}", f"space directions: {axes}"]
    lines += ["endian: little", "encoding: gzip"]
    lines += [f"space origin: ({','.join(f'{x:.9g}' for x in turned[:3, 3])})"]
    for k, name in enumerate(names):
        lines += [f"Segment{k}_LabelValue:={k + 1}", f"Segment{k}_Name:={name}"]
        lines += [f"Segment{k}_Layer:=0"]
    body = gzip.compress(labels.astype("<i2").tobytes(order="F"))
    path.write_bytes("\n".join(lines).encode() + b"\n\n" + body)
    return path


@pytest.mark.parametrize("name", GRIDS)
def test_every_format_gives_the_same_voxels(tmp_path, name):
    grid = GRIDS[name]
    labels = two_balls(grid)
    names = ["GTV 1", "GTV 2"]
    structures = [("Skull", "EXTERNAL", closed(contours_of(grid)[0]))]
    structures += [(n, "GTV", closed(c)) for n, c in zip(names, contours_of(grid), strict=True)]
    image = nib.Nifti1Image(labels.astype(np.int16), grid.affine)
    nib.save(image, tmp_path / "m.nii.gz")
    files = {
        "rtstruct": rtstruct(tmp_path / "rs.dcm", structures),
        "seg": seg(tmp_path / "seg.dcm", grid, labels, names),
        "fractional": seg(tmp_path / "frac.dcm", grid, labels, names, "FRACTIONAL"),
        "labelmap": seg(tmp_path / "map.dcm", grid, labels, names, "LABELMAP"),
        "nifti": tmp_path / "m.nii.gz",
        "nrrd": nrrd(tmp_path / "m.seg.nrrd", labels, grid.affine, names),
    }
    for kind, path in files.items():
        found = rating_of([read_file(path, "x")], grid, RULES)
        wrong = int(((found.labels > 0) != (labels > 0)).sum())
        assert wrong == 0, kind
        assert len(found.lesions) == 2, kind
        own = [int((found.labels == item["label"]).sum()) for item in found.lesions]
        assert own == [int((labels == k).sum()) for k in (1, 2)], kind
        assert not any(item["resampled"] for item in found.lesions), kind
    skull = rating_of([read_file(files["rtstruct"], "x")], grid, RULES).left_out
    assert [(item["name"], item["reason"]) for item in skull] == [("skull", "no_lesion")]


def test_a_segmentation_of_few_slices_is_placed_by_its_affine(tmp_path):
    grid = GRIDS["oblique"]
    labels = two_balls(grid)
    labels[:, :, :7] = 0
    path = seg(tmp_path / "seg.dcm", grid, labels, ["GTV 1", "GTV 2"])
    read = read_file(path, "x")
    assert min(read.content.grid.shape) < min(grid.shape)
    assert np.array_equal(rating_of([read], grid, RULES).labels > 0, labels > 0)


@pytest.mark.parametrize(
    ("name", "kind", "role"),
    [
        ("Skull", "", "none"),
        ("BODY", "EXTERNAL", "none"),
        ("Brainstem", "ORGAN", "none"),
        ("brain", "", "none"),
        ("GTV_brain met 3", "GTV", "lesion"),
        ("met 4", "", "lesion"),
        ("1", "", "lesion"),
        ("PTV 2", "PTV", "margin"),
        ("Lt frontal", "ORGAN", "none"),
        ("Optic chiasm", "", "none"),
    ],
)
def test_names_and_types_decide_what_is_a_lesion(name, kind, role):
    assert role_of(name, kind, RULES.no_lesion).role == role


def test_a_site_may_say_that_a_name_is_a_lesion():
    assert role_of("Skull base met", "", RULES.no_lesion).role == "none"
    assert role_of("Skull base met", "", RULES.no_lesion, ["skull base"]).role == "lesion"


def test_a_margin_counts_only_where_no_lesion_is_drawn_in_it(tmp_path):
    grid = GRIDS["axial"]
    first, second = contours_of(grid)
    wide, _ = circles(grid, 6.0, np.array((-5.1, 2.2, 0.3)))
    rois = [("GTV 1", "GTV", closed(first)), ("PTV 1", "PTV", closed(wide))]
    rois += [("PTV 2", "PTV", closed(second))]
    found = rating_of([read_file(rtstruct(tmp_path / "a.dcm", rois), "x")], grid, RULES)
    assert [item["name"] for item in found.lesions] == ["gtv 1", "ptv 2"]
    assert [item["reason"] for item in found.left_out] == ["margin_of_a_lesion"]
    assert np.array_equal(found.labels > 0, two_balls(grid) > 0)


def test_what_is_odd_is_recorded_and_never_a_crash(tmp_path):
    grid = GRIDS["axial"]
    first, second = contours_of(grid)
    point = ("POINT", np.array([[0.0, 0, 0]]))
    steep = ("CLOSED_PLANAR", np.array([[0, 0, 0.0], [5, 0, 4.0], [0, 5, 2.0]]))
    far = [("CLOSED_PLANAR", points + np.array([60.0, 0, 0])) for points in second]
    rois = [
        ("GTV 1", "GTV", [point, steep, *closed(first)]),
        ("GTV 2", "GTV", []),
        ("GTV 3", "GTV", [("OPEN_PLANAR", first[0])]),
        ("GTV 4", "GTV", far),
    ]
    found = rating_of([read_file(rtstruct(tmp_path / "a.dcm", rois), "x")], grid, RULES)
    (lesion,) = found.lesions
    ignored = [reason for _, reason in lesion["ignored_contours"]]
    assert ignored == ["type_point", "not_in_a_slice"]
    assert np.array_equal(found.labels > 0, two_balls(grid) == 1)
    reasons = {item["name"]: item["reason"] for item in found.left_out}
    assert reasons == {"gtv 2": "empty", "gtv 3": "empty", "gtv 4": "empty"}
    clipped = {item["name"]: item.get("clipped") for item in found.left_out}
    assert clipped["gtv 4"] == 1.0


def test_brats_labels_become_lesions_with_parts(tmp_path):
    grid = GRIDS["axial"]
    _, whole = circles(grid, 6.0, np.array((-5.1, 2.2, 0.3)))
    _, core = circles(grid, 3.0, np.array((-5.1, 2.2, 0.3)))
    _, edema = circles(grid, 8.0, np.array((-5.1, 2.2, 0.3)))
    labels = np.where(edema, 2, 0)
    labels[whole], labels[core] = 3, 1
    nib.save(nib.Nifti1Image(labels.astype(np.uint8), grid.affine), tmp_path / "b.nii.gz")
    found = rating_of([read_file(tmp_path / "b.nii.gz", "x", kind="brats")], grid, RULES)
    assert np.array_equal(found.labels == 1, whole)
    assert np.array_equal(found.parts["core"], core)
    assert np.array_equal(found.parts["edema"], edema & ~whole)
    labels[0, 0, 0] = 9
    nib.save(nib.Nifti1Image(labels.astype(np.uint8), grid.affine), tmp_path / "b.nii.gz")
    with pytest.raises(AfterglowError, match="BraTS labels holds"):
        rating_of([read_file(tmp_path / "b.nii.gz", "x", kind="brats")], grid, RULES)


def test_the_one_label_of_a_file_is_taken_apart_and_small_parts_are_recorded(tmp_path):
    grid = GRIDS["axial"]
    labels = (two_balls(grid) > 0).astype(np.uint8)
    labels[0, 0, 0] = 1
    nib.save(nib.Nifti1Image(labels, grid.affine), tmp_path / "m.nii")
    found = rating_of([read_file(tmp_path / "m.nii", "x")], grid, RULES)
    assert [item["component_voxels"] for item in found.lesions] == [
        int((two_balls(grid) == k).sum()) for k in (1, 2)
    ]
    assert [item["reason"] for item in found.left_out] == ["too_small"]


def test_raters_agree_by_dice_over_all_and_by_lesion():
    one = np.zeros((10, 10, 1), np.int32)
    two = one.copy()
    one[:4, 0], one[6:8, 5] = 1, 2
    two[2:6, 0], two[9, 9] = 7, 8
    found = agreement(one, two)
    assert found.lesions == {1: 0.5, 2: 0.0}
    assert (found.missed, found.extra) == (1, 1)
    assert found.dice == pytest.approx(2 * 2 / (6 + 5))


def test_a_mask_on_another_grid_is_resampled_and_says_so():
    fine = GRIDS["axial"]
    coarse = Grid((24, 20, 15), fine.affine @ np.diag([2.0, 2.0, 2.0, 1.0]))
    _, mask = circles(fine, 8.0, np.array((0.2, 0.1, 0.3)))
    found = place(mask, fine, coarse)
    assert found.resampled
    assert found.mask.sum() * 8 == pytest.approx(mask.sum(), rel=0.05)
    turned = Grid(fine.shape[::-1], fine.affine @ np.eye(4)[[2, 1, 0, 3]].T)
    back = place(mask, fine, turned)
    assert not back.resampled
    assert np.array_equal(back.mask, np.transpose(mask, (2, 1, 0)))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"nothing", "of no kind"),
        (b"NRRD0004\ntype: short\ndimension: 3\nsizes: 2 2 2\nencoding: bzip2\n\n", "not read"),
        (
            b"NRRD0004\ntype: short\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n\n\0\0",
            "cut off",
        ),
    ],
)
def test_unreadable_files_say_what_they_are(tmp_path, content, what):
    (tmp_path / "x.bin").write_bytes(content)
    with pytest.raises(AfterglowError, match=what):
        read_file(tmp_path / "x.bin", "x")


def test_two_affines_that_disagree_are_refused(tmp_path):
    image = nib.Nifti1Image(np.ones((3, 3, 3), np.uint8), np.eye(4))
    image.set_sform(np.diag([1, 1, 1.01, 1]), code=1)
    image.set_qform(np.eye(4), code=1)
    nib.save(image, tmp_path / "m.nii")
    with pytest.raises(AfterglowError, match="disagree"):
        read_file(tmp_path / "m.nii", "x")


def test_planning_targets_come_after_masks_drawn_on_purpose():
    def one(rater, kind):
        return Given("x", kind, (), rater)

    given = [one("", "rtstruct"), one("r2", "nifti"), one("r1", "nifti"), one("r1", "seg")]
    assert list(_by_rater(given)) == ["r1seg", "r1nifti", "r2", "rtstruct"]
    assert list(_by_rater(given[:1])) == ["rtstruct"]
    assert {name: len(files) for name, files in _by_rater(given[1:2] * 2).items()} == {"r2": 2}


def test_a_session_s_files_and_objects_become_one_label_image_per_rater(tmp_path):
    grid = GRIDS["axial"]
    labels = two_balls(grid)
    study = Study(study="t", out=tmp_path, centers=[CenterConfig(name="north", dicom=["in"])])
    job = Job("bids", "k", tmp_path, tmp_path, study, "s1", "v1", "north", say=lambda _: None)
    image = "bids/t1.nii.gz"
    save_nifti(labels.astype(np.float32), grid.affine, job.out(image))
    save_nifti((labels > 0).astype(np.uint8), grid.affine, tmp_path / "drawn.nii.gz")
    first = [{"Type": "CLOSED_PLANAR", "Points": c.tolist()} for c in contours_of(grid)[0]]
    one = {"Number": 1, "Name": "gtv 1", "Type": "GTV", "Contours": first, "Unreadable": 0}
    skull = {**one, "Number": 2, "Name": "skull", "Type": "EXTERNAL"}
    job.out("derivatives/x.json").write_text(json.dumps({"Structures": [one, skull]}))
    stack = np.stack([labels == 1, labels == 2], axis=-1).astype(np.uint8)
    save_nifti(stack, grid.affine, job.out("derivatives/y.nii.gz"))
    named = [{"Number": n, "Name": f"met {n}"} for n in (1, 2)]
    job.out("derivatives/y.json").write_text(json.dumps({"Segments": named}))
    job.summary = {
        "reference": "T1w_ce",
        "series": {"T1w_ce": {"path": image, "series_key": "a"}},
        "objects": [
            {"kind": "rtstruct", "path": "derivatives/x.json", "sidecar": "derivatives/x.json",
             "image": image},
            {"kind": "seg", "path": "derivatives/y.nii.gz", "sidecar": "derivatives/y.json",
             "image": None},
        ],
    }  # fmt: skip
    save_nifti((labels == 2).astype(np.uint8), grid.affine, tmp_path / "nodule.nii.gz")
    masks = [{"file": "abc", "sha256": "0", "rater": "reader-1", "kind": "lesions"}]
    masks.append({"file": "def", "sha256": "1", "rater": "reader-1", "kind": "nodule"})
    (tmp_path / "index/manifests").mkdir(parents=True)
    manifest = {"center": "north", "masks": masks}
    (tmp_path / "index/manifests/sub-s1_ses-v1.json").write_text(json.dumps(manifest))
    private = session_file(study, "s1", "v1")
    private.parent.mkdir(parents=True)
    private.write_text(
        json.dumps(
            {
                "masks": {
                    "abc": str(tmp_path / "drawn.nii.gz"),
                    "def": str(tmp_path / "nodule.nii.gz"),
                }
            }
        )
    )
    write_given(job)
    assert not job.problems
    assert list(job.summary["masks"]["files"]) == ["seg", "reader1", "rtstruct"]
    assert job.summary["masks"]["chosen"] == "seg"
    found, _ = load_nifti(job.out(job.summary["mask"]))
    assert np.array_equal(found.astype(int), labels)
    nodules, _ = load_nifti(job.out(job.summary["nodules"]))
    assert np.array_equal(nodules > 0, labels == 2)
    record = json.loads(job.out(job.summary["masks"]["record"]).read_text())
    assert record["agreement"]["reader1"]["dice"] == 1.0
    assert record["agreement"]["rtstruct"]["lesions"] == {"1": 1.0, "2": 0.0}
    left = record["raters"]["rtstruct"]["left_out"]
    assert [(item["name"], item["reason"]) for item in left] == [("skull", "no_lesion")]
