"""Which lesion of one scan is which of another: assignment plus split and merge edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from afterglow.lesions.blobs import Blob

# Above any sum of scores that a subject's lesions can reach.
_DECIDED = 1000.0

Kind = Literal["continuation", "reappearance", "split", "merge"]


@dataclass(frozen=True)
class MatchSettings:
    """Settings of the pairwise matching; lengths in mm, the others are fractions."""

    dilation: float = 2.0
    min_overlap: float = 0.25
    max_distance: float = 6.0
    min_score: float = 0.2
    uncertain_margin: float = 0.1
    gap_penalty: float = 0.15
    realign: bool = True


@dataclass(frozen=True)
class Pair:
    """One edge between blob ``i`` of the earlier and blob ``j`` of the later scan."""

    i: int
    j: int
    kind: Kind
    overlap: float
    distance: float
    score: float
    margin: float


@dataclass(frozen=True)
class Similarity:
    """How alike every earlier blob (row) and every later blob (column) are.

    ``overlap`` is the share of the smaller blob within the dilation of the larger one,
    ``distance`` that of the centroids in mm, ``score`` the assignment score in [0, 1].
    """

    overlap: NDArray[np.float64]
    distance: NDArray[np.float64]
    score: NDArray[np.float64]


def similarity(
    before: Sequence[Blob],
    after: Sequence[Blob],
    settings: MatchSettings,
    shift: NDArray[np.float64] | None = None,
) -> Similarity:
    """Compare all blobs of two scans; ``shift`` (mm) is added to the earlier ones."""
    move = np.zeros(3) if shift is None else shift
    overlap = np.zeros((len(before), len(after)))
    distance = np.full_like(overlap, np.inf)
    score = np.zeros_like(overlap)
    for i, old in enumerate(before):
        for j, new in enumerate(after):
            apart = float(np.linalg.norm(old.centroid + move - new.centroid))
            distance[i, j] = apart
            if apart > old.radius * 2 + new.radius * 2 + settings.max_distance:
                continue
            overlap[i, j] = _overlap(old, new, move, settings.dilation)
            score[i, j] = _score(old, new, apart, overlap[i, j], settings)
    return Similarity(overlap, distance, score)


def _overlap(old: Blob, new: Blob, move: NDArray[np.float64], dilation: float) -> float:
    """Return the share of the smaller blob's points within ``dilation`` of the larger blob."""
    if old.volume <= new.volume:
        near, _ = new.tree.query(old.points + move, distance_upper_bound=dilation)
    else:
        near, _ = old.tree.query(new.points - move, distance_upper_bound=dilation)
    return float(np.isfinite(near).mean())


def _score(old: Blob, new: Blob, apart: float, overlap: float, settings: MatchSettings) -> float:
    """Return the assignment score: overlap, closeness and likeness of size.

    Closeness falls with the distance in units that grow with the lesion, because the centroid
    of a large lesion moves with its shape; size counts least, because lesions grow.
    """
    reach = settings.max_distance / 2 + 0.5 * max(old.radius, new.radius)
    if overlap < settings.min_overlap and apart > settings.max_distance:
        return 0.0
    closeness = float(np.exp(-0.5 * (apart / reach) ** 2))
    size = float((min(old.volume, new.volume) / max(old.volume, new.volume)) ** (1 / 3))
    return 0.45 * overlap + 0.4 * closeness + 0.15 * size


def match(
    before: Sequence[Blob],
    after: Sequence[Blob],
    settings: MatchSettings | None = None,
    recent: Sequence[bool] | None = None,
    decided: Mapping[tuple[int, int], bool] | None = None,
) -> list[Pair]:
    """Match two scans.

    Parameters
    ----------
    before, after : sequence of Blob
        Earlier and later lesions in one space. ``before`` may hold the last known shape of
        lesions that the scan directly before did not show.
    settings : MatchSettings, optional
        Thresholds.
    recent : sequence of bool, optional
        False for those absent from the scan directly before: a match is then a reappearance.
    decided : mapping, optional
        Pairs (i, j) that a person said are one lesion (True) or are not (False).

    Returns
    -------
    list of Pair
        One-to-one edges first, then split and merge edges, each in order of (i, j).
    """
    settings = settings or MatchSettings()
    if not before or not after:
        return []
    recent = [True] * len(before) if recent is None else recent
    decided = decided or {}
    alike = _ruled(similarity(before, after, settings), decided)
    pairs = _assign(alike, settings, recent)
    shift = _common_shift(before, after, pairs) if settings.realign else None
    if shift is not None:
        alike = _ruled(similarity(before, after, settings, shift), decided)
        pairs = _assign(alike, settings, recent)
    return pairs + _split_and_merge(alike, pairs, settings, recent)


