"""Trace a number of a table back to the code, the settings and the DICOM instances behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afterglow.errors import AfterglowError
from afterglow.provenance.leaves import SITE_FILES, leaves_of
from afterglow.provenance.lookup import rows_where
from afterglow.provenance.records import read_record, read_state, state_path, unit_name
from afterglow.provenance.stages import STAGES, Stage


@dataclass(frozen=True)
class Trace:
    """The chain behind one cell: nodes are records, leaves are hashed DICOM instances or files."""

    cell: dict[str, Any]
    nodes: list[dict[str, Any]]
    edges: list[dict[str, Any]]
    leaves: list[dict[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """Return the chain as `--json` prints it."""
        return {
            "cell": self.cell,
            "nodes": self.nodes,
            "edges": self.edges,
            "leaves": self.leaves,
        }


def find_row(root: Path, table: str, where: Mapping[str, str]) -> dict[str, Any]:
    """Return the one row of a table that matches every ``column=value``.

    Raises
    ------
    AfterglowError
        No such table or column, no match, or several matches (they are listed).
    """
    import pyarrow.parquet as pq

    path = root / "tables" / f"{table}.parquet"
    if not path.exists():
        names = sorted(p.stem for p in (root / "tables").glob("*.parquet"))
        raise AfterglowError(
            f"there is no table {table}",
            expected=f"one of {', '.join(names)}" if names else "a study that was run",
        )
    schema = pq.read_schema(path)
    unknown = [column for column in where if column not in schema.names]
    if unknown:
        raise AfterglowError(
            f"table {table} has no column {unknown[0]}",
            expected=f"one of {', '.join(schema.names)}",
        )
    rows = _matching(path, schema, where)
    if len(rows) != 1:
        shown = "\n  ".join(_short_row(row) for row in rows[:20])
        raise AfterglowError(
            f"{len(rows)} rows of {table} match" + (f":\n  {shown}" if rows else ""),
            expected="exactly one",
            remedy="add column=value pairs" if rows else "check the values",
        )
    row: dict[str, Any] = rows[0]
    return row


def _matching(path: Path, schema: Any, where: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the rows whose columns read so; text columns are filtered while reading."""
    import pyarrow as pa

    texts = {n: v for n, v in where.items() if pa.types.is_string(schema.field(n).type)}
    rows = rows_where(path, texts)
    return [row for row in rows if all(str(row[c]) == v for c, v in where.items())]


def trace(root: Path, table: str, where: Mapping[str, str], column: str | None = None) -> Trace:
    """Follow one cell back to its DICOM instances.

    Parameters
    ----------
    root : Path
        The study's ``out``.
    table : str
        Name of the table.
    where : mapping
        Column values that single out one row.
    column : str, optional
        The cell; by default ``value`` where the table has it.
    """
    return trace_row(root, table, find_row(root, table, where), column)


def trace_row(root: Path, table: str, row: Mapping[str, Any], column: str | None = None) -> Trace:
    """Follow one cell of a row at hand, as :func:`trace` does.

    Raises
    ------
    AfterglowError
        The record of the row is missing.
    """
    column = column or ("value" if "value" in row else None)
    sources = _sources(root, table, column)
    keys = _origins(root, table, row, sources)
    files = [name for name in sources if name in SITE_FILES]
    read = _state_key(root, producer(root, table), None, None) if files else None
    skip = _other_modality(root, row, column)
    walk = Walk(root, skip, row.get("subject") if "tables" in sources else None)
    for key in keys:
        walk.follow(key)
    walk.add(read)
    if not walk.nodes or any(key not in walk.nodes or "missing" in walk.nodes[key] for key in keys):
        raise AfterglowError(
            "the record of this row is missing",
            where=f"tables/{table}.parquet",
            remedy="run `afterglow verify STUDY`",
        )
    cell = {
        "table": table,
        "column": column,
        "value": row.get(column) if column else None,
        "row": dict(row),
        "record_id": keys[0] if keys else read,
    }
    leaves = leaves_of(root, walk.nodes, row, files, skip)
    return Trace(cell, list(walk.nodes.values()), walk.edges, leaves)


def _sources(root: Path, table: str, column: str | None) -> list[str]:
    """Return the stages and site files that the table itself names as the source of a column."""
    import pyarrow.parquet as pq

    schema = pq.read_schema(root / "tables" / f"{table}.parquet")
    if column is None or column not in schema.names:
        return []
    words = (schema.field(column).metadata or {}).get(b"source", b"").decode()
    return [word.strip() for word in words.split(",") if word.strip()]


