"""Tables of this and of earlier schema versions, read with the columns of today."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from afterglow.errors import AfterglowError
from afterglow.tables.rows import SCHEMA_VERSION, Row, arrow_schema


def read_table(path: Path, model: type[Row]) -> Any:
    """Read one table with the columns of its model, those it does not have yet as nulls.

    Columns beyond the model (the wide matrix) are kept.

    Parameters
    ----------
    path : Path
        Parquet file.
    model : type of Row
        Row model of the table.

    Returns
    -------
    pyarrow.Table
        Columns in the order of the model, then the others.

    Raises
    ------
    AfterglowError
        Another table, or one of a later major version.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    facts = {k.decode(): v.decode() for k, v in (pq.read_schema(path).metadata or {}).items()}
    name, version = facts.get("afterglow_table", ""), facts.get("schema_version", "")
    if name != model.TABLE:
        raise AfterglowError(
            f"a table says it is {name or 'no table of a study'}",
            where=path.name,
            expected=model.TABLE,
        )
    if _major(version) > _major(SCHEMA_VERSION):
        raise AfterglowError(
            f"the table has schema version {version}",
            where=path.name,
            expected=f"{SCHEMA_VERSION} or earlier",
            remedy="read it with the release of Afterglow that wrote it, or a later one",
        )
    columns, fields = [], []
    for field in arrow_schema(model):
        there = field.name in table.column_names
        empty = pa.nulls(table.num_rows, field.type)
        columns.append(table.column(field.name).cast(field.type) if there else empty)
        fields.append(field if there else field.with_nullable(True))
    for field in table.schema:
        if field.name not in model.model_fields:
            columns.append(table.column(field.name))
            fields.append(field)
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _major(version: str) -> int:
    first = version.partition(".")[0]
    return int(first) if first.isdigit() else 0