def _ruled(alike: Similarity, decided: Mapping[tuple[int, int], bool]) -> Similarity:
    """Return the similarity with what a person decided: certain, or none."""
    for pair, same in decided.items():
        alike.overlap[pair] = 1.0 if same else 0.0
        alike.score[pair] = _DECIDED if same else 0.0
    return alike


def _assign(alike: Similarity, settings: MatchSettings, recent: Sequence[bool]) -> list[Pair]:
    """Return the one-to-one edges of the best total score."""
    from scipy.optimize import linear_sum_assignment

    penalty = np.where(np.asarray(recent), 0.0, settings.gap_penalty)[:, None]
    score = np.where(alike.score > 0, np.maximum(alike.score - penalty, 0.0), 0.0)
    useful = np.where(score >= settings.min_score, score, 0.0)
    rows, columns = linear_sum_assignment(-useful)
    pairs = []
    for i, j in zip(rows.tolist(), columns.tolist(), strict=True):
        if useful[i, j] <= 0:
            continue
        others = np.concatenate([np.delete(score[i], j), np.delete(score[:, j], i)])
        rival = float(others.max()) if others.size else 0.0
        margin = float(np.clip((score[i, j] - rival) / score[i, j], -1, 1))
        kind: Kind = "continuation" if recent[i] else "reappearance"
        pairs.append(
            Pair(i, j, kind, alike.overlap[i, j], alike.distance[i, j], score[i, j], margin)
        )
    return pairs


def _common_shift(
    before: Sequence[Blob], after: Sequence[Blob], pairs: Sequence[Pair]
) -> NDArray[np.float64] | None:
    """Return the median displacement of the matched lesions (mm), None with fewer than four.

    What all lesions share is residual misregistration, not biology.
    """
    if len(pairs) < 4:
        return None
    moves = np.array([after[p.j].centroid - before[p.i].centroid for p in pairs])
    return np.asarray(np.median(moves, axis=0))


def _split_and_merge(
    alike: Similarity, pairs: Sequence[Pair], settings: MatchSettings, recent: Sequence[bool]
) -> list[Pair]:
    """Return edges from what the assignment left over to what it overlaps."""
    taken_before, taken_after = {p.i for p in pairs}, {p.j for p in pairs}
    edges: list[Pair] = []
    for j in range(alike.overlap.shape[1]):
        if j not in taken_after:
            edges += _side_edge(alike, sorted(taken_before), [j], "split", settings)
    for i in range(alike.overlap.shape[0]):
        if i not in taken_before and recent[i]:
            edges += _side_edge(alike, [i], sorted(taken_after), "merge", settings)
    return sorted(edges, key=lambda edge: (edge.i, edge.j))


def _side_edge(
    alike: Similarity, rows: list[int], columns: list[int], kind: Kind, settings: MatchSettings
) -> list[Pair]:
    """Return the edge of largest overlap among ``rows`` x ``columns``, if it is large enough."""
    if not rows or not columns:
        return []
    overlap = alike.overlap[np.ix_(rows, columns)]
    r, c = np.unravel_index(int(overlap.argmax()), overlap.shape)
    best = float(overlap[r, c])
    if best < settings.min_overlap:
        return []
    rest = np.delete(overlap.ravel(), overlap.argmax())
    rival = float(rest.max()) if rest.size else 0.0
    i, j = rows[int(r)], columns[int(c)]
    margin = min(best - settings.min_overlap, best - rival) / best
    return [Pair(i, j, kind, best, float(alike.distance[i, j]), best, margin)]
