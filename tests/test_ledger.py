"""Questions to the ledger: what follows, what differs, what repeats, who signed, what leaves."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from afterglow.cli.driver import plan_study
from afterglow.cli.status import status_rows
from afterglow.errors import AfterglowError
from afterglow.provenance import catalog, impact, settled
from afterglow.provenance.audit import verify
from afterglow.provenance.compare import compare_files
from afterglow.provenance.dag import load_dag
from afterglow.provenance.diff import diff_studies
from afterglow.provenance.records import read_record, read_states, write_atomically
from afterglow.provenance.replay import find_record, replay
from afterglow.provenance.settled import current_rows, write_snapshot
from fake_study import FakeStudy, finish_in_process, make_fake_study
from test_workflow import run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FakeStudy:
    fake = make_fake_study(tmp_path_factory.mktemp("ledger") / "study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AFTERGLOW_RESOURCES", str(fake.resources))
        finish_in_process(fake)
    return fake


@pytest.fixture
def study(finished: FakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeStudy:
    copy = FakeStudy(tmp_path / "study")
    shutil.copytree(finished.folder, copy.folder)
    monkeypatch.setenv("AFTERGLOW_RESOURCES", str(copy.resources))
    return copy


def units(found: impact.Impact) -> set[tuple[str, str | None, str | None]]:
    return {(r["stage"], r["subject"], r["session"]) for r in found.records if r["current"]}


def catalogued(study: FakeStudy) -> list[str]:
    return sorted(relation(study, "records").column("key").to_pylist())


def relation(study: FakeStudy, name: str) -> pa.Table:
    """Return one relation of the catalogue over all its segments."""
    files = sorted((study.out / catalog.CATALOG).glob(f"[0-9]*/{name}.parquet"))
    return pa.concat_tables([pq.read_table(file) for file in files])


def test_a_record_names_seeds_threads_and_processor(study: FakeStudy) -> None:
    dag = load_dag(study.load())
    seeds = {"anat": {"anat.seed": 1}, "cohort": {"cohort.seed": 20170}, "dsc": {}}
    for job in dag.jobs.values():
        record = read_record(study.out, job.key)
        assert record is not None
        run = record["run"]
        assert run["threads"] == 1
        assert len(run["processor"]) > 2
        hash_seed = {"python_hash": os.environ.get("PYTHONHASHSEED")}
        if job.stage in seeds:
            assert run["seeds"] == seeds[job.stage] | hash_seed


STUDY = {("tables", None, None), ("cohort", None, None), ("study_report", None, None)}


def test_the_catalogue_holds_every_record_and_what_came_from_what(study: FakeStudy) -> None:
    records = {path.stem for path in (study.out / "ledger/records").glob("*.json")}
    assert catalogued(study) == sorted(records)
    key = load_dag(study.load()).of("bids", "s1", "20190101").key
    reached = catalog.descendants(study.out, [catalog.short_id(key)])
    found = {(r["stage"], r["session"]) for r in impact.of_stage(study.out, "bids").records}
    assert len(reached) < len(records)
    assert ("features", "20190305") in found
    before = {name: relation(study, name) for name in ("records", "edges", "outputs")}
    catalog.rebuild(study.out)
    for name, table in before.items():
        told = [c for c in table.column_names if c not in {"mtime", "inode"}]
        one, two = (t.select(told).to_pylist() for t in (table, relation(study, name)))
        assert sorted(map(str, one)) == sorted(map(str, two))


def test_many_segments_are_merged_and_say_the_same(study: FakeStudy) -> None:
    keys = catalogued(study)
    shutil.rmtree(study.out / catalog.CATALOG)
    for start in range(0, len(keys), 3):
        catalog.extend(study.out, keys[start : start + 3])
    assert len(list((study.out / catalog.CATALOG).iterdir())) <= 9
    assert catalogued(study) == keys
    bids = load_dag(study.load()).of("bids", "s2", "20190305").key
    merged = catalog.descendants(study.out, [catalog.short_id(bids)]).tolist()
    catalog.rebuild(study.out)
    assert catalog.descendants(study.out, [catalog.short_id(bids)]).tolist() == merged


def test_impact_of_a_subject_is_its_jobs_and_the_study(study: FakeStudy) -> None:
    found = impact.of_subject(study.out, "s1")
    sessions = {"20190101", "20190301"}
    assert units(found) == STUDY | {("identity", "s1", None), ("stories", "s1", None)} | {
        (stage, "s1", session)
        for session in sessions
        for stage in ("bids", "anat", "dsc", "dce", "features", "report")
    }
    assert not any("-s2-" in path for path in found.files)


def test_impact_of_an_instance_a_file_and_a_version(study: FakeStudy) -> None:
    every = impact.of_instance(study.out, "0123456789ab")
    assert Counter(r["stage"] for r in every.records if r["current"])["bids"] == 4
    one = impact.of_file(study.out, "derivatives/dsc-s1-20190301.txt")
    assert units(one) == STUDY | {
        (s, "s1", "20190301") for s in ("dsc", "features", "report")
    } | {("stories", "s1", None)}  # fmt: skip
    assert units(impact.of_stage(study.out, "cohort", "1")) == STUDY - {("tables", None, None)}
    with pytest.raises(AfterglowError, match="no record follows"):
        impact.of_stage(study.out, "cohort", "99")


def test_withdrawn_consent_leaves_nothing_and_verifies(study: FakeStudy) -> None:
    found = impact.of_subject(study.out, "s1")
    impact.remove(study.out, found)
    study.write_plan([("s2", "20190105"), ("s2", "20190305")])
    left = [
        p for p in study.out.rglob("*")
        if p.is_file() and "s1" in p.name and ".snakemake" not in p.parts
    ]  # fmt: skip
    assert left == []
    assert impact.withdrawn_subjects(study.out) == {"s1"}
    assert {s.subject for s in read_states(study.out)} == {"s2"}
    for deep in (False, True):
        assert verify(study.load(), deep=deep) == []
    ran = run(study).ran
    assert {stage for stage, *_ in ran} == {"tables", "cohort", "study_report"}
    assert verify(study.load(), deep=True) == []


def test_two_studies_differ_by_what_was_changed(study: FakeStudy, finished: FakeStudy) -> None:
    assert diff_studies(finished.out, study.out).same
    content = yaml.safe_load(study.study_file.read_text())
    content["dsc"] = {"leakage_model": "bidirectional"}
    study.study_file.write_text(yaml.safe_dump(content))
    run(study)
    found = diff_studies(finished.out, study.out)
    assert (found.only_a, found.only_b) == ([], [])
    changed = {job.stage: job for job in found.jobs}
    assert changed.keys() == {
        *("dsc", "features", "report", "stories"),
        *("tables", "cohort", "study_report"),
    }
    assert [str(r) for r in changed["dsc"].reasons] == [
        "parameter dsc.leakage_model bsw -> bidirectional"
    ]
    assert changed["dsc"].outputs == {}, "the fake stage's output does not follow the setting"


def test_every_job_replays_to_the_same_bytes(study: FakeStudy) -> None:
    dag = load_dag(study.load())
    for job in dag.jobs.values():
        found = replay(dag, job.key)
        assert found.reproduced
        assert {c.same for c in found.outputs.values()} == {"identical"}
    assert verify(dag.study, deep=True) == []


def test_a_replay_that_differs_or_cannot_be_says_so(study: FakeStudy) -> None:
    dag = load_dag(study.load())
    key = dag.of("dsc", "s1", "20190301").key
    study.trouble("dsc", "s1", "20190301", "error")
    found = replay(dag, key)
    assert (found.status, found.recorded_status, found.reproduced) == ("failed", "done", False)
    assert not dataclasses.replace(found, outputs={}).reproduced, "no outputs, but another end"
    script = study.resources / "scripts/dsc.py"
    script.write_text(script.read_text().replace("len(seen)", "len(seen) + 1"))
    with pytest.raises(AfterglowError, match="no longer here: code differ"):
        replay(load_dag(study.load()), key)
    assert find_record(study.out, key[:10]) == key
    with pytest.raises(AfterglowError, match="records start with"):
        find_record(study.out, "")


def test_values_compare_within_tolerance(tmp_path: Path) -> None:
    import nibabel

    one, two = tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"
    data = np.linspace(1, 2, 27, dtype=np.float32).reshape(3, 3, 3)
    nibabel.save(nibabel.Nifti1Image(data, np.eye(4)), one)
    nibabel.save(nibabel.Nifti1Image(data + np.float32(1e-6), np.eye(4)), two)
    assert compare_files(one, one).same == "identical"
    near = compare_files(one, two)
    assert near.same == "within_tolerance"
    assert 0 < near.difference < 1e-6
    data[1, 1, 1] = np.nan
    nibabel.save(nibabel.Nifti1Image(data, np.eye(4)), two)
    assert compare_files(one, two).same == "different"
    (tmp_path / "a.json").write_text('{"x": [1.0, "y"]}')
    (tmp_path / "b.json").write_text('{"x": [1.0000001, "y"]}')
    assert compare_files(tmp_path / "a.json", tmp_path / "b.json").same == "within_tolerance"
    (tmp_path / "b.json").write_text('{"x": [1.0, "z"]}')
    assert compare_files(tmp_path / "a.json", tmp_path / "b.json").same == "different"
    assert compare_files(tmp_path / "a.json", tmp_path / "none.json").same == "different"


def keypair(folder: Path, name: str) -> Path:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    path = folder / name
    form, none = serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, none))
    form_public = serialization.PublicFormat.OpenSSH
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, form_public)
    path.with_suffix(".pub").write_bytes(public + b" somebody\n")
    return path


def test_a_signed_head_holds_until_something_is_touched(study: FakeStudy) -> None:
    key = keypair(study.folder, "signer")
    content = yaml.safe_load(study.study_file.read_text())
    content["ledger"] = {"signing_key": "signer", "public_key": "signer.pub"}
    study.study_file.write_text(yaml.safe_dump(content))
    unsigned = verify(study.load())
    assert [f.detail for f in unsigned] == ["checkpoint: the newest checkpoint is not signed"]
    run(study)
    assert verify(study.load(), deep=True) == []
    signature = max((study.out / "ledger/checkpoints").glob("*.sig"))
    told = json.loads(signature.read_text())
    assert told["public_key"] == key.with_suffix(".pub").read_text().rpartition(" ")[0]
    keypair(study.folder, "signer")
    other = [f.detail for f in verify(study.load())]
    assert other == ["checkpoint: signed with another key than the study names"]
    content["ledger"].pop("public_key")
    study.study_file.write_text(yaml.safe_dump(content))
    signature.write_text(json.dumps({**told, "signature": told["signature"][::-1]}))
    assert [f.kind for f in verify(study.load())] == ["TAMPERED"]


def test_a_key_of_another_kind_is_refused(study: FakeStudy) -> None:
    from afterglow.provenance.signing import sign_head

    path = study.folder / "nokey"
    path.write_text("not a key")
    with pytest.raises(AfterglowError, match="signing key cannot be used"):
        sign_head(study.out, path)


def test_a_pinned_version_refuses_another_release(study: FakeStudy) -> None:
    content = yaml.safe_load(study.study_file.read_text())
    content["ledger"] = {"versions": {"dsc": "1"}}
    study.study_file.write_text(yaml.safe_dump(content))
    assert plan_study(study.load())[1] == {}
    content["ledger"] = {"versions": {"dsc": "0"}}
    study.study_file.write_text(yaml.safe_dump(content))
    with pytest.raises(AfterglowError, match="stays with version 0 of stage dsc"):
        plan_study(study.load())


@pytest.mark.parametrize("deep", [False, True])
def test_facts_that_a_stage_handed_on_are_vouched_for(study: FakeStudy, *, deep: bool) -> None:
    """Later stages read the summary of a state: the figures of a page, the paths of masks."""
    (path,) = (study.out / "ledger/states/cohort").glob("*.json")
    assert verify(study.load(), deep=deep) == []
    state = json.loads(path.read_text())
    state["summary"] = {**state["summary"], "permutation_p": 0.01}
    write_atomically(path, json.dumps(state, sort_keys=True, indent=1) + "\n")
    found = verify(study.load(), deep=deep)
    assert [(f.kind, f.path) for f in found] == [("TAMPERED", "ledger/states/cohort/study.json")]


def test_status_needs_no_state_file_that_did_not_move(study: FakeStudy) -> None:
    rows = status_rows(study.out)
    assert Counter(row["status"] for row in rows) == {"done": 31}
    before = current_rows(study.out)
    state = study.out / "ledger/states/dsc/sub-s1_ses-20190301.json"
    write_atomically(state, state.read_text().replace('"done"', '"failed"'))
    changed = {row["path"] for row in current_rows(study.out) if row not in before}
    assert changed == {"ledger/states/dsc/sub-s1_ses-20190301.json"}
    assert Counter(row["status"] for row in status_rows(study.out))["failed"] == 1


def test_folders_of_states_are_trusted_by_status_alone(
    study: FakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settled, "_TICK", -(10**10))
    write_snapshot(study.out)
    state = study.out / "ledger/states/dsc/sub-s1_ses-20190301.json"
    text = state.read_text()
    state.write_text(text.replace('"done"', '"failed"'))
    assert Counter(row["status"] for row in status_rows(study.out)) == {"done": 31}
    assert {f.kind for f in verify(study.load())} == {"TAMPERED"}
    state.unlink()
    assert Counter(row["status"] for row in status_rows(study.out)) == {"done": 30, "pending": 1}
    write_atomically(state, text)
    assert Counter(row["status"] for row in status_rows(study.out)) == {"done": 31}


def test_a_crate_describes_every_job_and_file(study: FakeStudy, tmp_path: Path) -> None:
    from rocrate.rocrate import ROCrate

    from afterglow.provenance.ro_crate import write_crate

    crate = ROCrate(write_crate(study.out, tmp_path / "crate"))
    actions = [e for e in crate.get_entities() if e.type == "CreateAction"]
    assert len(actions) == 31 + 1
    files = {e.id: e for e in crate.get_entities() if "File" in e.type}
    outputs = {p for s in read_states(study.out) for p in s.outputs.items()}
    assert {(name, files[name]["sha256"]) for name, _ in outputs} == outputs
    assert all((tmp_path / "crate" / name).exists() for name, _ in outputs)
    with pytest.raises(AfterglowError, match="not empty"):
        write_crate(study.out, tmp_path / "crate")


def test_a_crate_is_there_whole_or_not_at_all(
    study: FakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rocrate.model.dataset import Dataset
    from rocrate.model.file import File

    from afterglow.provenance.ro_crate import write_crate

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        for kind in (Dataset, File):
            patch.setattr(kind, "write", full)
            patch.setattr(kind, "stream", full)
        with pytest.raises(OSError, match="No space left"):
            write_crate(study.out, tmp_path / "crate")
    assert not (tmp_path / "crate").exists()
    (tmp_path / "crate").mkdir()
    assert (write_crate(study.out, tmp_path / "crate") / "ro-crate-metadata.json").exists()
    assert [p.name for p in tmp_path.iterdir() if "crate" in p.name] == ["crate"]


_CONTEXT = """
import io, pathlib, urllib.request
import requests, urllib3
known = pathlib.Path(CONTEXT)
kind = {"Content-Type": "application/ld+json"}
def serve(request, *rest, **options):
    address = getattr(request, "full_url", request)
    assert "w3id.org/ro/crate/1.1/context" in address, address
    answer = io.BytesIO(known.read_bytes())
    answer.headers, answer.info = kind, lambda: answer.headers
    answer.geturl = lambda: address
    return answer
