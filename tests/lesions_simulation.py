"""Random subjects with known lesion identities, for the proofs of tracking (no images).

Rates of a measured cohort: 5 to 15 lesions, some of them neighbours; from one scan to the next 12 %
resolve, 8 % of those above 4 mm split, neighbours less than 6 mm apart merge, and a Poisson number
is new. The residual registration error moves every lesion by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from afterglow.lesions.blobs import Blob, Scan

RESOLVED, SPLIT, SPLIT_RADIUS, MERGE_GAP, NEW = 0.12, 0.08, 4.0, 6.0, 1.5
NEIGHBOURS = 0.35
HEAD = np.array([62.0, 78.0, 55.0])


@dataclass
class Truth:
    """Known edges between consecutive scans and the new lesions of each later scan."""

    edges: set = field(default_factory=set)
    new: set = field(default_factory=set)


@dataclass
class Lesion:
    """A solid: its center and radius (mm), and the lattice points (1 mm) it fills."""

    center: np.ndarray
    radius: float
    points: np.ndarray


def ball(center, radius, rng, spacing=1.0):
    """Return the lattice points of a slightly irregular ball."""
    reach = int(np.ceil(radius * 1.3 / spacing)) + 1
    low = np.floor(np.asarray(center) / spacing) - reach
    index = np.stack(np.meshgrid(*[np.arange(2 * reach + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    points = (index + low) * spacing
    stretch = rng.uniform(0.85, 1.15, 3)
    inside = (((points - center) / (radius * stretch)) ** 2).sum(axis=1) <= 1
    return points[inside] if inside.any() else np.asarray(center, float)[None, :]


def gap(a, b):
    """Return the smallest distance between two clouds."""
    return float(cKDTree(a).query(b)[0].min())


def _somewhere(rng):
    """Return a point in the head."""
    while True:
        point = rng.uniform(-1, 1, 3)
        if (point**2).sum() < 1:
            return point * HEAD


def _place(rng, others, radius, near):
    """Return a lesion that overlaps none of the others, beside one of them where ``near``."""
    for _ in range(200):
        center = _somewhere(rng)
        if near and others:
            other = others[int(rng.integers(len(others)))]
            way = rng.normal(size=3)
            reach = other.radius + radius + rng.uniform(2.5, 12.0)
            center = other.center + way / np.linalg.norm(way) * reach
        points = ball(center, radius, rng)
        if all(gap(points, other.points) > 2.0 for other in others):
            return Lesion(center, radius, points)
    return None


def subject(rng, n_lesions=None, n_scans=2, error=1.5):
    """Return scans and the truth; ``error`` is the rms length of each lesion's own shift (mm)."""
    n = n_lesions or int(rng.integers(5, 16))
    current, truth = [], Truth()
    while len(current) < n:
        radius = float(np.clip(rng.lognormal(np.log(4.5), 0.5), 1.5, 14))
        lesion = _place(rng, current, radius, rng.random() < NEIGHBOURS)
        if lesion is not None:
            current.append(lesion)
    scans = [_scan("s00", current, rng, 0.0)]
    for number in range(1, n_scans):
        name, before = f"s{number:02d}", f"s{number - 1:02d}"
        current = _evolve(current, rng, truth, before, name)
        scans.append(_scan(name, current, rng, error))
    return scans, truth


def _scan(name, lesions, rng, error):
    blobs = []
    for label, lesion in enumerate(lesions, start=1):
        move = rng.normal(0, error / np.sqrt(3), 3)
        blobs.append(Blob(name, label, lesion.points + move, float(len(lesion.points))))
    return Scan(name, tuple(blobs))


def _evolve(lesions, rng, truth, before, name):
    """Grow, resolve, split and merge; add new ones; record the edges."""
    grown, parents = [], []
    for label, lesion in enumerate(lesions, start=1):
        if rng.random() < RESOLVED:
            continue
        size = float(np.clip(lesion.radius * rng.lognormal(0, 0.2), 1.2, 18))
        points = ball(lesion.center, size, rng)
        parts = [points]
        if lesion.radius > SPLIT_RADIUS and rng.random() < SPLIT:
            parts = _split(lesion.center, size, points, rng)
        for part in parts:
            center = lesion.center if len(parts) == 1 else part.mean(axis=0)
            grown.append(Lesion(center, (3 * len(part) / 12.566) ** (1 / 3), part))
            parents.append({label})
    grown, parents = _merge(grown, parents)
    for _ in range(rng.poisson(NEW)):
        radius = float(np.clip(rng.lognormal(np.log(2.5), 0.3), 1.2, 6))
        lesion = _place(rng, grown, radius, rng.random() < NEIGHBOURS)
        if lesion is not None:
            grown.append(lesion)
            parents.append(set())
    for label, source in enumerate(parents, start=1):
        truth.edges |= {((before, old), (name, label)) for old in source}
        if not source:
            truth.new.add((name, label))
    return grown


