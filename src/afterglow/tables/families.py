"""Which lesions a lesion holds at a session, so that its size is compared with like.

A lesion that swallowed another one did not grow by it, and one that came apart did not shrink by
its pieces: the sizes of all that it holds are added, at every earlier session too, as RECIST 1.1
(Eisenhauer 2009) adds the diameters of fragments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]
Lesion = tuple[str, str]  # subject and lesion
Order = Mapping[tuple[str, str], int]


def lesion_of_row(row: Row) -> Lesion:
    """Return subject and lesion of a row: of two ids of one lesion the first issued.

    Examples
    --------
    >>> lesion_of_row({"subject": "a", "lesion_id": "L003", "same_as": "L001"})
    ('a', 'L001')
    """
    return str(row["subject"]), str(row.get("same_as") or row["lesion_id"])


@dataclass(frozen=True)
class Families:
    """Rows of all lesions, and the splits and merges between them.

    ``kin`` holds by lesion the others that it may hold, each with the place in time from which.
    """

    rows: Mapping[Lesion, Mapping[int, Row]] = field(default_factory=dict)
    pieces: Mapping[Lesion, Sequence[tuple[int, Lesion]]] = field(default_factory=dict)
    merged: Mapping[Lesion, Sequence[tuple[int, Lesion]]] = field(default_factory=dict)

    def held(self, lesion: Lesion, at: int) -> list[Lesion]:
        """Return the other lesions that a lesion holds at a place in time."""
        found = [piece for since, piece in self.pieces.get(lesion, ()) if since <= at]
        for since, other in self.merged.get(lesion, ()):
            now = self.rows.get(other, {}).get(at)
            if since <= at and now is not None and now.get("state") == "merged":
                found.append(other)
        return sorted(set(found) - {lesion})

    def host(self, lesion: Lesion, at: int) -> Lesion | None:
        """Return the lesion that holds one which went into another."""
        hosts = [
            h for h, inside in self.merged.items() for s, m in inside if m == lesion and s <= at
        ]
        return next((h for h in hosts if lesion in self.held(h, at)), None)

    def size(self, lesion: Lesion, others: Sequence[Lesion], at: int, name: str) -> float:
        """Return the sizes of a lesion and of those it holds together; NaN where one is unknown."""
        own = self._one(lesion, at, name)
        return own + sum(self._one(other, at, name, inside=True) for other in others)

    def _one(self, lesion: Lesion, at: int, name: str, *, inside: bool = False) -> float:
        known = self.rows.get(lesion, {})
        row = known.get(at)
        if inside and (at < min(known, default=at + 1) or _is_merged(row)):
            return 0.0
        value = None if row is None else row.get(name)
        return math.nan if value is None else float(value)


def _is_merged(row: Row | None) -> bool:
    return row is not None and row.get("state") == "merged"


def families(rows: Sequence[Row], edges: Sequence[Row], order: Order) -> Families:
    """Return who holds whom, from the rows of `lesions` and `edges`.

    Parameters
    ----------
    rows, edges : sequence of mapping
        Rows of both tables.
    order : mapping
        Place in time of every (subject, session).
    """
    by_lesion: dict[Lesion, dict[int, Row]] = {}
    name_of: dict[Lesion, Lesion] = {}
    for row in rows:
        lesion = lesion_of_row(row)
        name_of[str(row["subject"]), str(row["lesion_id"])] = lesion
        by_lesion.setdefault(lesion, {})[order[row["subject"], row["session"]]] = row
    pieces: dict[Lesion, list[tuple[int, Lesion]]] = {}
    merged: dict[Lesion, list[tuple[int, Lesion]]] = {}
    for edge in edges:
        ends = [name_of.get((edge["subject"], edge[f"{end}_lesion_id"])) for end in ("from", "to")]
        first, last = ends
        if first is None or last is None:
            continue
        since = order[edge["subject"], edge["to_session"]]
        if edge["kind"] == "split":
            pieces.setdefault(first, []).append((since, last))
        elif edge["kind"] == "merge":
            merged.setdefault(last, []).append((since, first))
    return Families(by_lesion, pieces, merged)
