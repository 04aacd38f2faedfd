"""The ledger as Parquet, for questions over all of it: what came from what, and how it stands.

Records stay the evidence, one file each; the catalog is made from them at the end of every run and
can be made again at any time. Each segment holds the records that were new then; a later segment
wins over an earlier one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from afterglow.provenance import lookup
from afterglow.provenance.digest import file_digest, stat_token
from afterglow.provenance.lookup import numbers
from afterglow.provenance.records import RECORDS

if TYPE_CHECKING:
    import pyarrow as pa

CATALOG = Path("ledger/catalog")
MANIFESTS = Path("ledger/manifests")
_MOST_SEGMENTS = 8
_AT_ONCE = 50_000

Ids = NDArray[np.uint64]


def short_id(key: str) -> int:
    """Return the first 64 bits of a key: what relations between records are stored as.

    Examples
    --------
    >>> short_id("00000000000000ff" + "0" * 48)
    255
    """
    return int(key[:16], 16)


def rows_where(root: Path, name: str, columns: list[str], **where: str) -> list[dict[str, Any]]:
    """Return the rows of one relation that hold the given texts, over all segments, oldest first.

    Parameters
    ----------
    root : Path
        The study's ``out``.
    name : {"records", "edges", "outputs", "instances"}
        The relation.
    columns : list of str
        What to return of each row.
    **where
        Value by column.
    """
    files = [segment / f"{name}.parquet" for segment in _segments(root)]
    return [row for file in files for row in lookup.rows_where(file, where, columns)]


def records_among(root: Path, ids: Ids, columns: list[str]) -> list[dict[str, Any]]:
    """Return the rows of records by short id, over all segments, oldest first."""
    files = [segment / "records.parquet" for segment in _segments(root)]
    return [row for file in files for row in lookup.rows_among(file, "id", ids, columns)]


def columns_of(root: Path, name: str, columns: list[str]) -> pa.Table:
    """Return columns of one relation over all segments, oldest first."""
    import pyarrow as pa

    schema = _schemas()[name]
    wanted = pa.schema([schema.field(column) for column in columns])
    files = [segment / f"{name}.parquet" for segment in _segments(root)]
    return _stacked(wanted, [lookup.read(file, columns) for file in files])


def outputs_of(root: Path, keys: Iterable[str]) -> pa.Table:
    """Return what some records say they wrote: short id, path, sha256, size, time and inode.

    Where a key was recorded twice, as a failure that was retried is, the later record counts.
    """
    import pyarrow.parquet as pq

    wanted = np.fromiter(map(short_id, keys), dtype=np.uint64)
    parts: list[pa.Table] = []
    segments = _segments(root)
    for segment, standing in zip(segments, _standing_in(segments), strict=True):
        mine = wanted[lookup.are_among(wanted, standing)]
        with pq.ParquetFile(segment / "outputs.parquet") as file:
            # In pieces: what is not wanted never stands in memory as a whole.
            pieces = map(file.read_row_group, range(file.num_row_groups))
            parts += [lookup.chosen(p, lookup.are_among(numbers(p, "id"), mine)) for p in pieces]
    return _stacked(_schemas()["outputs"], parts)


def _stacked(schema: pa.Schema, parts: list[pa.Table]) -> pa.Table:
    """Return tables one above the other; none are an empty table."""
    import pyarrow as pa

    return pa.concat_tables([pa.Table.from_batches([], schema=schema), *parts])


def extend(root: Path, keys: Iterable[str]) -> Path | None:
    """Catalogue records as a new segment and return it; None where there are none.

    The segment appears whole or not at all. Small segments are merged when they are many.
    """
    keys = sorted(keys)
    if not keys:
        return None
    segment = _add_segment(root, keys)
    if len(_segments(root)) > _MOST_SEGMENTS:
        _merge(root)
    return segment


def _add_segment(root: Path, keys: list[str]) -> Path:
    home = root / CATALOG
    number = max((int(s.name) for s in _segments(root)), default=0) + 1
    scratch = home / f".{number:06d}.{os.getpid()}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    for name, table in _relations(root, keys).items():
        write_table(table, scratch / f"{name}.parquet")
    segment = home / f"{number:06d}"
    scratch.replace(segment)
    return segment


def rebuild(root: Path) -> None:
    """Make the catalog again from the records, some at a time."""
    shutil.rmtree(root / CATALOG, ignore_errors=True)
    keys = sorted(path.stem for path in (root / RECORDS).glob("[!.]*.json"))
    for start in range(0, len(keys), _AT_ONCE):
        _add_segment(root, keys[start : start + _AT_ONCE])
    if len(_segments(root)) > 1:
        _merge(root)


def descendants(root: Path, start: Iterable[int]) -> Ids:
    """Return the short ids of records and of all that was made from them, directly or not."""
    seen = np.unique(np.fromiter(start, dtype=np.uint64))
    segments = [_edges(segment) for segment in _segments(root)]
    frontier = seen
    while frontier.size:
        found = [_children(parents, children, frontier) for parents, children in segments]
        reached = np.unique(np.concatenate(found)) if found else frontier[:0]
        frontier = np.setdiff1d(reached, seen, assume_unique=True)
        seen = np.union1d(seen, frontier)
    return seen


def _segments(root: Path) -> list[Path]:
    return sorted(p for p in (root / CATALOG).glob("[0-9]*") if p.is_dir())


def _relations(root: Path, keys: list[str]) -> dict[str, pa.Table]:
    """Return the relations of some records as tables."""
    import pyarrow as pa

    records, edges, outputs, instances = [], [], [], []
    manifests: set[str] = set()
    for key in keys:
        path = root / RECORDS / f"{key}.json"
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            records.append(_record_row(key, record, path))
        except (OSError, ValueError, KeyError, TypeError):
            # An unreadable record is for `verify` to name.
            continue
        edges += [(short_id(parent["record_id"]), key) for parent in record["inputs"]["records"]]
        outputs += _output_rows(key, record)
        for digest in record["inputs"]["files"].values():
            if digest not in manifests:
                manifests.add(digest)
                instances += _instance_rows(root, digest, key)
    edges.sort()
    instances.sort()
    return {
        "records": pa.Table.from_pylist(records, schema=_schemas()["records"]),
        "edges": _table("edges", [(p, short_id(c)) for p, c in edges]),
        "outputs": _table("outputs", sorted(outputs, key=lambda row: row[1])),
        "instances": _table("instances", instances),
    }


def _record_row(key: str, record: dict[str, Any], path: Path) -> dict[str, Any]:
    size, mtime, inode = stat_token(path)
    run = record["run"]
    return {
        "id": short_id(key),
        "key": key,
        **{name: record[name] for name in ("stage", "subject", "session", "center", "status")},
        "version": record["parts"]["version"],
        "code": record["parts"]["code"],
        **{name: run.get(name) for name in ("started", "seconds", "cpu_seconds", "git_commit")},
        "peak_memory_mb": run.get("peak_memory_mb"),
        "afterglow": run.get("afterglow"),
        "digest": file_digest(path),
        "size": size,
        "mtime": mtime,
        "inode": inode,
    }


def _output_rows(key: str, record: dict[str, Any]) -> list[tuple[Any, ...]]:
    stats = record.get("stats", {})
    return [
        (short_id(key), out["path"], out["sha256"], *stats.get(out["path"], (out["size"], 0, 0)))
        for out in record["outputs"]
    ]


def _instance_rows(root: Path, digest: str, key: str) -> list[tuple[Any, ...]]:
    """Return the hashed instances of a manifest, each with the record that read it."""
    try:
        content = json.loads((root / MANIFESTS / f"{digest}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    rows = [
        (instance["sop"], instance["file"], short_id(key))
        for series in content["series"]
        for instance in series["instances"]
    ]
    return rows + [(mask["file"], mask["file"], short_id(key)) for mask in content["masks"]]


def _schemas() -> dict[str, pa.Schema]:
    import pyarrow as pa

    text, number = pa.string(), pa.int64()
    token = [("size", number), ("mtime", number), ("inode", number)]
    names = ["key", "stage", "subject", "session", "center", "status", "version", "code"]
    run = [("started", text), ("seconds", pa.float64()), ("cpu_seconds", pa.float64())]
    run += [("git_commit", text), ("peak_memory_mb", pa.float64()), ("afterglow", text)]
    return {
        "records": pa.schema(
            [("id", pa.uint64()), *((n, text) for n in names), *run, ("digest", text), *token]
        ),
        "edges": pa.schema([("parent", pa.uint64()), ("child", pa.uint64())]),
        "outputs": pa.schema([("id", pa.uint64()), ("path", text), ("sha256", text), *token]),
        "instances": pa.schema([("sop", text), ("file", text), ("id", pa.uint64())]),
    }


def _table(name: str, rows: list[tuple[Any, ...]]) -> pa.Table:
    import pyarrow as pa

    schema = _schemas()[name]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    arrays = [pa.array(c, type=f.type) for c, f in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table so that no reader sees half of it."""
    import pyarrow.parquet as pq

    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    pq.write_table(table, temporary, compression="zstd", row_group_size=65536)
    temporary.replace(path)


