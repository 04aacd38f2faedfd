"""The slurm profile on a real SLURM: what is submitted, and what is submitted again."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from afterglow.cli.driver import Selection, run_study
from afterglow.cli.status import status_rows
from afterglow.config import load_study
from afterglow.phantom.cohort import write_cohort
from afterglow.provenance.audit import verify
from afterglow.provenance.stages import STAGES
from fake_study import SESSIONS, FakeStudy, make_fake_study, run_in_process
from slurm_node import SlurmNode, missing_daemons, single_node

OPTIONS = (
    "--slurm-init-seconds-before-status-checks=1",
    "--slurm-no-account",
    *("--default-resources", "slurm_partition=main"),
)


@pytest.fixture(scope="module")
def node() -> Iterator[SlurmNode]:
    missing = missing_daemons()
    if missing:
        pytest.skip(f"SLURM is not installed here: no {', '.join(missing)} (.ci/run installs it)")
    with single_node() as found:
        yield found


def start(fake: FakeStudy, node: SlurmNode) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "afterglow.cli.app", "run", str(fake.study_file), "--no-scan"]
    environment = {**node.environment, "AFTERGLOW_RESOURCES": str(fake.resources)}
    return subprocess.Popen(
        [*command, "--profile", "slurm", "--", *OPTIONS],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def statuses(fake: FakeStudy) -> dict[tuple[str, str | None], str]:
    return {(row["stage"], row["session"]): row["status"] for row in status_rows(fake.out)}


def lower_memory(fake: FakeStudy, to: int) -> None:
    """Have the session stages ask for less, so that little memory is too much."""
    for name in ("ingest", "anat", "dsc", "dce"):
        path = fake.resources / f"rules/{name}.smk"
        lines = path.read_text().splitlines(keepends=True)
        asked = f"        mem_mb=lambda wildcards, attempt: {to} * attempt,\n"
        path.write_text("".join(asked if "mem_mb=" in line else line for line in lines))


def wait_for(what: str, fake: FakeStudy, place: tuple[str, str | None]) -> None:
    for _ in range(600):
        if statuses(fake)[place] == what:
            return
        time.sleep(0.2)
    raise AssertionError(f"{place} was never {what}: {statuses(fake)}")


def test_a_study_through_slurm(
    node: SlurmNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run: counted submissions, a memory excess, a cancelled job, and what status says."""
    local, fake = (make_fake_study(tmp_path / name) for name in ("local", "clüster run"))
    for study in (local, fake):
        study.write_plan(SESSIONS[:1])
    monkeypatch.setenv("AFTERGLOW_RESOURCES", str(local.resources))
    run_study(local.load(), local.study_file, Selection(), runner=run_in_process)
    monkeypatch.setenv("AFTERGLOW_RESOURCES", str(fake.resources))
    lower_memory(fake, 800)
    (session,) = {session for _, session in SESSIONS[:1]}
    fake.trouble("dce", "s1", session, "once_memory")
    fake.trouble("features", "s1", session, "once_linger")
    assert set(statuses(fake).values()) == {"pending"}

    driver = start(fake, node)
    try:
        wait_for("running", fake, ("dce", session))
        assert statuses(fake)["anat", session] == "done"
        assert statuses(fake)["features", session] == "pending"
        wait_for("done", fake, ("identity", None))
        wait_for("running", fake, ("features", session))
        assert {statuses(fake)[s, session] for s in ("bids", "anat", "dsc", "dce")} == {"done"}
        assert statuses(fake)["report", session] == statuses(fake)["tables", None] == "pending"
        (at_work,) = (number for number, state in node.jobs().items() if state == "RUNNING")
        node.ask("scancel", str(at_work))
        _, errors = driver.communicate(timeout=400)
    finally:
        driver.kill()
    assert driver.returncode == 0, errors
    assert set(statuses(fake).values()) == {"done"}
    assert verify(fake.load(), deep=True) == []
    assert fake.contents() == local.contents()

    # One for the session and once more with more memory; one for the subject and once more; three.
    ended = node.jobs()
    assert len(ended) == 7
    assert sorted(ended)[2] == at_work
    assert ended[at_work] == "CANCELLED"
    assert Counter(ended.values())["COMPLETED"] == 5
    memory = node.ask("squeue", "--states=all", "--noheader", "--format=%i %m").splitlines()
    asked = {int(line.split()[0]): line.split()[1] for line in memory}
    first, second = sorted(asked)[:2]
    assert (asked[first], asked[second]) == ("800M", "1600M")
    runs = Counter(stage for stage, *_ in fake.executions())
    assert runs == {**dict.fromkeys(runs, 1), "dce": 2, "features": 2}, "finished members relink"
    assert set(runs) == set(STAGES)


@pytest.mark.soak
def test_the_small_demo_through_slurm(node: SlurmNode, tmp_path: Path) -> None:
    """The real stages: the bytes of every table are those of a local run."""
    local, cluster = tmp_path / "local", tmp_path / "cluster"
    local.mkdir()
    write_cohort(local, size="small")
    afterglow = [sys.executable, "-m", "afterglow.cli.app"]
    subprocess.run([*afterglow, "index", str(local)], check=True)
    shutil.copytree(local, cluster)
    subprocess.run([*afterglow, "run", str(local)], check=True)
    before = len(node.jobs())
    command = [*afterglow, "run", str(cluster), "--profile", "slurm", "--", *OPTIONS]
    subprocess.run(command, env=node.environment, check=True)
    tables = {path.name: path.read_bytes() for path in (local / "out/tables").iterdir()}
    assert {path.name: path.read_bytes() for path in (cluster / "out/tables").iterdir()} == tables
    rows = status_rows(cluster / "out")
    sessions = {row["session"] for row in rows if row["session"]}
    subjects = {row["subject"] for row in rows if row["subject"]}
    assert len(node.jobs()) - before == len(sessions) + len(subjects) + 3
    assert verify(load_study(cluster), deep=True) == []
