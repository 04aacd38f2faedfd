"""One pass over incoming files: one row per SOP instance, headers only.

Folders, files without extension, zip and tar archives. A file whose size, modification time
and inode are those of the last scan is not opened again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from afterglow.dicom.archives import ARCHIVES, members
from afterglow.dicom.instance import SCHEMA, describe, reject, tabulate
from afterglow.errors import AfterglowError, ExitCode

_CHUNK = 128
_KEYS = ("path", "size", "mtime_ns", "inode")
_SCHEMA_KEY = b"afterglow_inventory"
_SCHEMA_VERSION = b"7"
_UNREADABLE = "unreadable_"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Found:
    """A file seen on disk, or with ``problem`` what could not be looked into."""

    path: str
    size: int
    mtime_ns: int
    inode: int
    problem: str = ""


def scan(
    paths: Sequence[Path | str],
    cache: Path | str | None = None,
    *,
    jobs: int = 1,
    progress: Progress | None = None,
) -> pa.Table:
    """List every DICOM instance under the given paths.

    Parameters
    ----------
    paths : sequence of path
        Folders, single files, zip or tar archives.
    cache : path, optional
        Parquet file that holds the last result; it is read first and rewritten when something
        changed. It contains identifiers and belongs in the private folder.
    jobs : int, optional
        Processes that read headers.
    progress : callable, optional
        Called with the number of new files read and their total.

    Returns
    -------
    pyarrow.Table
        One row per instance (``afterglow.dicom.instance.SCHEMA``), sorted by path and member.
        Files that are no DICOM, or whose header is broken, have ``status`` ``rejected`` and a
        ``reason``, and so have folders and links that cannot be looked into.

    Raises
    ------
    AfterglowError
        A given path does not exist.
    """
    found = {item.path: item for item in _walk(paths)}
    old = _load(cache)
    kept, stale = _unchanged(old, found)
    fresh = [found[path] for path in sorted(found.keys() - kept.keys())]
    if not fresh and not stale and old is not None:
        return old
    tables = (
        [old.take(sorted(chain.from_iterable(kept.values())))] if old is not None and kept else []
    )
    tables += _read_all(fresh, jobs, progress)
    table = pa.concat_tables(tables) if tables else SCHEMA.empty_table()
    table = table.sort_by([("path", "ascending"), ("member", "ascending")]).combine_chunks()
    if cache is not None:
        save(table, cache)
    return table


def save(table: pa.Table, path: Path | str) -> None:
    """Write an inventory so that a reader sees the old or the new one, never half of it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    marked = table.replace_schema_metadata({_SCHEMA_KEY: _SCHEMA_VERSION})
    pq.write_table(marked, draft, compression="zstd")
    draft.chmod(0o600)
    draft.replace(path)


def _load(cache: Path | str | None) -> pa.Table | None:
    if cache is None or not Path(cache).exists():
        return None
    try:
        table = pq.read_table(cache, memory_map=True)
    except (OSError, pa.ArrowException):
        return None
    metadata = table.schema.metadata or {}
    if metadata.get(_SCHEMA_KEY) != _SCHEMA_VERSION:
        return None
    return table.replace_schema_metadata(None)


def _unchanged(old: pa.Table | None, found: dict[str, Found]) -> tuple[dict[str, list[int]], bool]:
    """Return the rows of files that did not change, by path, and whether any row is stale.

    What could not be read is tried again: a permission changes neither size nor time.
    """
    kept: dict[str, list[int]] = {}
    stale = False
    if old is None:
        return kept, stale
    columns = [old[name].to_pylist() for name in _KEYS]
    unreadable = pc.starts_with(old["reason"], _UNREADABLE).to_pylist()
    for row, (path, *stamp) in enumerate(zip(*columns, strict=True)):
        item = found.get(path)
        same = item is not None and [item.size, item.mtime_ns, item.inode] == stamp
        if same and not unreadable[row]:
            kept.setdefault(path, []).append(row)
        else:
            stale = True
    return kept, stale


