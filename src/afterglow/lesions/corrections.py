"""Corrections of lesion identity that a person made, from the study's decisions file.

A row concerns one lesion: ``subject`` and ``session`` (labels without ``sub-`` and ``ses-``),
``target`` ``lesion/<label>``, and ``decision`` one of ``same_as <session>/<label>`` (it is that
lesion), ``not_same_as <session>/<label>`` (it is not), or ``new`` (it is none of those before).
Rows with other targets are for other stages.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from afterglow.errors import AfterglowError

Node = tuple[str, int]
Verdict = Literal["same_as", "not_same_as", "new"]
_TARGET = re.compile(r"^lesion/(\d+)$")
_OTHER = re.compile(r"^(same_as|not_same_as)\s+(?:ses-)?([0-9A-Za-z]+)/(\d+)$")


@dataclass(frozen=True)
class Correction:
    """One decision: what is said of ``node``, and of which other lesion; ``row`` counts from 1.

    ``rater`` and ``reason`` are as written: who decided, and why.
    """

    node: Node
    verdict: Verdict
    other: Node | None
    row: int
    rater: str = ""
    reason: str = ""

    def contradicts(self, earlier: Correction) -> bool:
        """Tell whether this row and an earlier one cannot both be true.

        Examples
        --------
        >>> same = Correction(("b", 1), "same_as", ("a", 2), 1)
        >>> Correction(("a", 2), "not_same_as", ("b", 1), 2).contradicts(same)
        True
        >>> Correction(("b", 1), "same_as", ("a", 1), 2).contradicts(same)
        False
        """
        verdicts = {self.verdict, earlier.verdict}
        if "new" in verdicts:
            return self.node == earlier.node and verdicts == {"new", "same_as"}
        pairs = {self.node, self.other}, {earlier.node, earlier.other}
        return pairs[0] == pairs[1] and len(verdicts) == 2


def read_corrections(path: Path | None, subject: str) -> list[Correction]:
    """Return the corrections of one subject, in the order of the file.

    Raises
    ------
    AfterglowError
        No such file or columns, or a decision on a lesion that cannot be understood.
    """
    if path is None:
        return []
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            rows = list(reader)
            columns = set(reader.fieldnames or ())
    except OSError as error:
        raise AfterglowError(f"the decisions file cannot be read ({error.strerror})") from error
    missing = {"subject", "session", "target", "decision"} - columns
    if missing:
        raise AfterglowError(
            f"the decisions file has no column {', '.join(sorted(missing))}",
            where="decisions",
            expected="subject, session, target, decision, file, rater, date, reason",
        )
    found = [_parsed(row, number) for number, row in enumerate(rows, start=1)]
    return [c for name, c in found if c is not None and name == subject]


def _parsed(row: Mapping[str, str], number: int) -> tuple[str, Correction | None]:
    """Return the subject of a row and what it says of a lesion, None where it says nothing."""
    plain = {name: (text or "").strip() for name, text in row.items() if name}
    subject = plain["subject"].removeprefix("sub-")
    target = _TARGET.match(plain["target"])
    if target is None:
        return subject, None
    node = (plain["session"].removeprefix("ses-"), int(target.group(1)))
    told = plain.get("rater", ""), plain.get("reason", "")
    if plain["decision"] == "new":
        return subject, Correction(node, "new", None, number, *told)
    other = _OTHER.match(plain["decision"])
    if other is None:
        raise AfterglowError(
            f"row {number} of the decisions file is not understood",
            where="decisions",
            expected="same_as SESSION/LABEL, not_same_as SESSION/LABEL, or new",
        )
    verdict: Verdict = "same_as" if other.group(1) == "same_as" else "not_same_as"
    pair = (other.group(2), int(other.group(3)))
    return subject, Correction(node, verdict, pair, number, *told)


@dataclass(frozen=True)
class Corrections:
    """All corrections of one subject, as tracking asks for them; later rows win."""

    rows: Sequence[Correction] = ()

    def allowed(self, track: Iterable[Node], node: Node) -> bool | None:
        """Return whether a lesion is (True) or is not (False) the one with the nodes of a track.

        None where nobody decided.
        """
        nodes = set(track)
        answer: bool | None = None
        for row in self.rows:
            pair = {(row.node, row.other), (row.other, row.node)}
            if row.verdict == "new":
                answer = False if row.node == node else answer
            elif any((own, node) in pair for own in nodes):
                answer = row.verdict == "same_as"
        return answer

    def contradictions(self) -> list[tuple[Correction, Correction]]:
        """Return each row that contradicts an earlier one, with that one."""
        return [
            (row, earlier)
            for place, row in enumerate(self.rows)
            for earlier in self.rows[:place]
            if row.contradicts(earlier)
        ]

    def applied(self, nodes: Iterable[Node]) -> list[tuple[Correction, bool]]:
        """Return each correction and whether all lesions it names are there."""
        there = set(nodes)
        return [
            (row, row.node in there and (row.other is None or row.other in there))
            for row in self.rows
        ]
