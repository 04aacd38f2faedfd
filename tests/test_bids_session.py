"""Conversion: the right pixels at the right place with our times, and failures by name."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from afterglow.bids import session as bids_session
from afterglow.bids.dataset import write_dataset_files
from afterglow.bids.images import load_nifti, save_nifti
from afterglow.bids.session import write_session
from afterglow.config import Study
from afterglow.config.center import CenterConfig
from afterglow.dicom.index import build_index
from afterglow.lesions.given_stage import write_given
from afterglow.provenance.job import Job
from ingest_dicom import DCE, DSC, FLAIR, T1W, T1W_CE, Person, pixels, vfa, write_study

IRREGULAR = [0.0, 1.5, 3.1, 4.5, *(6.0 + 1.5 * n for n in range(16))]
SERIES = [
    T1W,
    FLAIR,
    vfa(10, 41),
    vfa(2, 42),
    replace(DCE, times=[5.0 * n for n in range(8)]),
    replace(DSC, times=IRREGULAR),
    T1W_CE,
]


def prepared(folder: Path, *, mask: np.ndarray | None = None, affine: np.ndarray | None = None):
    write_study(folder / "incoming", SERIES)
    center = {"name": "north", "dicom": [folder / "incoming"]}
    if mask is not None:
        save_nifti(mask, affine, folder / "given.nii.gz")
        (folder / "masks.csv").write_text(
            f"patient,study_date,file,rater\n{Person().id},20190304,given.nii.gz,Dr. House\n"
        )
        center["masks"] = folder / "masks.csv"
    study = Study(study="t", out=folder / "out", centers=[CenterConfig(**center)])
    return study, build_index(study)


def converted(study: Study, result, scratch: Path | None = None) -> Job:
    row = result.plan[0]
    said: list[str] = []
    job = Job("bids", "k", study.out, scratch or study.out, study, row["subject"], row["session"],
              row["center"], say=said.append)  # fmt: skip
    write_session(job)
    write_given(job)
    return job


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    folder = tmp_path_factory.mktemp("session")
    study, result = prepared(folder)
    return study, result, converted(study, result)


def test_pixels_stand_where_the_headers_put_them(session):
    study, _, job = session
    series = SERIES[5]
    array, affine = load_nifti(study.out / job.summary["series"]["dsc"]["path"])
    assert array.shape == (16, 16, 4, 20)
    for volume, place, row, column in [(0, 0, 0, 0), (7, 3, 5, 11), (19, 1, 15, 2)]:
        lps = np.array([-10 + 1.25 * column, -12 + 1.25 * row, 3.0 * place - 20, 1])
        index = np.linalg.inv(affine) @ (lps * [-1, -1, 1, 1])
        i, j, k = np.rint(index[:3]).astype(int)
        np.testing.assert_allclose(index[:3], [i, j, k], atol=1e-3)
        assert array[i, j, k, volume] == pixels(series, volume, place)[row, column]


def test_frame_times_are_ours_in_sidecar_and_header(session):
    study, _, job = session
    dsc = job.summary["series"]["dsc"]
    content = json.loads((study.out / dsc["sidecar"]).read_text())
    assert content["VolumeTiming"] == pytest.approx(IRREGULAR)
    assert content["TimingSource"] == "trigger_time"
    assert content["RepetitionTime"] == 1.5
    assert content["EchoTime"] == 0.03
    assert content["FlipAngle"] == 60
    assert content["ContrastBolusAgent"] == "gadobutrol"
    image = nib.load(study.out / dsc["path"])
    assert image.header["pixdim"][4] == pytest.approx(1.5)
    assert bytes(image.header["descrip"]).strip(b"\0") == b""


def test_summary_follows_the_contract(session):
    _, _, job = session
    assert set(job.summary["series"]) == {"T1w", "T1w_ce", "FLAIR", "dce", "dsc", "vfa"}
    assert job.summary["reference"] == "T1w_ce"
    assert job.summary["mask"] is None
    assert job.problems == []
    paths = [entry["path"] for entry in job.summary["series"]["vfa"]]
    assert [path.split("_flip-")[1] for path in paths] == ["1_VFA.nii.gz", "2_VFA.nii.gz"]
    angles = [
        json.loads((job.root / entry["sidecar"]).read_text())["FlipAngle"]
        for entry in job.summary["series"]["vfa"]
    ]
    assert angles == [2, 10], "in order of flip angle, not of acquisition"


def test_same_input_same_bytes(session, tmp_path):
    study, result, job = session
    again = converted(study, result, tmp_path / "again")
    for path in sorted((again.scratch / "bids").rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (job.scratch / path.relative_to(again.scratch)).read_bytes()


def test_nothing_identifies_in_any_output(session):
    study, _, _ = session
    person = Person()
    secrets = (person.id, "Doe", "Jane", person.birth, person.accession, "20190304", "Nowhere",
               "House", "1.2.826.0.1.3680043")  # fmt: skip
    for path in study.out.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            if path.name.endswith(".gz"):
                content += bytes(nib.load(path).header.binaryblock)
            for secret in secrets:
                assert secret.encode() not in content, path
                assert secret not in str(path.relative_to(study.out))


def test_raw_dataset_has_no_validator_errors(session):
    study, result, _ = session

    def out(relative: str) -> Path:
        path = study.out / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    written = write_dataset_files(out, result.plan, "t", "0")
    assert "bids/participants.tsv" in written
    validator = Path(__file__).parents[1] / ".venv/bin/bids-validator-deno"
    if not validator.exists():
        pytest.skip("bids-validator-deno is not installed")
    environment = {**os.environ, "DENO_DIR": str(study.out.parent / "deno")}
    done = subprocess.run(
        [validator, study.out / "bids", "--format", "json"],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert [i["code"] for i in issues if i["severity"] == "error"] == []


def test_cut_off_series_is_named_and_the_others_go_on(tmp_path):
    study, _ = prepared(tmp_path)
    victim = sorted((tmp_path / "incoming" / "006").iterdir())[5]
    victim.write_bytes(victim.read_bytes()[:-100])
    result = build_index(study)
    job = converted(study, result)
    assert set(job.summary["series"]) == {"T1w", "T1w_ce", "FLAIR", "dce", "vfa"}
    (problem,) = job.problems
    assert problem.what == "DSC series"
    assert "412 bytes of pixels" in problem.cause
    assert "512 bytes" in problem.cause
    assert "north:" in problem.cause
    assert str(tmp_path) not in problem.cause
    assert problem.remedy
    assert not problem.transient


def test_a_series_without_memory_may_be_retried(tmp_path, monkeypatch):
    study, result = prepared(tmp_path)

    def convert(entry, *rest):
        if entry["class"] == "DSC":
            raise MemoryError
        return real(entry, *rest)

    real = bids_session.convert
    monkeypatch.setattr(bids_session, "convert", convert)
    (problem,) = converted(study, result).problems
    assert (problem.what, problem.transient) == ("DSC series", True)
    assert "--retry-failed" in problem.remedy


def test_pixels_changed_under_one_header_change_the_manifest(tmp_path):
    study, result = prepared(tmp_path)
    converted(study, result)
    victim = sorted((tmp_path / "incoming" / "006").iterdir())[5]
    os.utime(victim, (1e9, 1e9))
    before = result.plan[0]["manifest_sha256"]
    assert build_index(study).plan[0]["manifest_sha256"] == before, "touched: nothing changes"
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    assert build_index(study).plan[0]["manifest_sha256"] != before


def test_given_mask_comes_to_the_reference_grid(tmp_path):
    lps = np.diag([1.25, 1.25, 3.0, 1.0])
    lps[:3, 3] = [-10, -12, -20]
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps
    mask = np.zeros((16, 16, 24), np.uint8)
    mask[3:6, 10:12, 5:8] = 1
    mask[12:14, 2:4, 20:22] = 1
    study, result = prepared(tmp_path, mask=mask, affine=affine)
    assert result.plan[0]["has_mask"]
    job = converted(study, result)
    labels, grid = load_nifti(study.out / job.summary["mask"])
    _, reference = load_nifti(study.out / job.summary["series"]["T1w_ce"]["path"])
    np.testing.assert_allclose(grid, reference, atol=1e-5)
    assert sorted(np.unique(labels)) == [0, 1, 2]
    assert [(labels == n).sum() for n in (1, 2)] == [18, 8]
    for label, voxel in ((1, (3, 10, 5)), (2, (12, 2, 20))):
        world = affine @ [*voxel, 1]
        i, j, k = np.rint(np.linalg.inv(grid) @ world)[:3].astype(int)
        assert labels[i, j, k] == label
    manifest = (study.out / result.plan[0]["manifest"]).read_text()
    assert "House" not in manifest
    record = json.loads((study.out / job.summary["masks"]["record"]).read_text())
    (rater,) = record["raters"]
    assert record["chosen"] == rater
    assert [item["component_voxels"] for item in record["raters"][rater]["lesions"]] == [18, 8]
    assert "House" not in json.dumps(record)