def _walk(paths: Sequence[Path | str]) -> Iterator[Found]:
    """Yield every regular file once; a folder reached twice through links is entered once."""
    entered: set[tuple[int, int]] = set()
    stack: list[str] = []
    for path in sorted({str(Path(item)) for item in paths}, reverse=True):
        if not Path(path).exists():
            raise AfterglowError(
                "a folder of incoming DICOM does not exist",
                where=path,
                remedy="correct `dicom:` of the center in the study file",
                exit_code=ExitCode.NOTHING,
            )
        stack.append(path)
    while stack:
        path = stack.pop()
        info = os.stat(path)  # noqa: PTH116 (speed: no Path per file)
        if not os.path.isdir(path):  # noqa: PTH112
            yield Found(path, info.st_size, info.st_mtime_ns, info.st_ino)
            continue
        if (info.st_dev, info.st_ino) in entered:
            continue
        entered.add((info.st_dev, info.st_ino))
        yield from _entries(path, stack)


def _entries(folder: str, stack: list[str]) -> Iterator[Found]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield Found(folder, 0, 0, 0, _problem(error))
        return
    for entry in entries:
        try:
            if entry.is_dir():
                stack.append(entry.path)
            elif entry.is_file():
                info = entry.stat()
                yield Found(entry.path, info.st_size, info.st_mtime_ns, info.st_ino)
            elif entry.is_symlink():
                yield Found(entry.path, 0, 0, 0, f"{_UNREADABLE}broken_link")
        except OSError as error:
            yield Found(entry.path, 0, 0, 0, _problem(error))


def _problem(error: OSError) -> str:
    return _UNREADABLE + (error.strerror or "error").lower().replace(" ", "_")


def _read_all(fresh: list[Found], jobs: int, progress: Progress | None) -> list[pa.Table]:
    chunks = [fresh[i : i + _CHUNK] for i in range(0, len(fresh), _CHUNK)]
    tables: list[pa.Table] = []
    done = 0
    if jobs < 2 or len(chunks) < 2:
        results: Iterator[pa.Table] = map(read_chunk, chunks)
        return [_told(table, progress, len(fresh), tables) for table in results]
    with ProcessPoolExecutor(jobs, mp_context=get_context("fork")) as pool:
        for chunk, table in zip(chunks, pool.map(read_chunk, chunks), strict=True):
            tables.append(table)
            done += len(chunk)
            if progress is not None:
                progress(done, len(fresh))
    return tables


def _told(
    table: pa.Table, progress: Progress | None, total: int, before: list[pa.Table]
) -> pa.Table:
    before.append(table)
    if progress is not None:
        progress(min(len(before) * _CHUNK, total), total)
    return table


def read_chunk(files: list[Found]) -> pa.Table:
    """Read the headers of some files."""
    rows: list[dict[str, Any]] = []
    for item in files:
        rows.extend(_rows(item))
    return tabulate(rows)


def _rows(item: Found) -> Iterator[dict[str, Any]]:
    stamp = {
        "path": item.path,
        "size": item.size,
        "mtime_ns": item.mtime_ns,
        "inode": item.inode,
        "member": "",
        "bytes": item.size,
    }
    if item.problem or not item.size:
        yield {**stamp, **reject(item.problem or "empty_file")}
        return
    if item.path.lower().endswith(ARCHIVES):
        empty = True
        for name, size, stream, reason in members(item.path):
            empty = False
            inner = {**stamp, "member": name, "bytes": size}
            yield {**inner, **(reject(reason) if stream is None else describe(stream, size))}
        if empty:
            yield {**stamp, **reject("empty_archive")}
        return
    try:
        with open(item.path, "rb", buffering=0) as stream:  # noqa: PTH123 (speed)
            yield {**stamp, **describe(stream, item.size)}
    except OSError as error:
        yield {**stamp, **reject(_problem(error))}
