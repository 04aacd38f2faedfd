"""Nothing is lost when a run breaks: kills, hangs, full disks, odd paths, on fake stages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from afterglow.cli.driver import (
    RunResult,
    Selection,
    exit_code,
    plan_study,
    run_study,
    with_upstream,
)
from afterglow.cli.status import status_rows
from afterglow.errors import AfterglowError, ExitCode
from afterglow.provenance.audit import verify
from afterglow.provenance.dag import Dag, load_dag
from afterglow.provenance.guard import LOCKS, alone, began, forget, is_held
from afterglow.provenance.places import JobId
from afterglow.provenance.records import read_state
from afterglow.provenance.stages import STAGES, STUDY_STAGES, SUBJECT_STAGES
from fake_study import SESSIONS, FakeStudy, make_fake_study, run_in_process


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeStudy:
    made = make_fake_study(tmp_path / "a study é")
    monkeypatch.setenv("AFTERGLOW_RESOURCES", str(made.resources))
    return made


def run(fake: FakeStudy, *, snakemake: bool = False, **options: bool) -> RunResult:
    runner = None if snakemake else run_in_process
    return run_study(fake.load(), fake.study_file, Selection(), cores=2, runner=runner, **options)


def undisturbed(fake: FakeStudy, sessions: list[tuple[str, str]]) -> dict[str, bytes]:
    """Return what the study holds after a run without trouble."""
    other = make_fake_study(fake.folder.parent / "undisturbed")
    other.write_plan(sessions)
    run(other)
    return other.contents()


def failed(fake: FakeStudy) -> dict[tuple[str, str | None, str | None], str]:
    rows = [row for row in status_rows(fake.out) if row["status"] == "failed"]
    assert all(row["remedy"] for row in rows)
    return {(row["stage"], row["subject"], row["session"]): row["detail"] for row in rows}


def stricken(fake: FakeStudy, kinds: Sequence[str]) -> dict[JobId, str]:
    """Plan a subject for each fault of each of its stages and one without; return the faults."""
    faults: dict[JobId, str] = {}
    session = "20190101"
    for stage in STAGES:
        for kind in kinds if stage not in STUDY_STAGES else ():
            subject = f"{stage}{kind}"
            faults[stage, subject, None if stage in SUBJECT_STAGES else session] = kind
    for place, kind in faults.items():
        fake.trouble(*place, kind)
    subjects = sorted({str(place[1]) for place in faults})
    fake.write_plan([(subject, session) for subject in [*subjects, "sound"]])
    return faults


def stricken_everywhere(fake: FakeStudy, kind: str) -> dict[JobId, str]:
    """As `stricken`, with the same fault in every stage of the study."""
    late: dict[JobId, str] = {(stage, None, None): kind for stage in STUDY_STAGES}
    for place in late:
        fake.trouble(*place, kind)
    return {**stricken(fake, [kind]), **late}


def mended(fake: FakeStudy, faults: Iterable[JobId]) -> None:
    """Take the faults away, run again, and find what an undisturbed run leaves."""
    for place in faults:
        fake.trouble(*place, None)
    assert exit_code(run(fake, retry_failed=True)) == ExitCode.DONE
    assert failed(fake) == {}
    sessions = [(row["subject"], row["session"]) for row in load_dag(fake.load()).rows]
    assert fake.contents() == undisturbed(fake, sessions)
    assert verify(fake.load(), deep=True) == []


@pytest.mark.parametrize("kind", ["error", "disk", "corrupt"])
def test_an_exception_in_any_stage_is_a_row(fake: FakeStudy, kind: str) -> None:
    """Every stage of a subject and of the study, each fault alone in its subject."""
    faults = stricken_everywhere(fake, kind)
    assert exit_code(run(fake)) == ExitCode.PARTIAL
    told = failed(fake)
    assert set(told) == set(faults)
    assert not any(str(fake.folder) in cause for cause in told.values()), "no absolute path"
    for place in faults:
        state = read_state(fake.out / load_dag(fake.load()).of(*place).state)
        assert state is not None
        assert state.transient == (kind == "disk")
    others = [row for row in status_rows(fake.out) if row["status"] != "failed"]
    assert {row["status"] for row in others} == {"done"}, "everything else is finished"
    assert verify(fake.load()) == []
    mended(fake, faults)


@pytest.mark.parametrize("stage", STUDY_STAGES)
def test_a_killed_study_stage_is_a_row_too(fake: FakeStudy, stage: str) -> None:
    """Dies as a kill does: without a state. The next run makes it."""
    fake.write_plan(SESSIONS[:1])

    def all_but(dag: object, jobs: list[tuple[str, str | None, str | None]]) -> None:
        later = STUDY_STAGES[STUDY_STAGES.index(stage) :]
        run_in_process(dag, [job for job in jobs if job[0] not in later])  # type: ignore[arg-type]

    result = run_study(fake.load(), fake.study_file, Selection(), runner=all_but)
    assert exit_code(result) == ExitCode.PARTIAL
    assert (stage, None, None) in failed(fake)
    assert exit_code(run(fake)) == ExitCode.DONE
    assert failed(fake) == {}


def test_kills_and_hangs_stop_nobody_else(fake: FakeStudy) -> None:
    sessions = [SESSIONS[1], SESSIONS[2]]
    fake.write_plan(sessions)
    fake.trouble("dsc", "s1", "20190301", "kill")
    fake.trouble("dce", "s2", "20190105", "hang")
    result = run(fake, snakemake=True)
    assert exit_code(result) == ExitCode.PARTIAL
    told = failed(fake)
    of_sessions = [place for place in told if place[2] is not None]
    assert {place[1:] for place in of_sessions} == {("s1", "20190301"), ("s2", "20190105")}
    assert {place[0] for place in of_sessions} == {"dsc", "dce", "features", "report"}
    assert {p for p in told if p[2] is None} == {("stories", "s1", None), ("stories", "s2", None)}
    assert told["dsc", "s1", "20190301"].startswith("it was killed")
    assert told["dce", "s2", "20190105"].startswith("it ran past its time limit")
    assert told["features", "s1", "20190301"].startswith("it never started: no result of dsc")
    log = (fake.out / "logs/dce/sub-s2_ses-20190105.log").read_text()
    assert "time.sleep" in log or "make_trouble" in log, "the log says where it hung"
    assert json.loads((fake.out / "index/absent.json").read_text())[0]["log"]
    for stage in STUDY_STAGES:
        assert (fake.out / f"tables/{stage}-None-None.txt").exists()
    fake.trouble("dsc", "s1", "20190301", None)
    fake.trouble("dce", "s2", "20190105", None)
    again = run(fake, snakemake=True)
    assert exit_code(again) == ExitCode.DONE
    assert {job[1:] for job in again.ran if job[2]} == {("s1", "20190301"), ("s2", "20190105")}
    assert failed(fake) == {}
    assert fake.contents() == undisturbed(fake, sessions)


def test_members_held_back_by_a_lost_session_go_again(fake: FakeStudy) -> None:
    """As on a cluster: a subject's submission waits for all its sessions, one lost included."""
    calls: list[list[JobId]] = []
    lost = ("anat", "s1", "20190301")

    def cluster(dag: Dag, jobs: list[JobId]) -> None:
        calls.append(jobs)
        if len(calls) > 1 or jobs[0][0] in STUDY_STAGES:
            run_in_process(dag, jobs)
            return
        (fake.out / LOCKS).mkdir(parents=True, exist_ok=True)
        (fake.out / LOCKS / dag.jobs[lost].key).touch()
        waits = {lost} | {job for job in jobs if lost in with_upstream(dag, [job])}
        together = {"features", "report", *SUBJECT_STAGES}
        waits |= {job for job in jobs if job[0] in together and job[1] == "s1"}
        run_in_process(dag, [job for job in jobs if job not in waits])

    result = run_study(fake.load(), fake.study_file, Selection(), runner=cluster)
    again = {("features", "s1", "20190101"), ("report", "s1", "20190101")}
    assert set(calls[1]) == again
    assert exit_code(result) == ExitCode.PARTIAL
    told = failed(fake)
    assert told[lost].startswith("it was killed")
    assert not again & set(told)
    assert {place for place in told if place[1] != "s1"} == set()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of three megabytes."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs rights that are not given here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_scratch_disk_is_a_passing_failure(
    fake: FakeStudy, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NODE_DISK", str(small_disk))
    monkeypatch.setenv("AFTERGLOW_SCRATCH", "$NODE_DISK")
    fake.trouble("dsc", "s1", "20190301", "fill")
    assert exit_code(run(fake)) == ExitCode.PARTIAL
    assert failed(fake)["dsc", "s1", "20190301"].endswith("No space left on device")
    assert list(small_disk.iterdir()) == [], "nothing is left on the node"
    assert not list(fake.out.rglob("big.bin"))
    fake.trouble("dsc", "s1", "20190301", None)
    assert exit_code(run(fake)) == ExitCode.DONE
    assert fake.contents() == undisturbed(fake, SESSIONS)
    assert verify(fake.load(), deep=True) == []


