"""Random subjects with known lesion identities, for the tests of tracking (no images)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from afterglow.lesions.blobs import Blob, Scan


@dataclass
class Truth:
    """Known edges between consecutive scans and the new lesions of each later scan."""

    edges: set = field(default_factory=set)
    new: set = field(default_factory=set)


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
    from scipy.spatial import cKDTree

    return float(cKDTree(a).query(b)[0].min())


def subject(rng, n_lesions=None, n_scans=2, error=1.5):
    """Return scans (with residual registration error, rms mm) and the truth."""
    n = n_lesions or int(rng.integers(5, 16))
    places, truth = [], Truth()
    alive = []  # (center, radius, parts): parts is a list of clouds
    while len(alive) < n:
        center = rng.uniform([-60, -75, -40], [60, 75, 60])
        radius = float(np.clip(rng.lognormal(np.log(4.0), 0.5), 1.5, 14))
        cloud = ball(center, radius, rng)
        if all(gap(cloud, other[2]) > 2.0 for other in alive):
            alive.append((center, radius, cloud, n_lesions))
    current = [(c, r, cloud) for c, r, cloud, _ in alive]
    scans = [_scan("s00", current, rng, 0.0)]
    for number in range(1, n_scans):
        name, before = f"s{number:02d}", f"s{number - 1:02d}"
        current = _evolve(current, rng, truth, before, name)
        scans.append(_scan(name, current, rng, error))
    del places
    return scans, truth


def _scan(name, lesions, rng, error):
    blobs = []
    common = rng.normal(0, error / np.sqrt(6), 3)
    for label, (_, _, cloud) in enumerate(lesions, start=1):
        move = common + rng.normal(0, error / np.sqrt(6), 3)
        blobs.append(Blob(name, label, cloud + move, float(len(cloud))))
    return Scan(name, tuple(blobs))


def _evolve(lesions, rng, truth, before, name):
    """Grow, resolve, split and merge; add new ones; record the edges."""
    grown, parents = [], []
    for label, (center, radius, _) in enumerate(lesions, start=1):
        if rng.random() < 0.12:
            continue
        size = float(np.clip(radius * rng.lognormal(0, 0.18), 1.2, 18))
        cloud = ball(center, size, rng)
        if 2 * radius > 4 and size > 2 and rng.random() < 0.08:
            normal = rng.normal(size=3)
            normal /= np.linalg.norm(normal)
            side = (cloud - center) @ normal - rng.uniform(-0.3, 0.3) * size
            parts = [cloud[side > 1.0], cloud[side < -1.0]]
            if min(len(part) for part in parts) >= 3:
                for part in parts:
                    grown.append((part.mean(axis=0), (3 * len(part) / 12.566) ** (1 / 3), part))
                    parents.append({label})
                continue
        grown.append((center, size, cloud))
        parents.append({label})
    grown, parents = _merge(grown, parents, rng)
    for _ in range(rng.poisson(1.0)):
        center = rng.uniform([-60, -75, -40], [60, 75, 60])
        cloud = ball(center, float(np.clip(rng.lognormal(np.log(2.5), 0.3), 1.2, 6)), rng)
        if all(gap(cloud, other[2]) > 2.0 for other in grown):
            grown.append((center, 2.5, cloud))
            parents.append(set())
    for label, source in enumerate(parents, start=1):
        truth.edges |= {((before, old), (name, label)) for old in source}
        if not source:
            truth.new.add((name, label))
    return grown


def _merge(grown, parents, rng):
    """Join neighbours closer than 6 mm half of the time; touching ones always."""
    merged, sources = [], []
    for lesion, source in zip(grown, parents, strict=True):
        for k, other in enumerate(merged):
            apart = gap(lesion[2], other[2])
            siblings = sources[k] & source
            if (apart < 6 and not siblings and rng.random() < 0.5) or (
                apart <= 1.5 and not siblings
            ):
                bridge = np.linspace(lesion[0], other[0], 9)[1:-1]
                cloud = np.unique(np.vstack([other[2], lesion[2], bridge]).round(1), axis=0)
                radius = (3 * len(cloud) / 12.566) ** (1 / 3)
                merged[k] = (cloud.mean(axis=0), radius, cloud)
                sources[k] = sources[k] | source
                break
        else:
            merged.append(lesion)
            sources.append(set(source))
    return merged, sources


def scores(scans, truth, edges, states):
    """Return counts: true, found and correct edges; called and correct new lesions; exactness."""
    found = {((e.from_session, e.from_label), (e.to_session, e.to_label)) for e in edges}
    called = {node for node, state in states.items() if state == "new"}
    return {
        "true": len(truth.edges),
        "found": len(found),
        "right": len(found & truth.edges),
        "new_true": len(truth.new),
        "new_called": len(called),
        "new_right": len(called & truth.new),
        "exact": int(found == truth.edges and called == truth.new),
    }
