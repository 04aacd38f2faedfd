"""Verify a study: what was tampered with, is missing, untracked, orphaned or stale."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from afterglow.config import Study
from afterglow.provenance.catalog import short_id
from afterglow.provenance.checkpoint import check_checkpoints
from afterglow.provenance.dag import Dag, load_dag
from afterglow.provenance.digest import file_digest
from afterglow.provenance.file_stats import TOKEN, LookAside
from afterglow.provenance.job import State
from afterglow.provenance.lookup import rows
from afterglow.provenance.places import TICKETS, JobId
from afterglow.provenance.records import (
    read_record,
    record_path,
    result_digest,
    state_path,
    superseded_states,
)
from afterglow.provenance.results import compare_results
from afterglow.provenance.settled import Settled, all_states, split_states
from afterglow.provenance.signing import check_signatures
from afterglow.provenance.trust import Digests
from afterglow.provenance.vouched import faults, look_at_records

FindingClass = Literal["TAMPERED", "MISSING", "UNTRACKED", "ORPHAN", "STALE"]


@dataclass(frozen=True)
class Finding:
    """One thing that does not stand as recorded."""

    kind: FindingClass
    path: str
    record_id: str | None
    detail: str


def verify(study: Study, *, deep: bool = False) -> list[Finding]:
    """Compare everything in a study with its ledger.

    Parameters
    ----------
    study : Study
        The study, as planned now.
    deep : bool, optional
        Hash every output, whatever its size, time and inode say.

    Returns
    -------
    list of Finding
        Sorted; empty where all is as recorded.
    """
    root = study.out
    # The million files of a ledger take as long as all the rest, and only wait for the disk.
    with look_at_records(root) as look:
        findings = list(_planned(study, deep=deep))
        findings.extend(_ledger(root, look, deep=deep))
    for path, detail in check_signatures(root, study.ledger.public_key):
        findings.append(
            Finding("TAMPERED", path.relative_to(root).as_posix(), None, f"checkpoint: {detail}")
        )
    return sorted(set(findings), key=lambda f: (f.kind, f.path, f.detail))


def _planned(study: Study, *, deep: bool) -> Iterator[Finding]:
    """Compare states, results and manifests with the plan and with each other."""
    root = study.out
    digests, dag = Digests(root, deep=deep), load_dag(study)
    states, settled = all_states(root) if deep else split_states(root)
    yield from _results(root, states, settled, digests)
    for state in states:
        yield from _state(dag, state, digests)
    for job, key in settled.jobs.items():
        yield from _place(dag, job, key)
    yield from _manifests(dag)
    digests.save()


def verify_json(findings: list[Finding]) -> dict[str, Any]:
    """Return findings as `--json` prints them."""
    return {
        "clean": not findings,
        "findings": [
            {"class": f.kind, "path": f.path, "record_id": f.record_id, "detail": f.detail}
            for f in findings
        ],
    }


def _place(dag: Dag, job: JobId, key: str) -> Iterator[Finding]:
    """Compare the key of a state with what is planned in its place."""
    planned = dag.jobs.get(job)
    if planned is None:
        yield Finding("ORPHAN", state_path(*job), key, "its session or subject has left the plan")
    elif planned.key != key:
        detail = "the planned key differs: run the study again"
        yield Finding("STALE", state_path(*job), key, detail)


def _state(dag: Dag, state: State, digests: Digests) -> Iterator[Finding]:
    root = dag.study.out
    where = state_path(state.stage, state.subject, state.session)
    yield from _place(dag, (state.stage, state.subject, state.session), state.key)
    record = read_record(root, state.key)
    if record is None:
        yield Finding(
            "MISSING", str(record_path(root, state.key).relative_to(root)), state.key, "record"
        )
        return
    recorded = {output["path"]: output["sha256"] for output in record["outputs"]}
    told = record.get("result")
    other = told is not None and told != result_digest(state)
    if recorded != state.outputs or record["status"] != state.status or other:
        yield Finding("TAMPERED", where, state.key, "state and record disagree")
    stats = record.get("stats", {})
    for path, digest in recorded.items():
        yield from _output(state.key, path, digest, stats.get(path), digests)
    for parent in record["inputs"]["records"]:
        if read_record(root, parent["record_id"]) is None:
            path = str(record_path(root, parent["record_id"]).relative_to(root))
            yield Finding("MISSING", path, state.key, "parent record is absent")


def _output(
    key: str, path: str, digest: str, token: list[int] | None, digests: Digests
) -> Iterator[Finding]:
    verdict = digests.check(path, digest, token)
    if verdict == "missing":
        yield Finding("MISSING", path, key, "recorded output is absent")
    elif verdict == "tampered":
        yield Finding("TAMPERED", path, key, f"sha256 differs from the recorded {digest[:12]}")


def _ledger(root: Path, look: LookAside, *, deep: bool) -> Iterator[Finding]:
    wrong, covered = check_checkpoints(root, deep=deep)
    for path, detail in wrong:
        yield Finding("TAMPERED", path.relative_to(root).as_posix(), None, f"checkpoint: {detail}")
    at_work = {path.stem for path in (root / TICKETS).glob("*.json")}
    for key, fault in faults(root, covered, look, deep=deep):
        where = record_path(root, key).relative_to(root).as_posix()
        if fault == "missing":
            yield Finding("MISSING", where, key, "record that a checkpoint covers")
        elif fault == "differs":
            yield Finding("TAMPERED", where, key, "record differs from its checkpoint")
        elif key not in at_work:
            yield Finding("TAMPERED", where, key, "no checkpoint vouches for this record")


def _results(
    root: Path, states: list[State], settled: Settled, digests: Digests
) -> Iterator[Finding]:
    """Look for files that no record names, and check catalogued ones where they moved."""
    others = {path for state in (*states, *superseded_states(root)) for path in state.outputs}
    moved, strays = compare_results(root, settled.outputs, others)
    for path in strays:
        yield Finding("UNTRACKED", path, None, "no record names this file")
    key_of = {short_id(key): key for key in settled.jobs.values()}
    for row in rows(settled.outputs, moved):
        token = [row[name] for name in TOKEN]
        yield from _output(key_of[row["id"]], row["path"], row["sha256"], token, digests)


def _manifests(dag: Dag) -> Iterator[Finding]:
    root = dag.study.out
    for row in dag.rows:
        path = root / row["manifest"]
        if not path.exists():
            yield Finding("MISSING", row["manifest"], None, "manifest of a planned session")
        elif file_digest(path) != row["manifest_sha256"]:
            yield Finding("TAMPERED", row["manifest"], None, "manifest differs from the plan")
