"""The per-lesion summary as TSV with a BIDS sidecar, for people who do not read Parquet."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

MISSING = "n/a"


def as_tsv(table: Any) -> str:
    r"""Return a table as BIDS tab-separated values: one header line, ``n/a`` where nothing is.

    Numbers keep every digit, so that the twin says what the Parquet file says.

    Parameters
    ----------
    table : pyarrow.Table
        Text, numbers and truth values.

    Examples
    --------
    >>> import pyarrow as pa
    >>> as_tsv(pa.table({"lesion_id": ["L001"], "volume": [None], "measurable": [True]}))
    'lesion_id\tvolume\tmeasurable\nL001\tn/a\ttrue\n'
    """
    lines = ["\t".join(table.column_names)]
    columns = [[_text(value) for value in column.to_pylist()] for column in table.columns]
    lines += ["\t".join(row) for row in zip(*columns, strict=True)]
    return "\n".join(lines) + "\n"


def _text(value: Any) -> str:
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return MISSING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value.replace("\t", " ").replace("\n", " ")
    return repr(value)


def sidecar(table: Mapping[str, Any]) -> str:
    """Return the BIDS sidecar of a table of the data dictionary."""
    content = {}
    for column in table["columns"]:
        entry: dict[str, Any] = {"Description": column["definition"]}
        if column.get("unit"):
            entry["Units"] = column["unit"]
        if column.get("values"):
            entry["Levels"] = {value: value for value in column["values"].split(", ")}
        content[column["name"]] = entry
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
