"""Verify a study: what was tampered with, is missing, untracked, orphaned or stale."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from afterglow.provenance.checkpoint import check_checkpoints, covered_records
from afterglow.provenance.dag import Dag
from afterglow.provenance.digest import file_digest
from afterglow.provenance.job import State
from afterglow.provenance.records import read_record, read_states, record_path, state_path
from afterglow.provenance.trust import Digests

FindingClass = Literal["TAMPERED", "MISSING", "UNTRACKED", "ORPHAN", "STALE"]
_TRACKED_FOLDERS = ("bids", "derivatives", "tables", "cohort")


@dataclass(frozen=True)
class Finding:
    """One thing that does not stand as recorded."""

    kind: FindingClass
    path: str
    record_id: str | None
    detail: str


def verify(dag: Dag, *, deep: bool = False) -> list[Finding]:
    """Compare everything in a study with its ledger.

    Parameters
    ----------
    dag : Dag
        The study as planned now.
    deep : bool, optional
        Hash every output, whatever its size, time and inode say.

    Returns
    -------
    list of Finding
        Sorted; empty where all is as recorded.
    """
    root = dag.study.out
    digests = Digests(root, deep=deep)
    states = list(read_states(root))
    findings = [*_ledger(root), *_untracked(root, states)]
    for state in states:
        findings.extend(_state(dag, state, digests))
    findings.extend(_manifests(dag))
    digests.save()
    return sorted(set(findings), key=lambda f: (f.kind, f.path, f.detail))


def verify_json(findings: list[Finding]) -> dict[str, Any]:
    """Return findings in the shape of design section 4."""
    return {
        "clean": not findings,
        "findings": [
            {"class": f.kind, "path": f.path, "record_id": f.record_id, "detail": f.detail}
            for f in findings
        ],
    }


def _state(dag: Dag, state: State, digests: Digests) -> Iterator[Finding]:
    root = dag.study.out
    where = state_path(state.stage, state.subject, state.session)
    planned = dag.jobs.get((state.stage, state.subject, state.session))
    if planned is None:
        yield Finding("ORPHAN", where, state.key, "its session or subject has left the plan")
    elif planned.key != state.key:
        yield Finding("STALE", where, state.key, "the planned key differs: run the study again")
    record = read_record(root, state.key)
    if record is None:
        yield Finding(
            "MISSING", str(record_path(root, state.key).relative_to(root)), state.key, "record"
        )
        return
    recorded = {output["path"]: output["sha256"] for output in record["outputs"]}
    if recorded != state.outputs or record["status"] != state.status:
        yield Finding("TAMPERED", where, state.key, "state and record disagree")
    stats = record.get("stats", {})
    for path, digest in recorded.items():
        verdict = digests.check(path, digest, stats.get(path))
        if verdict == "missing":
            yield Finding("MISSING", path, state.key, "recorded output is absent")
        elif verdict == "tampered":
            yield Finding(
                "TAMPERED", path, state.key, f"sha256 differs from the recorded {digest[:12]}"
            )
    for parent in record["inputs"]["records"]:
        if read_record(root, parent["record_id"]) is None:
            path = str(record_path(root, parent["record_id"]).relative_to(root))
            yield Finding("MISSING", path, state.key, "parent record is absent")


def _ledger(root: Path) -> Iterator[Finding]:
    for path, detail in check_checkpoints(root):
        yield Finding("TAMPERED", path.relative_to(root).as_posix(), None, f"checkpoint: {detail}")
    for key, digest in covered_records(root).items():
        path = record_path(root, key)
        where = path.relative_to(root).as_posix()
        if not path.exists():
            yield Finding("MISSING", where, key, "record that a checkpoint covers")
        elif file_digest(path) != digest:
            yield Finding("TAMPERED", where, key, "record differs from its checkpoint")


def _untracked(root: Path, states: list[State]) -> Iterator[Finding]:
    known = {path for state in states for path in state.outputs}
    for folder in _TRACKED_FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            relative = path.relative_to(root).as_posix()
            if path.is_file() and relative not in known:
                yield Finding("UNTRACKED", relative, None, "no record names this file")


def _manifests(dag: Dag) -> Iterator[Finding]:
    root = dag.study.out
    for row in dag.rows:
        path = root / row["manifest"]
        if not path.exists():
            yield Finding("MISSING", row["manifest"], None, "manifest of a planned session")
        elif file_digest(path) != row["manifest_sha256"]:
            yield Finding("TAMPERED", row["manifest"], None, "manifest differs from the plan")
