"""What a run tells while it is at work, what it cost, and what may go afterwards."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from afterglow.cli.cost import cost_report, show_cost
from afterglow.cli.driver import Selection, plan_study, run_study
from afterglow.cli.engine import default_cores, find_profile, runs_elsewhere, stage_environment
from afterglow.cli.live import LiveView, driver_at_work, watch
from afterglow.cli.lock import driver_lock
from afterglow.cli.progress import Events, Lines, tracker_elsewhere, tracker_of
from afterglow.cli.prune import prune_study
from afterglow.errors import AfterglowError
from afterglow.provenance.audit import verify
from afterglow.provenance.dag import Dag, load_dag, write_tickets
from afterglow.provenance.guard import LOCKS
from afterglow.provenance.places import JobId
from afterglow.provenance.stages import STAGES, STUDY_STAGES
from fake_study import FakeStudy, finish_in_process, make_fake_study, run_in_process


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeStudy:
    made = make_fake_study(tmp_path / "study")
    monkeypatch.setenv("AFTERGLOW_RESOURCES", str(made.resources))
    return made


def run(fake: FakeStudy) -> None:
    run_study(fake.load(), fake.study_file, Selection(), runner=run_in_process)


def planned(fake: FakeStudy) -> tuple[Dag, list[JobId]]:
    dag, jobs = plan_study(fake.load())
    return dag, list(jobs)


def counts(sessions: int = 4, subjects: int = 2) -> dict[str, int]:
    per = {"session": sessions, "subject": subjects, "study": 1}
    return {stage.name: per[stage.level] for stage in STAGES.values()}


ALL = sum(counts().values())


def test_a_tracker_tells_every_start_and_end_once(fake: FakeStudy) -> None:
    fake.trouble("dsc", "s1", "20190301", "error")
    dag, jobs = planned(fake)
    tracker = tracker_of(dag, jobs)
    assert tracker.look() == []
    run_in_process(dag, jobs[:3])
    events = tracker.look()
    assert [e.event for e in events] == ["started"] * 3 + ["ended"] * 3
    assert (tracker.finished, tracker.total) == (3, ALL)
    (fake.out / LOCKS / dag.jobs[jobs[3]].key).touch()
    assert [(e.event, e.stage) for e in tracker.look()] == [("started", jobs[3][0])]
    assert tracker.running == {jobs[3][0]: 1}
    run_in_process(dag, jobs[3:])
    tracker.look()
    assert tracker.look(last=True) == []
    assert tracker.finished == tracker.total
    assert tracker.ended["dsc", "failed"] == 1
    assert tracker.left == 0
    assert not tracker.running


def test_events_and_lines_say_the_same(fake: FakeStudy) -> None:
    fake.trouble("dce", "s1", "20190301", "not_evaluable")
    dag, jobs = planned(fake)
    told, printed = io.StringIO(), io.StringIO()
    events, lines = Events(tracker_of(dag, jobs), told), Lines(tracker_of(dag, jobs), printed)
    run_in_process(dag, jobs)
    assert events.look() == lines.look() == ALL
    found = [json.loads(line) for line in told.getvalue().splitlines()]
    assert found[0] == {"event": "planned", "jobs": dict(events.tracker.planned)}
    (refused,) = (e for e in found if e.get("status") == "not_evaluable")
    assert (refused["stage"], refused["session"], refused["reason"]) == (
        "dce", "20190301", "no_dsc_series",
    )  # fmt: skip
    text = printed.getvalue().splitlines()
    assert len(text) == 2 * ALL
    assert text[-1].startswith(f"[{ALL}/{ALL}] study_report study")
    assert sum("not evaluable (no_dsc_series)" in line for line in text) == 1


def test_the_live_table_counts_by_stage(fake: FakeStudy) -> None:
    fake.trouble("dsc", "s1", "20190301", "error")
    dag, jobs = planned(fake)
    screen = Console(file=io.StringIO(), width=120, force_terminal=True)
    view = LiveView(tracker_of(dag, jobs), screen)
    run_in_process(dag, [job for job in jobs if job[1] == "s1"])
    view.look(last=True)
    paper = Console(file=io.StringIO(), width=120)
    paper.print(view.picture())
    text = paper.file.getvalue()  # type: ignore[attr-defined]
    rows = {line.split()[0]: line.split()[2:] for line in text.splitlines() if "│" in line}
    assert rows["dsc"][0::2] == ["4", "│", "1", "│", "│", "2"] or "failed: dsc" in text
    assert "failed: dsc sub-s1_ses-20190301" in text
    half = ALL - len(STUDY_STAGES)
    assert f"{half // 2} of {ALL} jobs" in text


def test_another_shell_follows_the_run_at_work(fake: FakeStudy) -> None:
    with pytest.raises(AfterglowError, match="no run is at work"):
        watch(fake.out, Console(file=io.StringIO()))
    dag, jobs = planned(fake)
    write_tickets(fake.out, [dag.jobs[job] for job in jobs])
    with driver_lock(fake.out):
        assert driver_at_work(fake.out)
        tracker = tracker_elsewhere(fake.out)
        run_in_process(dag, jobs[:5])
        tracker.look()
        assert (tracker.finished, tracker.total) == (5, ALL)
    assert not driver_at_work(fake.out)


def test_cost_is_the_sum_of_the_records(fake: FakeStudy) -> None:
    run(fake)
    rows = {row["stage"]: row for row in cost_report(fake.out)}
    assert {stage: row["jobs"] for stage, row in rows.items()} == counts()
    records = [json.loads(p.read_text()) for p in (fake.out / "ledger/records").glob("*.json")]
    dsc = [record for record in records if record["stage"] == "dsc"]
    assert rows["dsc"]["peak_mb"][1] == max(r["run"]["peak_memory_mb"] for r in dsc)
    assert rows["dsc"]["suggested_mb"] >= 1.3 * rows["dsc"]["peak_mb"][1]
    assert rows["dsc"]["suggested_mb"] % 500 == 0
    sizes = [record["outputs"][0]["size"] for record in dsc]
    assert rows["dsc"]["disk_mb"] == round(sum(sizes) / 4 / 1e6, 2)
    assert rows["dsc"]["wait_seconds"][0] >= 0
    paper = Console(file=io.StringIO(), width=200)
    show_cost(paper, list(rows.values()))
    assert f"CPU hours in {ALL} jobs" in paper.file.getvalue()  # type: ignore[attr-defined]


def test_pruning_frees_what_was_superseded_and_changes_nothing_else(fake: FakeStudy) -> None:
    finish_in_process(fake)
    run(fake)
    content = yaml.safe_load(fake.study_file.read_text())
    content["centers"][0]["hematocrit"] = 0.45
    fake.study_file.write_text(yaml.safe_dump(content))
    run(fake)
    before, store = fake.contents(), list((fake.out / ".store").glob("*/*"))
    counted = prune_study(fake.out, dry_run=True)
    assert list((fake.out / ".store").glob("*/*")) == store
    assert counted["superseded"]["files"] > 0
    assert counted["superseded"]["bytes"] > 0
    assert prune_study(fake.out) == counted
    assert prune_study(fake.out)["superseded"] == {"files": 0, "bytes": 0}
    assert len(list((fake.out / ".store").glob("*/*"))) == len(load_dag(fake.load()).jobs)
    assert fake.contents() == before
    assert verify(fake.load(), deep=True) == []
    assert planned(fake)[1] == []
    shutil.rmtree(fake.out / "ledger/states")
    run(fake)
    assert fake.contents() == before, "what is current still relinks"


def test_profiles_are_found_and_known_for_what_they_are(tmp_path: Path) -> None:
    assert not runs_elsewhere(find_profile("default"))
    assert runs_elsewhere(find_profile("slurm"))
    assert default_cores(find_profile("slurm")) == 1
    (tmp_path / "config.yaml").write_text("executor: lsf\n")
    assert runs_elsewhere(find_profile(str(tmp_path)))
    with pytest.raises(AfterglowError, match="no profile `slrum`"):
        find_profile("slrum")


def test_every_thread_pool_is_pinned_and_every_cache_is_the_study_s(tmp_path: Path) -> None:
    found = stage_environment(tmp_path)
    pools = [name for name in found if name.endswith(("_NUM_THREADS", "_NUMBER_OF_THREADS"))]
    assert len(pools) >= 5
    assert {found[name] for name in pools} == {"1"}
    caches = ("MPLCONFIGDIR", "XDG_CACHE_HOME", "NIPYPE_CONFIG_DIR")
    assert all(found[name].startswith(str(tmp_path / ".cache")) for name in caches)


def test_sessions_are_one_submission_and_the_study_stages_their_own() -> None:
    profile = find_profile("slurm")
    settings = yaml.safe_load((profile / "config.yaml").read_text())
    assert settings["group-components"] == ["subject_{subject}=1000"]
    assert settings["slurm-status-command"] == "squeue"
