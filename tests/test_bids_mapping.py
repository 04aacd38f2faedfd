"""Series beside perfusion and anatomy: mapping protocols, diffusion, susceptibility, labelling."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from afterglow.bids.dataset import write_dataset_files
from afterglow.bids.session import write_session
from afterglow.config import Study
from afterglow.config.center import CenterConfig
from afterglow.dicom.index import build_index
from afterglow.provenance.job import Job
from ingest_dicom import DSC, T1W, Series, write_study


def typed(series: Series, *tokens: str) -> Series:
    return replace(series, options={"ImageType": ["ORIGINAL", "PRIMARY", *tokens]})


INVERTED = Series("IR", 60, sequence=("GR", "IR"), tr=3000, te=3, fa=8)
IR = [
    replace(INVERTED, number=60 + n, clock=f"1010{n:02d}", ti=ti)
    for n, ti in enumerate((1600.0, 100.0, 600.0))
]
SWI = typed(Series("SWI", 70, "101500", te=20, tr=28, fa=15), "SWI")
UNI = typed(Series("MP2RAGE UNI", 71, "101600", te=3, tr=5000, ti=700.0), "UNI")
B1 = typed(replace(SWI, name="B1 map", number=72, vendor="Philips", te=3), "B1")
ADC = typed(replace(SWI, name="ADC", number=73, sequence=("EP",), kind="2D"), "ADC")
DWI = replace(ADC, name="DWI", number=74, options={"DiffusionBValue": 1000.0})
ASL = replace(ADC, name="pCASL", number=75, times=[4.0 * n for n in range(4)], options={})
EARLY = replace(DSC, clock="100030", n_slices=1, times=[1.5 * n for n in range(20)])


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mapping")
    write_study(folder / "incoming", [T1W, *IR, SWI, UNI, B1, ADC, DWI, ASL, EARLY])
    center = CenterConfig(name="north", dicom=[folder / "incoming"])
    study = Study(study="t", out=folder / "out", centers=[center])
    result = build_index(study)
    row = result.plan[0]
    said: list[str] = []
    job = Job("bids", "k", study.out, study.out, study, row["subject"], row["session"],
              row["center"], say=said.append)  # fmt: skip
    write_session(job)
    return study, result, job, said


def test_every_class_has_its_place_and_name(session):
    study, _, job, _ = session
    series = job.summary["series"]
    stem = f"sub-{job.subject}_ses-{job.session}"
    expected = {
        "SWI": f"anat/{stem}_acq-swi_T2starw.nii.gz",
        "B1map": f"fmap/{stem}_TB1map.nii.gz",
        "ADC": f"dwi/{stem}_ADC.nii.gz",
        "ASL": f"perf/{stem}_asl.nii.gz",
    }
    for kind, name in expected.items():
        assert series[kind]["path"] == f"bids/sub-{job.subject}/ses-{job.session}/{name}"
        assert (study.out / series[kind]["path"]).exists()
    assert [entry["combined"] for entry in series["mp2rage"]] == [True]
    assert series["mp2rage"][0]["path"].endswith(f"anat/{stem}_UNIT1.nii.gz")
    times = [json.loads((study.out / e["sidecar"]).read_text())["InversionTime"]
             for e in series["ir"]]  # fmt: skip
    np.testing.assert_allclose(times, [0.1, 0.6, 1.6])
    assert [e["path"].split("_inv-")[1] for e in series["ir"]] == [
        f"{n}_IRT1.nii.gz" for n in (1, 2, 3)
    ]
    units = json.loads((study.out / series["B1map"]["sidecar"]).read_text())["Units"]
    assert units == "percent"


def test_diffusion_without_directions_is_left_out_with_a_word(session):
    _, _, job, said = session
    assert "DWI" not in job.summary["series"]
    assert job.problems == []
    assert any("without gradient directions" in text for text in said)


def test_the_dataset_has_no_validator_errors(session):
    study, result, _, _ = session

    def out(relative: str) -> Path:
        path = study.out / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    write_dataset_files(out, result.plan, "t", "0")
    validator = Path(__file__).parents[1] / ".venv/bin/bids-validator-deno"
    if not validator.exists():
        pytest.skip("bids-validator-deno is not installed")
    environment = {**os.environ, "DENO_DIR": str(study.out.parent / "deno")}
    done = subprocess.run(
        [validator, study.out / "bids", "--format", "json"],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert [(i["code"], i.get("location")) for i in issues if i["severity"] == "error"] == []
