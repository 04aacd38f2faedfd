"""What a person decides is written down once, understood before it stands, and planned for."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from afterglow.cli.app import app
from afterglow.config import load_study
from afterglow.dicom.index import build_index
from afterglow.dicom.pinning import pin_reference
from afterglow.errors import AfterglowError
from afterglow.lesions.corrections import read_corrections
from afterglow.lesions.decisions import append_decision
from afterglow.provenance.dag import load_dag
from fake_study import FakeStudy, finish_in_process, make_fake_study
from ingest_dicom import DSC, T1W, write_study

ROW = {
    "subject": "s1",
    "session": "v2",
    "target": "lesion/2",
    "decision": "same_as v1/1",
    "file": "",
    "rater": "reader-1",
    "date": "20201213",
    "reason": 'same place, "core"',
}


def test_a_row_is_added_and_what_stood_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "decisions.csv"
    append_decision(path, ROW)
    assert path.read_text().splitlines()[0] == ",".join(ROW)
    before = path.read_bytes().rstrip(b"\n")
    path.write_bytes(before)
    append_decision(path, {**ROW, "target": "lesion/3", "decision": "new"})
    assert path.read_bytes().startswith(before + b"\n")
    found = read_corrections(path, "s1")
    assert [(c.node, c.verdict, c.other) for c in found] == [
        (("v2", 2), "same_as", ("v1", 1)),
        (("v2", 3), "new", None),
    ]


def test_the_sites_own_order_of_columns_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "decisions.csv"
    path.write_text("\ufeffdecision,target,session,subject,rater,date,reason,note\r\n")
    append_decision(path, ROW)
    expected = 'same_as v1/1,lesion/2,v2,s1,reader-1,20201213,"same place, ""core""",'
    assert path.read_text(encoding="utf-8-sig").splitlines()[1] == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": "brain"}, "no stage understands a decision on `brain`"),
        ({"decision": "same as v1/1"}, "row 1 of the decisions file is not understood"),
    ],
)
def test_a_decision_that_nothing_follows_from_is_refused(
    tmp_path: Path, change: dict[str, str], message: str
) -> None:
    with pytest.raises(AfterglowError, match=message):
        append_decision(tmp_path / "decisions.csv", {**ROW, **change})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"decision": "not_same_as v1/1"}),
        ({}, {"session": "v1", "target": "lesion/1", "decision": "not_same_as v2/2"}),
        ({}, {"decision": "new"}),
        ({"decision": "new"}, {"decision": "same_as v1/3"}),
    ],
)
def test_a_decision_against_an_earlier_one_is_refused(
    tmp_path: Path, first: dict[str, str], second: dict[str, str]
) -> None:
    path = tmp_path / "decisions.csv"
    append_decision(path, {**ROW, "subject": "s2"})
    append_decision(path, {**ROW, **first})
    before = path.read_bytes()
    with pytest.raises(AfterglowError, match=r"row 2 .* ses-v2 lesion/2 .*to withdraw row 2"):
        append_decision(path, {**ROW, **second})
    assert path.read_bytes() == before
    append_decision(path, {**ROW, "decision": "not_same_as v1/7"})


def test_a_file_without_the_column_is_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "decisions.csv"
    path.write_text("subject,session,target,decision\n")
    with pytest.raises(AfterglowError, match="has no column rater, date, reason"):
        append_decision(path, ROW)
    assert path.read_text() == "subject,session,target,decision\n"


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeStudy:
    fake = make_fake_study(tmp_path / "study")
    monkeypatch.setenv("AFTERGLOW_RESOURCES", str(fake.resources))
    return fake


def test_decide_says_what_the_decision_makes_run(study: FakeStudy) -> None:
    words = ["s1", "20190301", "lesion/1", "new", "--rater", "reader-1", "--reason", "it is"]
    refused = CliRunner().invoke(app, ["decide", str(study.study_file), *words])
    assert "the study names no decisions file" in str(refused.exception)
    content = yaml.safe_load(study.study_file.read_text())
    study.study_file.write_text(yaml.safe_dump({**content, "decisions": "decisions.csv"}))
    finish_in_process(study)
    done = CliRunner().invoke(app, ["decide", str(study.study_file), *words, "--json"])
    told = json.loads(done.stdout)
    assert Counter(job["stage"] for job in told["jobs"]) == {
        "identity": 2, "stories": 2, "tables": 1, "cohort": 1, "study_report": 1
    }  # fmt: skip
    assert told["row"]["date"].isdigit()
    assert len(read_corrections(study.folder / "decisions.csv", "s1")) == 1
    words[1] = "20200101"
    refused = CliRunner().invoke(app, ["decide", str(study.study_file), *words])
    assert "no session 20200101 of subject s1" in str(refused.exception)


