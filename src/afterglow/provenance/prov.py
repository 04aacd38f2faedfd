"""A chain as W3C PROV JSON: files are entities, jobs are activities, the code is an agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from afterglow.provenance.lineage import Trace

_NAMESPACES = {
    "ag": "urn:afterglow:record:",
    "file": "urn:afterglow:file:",
    "term": "urn:afterglow:term:",
}


def prov_document(trace: Trace) -> dict[str, Any]:
    """Return the chain behind a cell as PROV JSON (W3C member submission of 24 April 2013).

    Parameters
    ----------
    trace : Trace
        The chain.

    Returns
    -------
    dict
        JSON values: ``prefix``, ``entity``, ``activity``, ``agent`` and the relations.
    """
    document: dict[str, dict[str, Any]] = {"prefix": dict(_NAMESPACES)}
    document.update({name: {} for name in ("entity", "activity", "agent")})
    document.update({n: {} for n in ("wasGeneratedBy", "used", "wasAssociatedWith")})
    cell = f"ag:cell-{trace.cell['record_id'][:16]}"
    shown = {n: str(v) for n, v in trace.cell.items() if n in {"table", "column", "value"}}
    document["entity"][cell] = {f"term:{name}": value for name, value in shown.items()}
    _relate(document, "wasGeneratedBy", cell, f"ag:{trace.cell['record_id']}")
    for node in trace.nodes:
        if not node.get("missing"):
            _add_job(document, node)
    for edge in trace.edges:
        outputs = next(n for n in trace.nodes if n["record_id"] == edge["from"]).get("outputs", {})
        for path in edge["files"]:
            _relate(document, "used", f"ag:{edge['to']}", f"file:{outputs[path]}")
    for leaf in trace.leaves:
        _add_leaf(document, trace, leaf)
    return document


def _add_job(document: dict[str, dict[str, Any]], node: Mapping[str, Any]) -> None:
    key, run = f"ag:{node['record_id']}", node["run"]
    document["activity"][key] = {
        "prov:startTime": run["started"],
        "term:stage": node["stage"],
        "term:unit": node["unit"],
        "term:seconds": run["seconds"],
    }
    agent = f"ag:code-{node['code']}"
    document["agent"][agent] = {
        "prov:type": {"$": "prov:SoftwareAgent", "type": "prov:QUALIFIED_NAME"},
        "term:stage_version": node["version"],
        "term:libraries": ", ".join(f"{n} {v}" for n, v in node["libraries"].items()),
    }
    _relate(document, "wasAssociatedWith", key, agent)
    for path, digest in node["outputs"].items():
        document["entity"][f"file:{digest}"] = {"term:path": path, "term:sha256": digest}
        _relate(document, "wasGeneratedBy", f"file:{digest}", key)


def _add_leaf(document: dict[str, dict[str, Any]], trace: Trace, leaf: Mapping[str, Any]) -> None:
    name = leaf.get("sop") or leaf.get("sha256") or leaf.get("rule_id")
    entity = f"file:{leaf['kind']}-{name}"
    told = {k: v for k, v in leaf.items() if isinstance(v, str | int | float)}
    document["entity"][entity] = {f"term:{k}": v for k, v in told.items()}
    readers = [
        node["record_id"]
        for node in trace.nodes
        if (node.get("stage") == "bids" and node.get("unit") == leaf.get("unit"))
        or (leaf["kind"] == "site_file" and leaf["file"] in node.get("parameters", {}))
        or (leaf["kind"] == "rule" and node.get("stage") == "cohort")
    ]
    for reader in readers:
        _relate(document, "used", f"ag:{reader}", entity)


def _relate(document: dict[str, dict[str, Any]], kind: str, one: str, two: str) -> None:
    ends = {
        "wasGeneratedBy": ("prov:entity", "prov:activity"),
        "used": ("prov:activity", "prov:entity"),
        "wasAssociatedWith": ("prov:activity", "prov:agent"),
    }[kind]
    document[kind][f"_:{kind}{len(document[kind]) + 1}"] = dict(zip(ends, (one, two), strict=True))
