"""States that stand as they were catalogued, so that nobody has to open them again."""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterglow.provenance.catalog import CATALOG, outputs_of, short_id, write_table
from afterglow.provenance.dag import JobId
from afterglow.provenance.job import State
from afterglow.provenance.lookup import numbers
from afterglow.provenance.records import STATES, read_state

SNAPSHOT = CATALOG / "states.parquet"
_TOKEN = ("size", "mtime", "inode")
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


def current_rows(root: Path, names: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return a row per state as it stands now, opening only files that moved since the snapshot.

    Parameters
    ----------
    root : Path
        The study's ``out``.
    names : sequence of str, optional
        The columns wanted; all by default.
    """
    names = tuple(names) or tuple(_schema().names)
    return [dict(zip(names, values, strict=True)) for values in current_values(root, names)]


def current_values(root: Path, names: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return the values of :func:`current_rows` alone, for what looks at all of many."""
    columns, moved = _unmoved(root, names)
    rows = list(zip(*columns, strict=True))
    for path, token, state in moved:
        row = _row(path, token, state)
        rows.append(tuple(row[name] for name in names))
    return rows


def split_states(root: Path) -> tuple[list[State], Settled]:
    """Return the states that moved since the snapshot, and the others as catalogued."""
    columns, moved = _unmoved(root, ("stage", "subject", "session", "key"))
    jobs = {(stage, a, b): key for stage, a, b, key in zip(*columns, strict=True)}
    keys = {short_id(key): key for key in jobs.values()}
    found = outputs_of(root, jobs.values())
    return [state for _, _, state in moved], Settled(
        jobs, [(keys[n], path, digest, token) for n, path, digest, token in found]
    )


def _unmoved(
    root: Path, names: Sequence[str]
) -> tuple[list[list[Any]], list[tuple[str, Token, State]]]:
    """Return the columns of the snapshot whose files did not move, and the states that did."""
    import pyarrow.parquet as pq

    paths, tokens = _state_files(root)
    same = np.zeros(len(paths), dtype=bool)
    columns: list[list[Any]] = [[] for _ in names]
    if (root / SNAPSHOT).exists():
        # By column and without the dataset machinery: rows of 60,000 states take seconds.
        table = pq.ParquetFile(root / SNAPSHOT).read(columns=list({"path", *_TOKEN, *names}))
        spot = {path: number for number, path in enumerate(table.column("path").to_pylist())}
        place = np.fromiter((spot.get(path, -1) for path in paths), np.int64, len(paths))
        known = np.stack([numbers(table, name) for name in _TOKEN], axis=1)
        same = place >= 0
        same[same] = (known[place[same]] == tokens[same]).all(axis=1)
        kept = np.zeros(len(table), dtype=bool)
        kept[place[same]] = True
        columns = [list(compress(table.column(name).to_pylist(), kept)) for name in names]
    moved = []
    for number in np.flatnonzero(~same):
        state = read_state(root / paths[number])
        if state is not None:
            moved.append((paths[number], tuple(tokens[number].tolist()), state))
    return columns, moved


def _state_files(root: Path) -> tuple[list[str], NDArray[np.int64]]:
    """Return the path of every state, relative to ``root``, with its size, time and inode."""
    paths: list[str] = []
    tokens = array("q")
    for folder in sorted((root / STATES).glob("*")):
        with os.scandir(folder) as entries:
            found = [e for e in entries if e.name.endswith(".json") and e.name[0] != "."]
        place = f"{STATES}/{folder.name}/"
        paths += [place + entry.name for entry in found]
        for status in map(os.DirEntry.stat, found):
            tokens.extend((status.st_size, status.st_mtime_ns, status.st_ino))
    return paths, np.frombuffer(tokens, dtype=np.int64).reshape(-1, 3)


def _row(path: str, token: Token, state: State) -> dict[str, Any]:
    return {
        "path": path,
        **dict(zip(_TOKEN, token, strict=True)),
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
    numbers = [(name, pa.int64()) for name in _TOKEN]
    rest = [(name, pa.string()) for name in (*texts, "problems")]
    return pa.schema([("path", pa.string()), *numbers, *rest])