def three_sessions(tmp_path: Path) -> Path:
    """Write a study of one subject whose third session has no T1-weighted series."""
    folder = tmp_path / "incoming"
    for number, date in enumerate(("20190304", "20190801", "20200101"), start=1):
        small = [replace(DSC, times=[1.5 * n for n in range(20)], n_slices=2)]
        small += [replace(T1W, n_slices=20)] if number < 3 else []
        write_study(folder / date, small, date=date, study=number)
    center = {"name": "north", "dicom": ["incoming"]}
    study_file = tmp_path / "study.yaml"
    study_file.write_text(yaml.safe_dump({"study": "t", "out": "out", "centers": [center]}))
    return study_file


@pytest.mark.usefixtures("study")
def test_a_reference_that_a_person_chose_stays(tmp_path: Path) -> None:
    study_file = three_sessions(tmp_path)
    study = load_study(study_file)
    plan = {row["arrival"]: row for row in build_index(study).plan}
    assert plan[1]["is_reference"]
    subject, second = plan[2]["subject"], plan[2]["session"]
    words = ["reference", str(study_file), subject]
    refused = CliRunner().invoke(app, [*words, plan[3]["session"]])
    assert "cannot be a reference" in str(refused.exception)
    done = CliRunner().invoke(app, [*words, second, "--json"])
    told = json.loads(done.stdout)
    assert (told["old"], told["new"]) == (plan[1]["session"], second)
    assert build_index(study).unchanged
    small = [replace(DSC, times=[1.5 * n for n in range(20)], n_slices=2)]
    write_study(tmp_path / "incoming" / "late", small, date="20200301", study=4)
    for rows in (pq.read_table(study.out / "index/plan.parquet").to_pylist(),
                 build_index(study).plan):  # fmt: skip
        assert {row["reference_session"] for row in rows} == {second}
        assert [row["session"] for row in rows if row["is_reference"]] == [second]
    first = load_dag(study).of("anat", subject, plan[1]["session"])
    assert ("anat", subject, second) in first.upstream


@pytest.mark.usefixtures("study")
def test_a_choice_cut_off_before_the_plan_is_planned_by_the_next_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = load_study(three_sessions(tmp_path))
    plan = {row["arrival"]: row for row in build_index(study).plan}

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("afterglow.dicom.pinning.write_table", cut)
        with pytest.raises(KeyboardInterrupt):
            pin_reference(study, plan[2]["subject"], plan[2]["session"])
    again = build_index(study)
    assert {row["reference_session"] for row in again.plan} == {plan[2]["session"]}


def test_a_label_that_no_mask_has_is_refused_with_those_it_has(study: FakeStudy) -> None:
    content = yaml.safe_load(study.study_file.read_text())
    study.study_file.write_text(yaml.safe_dump({**content, "decisions": "decisions.csv"}))
    finish_in_process(study)
    drawn = {"assignments": [{"session": "20190301", "label": 3, "lesion_id": "L002"}]}
    graph = study.out / "derivatives/sub-s1/sub-s1_desc-lesions_graph.json"
    graph.parent.mkdir(parents=True, exist_ok=True)
    graph.write_text(json.dumps(drawn))
    words = ["--rater", "reader-1", "--reason", "it is"]
    for target, decision in (("lesion/2", "new"), ("lesion/3", "same_as ses-20190301/2")):
        asked = ["decide", str(study.study_file), "s1", "20190301", target, decision, *words]
        refused = CliRunner().invoke(app, asked)
        assert "has no lesion of label 2; expected one of 20190301/3 (L002)" in str(
            refused.exception
        )
    assert not (study.folder / "decisions.csv").exists()
