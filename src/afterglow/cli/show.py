"""Plans, states, findings and traces as a person reads them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.tree import Tree

from afterglow.errors import AfterglowError
from afterglow.provenance.dag import ABSENT, ABSENT_STUDY, PLAN, TICKETS, Dag, JobId, read_ticket
from afterglow.provenance.guard import is_held
from afterglow.provenance.job import State
from afterglow.provenance.lineage import Trace
from afterglow.provenance.plan import Reason
from afterglow.provenance.records import unit_name
from afterglow.provenance.settled import current_rows
from afterglow.provenance.stages import SESSION_STAGES, STUDY_STAGES, SUBJECT_STAGES

if TYPE_CHECKING:
    from afterglow.provenance.audit import Finding

_NOTHING = {"status": "pending", "reason": "", "detail": "", "remedy": "", "problems": "[]"}
_SHOWN_UNITS = 200
_SHOWN_FILES = 12
_STYLE = {
    "done": "[green]done[/]",
    "failed": "[red]failed[/]",
    "not_evaluable": "[yellow]not evaluable[/]",
    "running": "[cyan]running[/]",
    "pending": "[dim]-[/]",
}


def show_plan(
    console: Console, dag: Dag, planned: dict[JobId, list[Reason]], *, explain: bool
) -> None:
    """Print how many jobs of each stage would run, and with ``explain`` each with its reasons."""
    if not planned:
        console.print("Nothing to be done: every result is current.")
        return
    counts = Counter(stage for stage, *_ in planned)
    console.print(f"{len(planned)} of {len(dag.jobs)} jobs to run")
    for stage in (*SESSION_STAGES, *SUBJECT_STAGES, *STUDY_STAGES):
        if counts[stage]:
            console.print(f"  {stage:13}{counts[stage]}")
    if explain:
        for (stage, subject, session), reasons in planned.items():
            why = "; ".join(str(reason) for reason in reasons)
            console.print(f"{stage:13}{unit_name(subject, session):30}{why}", highlight=False)


def status_rows(root: Path) -> list[dict[str, Any]]:
    """Return one entry per job of the plan: stage, unit, status, reason and remedy.

    What is recorded is told as it stands; whether it is still current is for `plan` and `verify`.
    """
    known = {(r["stage"], r["subject"], r["session"]): r for r in current_rows(root)}
    at_work, absent = _at_work(root), _absent(root)
    rows = []
    for place in planned_places(root):
        found = known.get(place) or absent.get(place, _NOTHING)
        status = "running" if place in at_work else found["status"]
        told = found if status == found["status"] else _NOTHING
        rows.append(
            {
                "stage": place[0],
                "subject": place[1],
                "session": place[2],
                "status": status,
                "reason": told["reason"],
                "detail": told["detail"],
                "remedy": told["remedy"],
                "problems": [] if told["problems"] == "[]" else json.loads(told["problems"]),
            }
        )
    return rows


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
            job = read_ticket(root, ticket.stem)
            if job is not None:
                found.add(job.id)
    return found


def _absent(root: Path) -> dict[JobId, dict[str, str]]:
    """Return what the last run says of the jobs that left no result."""
    files = [root / ABSENT, root / ABSENT_STUDY]
    found = [job for f in files if f.exists() for job in json.loads(f.read_text(encoding="utf-8"))]
    return {
        (job["stage"], job["subject"], job["session"]): {
            "status": "failed",
            "reason": "killed",
            "detail": f"{job['cause']} ({job['log']})",
            "remedy": job["remedy"],
            "problems": "[]",
        }
        for job in found
    }


def show_status(console: Console, root: Path) -> None:
    """Print sessions by stages (counts where they are many), then every failure with its remedy."""
    rows = status_rows(root)
    by_unit: dict[str, dict[str, str]] = {}
    for row in rows:
        unit = unit_name(row["subject"], row["session"])
        by_unit.setdefault(unit, {})[row["stage"]] = row["status"]
    for stages in (SESSION_STAGES, SUBJECT_STAGES, STUDY_STAGES):
        units = {u: found for u, found in by_unit.items() if any(s in found for s in stages)}
        console.print(_counts(stages, units) if len(units) > _SHOWN_UNITS else _grid(stages, units))
    for row in rows:
        _show_trouble(console, row)


def _grid(stages: tuple[str, ...], units: dict[str, dict[str, str]]) -> Table:
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("")
    for stage in stages:
        table.add_column(stage)
    for unit, found in sorted(units.items()):
        table.add_row(unit, *(_STYLE[found.get(stage, "pending")] for stage in stages))
    return table


def _counts(stages: tuple[str, ...], units: dict[str, dict[str, str]]) -> Table:
    """Return how many units of each stage ended how: a thousand rows are for `--json`."""
    table = Table(show_edge=False, pad_edge=False)
    table.add_column(f"{len(units)} units")
    for stage in stages:
        table.add_column(stage)
    for status, look in _STYLE.items():
        numbers = [sum(f.get(s, "pending") == status for f in units.values()) for s in stages]
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


def show_findings(console: Console, findings: list[Finding]) -> None:
    """Print what verification found."""
    if not findings:
        console.print("Clean: everything stands as recorded.")
    for finding in findings:
        console.print(
            f"[red]{finding.kind:10}[/] {finding.path}  {finding.detail}",
            highlight=False,
            soft_wrap=True,
        )


def show_trace(console: Console, found: Trace) -> None:
    """Print a chain from the cell at the top to the hashed DICOM instances at its roots."""
    cell = found.cell
    unit = cell["row"].get("unit")
    value = f"{cell['column']} = {cell['value']}" + (f" {unit}" if unit else "")
    tree = Tree(f"[bold]{cell['table']}[/]: {value}")
    nodes = {node["record_id"]: node for node in found.nodes}
    parents: dict[str, list[dict[str, Any]]] = {}
    for edge in found.edges:
        parents.setdefault(edge["to"], []).append(edge)
    leaves: dict[str, list[dict[str, Any]]] = {}
    for leaf in found.leaves:
        leaves.setdefault(str(leaf.get("unit", "study")), []).append(leaf)
    _grow(tree, cell["record_id"], nodes, parents, leaves, set())
    console.print(tree, highlight=False, soft_wrap=True)


def _grow(
    tree: Tree,
    key: str,
    nodes: dict[str, dict[str, Any]],
    parents: dict[str, list[dict[str, Any]]],
    leaves: dict[str, list[dict[str, Any]]],
    seen: set[str],
) -> None:
    node = nodes[key]
    if node.get("missing"):
        tree.add(f"[red]record {key[:12]} is missing[/]")
        return
    title = f"[bold]{node['stage']}[/] {node['unit']}  record {key[:12]}"
    if key in seen:
        tree.add(f"{title} (above)")
        return
    seen.add(key)
    branch = tree.add(title)
    run = node["run"]
    branch.add(
        f"code {node['code'][:12]}  commit {(run.get('git_commit') or 'none')[:12]}  "
        f"{run['started']}  {run['seconds']} s"
    )
    versions = ", ".join(f"{name} {number}" for name, number in node["libraries"].items())
    branch.add(f"with {versions}")
    for edge in parents.get(key, []):
        _grow_files(branch, edge["files"])
        _grow(branch, edge["from"], nodes, parents, leaves, seen)
    if node["stage"] == "bids":
        _grow_leaves(branch, leaves.get(node["unit"], []))


def _grow_files(branch: Tree, files: list[str]) -> None:
    """Name the files a job read: maps, masks, transforms, the arterial input."""
    for path in files[:_SHOWN_FILES]:
        branch.add(f"[dim]read {path}[/]")
    if len(files) > _SHOWN_FILES:
        branch.add(f"[dim]... {len(files)} files read in all[/]")


def _grow_leaves(branch: Tree, leaves: list[dict[str, Any]]) -> None:
    instances = [leaf for leaf in leaves if leaf["kind"] == "instance"]
    by_class: dict[str, list[dict[str, Any]]] = {}
    for leaf in instances:
        by_class.setdefault(f"{leaf['class']} {leaf['series_key']}", []).append(leaf)
    for name, members in sorted(by_class.items()):
        shown = ", ".join(f"{m['center']}:{m['file']}" for m in members[:2])
        more = f", ... {len(members)} in all" if len(members) > 2 else ""
        branch.add(f"DICOM {name}: {shown}{more}")
    for leaf in leaves:
        if leaf["kind"] == "mask":
            branch.add(f"given mask {leaf.get('file', '')} sha256 {leaf['sha256'][:12]}")


def summarize(states: list[State]) -> str:
    """Return how many jobs ended how, in one line."""
    counts = Counter(state.status for state in states)
    problems = sum(len(state.problems) for state in states)
    parts = [f"{counts['done']} done", f"{counts['not_evaluable']} not evaluable"]
    parts.append(f"{counts['failed'] + problems} failed")
    return ", ".join(parts)
