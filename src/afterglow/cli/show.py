"""Plans, findings and traces as a person reads them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from rich.tree import Tree

from afterglow.provenance.records import unit_name
from afterglow.provenance.stages import SESSION_STAGES, STUDY_STAGES, SUBJECT_STAGES

if TYPE_CHECKING:
    from rich.console import Console

    from afterglow.provenance.audit import Finding
    from afterglow.provenance.dag import Dag
    from afterglow.provenance.job import State
    from afterglow.provenance.lineage import Trace
    from afterglow.provenance.places import JobId
    from afterglow.provenance.plan import Reason

_SHOWN_FILES = 12


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
    for leaf in found.leaves:
        if leaf["kind"] == "site_file":
            rows = f" rows {', '.join(map(str, leaf['rows']))}" if leaf["rows"] else ""
            tree.add(f"{leaf['file']} file{rows}  sha256 {leaf['sha256'][:12]}")
        elif leaf["kind"] == "rule":
            tree.add(f"rule {leaf['rule_id']} {leaf['version'] or ''}")
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
    parts.append(f"{counts['failed']} failed")
    if problems:
        parts.append(f"{problems} part{'s' * (problems > 1)} of them failed")
    return ", ".join(parts)
