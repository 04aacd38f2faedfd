"""Run one stage so that nothing half-done is taken for finished and no failure stops a cohort."""

from __future__ import annotations

import gc
import os
import re
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from afterglow.config import Study, load_study
from afterglow.errors import AfterglowError, NotEvaluable, is_transient
from afterglow.provenance import guard, store
from afterglow.provenance.closure import cached_code_digests
from afterglow.provenance.dag import CODE, PlannedJob, load_dag, read_ticket
from afterglow.provenance.job import Job, State
from afterglow.provenance.recording import job_record, run_facts
from afterglow.provenance.records import (
    dump_state,
    input_results,
    read_state,
    result_digest,
    state_path,
    write_atomically,
    write_record,
)
from afterglow.provenance.stages import STAGES
from afterglow.provenance.view import StudyView

STARTS = "-- starts: "
_RARELY = (20_000, 20, 20)

Main = Callable[[Job], None]


def run(snakemake: Any, main: Main) -> None:
    """Run ``main`` as the job that Snakemake asks for, log to its file, and record the result."""
    # What imports leave behind is never garbage: looking through it took a tenth of a short job.
    gc.freeze()
    gc.set_threshold(*_RARELY)
    study = load_study(snakemake.config["study"])
    with _log_to(study.out / str(snakemake.log[0])):
        key = str(snakemake.params.key)
        planned = read_ticket(study.out, key)
        if planned is None:
            wildcards = dict(snakemake.wildcards.items())
            planned = load_dag(study).of(
                snakemake.rule, wildcards.get("subject"), wildcards.get("session")
            )
        if key != planned.key or not _code_stands(study, planned):
            moved = AfterglowError(
                "the code or the settings changed after this run was planned",
                where=f"{planned.stage} {planned.unit}",
                remedy="run `afterglow run STUDY` again",
            )
            _say(str(moved))
            raise moved
        minutes = getattr(snakemake.resources, "runtime", None)
        _say(f"{STARTS}{planned.stage} {planned.unit}, at most {minutes} min")
        with guard.limited(60 * float(minutes) if minutes else None):
            run_job(
                study,
                planned,
                main,
                threads=int(snakemake.threads),
                asked={"mem_mb": getattr(snakemake.resources, "mem_mb", None), "runtime": minutes},
            )


def _code_stands(study: Study, planned: PlannedJob) -> bool:
    """Tell whether the code on disk is still that of the key the result will stand under."""
    stage = STAGES[planned.stage]
    code = cached_code_digests(STAGES, study.out / CODE)[stage.name]
    return bool(dict(stage.equivalent).get(code, code) == planned.parts["code"])


def run_job(
    study: Study,
    planned: PlannedJob,
    main: Main,
    *,
    threads: int = 1,
    asked: Mapping[str, Any] | None = None,
) -> State:
    """Run one job, or link its stored result, and write state and record.

    ``asked`` is what the scheduler granted: memory in MB and minutes.
    """
    with guard.alone(study.out, planned.key):
        stored = _stored(study.out, planned)
        if stored is not None:
            return _finish(study.out, planned, stored)
        return _run(study, planned, main, threads, dict(asked or {}))


def _stored(root: Path, planned: PlannedJob) -> State | None:
    """Return the stored result of a job, linked into place, if it was made from the same inputs."""
    state = store.stored_state(root, planned.key)
    if state is None:
        return None
    before = input_results(store.stored_record(root, planned.key) or {})
    now = {s.key: result_digest(s) for states in _upstream(root, planned).values() for s in states}
    if any(now.get(key, result) != result for key, result in before.items()):
        return None
    if not store.restore_record(root, planned.key):
        return None
    store.link_outputs(root, state)
    return state


def _run(
    study: Study, planned: PlannedJob, main: Main, threads: int, asked: dict[str, Any]
) -> State:
    root = study.out
    started = time.time()
    waited = guard.waited(root, planned.key, [root / state_path(*up) for up in planned.upstream])
    scratch = guard.scratch_folder(root, planned.key)
    if scratch.exists():
        shutil.rmtree(scratch)
    scratch.mkdir(parents=True)
    job = _job(study, planned, scratch, threads)
    state = _attempt(job, main, study)
    facts = {**run_facts(job, started), "waited": waited, "asked": asked}
    if state.done:
        try:
            near = store.bring_near(root, scratch, planned.key)
            record = job_record(near, job, planned, state, facts)
            store.publish(root, near, state, record)
            return _finish(root, planned, state)
        except OSError as error:
            _say(traceback.format_exc(), study)
            state = _unexpected(job, error, study)
    shutil.rmtree(scratch, ignore_errors=True)
    write_record(root, job_record(scratch, job, planned, state, facts))
    return _finish(root, planned, state)


