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
    for lesion in graph["lesions"]:
        found.first[subject, lesion["lesion_id"]] = lesion["first_session"]


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