def _split(center, size, points, rng):
    """Return two parts, 2 to 4 mm apart, or the whole where a part would be a few voxels."""
    normal = rng.normal(size=3)
    normal /= np.linalg.norm(normal)
    side = (points - center) @ normal - rng.uniform(-0.3, 0.3) * size
    half = rng.uniform(1.0, 2.0)
    parts = [points[side > half], points[side < -half]]
    return parts if min(len(part) for part in parts) >= 5 else [points]


def _merge(grown, parents):
    """Join neighbours of different lesions that are closer than 6 mm."""
    merged, sources = [], []
    for lesion, source in zip(grown, parents, strict=True):
        for k, other in enumerate(merged):
            if not sources[k] & source and gap(lesion.points, other.points) < MERGE_GAP:
                bridge = np.linspace(lesion.center, other.center, 25)[1:-1]
                points = np.vstack([other.points, lesion.points, bridge]).round(0)
                points = np.unique(points, axis=0)
                radius = (3 * len(points) / 12.566) ** (1 / 3)
                merged[k] = Lesion(points.mean(axis=0), radius, points)
                sources[k] = sources[k] | source
                break
        else:
            merged.append(lesion)
            sources.append(set(source))
    return merged, sources


def scores(truth, edges, new):
    """Return counts: true, found and right edges; called and right new lesions; exactness."""
    return {
        "true": len(truth.edges),
        "found": len(edges),
        "right": len(edges & truth.edges),
        "new_true": len(truth.new),
        "new_called": len(new),
        "new_right": len(new & truth.new),
        "exact": int(edges == truth.edges and new == truth.new),
        "pairs": 1,
    }


def graph_calls(graph):
    """Return edges and new lesions of a lesion graph, in the form of the truth."""
    edges = {((e.from_session, e.from_label), (e.to_session, e.to_label)) for e in graph.edges}
    return edges, {node for node, state in graph.states.items() if state == "new"}


def one_to_one(scans, kind):
    """Match two scans as others do: ``overlap``, ``centroid`` or ``dilated``, one to one."""
    before, after = (scan.blobs for scan in scans)
    score = np.zeros((len(before), len(after)))
    for i, old in enumerate(before):
        for j, new in enumerate(after):
            apart = float(np.linalg.norm(old.centroid - new.centroid))
            if kind == "centroid":
                score[i, j] = max(0.0, 10.0 - apart)
            elif apart < old.radius * 2 + new.radius * 2 + 6:
                reach = 0.75 if kind == "overlap" else 2.0
                score[i, j] = _shared(old, new, reach, relative=kind == "dilated")
    if kind == "overlap":
        pairs = _greedy(score)
    else:
        rows, columns = linear_sum_assignment(-score)
        pairs = [(i, j) for i, j in zip(rows, columns, strict=True) if score[i, j] > 0]
    names = [scan.session for scan in scans]
    edges = {((names[0], before[i].label), (names[1], after[j].label)) for i, j in pairs}
    hit = {node for _, node in edges}
    return edges, {(names[1], b.label) for b in after} - hit


def _shared(old, new, reach, *, relative):
    """Return how much of the smaller lesion lies within reach of the other one."""
    small, large = sorted((old, new), key=lambda b: b.volume)
    near, _ = large.tree.query(small.points, distance_upper_bound=reach)
    shared = float(np.isfinite(near).sum())
    union = old.volume + new.volume - shared
    return shared / union if relative else shared


def _greedy(score):
    """Return pairs by falling score."""
    score, pairs = score.copy(), []
    while score.size and score.max() > 0:
        i, j = np.unravel_index(int(score.argmax()), score.shape)
        pairs.append((int(i), int(j)))
        score[i], score[:, j] = 0, 0
    return pairs
