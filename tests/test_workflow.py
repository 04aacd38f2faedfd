"""The driver, keys, wrapper and Snakefile on fake stages: what runs, what does not, and why."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from afterglow.cli.driver import RunResult, Selection, exit_code, plan_study, run_study
from afterglow.errors import AfterglowError, ExitCode
from afterglow.provenance.audit import verify
from afterglow.provenance.dag import load_dag
from afterglow.provenance.digest import value_digest
from afterglow.provenance.leaves import leaves_of
from afterglow.provenance.lineage import Walk
from afterglow.provenance.places import JobId
from afterglow.provenance.plan import Reason, plan_json
from afterglow.provenance.records import read_state
from fake_study import SESSIONS, FakeStudy, make_fake_study, run_in_process


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FakeStudy:
    """A fake study that ran once, undisturbed; tests work on copies."""
    fake = make_fake_study(tmp_path_factory.mktemp("fake") / "study")
    os.environ["AFTERGLOW_RESOURCES"] = str(fake.resources)
    try:
        result = run(fake, snakemake=True)
    finally:
        del os.environ["AFTERGLOW_RESOURCES"]
    assert exit_code(result) == ExitCode.DONE
    assert Counter(stage for stage, *_ in result.ran) == {
        "bids": 4, "anat": 4, "dsc": 4, "dce": 4, "identity": 2, "features": 4, "report": 4,
        "stories": 2, "tables": 1, "cohort": 1, "study_report": 1,
    }  # fmt: skip
    return fake


@pytest.fixture
def study(finished: FakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeStudy:
    """A copy of the finished study elsewhere, with new dates and no hard links."""
    folder = tmp_path / "moved study é"
    shutil.copytree(finished.folder, folder, copy_function=shutil.copyfile)
    copy = FakeStudy(folder)
    monkeypatch.setenv("AFTERGLOW_RESOURCES", str(copy.resources))
    return copy


def run(fake: FakeStudy, *, snakemake: bool = False, **options: bool) -> RunResult:
    runner = None if snakemake else run_in_process
    return run_study(fake.load(), fake.study_file, Selection(), cores=2, runner=runner, **options)


def planned(fake: FakeStudy) -> dict[JobId, list[Reason]]:
    return plan_study(fake.load())[1]


def stages(jobs: dict[JobId, list[Reason]]) -> Counter[str]:
    return Counter(stage for stage, *_ in jobs)


def snakemake_plan(fake: FakeStudy) -> Counter[str]:
    """Jobs that Snakemake's own dry run lists, after the driver set aside what is not current."""
    dag, jobs = plan_study(fake.load())
    for job_id in jobs:
        (dag.study.out / dag.jobs[job_id].state).unlink(missing_ok=True)
    command = [sys.executable, "-m", "snakemake", "-n", "-q", "rules", "--cores", "1"]
    command += ["--snakefile", str(fake.resources / "workflow/Snakefile")]
    command += ["--profile", str(fake.resources / "workflow/profiles/default")]
    command += ["--directory", str(dag.study.out), "--config", f"study={fake.study_file}", "--"]
    done = subprocess.run(
        [*command, "sessions", "study"],
        env=fake.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    counts: Counter[str] = Counter()
    for line in done.stdout.splitlines():
        words = line.split()
        if (
            len(words) == 2
            and words[1].isdigit()
            and words[0] not in {"total", "sessions", "study"}
        ):
            counts[words[0]] = int(words[1])
    return counts


def test_a_copy_with_new_dates_plans_nothing_and_verifies_clean(study: FakeStudy) -> None:
    assert planned(study) == {}
    assert verify(study.load()) == []
    assert verify(study.load(), deep=True) == []
    for path in study.out.rglob("*"):
        os.utime(path)
    assert planned(study) == {}
    assert not run(study).ran


def test_a_new_session_runs_its_own_jobs_its_subject_and_the_study(study: FakeStudy) -> None:
    study.write_plan([*SESSIONS, ("s1", "20190601")])
    jobs = planned(study)
    assert {(s, u, v) for s, u, v in jobs if v is not None} == {
        (stage, "s1", "20190601") for stage in ("bids", "anat", "dsc", "dce", "features", "report")
    }
    assert {(s, u) for s, u, v in jobs if v is None and u is not None} == {
        ("identity", "s1"),
        ("stories", "s1"),
    }
    assert stages(jobs)["tables"] == stages(jobs)["cohort"] == stages(jobs)["study_report"] == 1
    assert snakemake_plan(study) == stages(jobs)
    assert stages(run(study, snakemake=True).ran) == stages(jobs)
    assert planned(study) == {}


def test_without_given_masks_a_scan_changes_what_arrives_after_it(study: FakeStudy) -> None:
    sessions = [("s1", "20190101"), ("s1", "20190301")]
    study.write_plan(sessions, has_mask=False)
    run(study)
    study.write_plan([*sessions, ("s1", "20190601")], has_mask=False)
    jobs = planned(study)
    assert [unit for stage, *unit in jobs if stage == "features"] == [["s1", "20190601"]]
    assert stages(jobs)["identity"] == 1
    dag = load_dag(study.load())
    first, last = (dag.of("features", "s1", s) for s in ("20190101", "20190601"))
    assert len(first.upstream) == 4
    assert ("features", "s1", "20190301") in last.upstream


def test_a_changed_setting_plans_its_stage_and_what_follows(study: FakeStudy) -> None:
    content = yaml.safe_load(study.study_file.read_text())
    content["centers"][0]["hematocrit"] = 0.45
    study.study_file.write_text(yaml.safe_dump(content))
    jobs = planned(study)
    assert stages(jobs) == {
        "dsc": 4, "dce": 4, "features": 4, "report": 4, "stories": 2, "tables": 1, "cohort": 1,
        "study_report": 1,
    }  # fmt: skip
    reasons = jobs["dce", "s1", "20190101"]
    assert [str(r) for r in reasons] == ["parameter center.hematocrit 0.42 -> 0.45"]
    assert snakemake_plan(study) == stages(jobs)


def test_comments_plan_nothing_and_code_plans_its_stage(study: FakeStudy) -> None:
    script = study.resources / "scripts/dce.py"
    text = script.read_text()
    script.write_text('"""Another docstring."""\n# a comment\n' + text.split("\n", 1)[1])
    assert planned(study) == {}
    script.write_text(text.replace("len(seen)", "len(seen) + 1"))
    os.utime(script, (1, 1))
    jobs = planned(study)
    assert stages(jobs) == {
        "dce": 4, "features": 4, "report": 4, "stories": 2, "tables": 1, "cohort": 1,
        "study_report": 1,
    }  # fmt: skip
    assert jobs["dce", "s1", "20190101"][0].kind == "code"


@pytest.mark.parametrize("deep", [False, True])
def test_one_changed_byte_is_named_and_mended(study: FakeStudy, deep: bool) -> None:
    path = study.out / "derivatives/dsc-s1-20190301.txt"
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    findings = verify(study.load(), deep=deep)
    assert [(f.kind, f.path) for f in findings] == [("TAMPERED", "derivatives/dsc-s1-20190301.txt")]
    jobs = planned(study)
    assert {i for i in jobs if i[0] in {"bids", "anat", "dsc", "dce"}} == {
        ("dsc", "s1", "20190301")
    }
    run(study)
    assert verify(study.load(), deep=True) == []


def test_deep_sees_a_change_that_keeps_size_and_date(study: FakeStudy) -> None:
    assert verify(study.load()) == []
    path = study.out / "derivatives/dsc-s1-20190301.txt"
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert verify(study.load()) == []
    assert [f.kind for f in verify(study.load(), deep=True)] == ["TAMPERED"]


def test_verify_names_each_class(study: FakeStudy) -> None:
    out = study.out
    (out / "tables/tables-None-None.txt").unlink()
    (out / "derivatives/stray.txt").write_text("who made me?")
    study.write_plan([("s1", "20190101"), ("s1", "20190301"), ("s2", "20190105")])
    found = {(f.kind, f.path) for f in verify(study.load())}
    assert ("MISSING", "tables/tables-None-None.txt") in found
    assert ("UNTRACKED", "derivatives/stray.txt") in found
    assert ("ORPHAN", "ledger/states/dsc/sub-s2_ses-20190305.json") in found
    assert ("STALE", "ledger/states/identity/sub-s2.json") in found
    assert ("STALE", "ledger/states/tables/study.json") in found
    assert {kind for kind, _ in found} == {"MISSING", "UNTRACKED", "ORPHAN", "STALE"}


def test_a_forged_or_removed_record_is_found(study: FakeStudy) -> None:
    records = sorted((study.out / "ledger/records").glob("*.json"))
    forged, removed = records[0], records[1]
    content = json.loads(forged.read_text())
    content["run"]["seconds"] = 0
    forged.write_text(json.dumps(content, sort_keys=True, indent=1) + "\n")
    removed.unlink()
    found = {(f.kind, f.path) for f in verify(study.load())}
    assert ("TAMPERED", f"ledger/records/{forged.name}") in found
    assert ("MISSING", f"ledger/records/{removed.name}") in found
    checkpoint = next((study.out / "ledger/checkpoints").glob("*.json"))
    checkpoint.write_text(checkpoint.read_text().replace('"root": "', '"root": "f'))
    found = {(f.kind, f.path) for f in verify(study.load())}
    assert ("TAMPERED", f"ledger/checkpoints/{checkpoint.name}") in found


def test_a_failed_stage_is_a_row_and_the_rest_goes_on(study: FakeStudy) -> None:
    study.trouble("dsc", "s1", "20190101", "error")
    study.trouble("dce", "s2", "20190105", "not_evaluable")
    result = run(study, force=True)
    assert exit_code(result) == ExitCode.PARTIAL
    dag = load_dag(study.load())
    failed = read_state(study.out / dag.of("dsc", "s1", "20190101").state)
    assert failed is not None
    assert (failed.status, failed.reason) == (
        "failed",
        "ValueError: a scan that cannot be read: bids/x.nii.gz",
    )
    refused = read_state(study.out / dag.of("dce", "s2", "20190105").state)
    assert refused is not None
    assert (refused.status, refused.reason) == ("not_evaluable", "no_dsc_series")
    assert (study.out / "tables/study_report-None-None.txt").exists()
    assert not (study.out / "derivatives/dsc-s1-20190101.txt").exists()
    assert planned(study) == {}, "a lasting failure is not tried again by itself"
    study.trouble("dsc", "s1", "20190101", None)
    assert run(study, retry_failed=True).ran.keys() >= {("dsc", "s1", "20190101")}
    assert exit_code(run(study)) == ExitCode.DONE


def test_a_part_that_failed_for_want_of_memory_is_retried_when_asked(study: FakeStudy) -> None:
    undisturbed = study.contents()
    study.trouble("dsc", "s1", "20190101", "part_memory")
    study.trouble("dce", "s2", "20190105", "part_corrupt")
    assert exit_code(run(study, force=True)) == ExitCode.PARTIAL
    assert planned(study) == {}
    jobs = plan_study(study.load(), retry_failed=True)[1]
    assert [str(reason) for reason in jobs["dsc", "s1", "20190101"]] == ["retry: DSC series"]
    assert ("dce", "s2", "20190105") not in jobs, "what a broken file caused stays"
    study.trouble("dsc", "s1", "20190101", None)
    assert run(study, retry_failed=True).ran.keys() >= {("dsc", "s1", "20190101")}
    state = read_state(study.out / load_dag(study.load()).of("dsc", "s1", "20190101").state)
    assert state is not None
    assert state.problems == []
    study.trouble("dce", "s2", "20190105", None)
    assert exit_code(run(study, force=True)) == ExitCode.DONE
    assert study.contents() == undisturbed


def test_a_passing_failure_is_tried_again(study: FakeStudy) -> None:
    undisturbed = study.contents()
    study.trouble("dsc", "s1", "20190101", "disk")
    shutil.rmtree(study.out / "ledger/states/dsc")
    shutil.rmtree(study.out / ".store")
    run(study)
    jobs = planned(study)
    assert jobs["dsc", "s1", "20190101"][0].kind == "retry"
    study.trouble("dsc", "s1", "20190101", None)
    assert exit_code(run(study)) == ExitCode.DONE
    assert study.contents() == undisturbed, "nothing made without the result stays"
    assert verify(study.load(), deep=True) == []


def test_a_passing_failure_mended_alone_plans_what_was_made_without_it(study: FakeStudy) -> None:
    undisturbed = study.contents()
    study.trouble("dsc", "s1", "20190101", "disk")
    shutil.rmtree(study.out / "ledger/states/dsc")
    shutil.rmtree(study.out / ".store")
    run(study)
    study.trouble("dsc", "s1", "20190101", None)
    run_study(
        study.load(), study.study_file, Selection(session="20190101", until="dsc"),
        runner=run_in_process,
    )  # fmt: skip
    jobs = planned(study)
    assert jobs["features", "s1", "20190101"][0].kind == "upstream result"
    assert stages(jobs) == {
        "features": 1,
        "report": 1,
        "tables": 1,
        "cohort": 1,
        "stories": 1,
        "study_report": 1,
    }
    run(study)
    assert study.contents() == undisturbed


def test_a_killed_job_leaves_the_tables_and_is_resumed(study: FakeStudy) -> None:
    study.trouble("dsc", "s2", "20190305", "kill")
    shutil.rmtree(study.out / "ledger/states/dsc")
    shutil.rmtree(study.out / ".store")
    result = run(study, snakemake=True)
    assert [(a["stage"], a["subject"], a["session"]) for a in result.absent] == [
        ("dsc", "s2", "20190305"), ("features", "s2", "20190305"), ("stories", "s2", None),
        ("report", "s2", "20190305"),
    ]  # fmt: skip
    assert exit_code(result) == ExitCode.PARTIAL
    assert (study.out / "tables/tables-None-None.txt").exists()
    study.trouble("dsc", "s2", "20190305", None)
    again = run(study, snakemake=True)
    assert exit_code(again) == ExitCode.DONE
    assert {i for i in again.ran if i[2] is not None} == {
        ("dsc", "s2", "20190305"), ("features", "s2", "20190305"), ("report", "s2", "20190305"),
    }  # fmt: skip
    assert verify(study.load(), deep=True) == []


def test_a_key_is_the_digest_of_all_its_parts(study: FakeStudy) -> None:
    for job in load_dag(study.load()).jobs.values():
        assert job.key == value_digest({**job.parts, "unit": job.unit})


@pytest.mark.parametrize("noted", ["incomplete", "other keys"])
def test_what_snakemake_noted_of_a_killed_run_holds_nothing_back(
    study: FakeStudy, noted: str
) -> None:
    """A job that outlived its driver: its result stands, and Snakemake never saw its end."""
    session = ("s1", "20190301")
    study.write_plan(SESSIONS, edit={session: lambda content: content.update(center="south")})
    dag, jobs = plan_study(study.load())
    outlived = [dag.jobs[stage, *session] for stage in ("bids", "anat")]
    assert {job.id for job in outlived} <= set(jobs)
    run_in_process(dag, [job.id for job in outlived])
    if noted == "incomplete":
        shutil.rmtree(study.out / ".snakemake/metadata")
        for job in outlived:
            name = base64.b64encode(job.state.encode()).decode()
            (study.out / ".snakemake/incomplete" / name).touch()
    result = run(study, snakemake=True)
    assert result.absent == []
    assert set(result.ran) == set(jobs) - {job.id for job in outlived}
    assert exit_code(result) == ExitCode.DONE


def test_results_are_linked_again_when_only_bookkeeping_was_lost(study: FakeStudy) -> None:
    shutil.rmtree(study.out / ".snakemake")
    assert planned(study) == {}
    before = {p: p.read_bytes() for p in (study.out / "derivatives").iterdir()}
    shutil.rmtree(study.out / "ledger/states")
    records = {p.name: p.stat().st_mtime_ns for p in (study.out / "ledger/records").iterdir()}
    assert exit_code(run(study)) == ExitCode.DONE
    assert {p: p.read_bytes() for p in (study.out / "derivatives").iterdir()} == before
    assert {
        p.name: p.stat().st_mtime_ns for p in (study.out / "ledger/records").iterdir()
    } == records, "a linked result writes no new record"


def test_two_drivers_do_not_meet(study: FakeStudy) -> None:
    import fcntl

    with (study.out / ".driver.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(AfterglowError, match="another `afterglow run`"):
            run(study)


def test_plan_json_has_the_agreed_shape(study: FakeStudy) -> None:
    (study.out / "derivatives/dce-s1-20190101.txt").unlink()
    found = plan_json(planned(study))["jobs"][0]
    assert found == {
        "stage": "dce",
        "subject": "s1",
        "session": "20190101",
        "reasons": [
            {"kind": "output missing", "old": "derivatives/dce-s1-20190101.txt", "new": None}
        ],
    }


def test_a_chain_ends_in_hashed_instances(study: FakeStudy) -> None:
    walk = Walk(study.out, skip="dce")
    walk.follow(load_dag(study.load()).of("features", "s1", "20190101").key)
    assert {node["stage"] for node in walk.nodes.values()} == {"features", "dsc", "anat", "bids"}
    leaves = leaves_of(study.out, walk.nodes, {}, [], "dce")
    assert [(leaf["center"], leaf["sop"]) for leaf in leaves] == [("north", "0123456789ab")]
    assert leaves_of(study.out, walk.nodes, {}, [], "dsc") == [], (
        "series of the other modality are left out"
    )
