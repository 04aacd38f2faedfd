"""States that stand as they were catalogued, so that nobody has to open them again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from afterglow.provenance.catalog import CATALOG, outputs_of, short_id, write_table
from afterglow.provenance.dag import JobId
from afterglow.provenance.job import State
from afterglow.provenance.records import STATES, read_state

SNAPSHOT = CATALOG / "states.parquet"
Token = tuple[int, int, int]


@dataclass(frozen=True)
class Settled:
    """Jobs whose states did not move since the snapshot, and what they wrote.

    Attributes
    ----------
    jobs : dict
        Key by stage, subject and session.
    outputs : list of tuple
        Key, path, sha256 and (size, time, inode) as recorded.
    """

    jobs: dict[JobId, str] = field(default_factory=dict)
    outputs: list[tuple[str, str, str, list[int]]] = field(default_factory=list)


def write_snapshot(root: Path) -> None:
    """Keep all states as one table with the size, time and inode of each file."""
    import pyarrow as pa

    rows = current_rows(root)
    if rows:
        write_table(pa.Table.from_pylist(rows, schema=_schema()), root / SNAPSHOT)


def snapshot_rows(root: Path) -> list[dict[str, Any]]:
    """Return the snapshot, a row per state; empty where none was taken."""
    import pyarrow.parquet as pq

    path = root / SNAPSHOT
    if not path.exists():
        return []
    # Read by column and without the dataset machinery: half a second at 60,000 states.
    found = pq.ParquetFile(path).read().to_pydict()
    return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]


def current_rows(root: Path) -> list[dict[str, Any]]:
    """Return a row per state as it stands now, opening only files that moved."""
    before = {row["path"]: row for row in snapshot_rows(root)}
    rows = []
    for path, token in state_files(root):
        old = before.get(path)
        if old is not None and _token(old) == token:
            rows.append(old)
        elif (state := read_state(root / path)) is not None:
            rows.append(_row(path, token, state))
    return rows


def split_states(root: Path) -> tuple[list[State], Settled]:
    """Return the states that moved since the snapshot, and the others as catalogued."""
    before = {row["path"]: row for row in snapshot_rows(root)}
    moved: list[State] = []
    jobs: dict[JobId, str] = {}
    for path, token in state_files(root):
        row = before.get(path)
        if row is not None and _token(row) == token:
            jobs[row["stage"], row["subject"], row["session"]] = row["key"]
        elif (state := read_state(root / path)) is not None:
            moved.append(state)
    keys = {short_id(key): key for key in jobs.values()}
    found = outputs_of(root, jobs.values())
    return moved, Settled(
        jobs, [(keys[n], path, digest, token) for n, path, digest, token in found]
    )


def state_files(root: Path) -> Iterator[tuple[str, Token]]:
    """Yield the path of every state, relative to ``root``, with its size, time and inode."""
    for folder in sorted((root / STATES).glob("*")):
        with os.scandir(folder) as entries:
            found = [e for e in entries if e.name.endswith(".json") and e.name[0] != "."]
        for entry in sorted(found, key=lambda e: e.name):
            status = entry.stat()
            name = f"{STATES}/{folder.name}/{entry.name}"
            yield name, (status.st_size, status.st_mtime_ns, status.st_ino)


def _token(row: dict[str, Any]) -> Token:
    return row["size"], row["mtime"], row["inode"]


def _row(path: str, token: Token, state: State) -> dict[str, Any]:
    size, mtime, inode = token
    return {
        "path": path,
        "size": size,
        "mtime": mtime,
        "inode": inode,
        "stage": state.stage,
        "subject": state.subject,
        "session": state.session,
        "key": state.key,
        "status": state.status,
        "reason": state.reason,
        "detail": state.detail,
        "remedy": state.remedy,
        "problems": json.dumps([vars(problem) for problem in state.problems]),
    }


def _schema() -> Any:
    import pyarrow as pa

    texts = ("stage", "subject", "session", "key", "status", "reason", "detail", "remedy")
    numbers = [(name, pa.int64()) for name in ("size", "mtime", "inode")]
    rest = [(name, pa.string()) for name in (*texts, "problems")]
    return pa.schema([("path", pa.string()), *numbers, *rest])