def _edges(segment: Path) -> tuple[Ids, Ids]:
    table = lookup.read(segment / "edges.parquet")
    return numbers(table, "parent"), numbers(table, "child")


def _children(parents: Ids, children: Ids, wanted: Ids) -> Ids:
    """Return the children of ``wanted`` where ``parents`` is sorted."""
    low = np.searchsorted(parents, wanted, side="left")
    high = np.searchsorted(parents, wanted, side="right")
    counts = high - low
    if not counts.sum():
        return children[:0]
    starts = np.repeat(low - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
    return np.asarray(children[np.arange(counts.sum()) + starts])


def _merge(root: Path) -> None:
    """Replace all segments by one; of a record catalogued twice the later row stays."""
    import pyarrow as pa

    segments = _segments(root)
    scratch = root / CATALOG / f".merge.{os.getpid()}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    standing = _standing_in(segments)
    # In the order of the questions: few row groups hold what one asks for.
    order_by = {"records": "subject", "edges": "parent", "outputs": "path", "instances": "sop"}
    for name, column in order_by.items():
        owner = "child" if name == "edges" else "id"
        parts = []
        for order, segment in enumerate(segments):
            table = lookup.read(segment / f"{name}.parquet")
            parts.append(
                lookup.chosen(table, lookup.are_among(numbers(table, owner), standing[order]))
            )
        write_table(pa.concat_tables(parts).sort_by(column), scratch / f"{name}.parquet")
    scratch.replace(root / CATALOG / f"{int(segments[-1].name) + 1:06d}")
    for segment in segments:
        shutil.rmtree(segment)


def _standing_in(segments: list[Path]) -> list[Ids]:
    """Return the short ids whose latest row each segment holds."""
    later = np.empty(0, dtype=np.uint64)
    standing: list[Ids] = []
    for segment in reversed(segments):
        ids = numbers(lookup.read(segment / "records.parquet", ["id"]), "id")
        standing.append(ids[~lookup.are_among(ids, later)])
        later = np.concatenate([later, ids])
    return standing[::-1]