def send(session, request, **options):
    raw = urllib3.HTTPResponse(serve(request.url), kind, 200, request_url=request.url,
                               preload_content=False)
    return requests.adapters.HTTPAdapter().build_response(request, raw)
urllib.request.urlopen = serve
requests.Session.send = send
"""


@pytest.mark.soak
def test_the_crate_passes_the_public_validator(study: FakeStudy, tmp_path: Path) -> None:
    """The validator asks the network for the standard's context: it gets a local copy of it."""
    validator = shutil.which("rocrate-validator")
    if validator is None:
        pytest.skip("rocrate-validator is not installed (pip install roc-validator)")
    known = os.environ.get("RO_CRATE_CONTEXT")
    if known is None:
        pytest.skip("RO_CRATE_CONTEXT names no copy of the context (rocrate 0.13 has one)")
    from afterglow.provenance.ro_crate import write_crate

    crate = write_crate(study.out, tmp_path / "crate")
    (tmp_path / "sitecustomize.py").write_text(_CONTEXT.replace("CONTEXT", repr(str(known))))
    done = subprocess.run(
        [validator, "validate", str(crate), "-p", "provenance-run-crate-0.5", "-l", "required",
         "--no-paging", "--skip-availability-check"],
        capture_output=True, text=True, check=False, env={"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
