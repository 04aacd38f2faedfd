"""Where a chain ends: DICOM instances, given masks, rows of site tables, rules and settings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from afterglow.provenance.records import read_state, state_path

_SERIES_OF = {
    "dsc": ("DSC",),
    "dce": ("DCE", "VFA", "IR", "MP2RAGE", "B1map"),
}
# The site's own tables, as settings and the sources of columns name them.
SITE_FILES = ("clinical", "outcomes", "decisions")


def leaves_of(
    root: Path,
    nodes: Mapping[str, dict[str, Any]],
    row: Mapping[str, Any],
    files: Sequence[str],
    skip: str | None,
) -> list[dict[str, Any]]:
    """Return what a cell rests on that no job made.

    Parameters
    ----------
    root : Path
        The study's ``out``.
    nodes : mapping
        The records of the chain by key.
    row : mapping
        The row of the cell.
    files : sequence of str
        The site's tables that the column comes from; by default any that the records name.
    skip : str or None
        The perfusion stage that had no part in the cell; its series are left out.
    """
    leaves: list[dict[str, Any]] = []
    for node in nodes.values():
        leaves.extend(_input_files(root, node, skip))
    for name, digest in _site_files(nodes).items():
        if not files or name in files:
            leaf = {"kind": "site_file", "file": name, "sha256": digest, **_place(row)}
            leaves.append({**leaf, "rows": _rows_of(root, name, row)})
    if row.get("rule_id"):
        leaves.append(
            {"kind": "rule", "rule_id": row["rule_id"], "version": row.get("rule_version")}
        )
    return leaves


def _input_files(root: Path, node: Mapping[str, Any], skip: str | None) -> Iterator[dict[str, Any]]:
    """Yield the instances and masks of a record's manifests; another input file as itself."""
    for name, digest in node.get("files", {}).items():
        manifest = root / "ledger" / "manifests" / f"{digest}.json"
        if manifest.exists():
            content = json.loads(manifest.read_text(encoding="utf-8"))
            yield from _instances(content, node["unit"], _SERIES_OF.get(skip or "", ()))
        else:
            yield {"kind": "file", "file": name, "sha256": digest}


def _instances(
    content: Mapping[str, Any], unit: str, left_out: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    for series in content["series"]:
        if series["class"] in left_out:
            continue
        told = {"class": series["class"], "series_key": series["series_key"]}
        for instance in series["instances"]:
            yield {
                "kind": "instance",
                "center": content["center"],
                "unit": unit,
                **told,
                **instance,
            }
    for mask in content["masks"]:
        yield {**mask, "kind": "mask", "unit": unit}


def _site_files(nodes: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """Return the digest of every site table that the chain's records name among their settings."""
    found = {}
    for node in nodes.values():
        for name in SITE_FILES:
            value = str(node.get("parameters", {}).get(name) or "")
            if value.startswith("sha256:") and value != "sha256:absent":
                found[name] = value.removeprefix("sha256:")
    return found


def _rows_of(root: Path, name: str, row: Mapping[str, Any]) -> list[int]:
    """Return which rows of a site table tell of a row's lesion, or else of its subject; from 1."""
    subject = row.get("subject")
    if name == "decisions":
        state = read_state(root / state_path("identity", subject, None))
        graph = root / str(state.summary.get("graph")) if state is not None else None
        if graph is None or not graph.is_file():
            return []
        decisions = json.loads(graph.read_text(encoding="utf-8"))["decisions"]
        return [decision["row"] for decision in decisions if decision["applied"]]
    state = read_state(root / state_path("tables", None, None))
    told = state.summary.get("site_rows", {}).get(name, {}) if state is not None else {}
    return list(told.get(f"{subject}/{row.get('lesion_id')}") or told.get(subject) or [])


def _place(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("subject", "session", "lesion_id") if row.get(name)}
