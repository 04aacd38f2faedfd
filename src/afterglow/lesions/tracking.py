"""The lesion graph of one subject: who is who over all sessions, and ids that never change.

The partition of lesions is a function of the set of sessions alone (they are taken in order of
date, whatever the order in which they arrived). Ids are issued by replaying the arrivals: a
lesion keeps the id it was first given, two ids found to be one lesion are linked by ``same_as``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from afterglow.lesions.corrections import Corrections
from afterglow.lesions.matching import MatchSettings, Pair, match

if TYPE_CHECKING:
    from collections.abc import Sequence

    from afterglow.lesions.blobs import Blob, Scan

Node = tuple[str, int]


@dataclass(frozen=True)
class Edge:
    """One edge of the lesion graph; distances in mm, the others are fractions."""

    from_session: str
    from_label: int
    to_session: str
    to_label: int
    kind: str
    overlap: float
    distance: float
    score: float
    margin: float
    uncertain: bool
    corrected: bool = False


@dataclass
class Track:
    """One lesion while the graph is built: its nodes in order of date."""

    nodes: list[Node]
    last: Blob
    last_scan: int
    matchable: bool = True


@dataclass
class Linked:
    """The batch result: lesions as lists of nodes, edges, and the state at every scan."""

    lesions: list[list[Node]] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    states: dict[Node, str] = field(default_factory=dict)
    absent: list[tuple[str, Node, str]] = field(default_factory=list)


def link(
    scans: Sequence[Scan],
    settings: MatchSettings | None = None,
    corrections: Corrections | None = None,
) -> Linked:
    """Link the lesions of all scans of one subject.

    Parameters
    ----------
    scans : sequence of Scan
        In order of date.
    settings : MatchSettings, optional
        Thresholds.
    corrections : Corrections, optional
        What a person decided.

    Returns
    -------
    Linked
        ``states`` holds ``baseline``, ``new``, ``persistent``, ``reappeared``, ``split`` or
        ``unmatched`` per node; ``absent`` holds (session, first node of the lesion,
        ``resolved`` or ``merged``) for lesions that a scan does not show.
    """
    settings = settings or MatchSettings()
    tracks: list[Track] = []
    linked = Linked()
    previous = -1
    for number, scan in enumerate(scans):
        if scan.reason:
            for blob in scan.blobs:
                tracks.append(Track([(scan.session, blob.label)], blob, number, matchable=False))
                linked.states[scan.session, blob.label] = "unmatched"
            continue
        _advance(tracks, linked, scan, number, previous, settings, corrections or Corrections())
        previous = number
    linked.lesions = [track.nodes for track in tracks]
    return linked


def _advance(
    tracks: list[Track],
    linked: Linked,
    scan: Scan,
    number: int,
    previous: int,
    settings: MatchSettings,
    corrections: Corrections,
) -> None:
    """Take one registered scan into the graph."""
    known = [track for track in tracks if track.matchable]
    recent = [track.last_scan == previous for track in known]
    decided = {
        (i, j): answer
        for i, track in enumerate(known)
        for j, blob in enumerate(scan.blobs)
        if (answer := corrections.allowed(track.nodes, (scan.session, blob.label))) is not None
    }
    pairs = match([track.last for track in known], scan.blobs, settings, recent, decided)
    linked.edges += [
        _edge(pair, known, scan, settings, corrected=decided.get((pair.i, pair.j), False))
        for pair in pairs
    ]
    merged = {pair.i for pair in pairs if pair.kind == "merge"}
    split = {pair.j for pair in pairs if pair.kind == "split"}
    follows = {pair.j: pair for pair in pairs if pair.kind in {"continuation", "reappearance"}}
    for j, blob in enumerate(scan.blobs):
        node = (scan.session, blob.label)
        pair = follows.get(j)
        if pair is None:
            tracks.append(Track([node], blob, number))
            first = "baseline" if previous < 0 else "new"
            linked.states[node] = "split" if j in split else first
            continue
        track = known[pair.i]
        track.nodes.append(node)
        track.last, track.last_scan = blob, number
        linked.states[node] = "persistent" if pair.kind == "continuation" else "reappeared"
    for i, track in enumerate(known):
        if track.last_scan != number:
            gone = "merged" if i in merged or _was_merged(linked, track, recent[i]) else "resolved"
            linked.absent.append((scan.session, track.nodes[0], gone))


def _was_merged(linked: Linked, track: Track, recent: bool) -> bool:
    """Return whether a lesion that was absent before had gone into another one."""
    if recent:
        return False
    states = [state for _, first, state in linked.absent if first == track.nodes[0]]
    return bool(states) and states[-1] == "merged"


def _edge(
    pair: Pair, known: Sequence[Track], scan: Scan, settings: MatchSettings, *, corrected: bool
) -> Edge:
    """Return a pair as an edge between sessions; what a person decided is certain."""
    old, new = known[pair.i].last, scan.blobs[pair.j]
    return Edge(
        old.session,
        old.label,
        scan.session,
        new.label,
        pair.kind,
        pair.overlap,
        pair.distance,
        1.0 if corrected else pair.score,
        1.0 if corrected else pair.margin,
        not corrected and pair.margin < settings.uncertain_margin,
        corrected,
    )


@dataclass
class Identity:
    """Ids of one subject: per node, and which ids are one lesion."""

    ids: dict[Node, str]
    same_as: list[tuple[str, str]]
    revised: list[tuple[Node, str, str]]
    graph: Linked


def identify(
    scans: Sequence[Scan],
    arrival: Sequence[str],
    settings: MatchSettings | None = None,
    corrections: Corrections | None = None,
) -> Identity:
    """Issue lesion ids in order of arrival.

    Parameters
    ----------
    scans : sequence of Scan
        In order of date.
    arrival : sequence of str
        Session labels in the order in which the index first saw them.
    settings : MatchSettings, optional
        Thresholds.
    corrections : Corrections, optional
        What a person decided.

    Returns
    -------
    Identity
        ``ids`` per (session, label); classes of the final partition that carry several ids
        are listed in ``same_as`` (id, smallest id); ``revised`` lists nodes whose class came
        apart when a scan between two others arrived (node, old id, new id).
    """
    ids: dict[Node, str] = {}
    revised: list[tuple[Node, str, str]] = []
    issued = 0
    graph = Linked()
    seen: set[str] = set()
    for session in arrival:
        seen.add(session)
        graph = link([scan for scan in scans if scan.session in seen], settings, corrections)
        rank = {name: place for place, name in enumerate(arrival)}
        claimed: set[str] = set()
        for nodes in sorted(graph.lesions, key=lambda n: min((rank[s], label) for s, label in n)):
            carried = sorted({ids[n] for n in nodes if n in ids and ids[n] not in claimed})
            if carried:
                name = carried[0]
            else:
                issued += 1
                name = f"L{issued:03d}"
            for node in nodes:
                old = ids.get(node)
                if old is None or old in claimed:
                    if old is not None:
                        revised.append((node, old, name))
                    ids[node] = name
            claimed |= {ids[node] for node in nodes}
    return Identity(ids, _same(graph.lesions, ids), revised, graph)


def _same(lesions: Sequence[Sequence[Node]], ids: dict[Node, str]) -> list[tuple[str, str]]:
    """Return (id, smallest id of its lesion) for every id that is not the smallest."""
    links = set()
    for nodes in lesions:
        names = sorted({ids[node] for node in nodes})
        links |= {(name, names[0]) for name in names[1:]}
    return sorted(links)


def as_json(identity: Identity, reasons: dict[str, str]) -> dict[str, Any]:
    """Return the graph as it is stored (``desc-lesions_graph.json``).

    ``reasons`` maps sessions that could not be matched to the reason.
    """
    ids, graph = identity.ids, identity.graph
    first: dict[str, str] = {}
    for session, label in sorted(ids):
        first.setdefault(ids[session, label], session)
    present = [
        {
            "session": session,
            "label": label,
            "lesion_id": name,
            "state": graph.states[session, label],
            "reason": reasons.get(session, ""),
        }
        for (session, label), name in sorted(ids.items())
    ]
    absent = [
        {"session": session, "label": None, "lesion_id": ids[node], "state": state, "reason": ""}
        for session, node, state in graph.absent
    ]
    return {
        "lesions": [{"lesion_id": name, "first_session": first[name]} for name in sorted(first)],
        "assignments": present + absent,
        "edges": [vars(edge) for edge in graph.edges],
        "same_as": [list(pair) for pair in identity.same_as],
        "revised": [
            {"session": node[0], "label": node[1], "was": old, "is": new}
            for node, old, new in identity.revised
        ],
    }