def attempt_job(
    study: Study, planned: PlannedJob, main: Main, scratch: Path, *, threads: int = 1
) -> State:
    """Run one job into ``scratch`` and return how it ended; nothing is recorded or published."""
    return _attempt(_job(study, planned, scratch, threads), main, study)


def _job(study: Study, planned: PlannedJob, scratch: Path, threads: int) -> Job:
    """Return what the stage sees."""
    root = study.out
    view = cast("Study", StudyView(study, STAGES[planned.stage]))
    return Job(
        planned.stage,
        planned.key,
        root,
        scratch,
        view,
        planned.subject,
        planned.session,
        planned.center,
        _upstream(root, planned),
        threads,
        say=_say,
    )


def _upstream(root: Path, planned: PlannedJob) -> dict[str, list[State]]:
    """Return the states of all upstream jobs by stage."""
    upstream: dict[str, list[State]] = {}
    for stage, subject, session in planned.upstream:
        state = read_state(root / state_path(stage, subject, session))
        if state is None:
            raise AfterglowError(
                "the state of an upstream job is missing",
                where=state_path(stage, subject, session),
                remedy="run `afterglow run STUDY` again",
            )
        upstream.setdefault(stage, []).append(state)
    return upstream


def _attempt(job: Job, main: Main, study: Study) -> State:
    """Run the stage and turn whatever happens into a state."""
    try:
        main(job)
        outputs = store.digest_tree(job.scratch)
    except NotEvaluable as reason:
        return _state(job, "not_evaluable", reason.reason, reason.detail)
    except AfterglowError as error:
        _say(traceback.format_exc(), study)
        detail = _within(str(error), job)
        return _state(
            job, "failed", error.what, detail, remedy=error.remedy, transient=error.transient
        )
    except Exception as error:  # noqa: BLE001  one bad scan never stops a cohort
        _say(traceback.format_exc(), study)
        return _unexpected(job, error, study)
    return _state(job, "done", outputs=outputs)


def _unexpected(job: Job, error: Exception, study: Study) -> State:
    """Return the state of a job that ended with an error nobody foresaw."""
    transient = is_transient(error)
    cause = _within(_scrub(f"{type(error).__name__}: {error}", study), job)
    remedy = (
        "free space or memory or mend permissions, then run again"
        if transient
        else f"see the log of {job.stage}; if the input is sound, report this as a defect"
    )
    return _state(job, "failed", cause[:300], cause, remedy=remedy, transient=transient)


def _state(job: Job, status: Any, reason: str = "", detail: str = "", **values: Any) -> State:
    return State(
        job.stage,
        job.key,
        job.subject,
        job.session,
        status,
        reason=reason,
        detail=detail,
        summary=job.summary if status == "done" else {},
        problems=job.problems,
        warnings=job.warnings,
        **values,
    )


def _finish(root: Path, planned: PlannedJob, state: State) -> State:
    """Withdraw what the new state no longer makes, then write the state: last of all."""
    path = root / planned.state
    old = read_state(path) or read_state(path.with_suffix(".superseded"))
    if old is not None:
        store.withdraw(root, old, state)
    write_atomically(path, dump_state(state))
    path.with_suffix(".superseded").unlink(missing_ok=True)
    return state


def _scrub(text: str, study: Study) -> str:
    """Take incoming paths out of a message: folder and file names there may carry identities."""
    for center in study.centers:
        for root in [*center.dicom, *([center.masks] if center.masks else [])]:
            text = re.sub(
                re.escape(str(root)) + r"[^'\"\n]*", f"{center.name}:<incoming file>", text
            )
    return text


def _within(text: str, job: Job) -> str:
    """Name files of the study from its own folder: a state is the same wherever a study lies."""
    for folder in (job.scratch, job.root, job.root.parent):
        text = text.replace(f"{folder}/", "")
    return text


def _say(message: str, study: Study | None = None) -> None:
    sys.stderr.write((_scrub(message, study) if study is not None else message).rstrip() + "\n")
    sys.stderr.flush()


class _log_to:  # noqa: N801  reads as a verb in a with statement
    """Send this process's output, that of C libraries and children included, to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        sys.stdout.flush()
        sys.stderr.flush()
        self._saved = os.dup(1), os.dup(2)
        with self._path.open("ab") as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        for saved, target in zip(self._saved, (1, 2), strict=True):
            os.dup2(saved, target)
            os.close(saved)
