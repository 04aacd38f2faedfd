"""The tables of a study as a Frictionless data package."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

_TYPES = {
    "string": "string",
    "double": "number",
    "int64": "integer",
    "bool": "boolean",
}


def datapackage(
    content: Mapping[str, Any], study: str, names: Sequence[str], digests: Mapping[str, str]
) -> str:
    """Return ``datapackage.json`` of some tables.

    Parameters
    ----------
    content : mapping
        The data dictionary.
    study : str
        Name of the study.
    names : sequence of str
        Tables.
    digests : mapping
        Canonical content digest by table, of those that have one.

    Returns
    -------
    str
        JSON; each table is a resource with types, units, keys and allowed values of its fields.
    """
    tables = content["tables"]
    package = {
        "profile": "data-package",
        "name": "".join(c if c.isalnum() or c in "._-" else "-" for c in study.lower()),
        "description": "Lesions, measurements and their provenance, one resource per table.",
        "version": content["schema_version"],
        "resources": [_resource(name, tables[name], digests.get(name)) for name in sorted(names)],
    }
    return json.dumps(package, indent=1, ensure_ascii=False) + "\n"


def _resource(name: str, table: Mapping[str, Any], digest: str | None) -> dict[str, Any]:
    return {
        "name": name.replace("_", "-"),
        "path": f"{name}.parquet",
        "format": "parquet",
        "mediatype": "application/vnd.apache.parquet",
        "description": f"{table['definition']} One row per {table['one_row_per']}.",
        **({"content_digest": digest} if digest else {}),
        "schema": {
            "fields": [_field(column, table["keys"]) for column in table["columns"]],
            "primaryKey": list(table["keys"]),
            "missingValues": [""],
        },
    }


def _field(column: Mapping[str, str], keys: list[str]) -> dict[str, Any]:
    kind = column["type"]
    found: dict[str, Any] = {
        "name": column["name"],
        "type": "array" if kind.startswith("list") else _TYPES[kind],
        "description": column["definition"],
    }
    if column.get("unit"):
        found["unit"] = column["unit"]
    constraints: dict[str, Any] = {}
    if column["name"] in keys:
        constraints["required"] = True
    if column.get("values"):
        constraints["enum"] = column["values"].split(", ")
    if constraints:
        found["constraints"] = constraints
    return found
