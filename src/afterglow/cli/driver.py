"""Run a study: plan, two Snakemake calls, checkpoint, summary."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from afterglow.cli.progress import Progress
from afterglow.config import Study
from afterglow.config.resources import resource
from afterglow.errors import AfterglowError, ExitCode
from afterglow.provenance.catalog import CATALOG, extend, rebuild
from afterglow.provenance.checkpoint import append_checkpoint
from afterglow.provenance.dag import ABSENT, TICKETS, Dag, JobId, load_dag, write_tickets
from afterglow.provenance.plan import Reason, plan_jobs
from afterglow.provenance.records import read_state, write_atomically
from afterglow.provenance.settled import write_snapshot
from afterglow.provenance.signing import sign_head
from afterglow.provenance.stages import STAGES
from afterglow.provenance.store import entry
from afterglow.provenance.trust import Digests

Runner = Callable[[Dag, list[JobId]], None]

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)


@dataclass(frozen=True)
class Selection:
    """Which jobs a run is limited to; empty means all."""

    center: str | None = None
    subject: str | None = None
    session: str | None = None
    until: str | None = None

    @property
    def everything(self) -> bool:
        """True where nothing is left out."""
        return (self.center, self.subject, self.session, self.until) == (None,) * 4

    def targets(self, dag: Dag) -> list[JobId]:
        """Return the jobs asked for (what they depend on comes with them)."""
        wanted = []
        for job in dag.jobs.values():
            level = STAGES[job.stage].level
            fits = (
                self.center in {None, job.center}
                and self.subject in {None, job.subject}
                and self.session in {None, job.session}
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
    cores: int,
    profile: str = "default",
    force: bool = False,
    retry_failed: bool = False,
    extra: Sequence[str] = (),
    runner: Runner | None = None,
) -> RunResult:
    """Bring a study up to date and return what ran.

    Parameters
    ----------
    study, study_file : Study, Path
        The study and where it was read from.
    selection : Selection
        What to limit the run to.
    cores : int
        Cores for Snakemake.
    profile : str, optional
        Name of a profile under ``workflow/profiles``, or a profile folder.
    force, retry_failed : bool, optional
        Compute the selection again; try lasting failures again.
    extra : sequence of str, optional
        Further options for Snakemake.
    runner : callable, optional
        Runs the jobs it is given; Snakemake by default.

    Raises
    ------
    AfterglowError
        Another run is at work on the study, or Snakemake could not start.
    """
    with driver_lock(study.out), _checkpointed(study):
        _forget_absent(study)
        dag, planned = plan_study(study, selection, force=force, retry_failed=retry_failed)
        ran = dict(planned)
        if force:
            for job_id in planned:
                shutil.rmtree(entry(study.out, dag.jobs[job_id].key), ignore_errors=True)
        call = runner or _Snakemake(study, study_file, cores, profile, tuple(extra))
        _bring_up(call, dag, [i for i in planned if STAGES[i[0]].level != "study"])
        absent = _absent(dag, planned)
        if absent:
            write_atomically(study.out / ABSENT, json.dumps(absent, sort_keys=True, indent=1))
        if selection.everything or selection.until in {
            s for s in STAGES if STAGES[s].level == "study"
        }:
            dag, planned = plan_study(study, selection, retry_failed=retry_failed)
            late = {i: why for i, why in planned.items() if STAGES[i[0]].level == "study"}
            ran |= late
            _bring_up(call, dag, list(late))
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
        _supersede(dag.study.out / dag.jobs[job_id].state)
    call(dag, jobs)


@dataclass(frozen=True)
class _Snakemake:
    """One Snakemake call over the jobs of a phase."""

    study: Study
    study_file: Path
    cores: int
    profile: str
    extra: tuple[str, ...]

    def __call__(self, dag: Dag, jobs: list[JobId]) -> None:
        out = self.study.out
        level = "study" if STAGES[jobs[0][0]].level == "study" else "sessions"
        log = out / "logs" / f"snakemake-{level}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        progress = Progress(dag, jobs)
        needed = {u for i in jobs for u in dag.jobs[i].upstream}
        leaves = [dag.jobs[i].state for i in jobs if i not in needed]
        with log.open("w", encoding="utf-8") as stream:
            process = subprocess.Popen(
                [*self.command(), "--", *leaves],
                cwd=out,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=stage_environment(out),
            )
            while _running(process):
                progress.look()
            progress.look()
        if process.returncode != 0 and progress.finished == 0:
            tail = "".join(log.read_text(encoding="utf-8").splitlines(keepends=True)[-15:])
            raise AfterglowError(
                f"Snakemake ended with {process.returncode} before any job finished:\n{tail}",
                where=str(log.relative_to(out)),
                remedy="mend what the last lines name, then run again",
                exit_code=ExitCode.NOTHING,
            )

    def command(self) -> list[str]:
        """Return Snakemake's command line without targets."""
        own = Path(self.profile)
        profile = own if own.is_dir() else resource(f"workflow/profiles/{self.profile}")
        return [
            sys.executable,
            *("-m", "snakemake"),
            *("--snakefile", str(resource("workflow/Snakefile"))),
            *("--directory", str(self.study.out)),
            *("--profile", str(profile), "--workflow-profile", "none"),
            *("--cores", str(self.cores)),
            *("--config", f"study={self.study_file}"),
            *self.extra,
        ]


