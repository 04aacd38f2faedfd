"""Trace a number of a table back to the code, the settings and the DICOM instances behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afterglow.errors import AfterglowError
from afterglow.provenance.leaves import leaves_of
from afterglow.provenance.records import read_record, read_state, state_path, unit_name


@dataclass(frozen=True)
class Trace:
    """The chain behind one cell: nodes are records, leaves are hashed DICOM instances or files."""

    cell: dict[str, Any]
    nodes: list[dict[str, Any]]
    edges: list[dict[str, Any]]
    leaves: list[dict[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """Return the chain in the shape of design section 4."""
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
    import pyarrow.parquet as pq

    texts = {n: v for n, v in where.items() if pa.types.is_string(schema.field(n).type)}
    filters = [(name, "==", value) for name, value in texts.items()] or None
    rows = pq.read_table(path, filters=filters).to_pylist()
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
    row = find_row(root, table, where)
    column = column or ("value" if "value" in row else None)
    key = row.get("record_id")
    if not key:
        state = read_state(root / state_path(producer(root, table), None, None))
        key = state.key if state else None
    if key is None or read_record(root, key) is None:
        raise AfterglowError(
            "the record of this row is missing",
            where=f"tables/{table}.parquet",
            remedy="run `afterglow verify STUDY`",
        )
    skip = _other_modality(root, row)
    nodes: dict[str, dict[str, Any]] = {}
    edges: list[dict[str, Any]] = []
    _walk(root, key, skip, nodes, edges)
    cell = {
        "table": table,
        "column": column,
        "value": row.get(column) if column else None,
        "row": row,
        "record_id": key,
    }
    return Trace(cell, list(nodes.values()), edges, leaves_of(root, nodes, row, column, skip))


def _walk(
    root: Path,
    key: str,
    skip: str | None,
    nodes: dict[str, dict[str, Any]],
    edges: list[dict[str, Any]],
) -> None:
    if key in nodes:
        return
    record = read_record(root, key)
    if record is None:
        nodes[key] = {"record_id": key, "stage": "?", "missing": True}
        return
    parts = record["parts"]
    nodes[key] = {
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
    for parent in record["inputs"]["records"]:
        if parent["stage"] == skip:
            continue
        _walk(root, parent["record_id"], skip, nodes, edges)
        made = nodes[parent["record_id"]].get("outputs", {})
        read = sorted(made.keys() & set(record["inputs"]["read"]))
        edges.append({"from": parent["record_id"], "to": key, "files": read})


def _other_modality(root: Path, row: Mapping[str, Any]) -> str | None:
    """Return the perfusion stage that did not make this row's map, if the row names one."""
    subject, session, name = row.get("subject"), row.get("session"), row.get("map")
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
    wanted = ("subject", "session", "lesion_id", "label", "region", "map", "statistic", "rule_id")
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
