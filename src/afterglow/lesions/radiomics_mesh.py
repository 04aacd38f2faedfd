"""The surface of a mask as a closed triangle mesh (marching cubes at the half level).

The triangulation of the 256 ways in which the corners of a cube can lie inside is derived, not
tabulated: on each face the crossed edges are joined so that inside corners stay apart, and the
segments of all faces close into polygons with the inside on one side.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CORNERS = np.array([[(c >> 2) & 1, (c >> 1) & 1, c & 1] for c in range(8)])
# Corners of each face in counter-clockwise order seen from outside of the cube.
_FACES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))

Edge = tuple[int, int]


def _edge(a: int, b: int) -> Edge:
    return (min(a, b), max(a, b))


def _segments(case: int) -> dict[Edge, Edge]:
    """Return the directed segments on all faces of one case, by start edge."""
    found = {}
    for face in _FACES:
        inside = [bool(case >> corner & 1) for corner in face]
        for k in range(4):
            if not inside[k] or inside[(k + 1) % 4]:
                continue
            first = k
            while inside[first - 1] and first > k - 3:
                first -= 1
            leave = _edge(face[k], face[(k + 1) % 4])
            enter = _edge(face[first - 1], face[first])
            found[leave] = enter
    return found


@cache
def triangles(case: int) -> tuple[tuple[Edge, Edge, Edge], ...]:
    """Return the triangles of one case, each as three crossed edges of the cube."""
    segments = _segments(case)
    found = []
    while segments:
        start = min(segments)
        loop = [start]
        step = segments.pop(start)
        while step != start:
            loop.append(step)
            step = segments.pop(step)
        found += _fan(loop)
    return tuple(found)


def _fan(loop: list[Edge]) -> list[tuple[Edge, Edge, Edge]]:
    """Return the triangles of a polygon from the corner that gives the largest area.

    The polygon need not be flat; this choice encloses the most volume and is the one of the
    tables in common use.
    """
    middles = {edge: (_CORNERS[edge[0]] + _CORNERS[edge[1]]) / 2 for edge in loop}
    best: tuple[float, list[tuple[Edge, Edge, Edge]]] = (-1.0, [])
    for start in range(len(loop)):
        turned = loop[start:] + loop[:start]
        fan = [(turned[0], turned[k], turned[k + 1]) for k in range(1, len(turned) - 1)]
        size = area(np.array([[middles[edge] for edge in part] for part in fan]))
        if size > best[0] + 1e-9:
            best = (size, fan)
    return best[1]


def mesh(mask: NDArray[np.bool_], spacing: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the triangles (n, 3, 3) of the surface of a mask, corners in mm.

    Parameters
    ----------
    mask : (x, y, z) bool array
        The object.
    spacing : (3,) array
        Voxel size, mm.

    Examples
    --------
    >>> cube = mesh(np.ones((1, 1, 1), bool), np.ones(3))
    >>> len(cube), round(volume(cube), 4)
    (8, 0.1667)
    """
    padded = np.pad(mask, 1).astype(np.int64)
    shape = np.array(padded.shape) - 1
    code = np.zeros(shape, dtype=np.int64)
    for number, (i, j, k) in enumerate(_CORNERS):
        code |= padded[i : i + shape[0], j : j + shape[1], k : k + shape[2]] << number
    parts = []
    for case in np.unique(code):
        shapes = triangles(int(case))
        if not shapes:
            continue
        middles = np.array([[(_CORNERS[a] + _CORNERS[b]) / 2 for a, b in t] for t in shapes])
        places = np.argwhere(code == case)
        parts.append((places[:, None, None, :] + middles[None]).reshape(-1, 3, 3))
    if not parts:
        return np.zeros((0, 3, 3))
    return np.asarray((np.concatenate(parts) - 1) * spacing)


def area(surface: NDArray[np.float64]) -> float:
    """Return the area of a mesh."""
    a, b = surface[:, 1] - surface[:, 0], surface[:, 2] - surface[:, 0]
    return float(np.linalg.norm(np.cross(a, b), axis=1).sum() / 2)


def volume(surface: NDArray[np.float64]) -> float:
    """Return the volume enclosed by a closed mesh."""
    a, b, c = surface[:, 0], surface[:, 1], surface[:, 2]
    return float(abs(np.einsum("ij,ij->i", a, np.cross(b, c)).sum()) / 6)
