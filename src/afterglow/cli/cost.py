"""What a study cost by stage: time, memory and disk, asked for and used."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from afterglow.provenance.records import read_record
from afterglow.provenance.settled import current_rows
from afterglow.provenance.stages import STAGES

_MARGIN = 1.3
_MEMORY_STEP = 500
_TIME_STEP = 5


def cost_report(root: Path) -> list[dict[str, Any]]:
    """Return a row per stage over the records of all current states.

    Returns
    -------
    list of dict
        ``stage``, ``jobs``, ``cpu_hours``, ``run_seconds`` (median, most), ``wait_seconds`` (the
        same), ``peak_mb`` (the same), ``asked_mb``, ``asked_min``, ``disk_mb`` (mean per job) and
        ``suggested_mb``, ``suggested_min``: the most that was used and 30 %, rounded up.
    """
    runs: dict[str, list[dict[str, Any]]] = {}
    for run in _runs(root):
        runs.setdefault(run["stage"], []).append(run)
    return [_stage(name, runs[name]) for name in STAGES if name in runs]


def _runs(root: Path) -> Iterator[dict[str, Any]]:
    for row in current_rows(root):
        record = read_record(root, row["key"])
        if record is not None and record["status"] != "failed":
            size = sum(output["size"] for output in record["outputs"])
            yield {"stage": record["stage"], "bytes": size, **record["run"]}


def _stage(name: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    asked = [run["asked"] for run in runs if run.get("asked")]
    peak, seconds = _spread(runs, "peak_memory_mb"), _spread(runs, "seconds")
    return {
        "stage": name,
        "jobs": len(runs),
        "cpu_hours": round(sum(run.get("cpu_seconds") or 0 for run in runs) / 3600, 3),
        "run_seconds": seconds,
        "wait_seconds": _spread(runs, "waited"),
        "peak_mb": peak,
        "asked_mb": max((a["mem_mb"] for a in asked if a.get("mem_mb")), default=None),
        "asked_min": max((a["runtime"] for a in asked if a.get("runtime")), default=None),
        "disk_mb": round(sum(run["bytes"] for run in runs) / len(runs) / 1e6, 2),
        "suggested_mb": _rounded(peak[1], _MEMORY_STEP) if peak else None,
        "suggested_min": _rounded(seconds[1] / 60, _TIME_STEP) if seconds else None,
    }


def _spread(runs: Sequence[dict[str, Any]], name: str) -> tuple[float, float] | None:
    """Return the median and the most of one fact of the runs, or None where none has it."""
    values = sorted(run[name] for run in runs if run.get(name) is not None)
    return (round(values[len(values) // 2], 1), round(values[-1], 1)) if values else None


def _rounded(value: float, step: int) -> int:
    """Return a request with its margin.

    Examples
    --------
    >>> _rounded(1600.0, 500), _rounded(0.2, 5)
    (2500, 5)
    """
    return step * math.ceil(value * _MARGIN / step)


def show_cost(console: Console, rows: list[dict[str, Any]]) -> None:
    """Print the report as a table, median/most where both say something."""
    table = Table(show_edge=False, pad_edge=False)
    heads = (
        *("stage", "jobs", "CPU h", "run s", "wait s", "peak MB", "asked MB", "asked min"),
        *("disk MB/job", "suggested MB", "suggested min"),
    )
    for head in heads:
        table.add_column(head, justify="left" if head == "stage" else "right")
    for row in rows:
        table.add_row(*(_text(value) for value in row.values()))
    console.print(table)
    hours = sum(row["cpu_hours"] for row in rows)
    console.print(f"{hours:.2f} CPU hours in {sum(row['jobs'] for row in rows)} jobs")


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value[0]:g}/{value[1]:g}" if isinstance(value, tuple) else str(value)
