"""Lesion ids, states and edges of all subjects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from afterglow.bids.sidecars import read_json
from afterglow.tables.study import StudyStates

UNKNOWN = "unknown"


@dataclass
class Identities:
    """Who is who in a study."""

    ids: dict[tuple[str, str, int], str] = field(default_factory=dict)
    states: dict[tuple[str, str, int], str] = field(default_factory=dict)
    absent: list[tuple[str, str, str, str]] = field(default_factory=list)
    same_as: dict[tuple[str, str], str] = field(default_factory=dict)
    first: dict[tuple[str, str], str] = field(default_factory=dict)
    edges: list[dict[str, Any]] = field(default_factory=list)
    dose: dict[tuple[str, str, int], dict[str, Any]] = field(default_factory=dict)
    decisions: dict[tuple[str, str, int], str] = field(default_factory=dict)

    def lesion_id(self, subject: str, session: str, label: int) -> str:
        """Return the id of a label; where identity has no result, a name that cannot be one."""
        return self.ids.get((subject, session, label), f"{UNKNOWN}-{session}-{label}")


def read_identities(study: StudyStates, find: Callable[[str], Path]) -> Identities:
    """Read the lesion graphs of all subjects."""
    found = Identities()
    for subject in study.by_subject:
        state = study.state("identity", subject, None)
        if state is None or not state.done:
            continue
        graph = read_json(find(state.summary["graph"]))
        _take(found, subject, graph)
        found.edges += list(_edges(found, study.center_of(subject), subject, graph, state.key))
    return found


def _take(found: Identities, subject: str, graph: Mapping[str, Any]) -> None:
    for item in graph["assignments"]:
        if item["label"] is None:
            found.absent.append((subject, item["session"], item["lesion_id"], item["state"]))
            continue
        key = (subject, item["session"], int(item["label"]))
        found.ids[key], found.states[key] = item["lesion_id"], item["state"]
    for name, other in graph["same_as"]:
        found.same_as[subject, name] = other
    _take_dose(found, subject, graph)
    _take_decisions(found, subject, graph)
    for lesion in graph["lesions"]:
        found.first[subject, lesion["lesion_id"]] = lesion["first_session"]


def _take_decisions(found: Identities, subject: str, graph: Mapping[str, Any]) -> None:
    """Take what a person decided of each lesion as one text: what, by whom and why."""
    for row in graph.get("decisions") or []:
        if not row["applied"]:
            continue
        other = " {}/{}".format(*row["other"]) if row["other"] else ""
        why = ": ".join(part for part in (row.get("rater"), row.get("reason")) if part)
        text = f"{row['decision']}{other}" + (f" ({why})" if why else "")
        key = (subject, row["session"], int(row["label"]))
        found.decisions[key] = "; ".join(p for p in (found.decisions.get(key), text) if p)


_DOSE = {
    "plan": "dose_plan",
    "type": "dose_type",
    "reason": "dose_reason",
    "Dmean": "dose_mean",
    "D98": "dose_d98",
    "D95": "dose_d95",
    "D50": "dose_d50",
    "D2": "dose_d2",
    "V10": "dose_v10",
    "V12": "dose_v12",
}


def _take_dose(found: Identities, subject: str, graph: Mapping[str, Any]) -> None:
    """Take the dose of the subject's first plan; V10 and V12 are those of the lesion there."""
    rows = graph.get("dose") or []
    first = min((row["plan"] for row in rows), default=None)
    rows = [row for row in rows if row["plan"] == first]
    tissue = {
        found.ids.get((subject, row["session"], int(row["label"]))): row
        for row in rows
        if "V12" in row
    }
    for row in rows:
        key = (subject, row["session"], int(row["label"]))
        planned = tissue.get(found.ids.get(key), {})
        values = {**row, "V10": planned.get("V10"), "V12": planned.get("V12")}
        found.dose[key] = {column: values.get(name) for name, column in _DOSE.items()}


def _edges(
    found: Identities, center: str, subject: str, graph: Mapping[str, Any], key: str
) -> Iterator[dict[str, Any]]:
    for edge in graph["edges"]:
        ends = {
            f"{side}_lesion_id": found.ids.get(
                (subject, edge[f"{side}_session"], int(edge[f"{side}_label"]))
            )
            for side in ("from", "to")
        }
        yield {"center": center, "subject": subject, **edge, **ends, "record_id": key}
