"""What follows from a subject, an instance, a file or a release, and how it is taken back."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from afterglow.errors import AfterglowError
from afterglow.provenance import catalog, store
from afterglow.provenance.checkpoint import append_tombstone
from afterglow.provenance.records import (
    read_record,
    read_state,
    record_path,
    state_path,
    unit_name,
    write_atomically,
)
from afterglow.provenance.settled import write_snapshot

WITHDRAWN = Path("index/withdrawn.json")
_COLUMNS = ["key", "stage", "subject", "session", "version", "afterglow"]


@dataclass(frozen=True)
class Impact:
    """Everything that was made from something.

    Attributes
    ----------
    cause : dict
        What was asked: ``subject``, ``sop``, ``file`` or ``stage`` with ``version``.
    records : list of dict
        Key, stage, subject, session, stage version, and whether the record is the current one.
    files : list of str
        Outputs of current records, relative to ``out``.
    """

    cause: dict[str, str]
    records: list[dict[str, Any]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return the answer as JSON values."""
        return {"cause": self.cause, "records": self.records, "files": self.files}


def of_subject(root: Path, subject: str) -> Impact:
    """Return all that derives from a subject: withdrawn consent."""
    return _of(root, {"subject": subject}, _ids(root, "records", subject=subject))


def of_stage(root: Path, stage: str, version: str | None = None) -> Impact:
    """Return all that a stage made, or one version of it, with what was made from that."""
    cause = {"stage": stage} if version is None else {"stage": stage, "version": version}
    return _of(root, cause, _ids(root, "records", **cause))


def of_instance(root: Path, sop: str) -> Impact:
    """Return all that derives from a DICOM instance, given its keyed hash."""
    return _of(root, {"sop": sop}, _ids(root, "instances", sop=sop))


def of_file(root: Path, name: str) -> Impact:
    """Return all that derives from a file: an output's path, or the keyed hash of a source."""
    ids = _ids(root, "outputs", path=name) | _ids(root, "instances", file=name)
    return _of(root, {"file": name}, ids)


def remove(root: Path, impact: Impact) -> Path:
    """Delete all that an impact names and record that it was done on purpose.

    The outputs, states, stored copies, records, manifests and logs go; a tombstone in the chain of
    checkpoints keeps the keys and the cause. A removed subject is noted, so that the next scan
    leaves it out.
    """
    subject = impact.cause.get("subject")
    if subject is not None:
        _note_withdrawn(root, subject)
    manifests = [digest for r in impact.records for digest in _manifests(root, r["key"])]
    for path in impact.files:
        (root / path).unlink(missing_ok=True)
    for record in impact.records:
        _remove_record(root, record)
    for digest in manifests:
        if subject is not None:
            (root / catalog.MANIFESTS / f"{digest}.json").unlink(missing_ok=True)
    tombstone = append_tombstone(root, [r["key"] for r in impact.records], impact.cause)
    catalog.rebuild(root)
    write_snapshot(root)
    return tombstone


def withdrawn_subjects(root: Path) -> frozenset[str]:
    """Return the labels of subjects whose consent was withdrawn."""
    try:
        return frozenset(json.loads((root / WITHDRAWN).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return frozenset()


def _of(root: Path, cause: dict[str, str], start: set[int]) -> Impact:
    if not start:
        shown = " ".join(f"{name}={value}" for name, value in cause.items())
        raise AfterglowError(
            f"no record follows from {shown}",
            expected="something that a finished run used or made",
            remedy="`afterglow status STUDY` lists subjects, sessions and stages",
        )
    rows = _rows(root, catalog.descendants(root, start))
    records: list[dict[str, Any]] = []
    current: list[str] = []
    places = {state_path(row["stage"], row["subject"], row["session"]) for row in rows}
    states = {place: read_state(root / place) for place in places}
    for row in rows:
        state = states[state_path(row["stage"], row["subject"], row["session"])]
        stands = state is not None and state.key == row["key"]
        records.append({**row, "current": stands})
        if stands and state is not None:
            current.extend(state.outputs)
    return Impact(cause, records, sorted(current))


def _ids(root: Path, relation: str, **where: str) -> set[int]:
    return {row["id"] for row in catalog.rows_where(root, relation, ["id"], **where)}


def _rows(root: Path, ids: catalog.Ids) -> list[dict[str, Any]]:
    """Return catalogue rows by id, one a record, in order of stage and unit."""
    by_key = {row["key"]: row for row in catalog.records_among(root, ids, _COLUMNS)}
    return sorted(
        by_key.values(), key=lambda r: (r["stage"], unit_name(r["subject"], r["session"]), r["key"])
    )


def _remove_record(root: Path, record: dict[str, Any]) -> None:
    stage, subject, session, key = (record[k] for k in ("stage", "subject", "session", "key"))
    unit = unit_name(subject, session)
    if record["current"]:
        state = root / state_path(stage, subject, session)
        state.unlink(missing_ok=True)
        state.with_suffix(".superseded").unlink(missing_ok=True)
        for folder, suffix in (("logs", "log"), ("benchmarks", "tsv")):
            (root / folder / stage / f"{unit}.{suffix}").unlink(missing_ok=True)
    shutil.rmtree(store.entry(root, key), ignore_errors=True)
    record_path(root, key).unlink(missing_ok=True)


def _manifests(root: Path, key: str) -> list[str]:
    record = read_record(root, key)
    return list(record["inputs"]["files"].values()) if record else []


def _note_withdrawn(root: Path, subject: str) -> None:
    labels = sorted(withdrawn_subjects(root) | {subject})
    write_atomically(root / WITHDRAWN, json.dumps(labels, indent=1) + "\n")
    for manifest in (root / "index/manifests").glob(f"sub-{subject}_*.json"):
        manifest.unlink()
