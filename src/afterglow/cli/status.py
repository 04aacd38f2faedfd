"""How every job of a study stands: sessions by stages, and each failure with its remedy."""

from __future__ import annotations

import json
from collections import Counter
from operator import itemgetter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from afterglow.errors import AfterglowError
from afterglow.provenance.guard import is_held
from afterglow.provenance.places import ABSENT, ABSENT_STUDY, PLAN, TICKETS, JobId
from afterglow.provenance.records import unit_name
from afterglow.provenance.settled import current_columns
from afterglow.provenance.stages import SESSION_STAGES, STUDY_STAGES, SUBJECT_STAGES

Told = tuple[str, ...]
_PLACE = ("stage", "subject", "session")
_TOLD = ("status", "reason", "detail", "remedy", "problems")
_NOTHING = ("pending", "", "", "", "[]")
_SHOWN_UNITS = 200
_STYLE = {
    "done": "[green]done[/]",
    "failed": "[red]failed[/]",
    "not_evaluable": "[yellow]not evaluable[/]",
    "running": "[cyan]running[/]",
    "pending": "[dim]-[/]",
}


def status_rows(root: Path) -> list[dict[str, Any]]:
    """Return one entry per job of the plan: stage, unit, status, reason and remedy.

    What is recorded is told as it stands; whether it is still current is for `plan` and `verify`.
    """
    return [as_entry(place, told) for place, told in statuses(root).items()]


def as_entry(place: JobId, told: Told) -> dict[str, Any]:
    """Return a job and what is told of it as JSON values."""
    entry: dict[str, Any] = dict(zip((*_PLACE, *_TOLD), (*place, *told), strict=True))
    entry["problems"] = [] if told[-1] == "[]" else json.loads(told[-1])
    return entry


def statuses(root: Path) -> dict[JobId, Told]:
    """Return how every job of the plan stands: status, reason, detail, remedy, problems (JSON)."""
    columns = current_columns(root, (*_PLACE, *_TOLD), by_folder=True)
    places, told = zip(*columns[:3], strict=True), zip(*columns[3:], strict=True)
    known = _absent(root) | dict(zip(places, told, strict=True))
    known |= dict.fromkeys(_at_work(root), ("running", *_NOTHING[1:]))
    return {place: known.get(place, _NOTHING) for place in planned_places(root)}


def planned_places(root: Path) -> list[JobId]:
    """Return stage, subject and session of every job of the plan, without working out keys."""
    import pyarrow.parquet as pq

    if not (root / PLAN).exists():
        raise AfterglowError(
            "the study has no plan yet", where=str(PLAN), remedy="run `afterglow index STUDY`"
        )
    columns = ["subject", "session", "status"]
    plan = pq.ParquetFile(root / PLAN).read(columns=columns).to_pylist()
    units = sorted((r["subject"], r["session"]) for r in plan if r["status"] == "planned")
    subjects = sorted({subject for subject, _ in units})
    places: list[JobId] = [(stage, *unit) for unit in units for stage in SESSION_STAGES]
    places += [(stage, subject, None) for subject in subjects for stage in SUBJECT_STAGES]
    return places + [(stage, None, None) for stage in STUDY_STAGES]


def _at_work(root: Path) -> set[JobId]:
    """Return the jobs that a live process holds."""
    found: set[JobId] = set()
    for ticket in (root / TICKETS).glob("[!.]*.json"):
        if is_held(root, ticket.stem):
            from afterglow.provenance.dag import read_ticket

            job = read_ticket(root, ticket.stem)
            if job is not None:
                found.add(job.id)
    return found


def _absent(root: Path) -> dict[JobId, Told]:
    """Return what the last run says of the jobs that left no result."""
    files = [root / ABSENT, root / ABSENT_STUDY]
    found = [job for f in files if f.exists() for job in json.loads(f.read_text(encoding="utf-8"))]
    return {
        (job["stage"], job["subject"], job["session"]): (
            *("failed", "killed", f"{job['cause']} ({job['log']})", job["remedy"], "[]"),
        )
        for job in found
    }


def show_status(console: Console, jobs: dict[JobId, Told]) -> None:
    """Print sessions by stages (counts where they are many), then every failure with its remedy."""
    first = itemgetter(0)
    counts = Counter(zip(map(first, jobs), map(first, jobs.values()), strict=True))
    for stages in (SESSION_STAGES, SUBJECT_STAGES, STUDY_STAGES):
        units = sum(counts[stages[0], status] for status in _STYLE)
        many = units > _SHOWN_UNITS
        console.print(_counts(stages, counts, units) if many else _grid(stages, jobs))
    for place, told in jobs.items():
        if told[0] in {"failed", "not_evaluable"} or told[-1] != "[]":
            _show_trouble(console, as_entry(place, told))


def _grid(stages: tuple[str, ...], jobs: dict[JobId, Told]) -> Table:
    table = Table("", *stages, show_edge=False, pad_edge=False)
    units: dict[str, dict[str, str]] = {}
    for (stage, subject, session), (status, *_) in jobs.items():
        if stage in stages:
            units.setdefault(unit_name(subject, session), {})[stage] = status
    for unit, found in sorted(units.items()):
        table.add_row(unit, *(_STYLE[found[stage]] for stage in stages))
    return table


def _counts(stages: tuple[str, ...], counts: Counter[tuple[str, str]], units: int) -> Table:
    """Return how many units of each stage ended how: a thousand rows are for `--json`."""
    table = Table(f"{units} units", *stages, show_edge=False, pad_edge=False)
    for status, look in _STYLE.items():
        numbers = [counts[stage, status] for stage in stages]
        if any(numbers):
            table.add_row(look, *(str(number) for number in numbers))
    return table


def _show_trouble(console: Console, row: dict[str, Any]) -> None:
    unit = unit_name(row["subject"], row["session"])
    if row["status"] == "failed":
        console.print(f"[red]failed[/] {row['stage']} {unit}: {row['detail']}", highlight=False)
        if row["remedy"]:
            console.print(f"  remedy: {row['remedy']}", highlight=False)
    elif row["status"] == "not_evaluable":
        text = row["reason"] + (f": {row['detail']}" if row["detail"] else "")
        console.print(f"[yellow]not evaluable[/] {row['stage']} {unit}: {text}", highlight=False)
    for problem in row["problems"]:
        console.print(
            f"[red]problem[/] {row['stage']} {unit}: {problem['what']}: {problem['cause']}\n"
            f"  remedy: {problem['remedy']}",
            highlight=False,
        )
