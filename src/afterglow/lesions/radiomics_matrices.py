"""Texture matrices in three dimensions: co-occurrence, runs, zones, distances, neighbourhoods."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# One of each pair of opposite directions among the 26 neighbours.
DIRECTIONS = [d for d in product((-1, 0, 1), repeat=3) if d > (0, 0, 0)]
_NEIGHBOURS = [d for d in product((-1, 0, 1), repeat=3) if d != (0, 0, 0)]


def _strides(shape: tuple[int, ...], steps: list[tuple[int, ...]]) -> list[int]:
    """Return steps as offsets into the flattened array."""
    weight = (shape[1] * shape[2], shape[2], 1)
    return [sum(s * w for s, w in zip(step, weight, strict=True)) for step in steps]


def cooccurrence(levels: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """Return one symmetric count matrix per direction, at distance 1.

    Parameters
    ----------
    levels : (x, y, z) integer array
        Discretised levels from 1; 0 outside of the region.
    """
    padded = np.pad(levels, 1)
    flat, top = padded.ravel(), int(levels.max())
    inside = np.flatnonzero(flat)
    found = []
    for stride in _strides(padded.shape, DIRECTIONS):
        other = flat[inside + stride]
        good = other > 0
        pair = (flat[inside][good] - 1) * top + other[good] - 1
        matrix = np.bincount(pair, minlength=top * top).reshape(top, top).astype(np.float64)
        found.append(matrix + matrix.T)
    return found


def run_lengths(levels: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """Return one matrix (level, run length) per direction."""
    padded = np.pad(levels, 1)
    flat, top = padded.ravel(), int(levels.max())
    inside = np.flatnonzero(flat)
    longest = max(levels.shape)
    found = []
    for stride in _strides(padded.shape, DIRECTIONS):
        starts = inside[flat[inside - stride] != flat[inside]]
        lengths = np.ones(starts.size, dtype=np.int64)
        active, here = np.arange(starts.size), starts
        while active.size:
            following = here + stride
            same = flat[following] == flat[here]
            active, here = active[same], following[same]
            lengths[active] += 1
        found.append(_counted(flat[starts], lengths, top, longest))
    return found


def _counted(
    levels: NDArray[np.int64], second: NDArray[np.int64], top: int, most: int
) -> NDArray[np.float64]:
    """Return how often each level (row, from 1) meets each second value (column, from 1)."""
    flat = (levels - 1) * most + second - 1
    return np.bincount(flat, minlength=top * most).reshape(top, most).astype(np.float64)


def zones(levels: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the matrices (level, zone size) and (level, zone distance).

    A zone is a 26-connected group of equal level; its distance is the smallest number of
    6-connected steps to the outside of the region.
    """
    from scipy import ndimage

    depth = ndimage.distance_transform_cdt(np.pad(levels > 0, 1), metric="taxicab")
    depth = depth[1:-1, 1:-1, 1:-1]
    every = np.zeros(levels.shape, dtype=np.int64)
    names: list[NDArray[np.int64]] = []
    known = 0
    for level in np.unique(levels[levels > 0]):
        here = levels == level
        parts, count = ndimage.label(here, structure=np.ones((3, 3, 3)))
        every[here] = parts[here] + known
        names.append(np.full(count, level, dtype=np.int64))
        known += count
    inside = every > 0
    sizes = np.bincount(every[inside] - 1, minlength=known)
    near = np.full(known, levels.size, dtype=np.int64)
    np.minimum.at(near, every[inside] - 1, depth[inside])
    top = int(levels.max())
    return (
        _counted(np.concatenate(names), sizes, top, int(sizes.max())),
        _counted(np.concatenate(names), near, top, int(near.max())),
    )


def neighbourhood(
    levels: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return per level the voxels with neighbours, the sum of differences, and dependence counts.

    Returns
    -------
    tuple
        ``n`` and ``s`` (levels,) of the grey tone difference matrix, and the matrix (level,
        dependence + 1) of neighbouring grey level dependence for coarseness 0.
    """
    padded = np.pad(levels, 1)
    flat, top = padded.ravel(), int(levels.max())
    inside = np.flatnonzero(flat)
    own = flat[inside]
    total, count, alike = (np.zeros(inside.size) for _ in range(3))
    for stride in _strides(padded.shape, _NEIGHBOURS):
        other = flat[inside + stride]
        total += other
        count += other > 0
        alike += other == own
    some = count > 0
    difference = np.abs(own[some] - total[some] / count[some])
    n = np.bincount(own[some] - 1, minlength=top).astype(np.float64)
    s = np.bincount(own[some] - 1, weights=difference, minlength=top).astype(np.float64)
    return n, s, _counted(own, alike.astype(np.int64) + 1, top, 27)