@pytest.mark.soak
def test_a_full_disk_in_every_stage(
    fake: FakeStudy, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NODE_DISK", str(small_disk))
    monkeypatch.setenv("AFTERGLOW_SCRATCH", "$NODE_DISK")
    faults = stricken_everywhere(fake, "fill")
    assert exit_code(run(fake)) == ExitCode.PARTIAL
    told = failed(fake)
    assert set(told) == set(faults)
    assert all(cause.endswith("No space left on device") for cause in told.values())
    assert list(small_disk.iterdir()) == [], "nothing is left on the node"
    mended(fake, faults)


@pytest.mark.soak
def test_kills_and_hangs_in_every_stage_of_a_subject(fake: FakeStudy) -> None:
    """Each alone in its subject, one run of Snakemake for all of them."""
    faults = stricken(fake, ["kill", "hang"])
    assert exit_code(run(fake, snakemake=True)) == ExitCode.PARTIAL
    told = failed(fake)
    for place, kind in faults.items():
        begins = "it was killed" if kind == "kill" else "it ran past its time limit"
        assert told.pop(place).startswith(begins)
    assert all(cause.startswith("it never started: no result of") for cause in told.values())
    assert {place[1] for place in told} <= {place[1] for place in faults}
    for row in status_rows(fake.out):
        if row["subject"] in {"sound", None}:
            assert row["status"] == "done"
    mended(fake, faults)


@pytest.mark.soak
@pytest.mark.parametrize("stage", STUDY_STAGES)
@pytest.mark.parametrize("kind", ["kill", "hang"])
def test_kills_and_hangs_in_every_stage_of_the_study(
    fake: FakeStudy, stage: str, kind: str
) -> None:
    fake.write_plan(SESSIONS[:1])
    run_study(fake.load(), fake.study_file, Selection(subject="s1"), runner=run_in_process)
    fake.trouble(stage, None, None, kind)
    assert exit_code(run(fake, snakemake=True)) == ExitCode.PARTIAL
    told = failed(fake)
    begins = "it was killed" if kind == "kill" else "it ran past its time limit"
    assert told.pop((stage, None, None)).startswith(begins)
    later = STUDY_STAGES[STUDY_STAGES.index(stage) + 1 :]
    assert set(told) == {(other, None, None) for other in later}
    mended(fake, [(stage, None, None)])


def test_a_full_study_disk_is_told_and_resumed(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = make_fake_study(small_disk / "study")
    monkeypatch.setenv("AFTERGLOW_RESOURCES", str(fake.resources))
    fake.write_plan(SESSIONS[:1])
    fake.trouble("dsc", *SESSIONS[0], "fill")
    assert exit_code(run(fake)) == ExitCode.PARTIAL
    assert list(failed(fake)) == [("dsc", *SESSIONS[0])]
    fake.trouble("dsc", *SESSIONS[0], None)
    assert exit_code(run(fake)) == ExitCode.DONE
    assert fake.contents() == undisturbed(fake, SESSIONS[:1])


def test_a_read_only_study_is_told_in_one_line(fake: FakeStudy, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    fake.study_file.write_text(
        fake.study_file.read_text().replace("out: out", f"out: {small_disk}")
    )
    with pytest.raises(AfterglowError, match="cannot be written") as told:
        run(fake)
    assert told.value.exit_code == ExitCode.NOTHING


def test_batches_cover_every_subject_once(fake: FakeStudy) -> None:
    parts = [
        {job[1] for job in plan_study(fake.load(), Selection(batch=(number, 3)))[1]}
        for number in (1, 2)
    ]
    assert parts == [{"s1"}, {"s2"}]
    with pytest.raises(AfterglowError, match="nothing in the plan"):
        plan_study(fake.load(), Selection(batch=(3, 3)))


def test_a_job_works_out_its_own_subject_with_the_keys_of_the_whole(fake: FakeStudy) -> None:
    whole, part = load_dag(fake.load()), load_dag(fake.load(), subject="s2")
    own = {i: job.key for i, job in whole.jobs.items() if i[1] == "s2"}
    assert {i: job.key for i, job in part.jobs.items() if i[1] is not None} == own


def test_who_comes_second_waits_and_links(fake: FakeStudy) -> None:
    """A job of a killed driver may go on: the next run waits for it instead of running it twice."""
    fake.write_plan(SESSIONS[:1])
    job = load_dag(fake.load()).of("bids", *SESSIONS[0])
    waits = (
        "import sys; from pathlib import Path; from afterglow.provenance.guard import alone\n"
        "with alone(Path(sys.argv[1]), sys.argv[2]): Path(sys.argv[3]).touch()"
    )
    came = fake.folder / "came"
    with alone(fake.out, job.key):
        assert is_held(fake.out, job.key)
        second = subprocess.Popen([sys.executable, "-c", waits, fake.out, job.key, came])
        time.sleep(1)
        assert second.poll() is None
        assert not came.exists()
    assert second.wait(timeout=60) == 0
    assert came.exists()
    assert not is_held(fake.out, job.key)


def test_a_hold_is_cleared_away_under_its_own_lock(
    fake: FakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else who takes it just before the name goes would hold a file that nobody else sees."""
    with alone(fake.out, "k"):
        forget(fake.out, "k")
        assert began(fake.out, "k"), "a live process keeps its hold"
    unlink, held = Path.unlink, []

    def watched(path: Path, missing_ok: bool = False) -> None:
        held.append(is_held(fake.out, "k"))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", watched)
    forget(fake.out, "k")
    assert held == [True]
    assert not began(fake.out, "k")
    forget(fake.out, "k")