def _origins(root: Path, table: str, row: Mapping[str, Any], sources: list[str]) -> list[str]:
    """Return the keys of the records that made a cell: the row's own where nothing else is said."""
    own = row.get("record_id")
    record = read_record(root, own) if own else None
    if record is not None and record["stage"] in sources:
        return [str(own)]
    stages = [STAGES[name] for name in sources if name in STAGES]
    found = (_state_key(root, s.name, *_unit(s, row)) for s in stages)
    keys = [key for key in found if key]
    if keys:
        return keys
    if set(sources) & set(SITE_FILES):
        return []
    last = own or _state_key(root, producer(root, table), None, None)
    return [last] if last else []


def _unit(stage: Stage, row: Mapping[str, Any]) -> tuple[str | None, str | None]:
    subject = row.get("subject") if stage.level != "study" else None
    return subject, row.get("session") if stage.level == "session" else None


def _state_key(root: Path, stage: str, subject: str | None, session: str | None) -> str | None:
    state = read_state(root / state_path(stage, subject, session))
    return state.key if state else None


class Walk:
    """Records met on the way up, and which read what of which."""

    def __init__(self, root: Path, skip: str | None, subject: str | None = None) -> None:
        self.root, self.skip, self.subject = root, skip, subject
        self.nodes: dict[str, dict[str, Any]] = {}
        self.edges: list[dict[str, Any]] = []

    def add(self, key: str | None) -> dict[str, Any] | None:
        """Add the record of a key as a node and return it, None where it is missing."""
        record = read_record(self.root, key) if key else None
        if key and record is None:
            self.nodes[key] = {"record_id": key, "stage": "?", "missing": True}
        if key is None or record is None:
            return None
        parts = record["parts"]
        self.nodes[key] = {
            "record_id": key,
            "stage": record["stage"],
            "unit": unit_name(record["subject"], record["session"]),
            "status": record["status"],
            "code": parts["code"],
            "version": parts["version"],
            "libraries": parts["libraries"],
            "parameters": parts["config"],
            "outputs": {o["path"]: o["sha256"] for o in record["outputs"]},
            "files": record["inputs"]["files"],
            "run": record["run"],
        }
        return record

    def follow(self, key: str) -> None:
        """Add a record and all behind it; behind a table, what concerns the row's subject."""
        record = None if key in self.nodes else self.add(key)
        for parent in record["inputs"]["records"] if record else ():
            if parent["stage"] == self.skip or self.subject not in {None, parent["subject"]}:
                continue
            self.follow(parent["record_id"])
            made = self.nodes[parent["record_id"]].get("outputs", {})
            read = sorted(made.keys() & set(record["inputs"]["read"])) if record else []
            self.edges.append({"from": parent["record_id"], "to": key, "files": read})


def _other_modality(root: Path, row: Mapping[str, Any], column: str | None) -> str | None:
    """Return the perfusion stage that did not make the cell's map, if row or column names one."""
    subject, session = row.get("subject"), row.get("session")
    name = row.get("map") or (column or "").partition(".")[0]
    if not (subject and session and name):
        return None
    for stage, other in (("dsc", "dce"), ("dce", "dsc")):
        state = read_state(root / state_path(stage, subject, session))
        if state is not None and name in state.summary.get("maps", {}):
            return other
    return None


def producer(root: Path, table: str) -> str:
    """Return the stage that wrote a table."""
    for stage in ("tables", "cohort"):
        state = read_state(root / state_path(stage, None, None))
        if state is not None and f"tables/{table}.parquet" in state.outputs:
            return stage
    return "tables"


def _short_row(row: Mapping[str, Any]) -> str:
    wanted = (
        *("subject", "session", "lesion_id", "label", "region", "map", "statistic", "rule_id"),
        *("therapy", "interval"),
    )
    shown = {k: row[k] for k in wanted if row.get(k) is not None}
    return " ".join(f"{k}={v}" for k, v in (shown or row).items())


def example_selector(root: Path) -> dict[str, str]:
    """Return column values that single out one evaluable lesion rCBV, or any evaluable feature."""
    import pyarrow.parquet as pq

    columns = ["subject", "session", "lesion_id", "region", "map", "statistic"]
    rows = pq.read_table(root / "tables" / "features.parquet").to_pylist()
    usable = [row for row in rows if row["evaluable"]]
    lesion = [row for row in usable if (row["map"], row["region"]) == ("rCBV", "lesion")]
    wanted = [row for row in lesion if row["statistic"] == "median"] or lesion or usable or rows
    return {column: str(wanted[0][column]) for column in columns} if wanted else {}
