"""Parquet files whose bytes depend on their rows alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from afterglow import __version__
from afterglow.tables.rows import SCHEMA_VERSION, Row, arrow_schema

ROW_GROUP = 122_880
_OPTIONS = {
    "compression": "zstd",
    "compression_level": 3,
    "version": "2.6",
    "data_page_version": "1.0",
    "write_page_index": False,
    "store_schema": True,
}


def write_table(
    rows: Iterable[Mapping[str, Any]] | Any,
    model: type[Row],
    path: Path,
    *,
    more: Sequence[Any] = (),
) -> Any:
    """Write one table, sorted by its keys, with the model's schema and metadata.

    Parameters
    ----------
    rows : iterable of mapping, or pyarrow.Table
        Rows; every column of the model must be present in a table, absent keys of a mapping are
        null. NaN becomes null.
    model : type of Row
        Row model.
    path : Path
        File to write.
    more : sequence of pyarrow.Field
        Columns beyond the model (only where the model is ``FREE``), in this order.

    Returns
    -------
    pyarrow.Table
        What was written.

    Raises
    ------
    ValueError
        Unknown columns, or two rows with the same keys.
    """
    import pyarrow as pa

    schema = arrow_schema(model)
    if more:
        if not model.FREE:
            message = f"table {model.TABLE} has no room for more columns"
            raise ValueError(message)
        schema = pa.schema([*schema, *more])
    table = rows if isinstance(rows, pa.Table) else _from_rows(rows, schema, model)
    table = nulls_for_nan(table.select(schema.names).cast(schema))
    table = _sorted(table, model)
    return write_arrow(table, path, _metadata(model, record_digest(table)))


def write_sorted(batches: Iterable[Any], model: type[Row], path: Path) -> int:
    """Write batches that are already in order of the keys, a row group at a time.

    Parameters
    ----------
    batches : iterable of pyarrow.Table
        Each with the schema of the model.
    model : type of Row
        Row model.
    path : Path
        File to write.

    Returns
    -------
    int
        Number of rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = arrow_schema(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    records: set[str] = set()
    waiting: list[Any] = []
    count = held = 0
    with pq.ParquetWriter(path, schema, **_options(schema)) as writer:
        for batch in batches:
            table = nulls_for_nan(batch)
            records |= {r for r in table.column("record_id").unique().to_pylist() if r}
            waiting.append(table)
            held += table.num_rows
            count += table.num_rows
            if held >= ROW_GROUP:
                ready = pa.concat_tables(waiting)
                whole = held - held % ROW_GROUP
                writer.write_table(ready.slice(0, whole), row_group_size=ROW_GROUP)
                waiting, held = [ready.slice(whole)], held - whole
        if held:
            writer.write_table(pa.concat_tables(waiting), row_group_size=ROW_GROUP)
        writer.add_key_value_metadata(_metadata(model, _digest_of(records)))
    return count


def _metadata(model: type[Row], records: str) -> dict[str, str]:
    """Return the metadata of a file."""
    return {
        "afterglow_table": model.TABLE,
        "afterglow_version": __version__,
        "schema_version": SCHEMA_VERSION,
        "record_ids": records,
        "keys": json.dumps(model.KEYS),
    }


def _digest_of(records: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(records)).encode()).hexdigest()


def write_arrow(table: Any, path: Path, metadata: Mapping[str, str] | None = None) -> Any:
    """Write a table as it stands; only ``metadata`` enters the file beside the rows."""
    import pyarrow.parquet as pq

    table = table.replace_schema_metadata(dict(metadata or {})).combine_chunks()
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=ROW_GROUP, **_options(table.schema))
    return table


def _options(schema: Any) -> dict[str, Any]:
    """Return the writer's options; measured numbers repeat too seldom for a dictionary."""
    import pyarrow.types as kinds

    repeated = [
        field.name
        for field in schema
        if not (kinds.is_floating(field.type) or kinds.is_nested(field.type))
    ]
    return {**_OPTIONS, "use_dictionary": repeated}


def record_digest(table: Any) -> str:
    """Return the digest of the sorted set of record ids of a table."""
    if "record_id" not in table.column_names:
        return _digest_of([])
    return _digest_of(r for r in table.column("record_id").unique().to_pylist() if r is not None)


def nulls_for_nan(table: Any) -> Any:
    """Return a table whose float columns hold null instead of NaN."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as kinds

    columns = []
    for field, values in zip(table.schema, table.columns, strict=True):
        bad = pc.is_nan(values) if kinds.is_floating(field.type) else None
        found = bad is not None and pc.any(bad).as_py()
        columns.append(pc.if_else(bad, None, values) if found else values)
    return pa.Table.from_arrays(columns, schema=table.schema)


def _from_rows(rows: Iterable[Mapping[str, Any]], schema: Any, model: type[Row]) -> Any:
    """Return rows as a table of the schema."""
    import pyarrow as pa

    rows = list(rows)
    unknown = sorted({name for row in rows for name in row} - set(schema.names))
    if unknown:
        message = f"table {model.TABLE} has no column {', '.join(unknown)}"
        raise ValueError(message)
    columns = []
    for field in schema:
        name, default = field.name, _default(model, field.name)
        columns.append(pa.array([row.get(name, default) for row in rows], field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _default(model: type[Row], name: str) -> Any:
    """Return the default of a column, None where it has none."""
    field = model.model_fields.get(name)
    return None if field is None or field.is_required() else field.default


def _sorted(table: Any, model: type[Row]) -> Any:
    """Return the rows in order of the keys, which must be distinct."""
    if not table.num_rows:
        return table
    table = table.sort_by([(name, "ascending") for name in model.KEYS])
    if table.select(model.KEYS).group_by(list(model.KEYS)).aggregate([]).num_rows < table.num_rows:
        message = f"table {model.TABLE}: two rows with the same {', '.join(model.KEYS)}"
        raise ValueError(message)
    return table
