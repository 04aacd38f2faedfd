"""The chain behind one number as a page that needs nothing else."""

from __future__ import annotations

from collections import Counter
from typing import Any

from afterglow import __version__
from afterglow.provenance.lineage import Trace
from afterglow.report.render import page


def trace_page(found: Trace) -> str:
    """Return a self-contained page: the cell, each job behind it with its files, and the leaves.

    Parameters
    ----------
    found : Trace
        The chain, as `afterglow.provenance.lineage.trace` follows it.
    """
    nodes = {node["record_id"]: node for node in found.nodes}
    files: dict[str, list[str]] = {}
    for edge in found.edges:
        files.setdefault(edge["from"], []).extend(edge["files"])
    jobs = [
        {
            **{name: node.get(name, "") for name in ("stage", "unit", "status", "version", "code")},
            "record_id": key,
            "run": node.get("run", {}),
            "libraries": sorted(node.get("libraries", {}).items()),
            "parameters": sorted(node.get("parameters", {}).items()),
            "files": [(path, node["outputs"][path]) for path in sorted(set(files.get(key, ())))],
            "missing": bool(node.get("missing")),
        }
        for key, node in nodes.items()
    ]
    return page(
        "trace.html.j2",
        version=__version__,
        cell=found.cell,
        row=[(k, v) for k, v in found.cell["row"].items() if v is not None][:40],
        jobs=jobs,
        series=_series(found.leaves),
        others=[leaf for leaf in found.leaves if leaf["kind"] != "instance"],
    )


def _series(leaves: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the DICOM series at the roots with how many instances each holds."""
    instances = [leaf for leaf in leaves if leaf["kind"] == "instance"]
    counts = Counter((leaf["unit"], leaf["class"], leaf["series_key"]) for leaf in instances)
    return [
        {
            "unit": unit,
            "class": kind,
            "series_key": key,
            "count": count,
            "instances": [
                leaf
                for leaf in instances
                if (leaf["unit"], leaf["class"], leaf["series_key"]) == (unit, kind, key)
            ],
        }
        for (unit, kind, key), count in sorted(counts.items())
    ]
