"""What would run, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afterglow.provenance.dag import Dag, PlannedJob
from afterglow.provenance.job import State
from afterglow.provenance.places import JobId
from afterglow.provenance.records import input_results, read_record, read_state, result_digest
from afterglow.provenance.trust import Digests

RETRY = "retry"
_PART_KINDS = {
    "version": "stage version",
    "code": "code",
    "libraries": "library",
    "config": "parameter",
    "data": "data",
}


@dataclass(frozen=True)
class Reason:
    """Why a job must run: what was and what is."""

    kind: str
    old: str | None = None
    new: str | None = None

    def __str__(self) -> str:
        told = [value for value in (self.old, self.new) if value is not None]
        if len(told) == 2:
            return f"{self.kind} {self.old} -> {self.new}"
        return ": ".join((self.kind, *told))


def plan_jobs(
    dag: Dag,
    *,
    digests: Digests | None = None,
    retry_failed: bool = False,
    force: frozenset[JobId] = frozenset(),
) -> dict[JobId, list[Reason]]:
    """Return every job that must run with its reasons, in an order in which they can run.

    A job whose recorded key, outputs and record all stand is left alone. What depends on a job that
    runs, runs too; where its own key did not change, its stored result is linked again.
    """
    root = dag.study.out
    digests = digests or Digests(root)
    planned: dict[JobId, list[Reason]] = {}
    found: dict[str, str] = {}
    for job in dag.jobs.values():
        reasons = _reasons(root, job, digests, found, retry_failed=retry_failed)
        if job.id in force:
            reasons.append(Reason("forced"))
        waits = sorted({stage for stage, *_ in (u for u in job.upstream if u in planned)})
        if waits and not reasons:
            reasons.append(Reason("upstream", None, ", ".join(waits)))
        if reasons:
            planned[job.id] = reasons
    digests.save()
    return planned


def plan_json(planned: dict[JobId, list[Reason]]) -> dict[str, Any]:
    """Return a plan as `--json` prints it."""
    return {
        "jobs": [
            {
                "stage": stage,
                "subject": subject,
                "session": session,
                "reasons": [vars(reason) for reason in reasons],
            }
            for (stage, subject, session), reasons in planned.items()
        ]
    }


def _reasons(
    root: Path, job: PlannedJob, digests: Digests, found: dict[str, str], *, retry_failed: bool
) -> list[Reason]:
    """Return why a job must run; its result, where that stands, is noted in ``found`` by key."""
    path = root / job.state
    state = read_state(path)
    if state is None:
        previous = read_state(path.with_suffix(".superseded"))
        if previous is not None and previous.key != job.key:
            return _changes(root, previous, job)
        return [Reason("new" if previous is None else "unfinished")]
    if state.key != job.key:
        return _changes(root, state, job)
    record = read_record(root, job.key)
    if record is None:
        return [Reason("record missing")]
    found[job.key] = result_digest(state)
    again = _worth_retrying(state, retry_failed=retry_failed)
    if again is not None:
        return [Reason(RETRY, again, None)]
    reasons = [
        Reason("upstream result", result, found[key])
        for key, result in input_results(record).items()
        if found.get(key, result) != result
    ]
    for relative, digest in state.outputs.items():
        verdict = digests.check(relative, digest, record.get("stats", {}).get(relative))
        if verdict != "intact":
            reasons.append(Reason(f"output {verdict}", relative, None))
    return reasons


def _worth_retrying(state: State, *, retry_failed: bool) -> str | None:
    """Return what of a job failed and is to be tried again; None where nothing is."""
    if state.status == "failed" and (state.transient or retry_failed):
        return state.reason
    passing = [problem.what for problem in state.problems if problem.transient]
    return ", ".join(passing) if retry_failed and passing else None


def _changes(root: Path, old: State, job: PlannedJob) -> list[Reason]:
    """Return what differs between the parts of a recorded key and those of the planned one."""
    record = read_record(root, old.key)
    if record is None:
        return [Reason("record missing")]
    return part_changes(record["parts"], job.parts) or [Reason("unit changed")]


def part_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Reason]:
    """Return what differs between the parts of two keys, a reason a leaf."""
    reasons = []
    for part, kind in _PART_KINDS.items():
        reasons.extend(_differences(kind, before.get(part), now[part]))
    moved = [
        name for name in now["upstream"] if before["upstream"].get(name) != now["upstream"][name]
    ]
    gone = [name for name in before["upstream"] if name not in now["upstream"]]
    if moved or gone:
        reasons.append(Reason("upstream", None, ", ".join(sorted([*moved, *gone]))))
    return reasons


def _differences(kind: str, old: Any, new: Any) -> list[Reason]:
    """Return one reason per leaf that differs, named by its dotted key."""
    if old == new:
        return []
    if isinstance(old, dict) and isinstance(new, dict):
        found: list[Reason] = []
        for name in sorted({*old, *new}):
            below = f"{kind}.{name}" if "." in kind or " " in kind else f"{kind} {name}"
            found.extend(_differences(below, old.get(name), new.get(name)))
        return found
    return [Reason(kind, _short(old), _short(new))]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."
