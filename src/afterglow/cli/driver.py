"""Run a study: plan, two Snakemake calls, checkpoint, summary."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from afterglow.cli.engine import Snakemake, Watcher, default_cores, find_profile
from afterglow.cli.lock import driver_lock
from afterglow.cli.progress import Lines, tracker_of
from afterglow.config import Study
from afterglow.errors import AfterglowError, ExitCode
from afterglow.provenance.catalog import CATALOG, extend, rebuild
from afterglow.provenance.checkpoint import append_checkpoint
from afterglow.provenance.dag import Dag, load_dag, write_tickets
from afterglow.provenance.guard import HUNG, began, forget
from afterglow.provenance.places import ABSENT, ABSENT_STUDY, TICKETS, JobId
from afterglow.provenance.plan import RETRY, Reason, plan_jobs
from afterglow.provenance.records import read_state, write_atomically
from afterglow.provenance.settled import write_snapshot
from afterglow.provenance.signing import sign_head
from afterglow.provenance.stages import STAGES
from afterglow.provenance.store import entry
from afterglow.provenance.trust import Digests
from afterglow.provenance.wrapper import STARTS

Runner = Callable[[Dag, list[JobId]], None]


def _lines(dag: Dag, jobs: list[JobId]) -> Watcher:
    return Lines(tracker_of(dag, jobs))


@dataclass(frozen=True)
class Selection:
    """Which jobs a run is limited to; empty means all.

    ``batch`` is (number, of how many): a part of the subjects, the same whenever the plan is.
    """

    center: str | None = None
    subject: str | None = None
    session: str | None = None
    until: str | None = None
    batch: tuple[int, int] | None = None

    @property
    def everything(self) -> bool:
        """True where nothing is left out."""
        limits = (self.center, self.subject, self.session, self.until, self.batch)
        return limits == (None,) * len(limits)

    def targets(self, dag: Dag) -> list[JobId]:
        """Return the jobs asked for (what they depend on comes with them)."""
        wanted = []
        batch = self._batch(dag)
        for job in dag.jobs.values():
            level = STAGES[job.stage].level
            fits = (
                self.center in {None, job.center}
                and self.subject in {None, job.subject}
                and self.session in {None, job.session}
                and (batch is None or job.subject in batch)
            )
            if self.until is not None:
                fits = fits and job.stage == self.until
            elif not self.everything:
                fits = fits and level == "session"
            if fits:
                wanted.append(job.id)
        if not wanted:
            raise AfterglowError(
                "nothing in the plan fits the selection",
                expected="a center, subject, session or stage that `afterglow status` lists",
            )
        return wanted

    def _batch(self, dag: Dag) -> set[str | None] | None:
        """Return the subjects of one of several equal parts, or None where there are no parts."""
        if self.batch is None:
            return None
        number, parts = self.batch
        return set(sorted(dag.subjects)[number - 1 :: parts])


@dataclass
class RunResult:
    """What a run did."""

    dag: Dag
    ran: dict[JobId, list[Reason]]
    absent: list[dict[str, str | None]] = field(default_factory=list)


def with_upstream(dag: Dag, targets: Sequence[JobId]) -> set[JobId]:
    """Return jobs together with everything they depend on."""
    found: set[JobId] = set()
    todo = list(targets)
    while todo:
        job_id = todo.pop()
        if job_id not in found:
            found.add(job_id)
            todo.extend(dag.jobs[job_id].upstream)
    return found


def plan_study(
    study: Study,
    selection: Selection = Selection(),
    *,
    force: bool = False,
    retry_failed: bool = False,
    deep: bool = False,
) -> tuple[Dag, dict[JobId, list[Reason]]]:
    """Return the DAG and the jobs that must run within a selection."""
    dag = load_dag(study)
    targets = selection.targets(dag)
    chosen = with_upstream(dag, targets)
    forced = frozenset(targets) if force else frozenset()
    planned = plan_jobs(
        dag, digests=Digests(study.out, deep=deep), retry_failed=retry_failed, force=forced
    )
    return dag, {job_id: why for job_id, why in planned.items() if job_id in chosen}


def run_study(
    study: Study,
    study_file: Path,
    selection: Selection,
    *,
    cores: int | None = None,
    profile: str = "default",
    force: bool = False,
    retry_failed: bool = False,
    extra: Sequence[str] = (),
    runner: Runner | None = None,
    watch: Callable[[Dag, list[JobId]], Watcher] = _lines,
) -> RunResult:
    """Bring a study up to date and return what ran.

    Parameters
    ----------
    study, study_file : Study, Path
        The study and where it was read from.
    selection : Selection
        What to limit the run to.
    cores : int, optional
        Processes at once, all cores by default; on a cluster, processors of one submission.
    profile : str, optional
        Name of a profile under ``workflow/profiles``, or a profile folder.
    force, retry_failed : bool, optional
        Compute the selection again; try lasting failures again.
    extra : sequence of str, optional
        Further options for Snakemake.
    runner : callable, optional
        Runs the jobs it is given; Snakemake by default.
    watch : callable, optional
        Makes what follows the jobs of a phase; a line per event by default.

    Raises
    ------
    AfterglowError
        Another run is at work on the study, or Snakemake could not start.
    """
    with driver_lock(study.out), _checkpointed(study):
        _forget_absent(study)
        dag, planned = plan_study(study, selection, force=force, retry_failed=retry_failed)
        ran = dict(planned)
        for job_id, reasons in planned.items():
            # What is stored of a session some part of which failed would only be linked again.
            if force or any(reason.kind == RETRY for reason in reasons):
                shutil.rmtree(entry(study.out, dag.jobs[job_id].key), ignore_errors=True)
        place = find_profile(profile)
        call = runner or Snakemake(
            study, study_file, cores or default_cores(place), place, tuple(extra), watch
        )
        _bring_up(call, dag, [i for i in planned if STAGES[i[0]].level != "study"])
        absent = _note_absent(dag, [i for i in planned if STAGES[i[0]].level != "study"], ABSENT)
        if selection.everything or selection.until in {
            s for s in STAGES if STAGES[s].level == "study"
        }:
            dag, planned = plan_study(study, selection, retry_failed=retry_failed)
            late = {i: why for i, why in planned.items() if STAGES[i[0]].level == "study"}
            ran |= late
            _bring_up(call, dag, list(late))
            # In a file of its own: the tables' key follows from the other.
            absent += _note_absent(dag, list(late), ABSENT_STUDY)
        return RunResult(dag, ran, absent)


def exit_code(result: RunResult) -> ExitCode:
    """Return the exit status of a run: partial where anything failed or was quarantined."""
    states = [read_state(result.dag.study.out / job.state) for job in result.dag.jobs.values()]
    found = [state for state in states if state is not None]
    if not any(state.done for state in found):
        return ExitCode.NOTHING
    troubled = any(state.status == "failed" or state.problems for state in found)
    return ExitCode.PARTIAL if troubled or result.absent else ExitCode.DONE


def _bring_up(call: Runner, dag: Dag, jobs: list[JobId]) -> None:
    """Set the states of planned jobs aside and have the jobs run."""
    if not jobs:
        return
    write_tickets(dag.study.out, [dag.jobs[job_id] for job_id in jobs])
    for job_id in jobs:
        forget(dag.study.out, dag.jobs[job_id].key)
        _supersede(dag.study.out / dag.jobs[job_id].state)
    todo = list(jobs)
    while todo:
        call(dag, todo)
        left = _held_back(dag, jobs)
        todo = left if len(left) < len(todo) else []


def _held_back(dag: Dag, jobs: list[JobId]) -> list[JobId]:
    """Return jobs that could run and were never started.

    On a cluster those are members of a subject's submission in which another member waits for a
    session that was killed: they go again, without it.
    """
    root = dag.study.out
    planned, able = set(jobs), set[JobId]()
    for job_id in jobs:
        job = dag.jobs[job_id]
        fit = all(up in able or up not in planned or _stands(dag, up) for up in job.upstream)
        if fit and not _stands(dag, job_id) and not began(root, job.key):
            able.add(job_id)
    return [job_id for job_id in jobs if job_id in able]


def _stands(dag: Dag, job_id: JobId) -> bool:
    job = dag.jobs[job_id]
    state = read_state(dag.study.out / job.state)
    return state is not None and state.key == job.key


def _supersede(state: Path) -> None:
    """Set a state aside: Snakemake sees it missing, its successor sees what to withdraw."""
    if state.exists():
        state.replace(state.with_suffix(".superseded"))


def _note_absent(dag: Dag, planned: list[JobId], place: Path) -> list[dict[str, str | None]]:
    """Write down and return the jobs that left no current state: killed, out of memory or time."""
    missing: list[dict[str, str | None]] = []
    gone: set[JobId] = set()
    for job_id in planned:
        job = dag.jobs[job_id]
        if _stands(dag, job_id):
            continue
        gone.add(job_id)
        log = f"logs/{job.stage}/{job.unit}.log"
        waits = sorted({up[0] for up in job.upstream if up in gone})
        cause, remedy = _why_absent(dag.study.out / log, began(dag.study.out, job.key), waits)
        missing.append(
            {
                **dict(zip(("stage", "subject", "session"), job_id, strict=True)),
                "cause": cause,
                "remedy": remedy,
                "log": log,
            }
        )
    if missing:
        write_atomically(dag.study.out / place, json.dumps(missing, sort_keys=True, indent=1))
    return missing


def _why_absent(log: Path, started: bool, waits: list[str]) -> tuple[str, str]:
    """Return cause and remedy of a job without a result."""
    if waits:
        what = ", ".join(waits)
        return f"it never started: no result of {what}", f"mend {what}, then run again"
    if not started:
        return (
            "it never started: nobody could run it",
            "read logs/snakemake-sessions.log, then run again",
        )
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    if HUNG in text.rpartition(STARTS)[2]:
        return (
            "it ran past its time limit, again and again",
            "its log says where it hung; give it more time if that may help, then run again",
        )
    return (
        "it was killed, again and again: out of memory, cancelled, or its machine failed",
        "read its log; give it more memory or time, then run again",
    )


@contextmanager
def _checkpointed(study: Study) -> Iterator[None]:
    """Cover whatever was recorded by a checkpoint, however the run ends."""
    out = study.out
    # A driver that was killed left its tickets, which say what it may have recorded.
    _cover(out)
    try:
        yield
    finally:
        _cover(out)
        shutil.rmtree(out / ".work", ignore_errors=True)
        if study.ledger.signing_key is not None:
            sign_head(out, study.ledger.signing_key)


def _cover(out: Path) -> None:
    keys = [path.stem for path in (out / TICKETS).glob("*.json")]
    news = append_checkpoint(out, keys) if keys else []
    if not (out / CATALOG).is_dir():
        rebuild(out)
    elif news:
        extend(out, news)
    if keys:
        write_snapshot(out)


def _forget_absent(study: Study) -> None:
    for place in (ABSENT, ABSENT_STUDY):
        (study.out / place).unlink(missing_ok=True)
