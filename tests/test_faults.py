"""Nothing is lost when a run breaks: kills, hangs, full disks, odd paths, on fake stages."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
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
from afterglow.provenance.dag import Dag, JobId, load_dag
from afterglow.provenance.guard import LOCKS, alone, is_held
from afterglow.provenance.records import read_state
from afterglow.provenance.stages import STAGES, STUDY_STAGES, SUBJECT_STAGES
from fake_study import SESSIONS, FakeStudy, make_fake_study, run_in_process

BREAKS = ("error", "kill", "hang", "disk")


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


class Killer:
    """Kills a driver or a job of its study now and then, and starts the driver again."""

    def __init__(self, fake: FakeStudy, seed: int) -> None:
        self.fake, self.random, self.kills = fake, random.Random(seed), 0
        self.driver: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "afterglow.cli.app", "run", str(self.fake.study_file)]
        return subprocess.Popen(
            [*command, "--no-scan", "--cores", "2"],
            env=self.fake.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def jobs(self) -> list[int]:
        """Return the processes that run a stage of this study."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                words = (place / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if len(words) > 1 and f"{self.fake.out}/.snakemake/scripts/" in words[1].decode():
                found.append(int(place.name))
        return found

    def strike(self) -> None:
        """Kill something after a random while."""
        if self.driver is None or self.driver.poll() is not None:
            self.driver = self.start()
        time.sleep(self.random.uniform(0.2, 6))
        jobs = self.jobs()
        if self.random.random() < 0.35 and self.driver.poll() is None:
            self.driver.kill()
            self.driver.wait()
        elif jobs:
            os.kill(self.random.choice(jobs), signal.SIGKILL)
        else:
            return
        self.kills += 1

    def finish(self) -> int:
        if self.driver is not None and self.driver.poll() is None:
            self.driver.wait()
        self.driver = self.start()
        return self.driver.wait()


def kill_and_resume(fake: FakeStudy, kills: int, sessions: list[tuple[str, str]]) -> None:
    expected = undisturbed(fake, sessions)
    fake.write_plan(sessions)
    killer = Killer(fake, seed=kills)
    while killer.kills < kills:
        killer.strike()
        if killer.driver.poll() == 0:
            # Done before all kills were dealt: check, and begin anew.
            assert fake.contents() == expected
            subprocess.run(["rm", "-rf", fake.out], check=True)
            fake.write_plan(sessions)
    assert killer.finish() == 0
    assert fake.contents() == expected
    assert verify(fake.load(), deep=True) == []
    assert {told[3] for told in fake.executions()} == {"first"}, "a finished result was recomputed"
    assert not plan_study(fake.load())[1]


def test_ten_kills_lose_nothing(fake: FakeStudy) -> None:
    kill_and_resume(fake, 10, SESSIONS[:1])


@pytest.mark.soak
def test_a_hundred_kills_lose_nothing(fake: FakeStudy) -> None:
    kill_and_resume(fake, 100, SESSIONS[:2])


@pytest.mark.parametrize("stage", [name for name in STAGES if name not in STUDY_STAGES])
@pytest.mark.parametrize("kind", ["error", "disk"])
def test_an_exception_in_any_stage_is_a_row(fake: FakeStudy, stage: str, kind: str) -> None:
    fake.write_plan([SESSIONS[1], SESSIONS[2]])
    session = None if stage in SUBJECT_STAGES else "20190301"
    fake.trouble(stage, "s1", session, kind)
    assert exit_code(run(fake)) == ExitCode.PARTIAL
    assert list(failed(fake)) == [(stage, "s1", session)]
    state = read_state(fake.out / load_dag(fake.load()).of(stage, "s1", session).state)
    assert state is not None
    assert state.transient == (kind == "disk")
    done = {r["stage"] for r in status_rows(fake.out) if r["status"] == "done"}
    assert done == set(STAGES)
    assert verify(fake.load()) == []


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


@pytest.mark.soak
@pytest.mark.parametrize("stage", list(STAGES))
@pytest.mark.parametrize("kind", BREAKS)
def test_every_fault_in_every_stage(fake: FakeStudy, stage: str, kind: str) -> None:
    unit = ("s1", "20190301")
    if stage in SUBJECT_STAGES:
        unit = ("s1", None)
    elif stage in STUDY_STAGES:
        unit = (None, None)
    fake.trouble(stage, *unit, kind)
    assert exit_code(run(fake, snakemake=True)) == ExitCode.PARTIAL
    assert (stage, *unit) in failed(fake)
    rows = status_rows(fake.out)
    assert all(r["status"] == "done" for r in rows if r["subject"] == "s2")
    fake.trouble(stage, *unit, None)
    assert exit_code(run(fake, snakemake=True, retry_failed=True)) == ExitCode.DONE
    assert fake.contents() == undisturbed(fake, SESSIONS)
    assert verify(fake.load(), deep=True) == []


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


def test_nothing_is_written_outside_the_study(
    fake: FakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No home, an install that is left alone, a study behind a symbolic link."""
    fake.write_plan(SESSIONS[:1])
    link = tmp_path / "by a link"
    link.symlink_to(fake.folder)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("HOME", "/proc/nobody")
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    install = {p: p.stat().st_mtime_ns for p in fake.resources.rglob("*") if p.is_file()}
    around = sorted(tmp_path.iterdir())
    study_file = link / "study.yaml"
    done = subprocess.run(
        [sys.executable, "-m", "afterglow.cli.app", "run", str(study_file), "--no-scan", "--json"],
        env={**os.environ, "AFTERGLOW_RESOURCES": str(fake.resources)},
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[0]["event"] == "planned"
    assert events[0]["jobs"]["bids"] == 1
    assert {e["stage"] for e in events if e["event"] == "ended"} == set(STAGES)
    assert events[-1] == {"event": "over", "exit_code": 0}
    assert list(temporary.iterdir()) == []
    assert sorted(tmp_path.iterdir()) == around
    now = {p: p.stat().st_mtime_ns for p in fake.resources.rglob("*") if p.is_file()}
    assert now == install
    assert not plan_study(fake.load())[1], "by its own path nothing is to be done either"
