"""The data dictionary, generated from the row models."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from afterglow.tables.models import MODELS
from afterglow.tables.rows import SCHEMA_VERSION, Row, arrow_type

Column = Mapping[str, str]


def dictionary(more: Mapping[str, Sequence[Column]] | None = None) -> dict[str, Any]:
    """Return every table with its columns.

    Parameters
    ----------
    more : mapping, optional
        Columns beyond the model by table (the wide matrix), each with name, type, unit and
        definition.
    """
    tables = {}
    for model in MODELS:
        columns = [_column(model, name) for name in model.model_fields]
        columns += [dict(column) for column in (more or {}).get(model.TABLE, [])]
        tables[model.TABLE] = {
            "definition": (model.__doc__ or "").strip(),
            "one_row_per": model.ONE_PER,
            "keys": list(model.KEYS),
            "columns": columns,
        }
    return {"schema_version": SCHEMA_VERSION, "tables": tables}


def _column(model: type[Row], name: str) -> dict[str, str]:
    field = model.model_fields[name]
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    return {
        "name": name,
        "type": str(arrow_type(field.annotation)),
        "definition": field.description or "",
        **{str(key): str(value) for key, value in extra.items() if value},
    }


def as_json(content: Mapping[str, Any]) -> str:
    """Return the dictionary as JSON."""
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def as_markdown(content: Mapping[str, Any]) -> str:
    """Return the dictionary for people."""
    lines = ["# Data dictionary", "", f"Schema version {content['schema_version']}.", ""]
    for name, table in content["tables"].items():
        lines += [f"## {name}", "", f"{table['definition']} One row per {table['one_row_per']}."]
        lines += [f"Keys: {', '.join(f'`{key}`' for key in table['keys'])}.", ""]
        lines += ["| column | type | unit | definition | source |", "|---|---|---|---|---|"]
        for column in table["columns"]:
            values = f" One of: {column['values']}." if column.get("values") else ""
            cells = [
                f"`{column['name']}`",
                column["type"],
                column.get("unit", ""),
                column["definition"] + values,
                column.get("source", ""),
            ]
            lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)
