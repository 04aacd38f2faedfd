"""States that stand as they were catalogued, so that nobody has to open them again."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from afterglow.provenance.catalog import CATALOG, outputs_of, write_table
from afterglow.provenance.file_stats import TOKEN, Tokens, json_files
from afterglow.provenance.job import State
from afterglow.provenance.lookup import numbers
from afterglow.provenance.places import JobId
from afterglow.provenance.records import STATES, read_state, read_states

if TYPE_CHECKING:
    import pyarrow as pa

SNAPSHOT = CATALOG / "states.parquet"
_FOLDERS = "folders"
_TICK = 2_000_000_000
Token = tuple[int, int, int]


@dataclass(frozen=True)
class Settled:
    """Jobs whose states did not move since the snapshot, and what they wrote.

    Attributes
    ----------
    jobs : dict
        Key by stage, subject and session.
    outputs : pyarrow.Table
        Short id of the key, path, sha256, size, time and inode as recorded.
    """

    jobs: dict[JobId, str]
    outputs: pa.Table


def write_snapshot(root: Path) -> None:
    """Keep all states as one table with the size, time and inode of each file."""
    import pyarrow as pa

    # Before the files are looked at, so that what changes meanwhile counts as a change.
    folders = _quiet_folders(root)
    rows = current_rows(root)
    if rows:
        table = pa.Table.from_pylist(rows, schema=_schema())
        told = {_FOLDERS: json.dumps(folders)}
        write_table(table.replace_schema_metadata(told), root / SNAPSHOT)


def _quiet_folders(root: Path) -> dict[str, int]:
    """Return when each folder of states changed (ns), without those that changed just now.

    A second change within a tick of the file system's clock would leave no trace.
    """
    now = time.time_ns()
    changed = {path.name: path.stat().st_mtime_ns for path in (root / STATES).glob("*")}
    return {name: when for name, when in changed.items() if when < now - _TICK}


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
    columns = current_columns(root, names)
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def current_columns(
    root: Path, names: Sequence[str], *, by_folder: bool = False
) -> list[list[Any]]:
    """Return the columns of :func:`current_rows`, for what looks at all of many.

    With ``by_folder``, the states of a folder that did not change are not looked at one by one:
    a state is only ever replaced by renaming, which changes its folder. Whoever edits one in place
    is for `verify` to find.
    """
    columns, moved = _unmoved(root, names, by_folder=by_folder)
    for path, token, state in moved:
        row = _row(path, token, state)
        for name, column in zip(names, columns, strict=True):
            column.append(row[name])
    return columns


def split_states(root: Path) -> tuple[list[State], Settled]:
    """Return the states that moved since the snapshot, and the others as catalogued."""
    columns, moved = _unmoved(root, ("stage", "subject", "session", "key"))
    jobs = {(stage, a, b): key for stage, a, b, key in zip(*columns, strict=True)}
    return [state for _, _, state in moved], Settled(jobs, outputs_of(root, jobs.values()))


def all_states(root: Path) -> tuple[list[State], Settled]:
    """Return every state as read from its file, and nothing as catalogued."""
    return list(read_states(root)), Settled({}, outputs_of(root, ()))


def _unmoved(
    root: Path, names: Sequence[str], *, by_folder: bool = False
) -> tuple[list[list[Any]], list[tuple[str, Token, State]]]:
    """Return the columns of the snapshot whose files did not move, and the states that did."""
    import pyarrow.parquet as pq

    table, unchanged = None, frozenset[str]()
    if (root / SNAPSHOT).exists():
        # By column and without the dataset machinery: rows of 60,000 states take seconds.
        file = pq.ParquetFile(root / SNAPSHOT)
        unchanged = _unchanged_folders(root, file.schema_arrow.metadata) if by_folder else unchanged
        table = file.read(columns=list({"path", "stage", *TOKEN, *names}))
    paths, tokens = _state_files(root, unchanged)
    columns: list[list[Any]] = [[] for _ in names]
    same = np.zeros(len(paths), dtype=bool)
    if table is not None:
        kept = np.array([stage in unchanged for stage in table.column("stage").to_pylist()])
        place = _places(table, paths) if paths else np.empty(0, np.int64)
        known = np.stack([numbers(table, name) for name in TOKEN], axis=1)
        same = place >= 0
        same[same] = (known[place[same]] == tokens[same]).all(axis=1)
        kept[place[same]] = True
        columns = [list(compress(table.column(name).to_pylist(), kept)) for name in names]
    states = ((n, read_state(root / paths[n])) for n in np.flatnonzero(~same))
    moved = [(paths[n], tuple(tokens[n].tolist()), s) for n, s in states if s is not None]
    return columns, moved


def _unchanged_folders(root: Path, told: Mapping[bytes, bytes] | None) -> frozenset[str]:
    """Return the folders of states that stand as they did when the snapshot was taken."""
    before: dict[str, int] = json.loads((told or {}).get(_FOLDERS.encode(), b"{}"))
    now = {path.name: path.stat().st_mtime_ns for path in (root / STATES).glob("*")}
    return frozenset(name for name, when in before.items() if now.get(name) == when)


def _places(table: pa.Table, paths: Sequence[str]) -> NDArray[np.int64]:
    """Return where the snapshot has each path, -1 where it does not."""
    spot = {path: number for number, path in enumerate(table.column("path").to_pylist())}
    return np.fromiter((spot.get(path, -1) for path in paths), np.int64, len(paths))


def _state_files(root: Path, but: Collection[str]) -> tuple[list[str], Tokens]:
    """Return the path of every state, relative to ``root``, with its size, time and inode."""
    paths: list[str] = []
    tokens = [np.empty((0, 3), dtype=np.int64)]
    for folder in sorted((root / STATES).glob("*")):
        if folder.name not in but:
            names, found = json_files(folder)
            paths += [f"{STATES}/{folder.name}/{name}" for name in names]
            tokens.append(found)
    return paths, np.concatenate(tokens)


def _row(path: str, token: Token, state: State) -> dict[str, Any]:
    return {
        "path": path,
        **dict(zip(TOKEN, token, strict=True)),
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
    numbers = [(name, pa.int64()) for name in TOKEN]
    rest = [(name, pa.string()) for name in (*texts, "problems")]
    return pa.schema([("path", pa.string()), *numbers, *rest])