def stage_environment(out: Path) -> dict[str, str]:
    """Return the environment of a job: one thread, caches inside the study, no calls home."""
    caches = out / ".cache"
    environment = dict(os.environ)
    environment.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    # Every job is a process of its own: compiling its imports anew would cost more than its work.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    if not _keeps_compiled_code():
        environment.setdefault("NUMBA_CACHE_DIR", str(caches / "numba"))
    environment.update(
        MPLCONFIGDIR=str(caches / "matplotlib"),
        MPLBACKEND="Agg",
        XDG_CACHE_HOME=str(caches / "xdg"),
        NIPYPE_NO_ET="1",
        NO_ET="1",
        PYTHONHASHSEED="0",
        AFTERGLOW_GIT_COMMIT=_git_commit(),
    )
    return environment


def _keeps_compiled_code() -> bool:
    """Tell whether compiled kernels can stay beside their modules, for all studies at once."""
    import sysconfig

    places = (Path(__file__).resolve().parents[1], Path(sysconfig.get_path("purelib")))
    return all(os.access(place, os.W_OK) for place in places)


def _git_commit() -> str:
    here = Path(__file__).resolve().parent
    try:
        found = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40"],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""


def _running(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(timeout=0.5)
    except subprocess.TimeoutExpired:
        return True
    return False


def _supersede(state: Path) -> None:
    """Set a state aside: Snakemake sees it missing, its successor sees what to withdraw."""
    if state.exists():
        state.replace(state.with_suffix(".superseded"))


def _absent(dag: Dag, planned: dict[JobId, list[Reason]]) -> list[dict[str, str | None]]:
    """Return the jobs that left no current state: killed, out of memory or out of time."""
    missing: list[dict[str, str | None]] = []
    for job_id in planned:
        job = dag.jobs[job_id]
        state = read_state(dag.study.out / job.state)
        if STAGES[job.stage].level != "study" and (state is None or state.key != job.key):
            missing.append(
                {
                    "stage": job.stage,
                    "subject": job.subject,
                    "session": job.session,
                    "cause": "the job was killed or could not start: its log may say more",
                    "remedy": "read its log; give it more memory or time, then run again",
                    "log": f"logs/{job.stage}/{job.unit}.log",
                }
            )
    return missing


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
    (study.out / ABSENT).unlink(missing_ok=True)


@contextmanager
def driver_lock(out: Path) -> Iterator[None]:
    """Hold the study against a second driver; the lock falls with the process."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".driver.lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AfterglowError(
                "another `afterglow run` is at work on this study",
                where=str(out),
                remedy="wait for it; `afterglow status STUDY` shows how far it is",
            ) from error
        yield
