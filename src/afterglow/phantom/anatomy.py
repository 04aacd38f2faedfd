"""One subject's head: the atlas under a smooth random deformation, as tissue fractions."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from afterglow.phantom import atlas
from afterglow.phantom.compiled import kernel
from afterglow.phantom.geometry import Floats, Matrix
from afterglow.phantom.interpolate import CHANNELS, occupancy, trilinear
from afterglow.phantom.seeds import generator

HEAD_MM = 1.2
_LOW = (-102.0, -132.0, -108.0)
_SHAPE = (171, 201, 180)
NODE_MM = 5.0
EDGE_MM = 1.2

TISSUES = ("csf", "gm", "wm", "fat", "bone", "marrow", "muscle", "eye", "artery", "vein")
FULL = 255
_SURFACES = ("brain", "head", "airway", "eye", "artery", "vein")


@dataclass(frozen=True)
class Warp:
    """The map from head space to atlas space: an affine part and a smooth displacement.

    Attributes
    ----------
    linear : ndarray
        3x3 matrix.
    nodes : ndarray, shape (3, x, y, z)
        Displacement in mm at nodes 5 mm apart.
    """

    linear: Matrix
    nodes: Floats

    def to_head(self, point: tuple[float, float, float]) -> Matrix:
        """Return the head-space position of an atlas position, in mm.

        Examples
        --------
        >>> warp = draw_warp(1, "A")
        >>> head = warp.to_head((20.0, -10.0, 30.0))
        >>> (warp.linear @ head + warp.displacement(head)).round(2)
        array([ 20., -10.,  30.])
        """
        target = np.asarray(point, dtype=float)
        inverse = np.linalg.inv(self.linear)
        here: Matrix = np.asarray(inverse @ target)
        for _ in range(30):
            here = np.asarray(inverse @ (target - self.displacement(here)))
        return here

    def displacement(self, point: Matrix) -> Matrix:
        """Return the displacement in mm at one head-space point."""
        from scipy import ndimage

        index = ((point - _LOW) / NODE_MM).reshape(3, 1)
        parts = [ndimage.map_coordinates(n, index, order=1, mode="nearest")[0] for n in self.nodes]
        return np.asarray(parts, dtype=float)


@dataclass(frozen=True)
class Head:
    """Tissue fractions of a subject without lesions.

    Attributes
    ----------
    stack : ndarray of uint8, shape (x, y, z, tissues)
        Fraction of every tissue of `TISSUES` in parts of `FULL`; the rest is air.
    occupied : ndarray of uint8, shape (x, y, z)
        Zero where there is nothing but air.
    affine : ndarray
        4x4 matrix from indices to head space, RAS mm.
    warp : Warp
        Head space to atlas space.
    """

    stack: NDArray[np.uint8] = field(repr=False)
    occupied: NDArray[np.uint8] = field(repr=False)
    affine: Matrix
    warp: Warp

    def fraction(self, tissue: str) -> Floats:
        """Return the fraction of one tissue, shape (x, y, z)."""
        return self.stack[..., TISSUES.index(tissue)] * np.float32(1.0 / FULL)


def draw_warp(seed: int, patient: str) -> Warp:
    """Draw a subject's deformation: sizes within 5 %, smooth displacements up to 4 mm."""
    from scipy import ndimage

    rng = generator(seed, patient, "warp")
    linear = np.diag(1.0 / (1.0 + rng.uniform(-0.05, 0.05, 3)))
    linear[0, 1:] = rng.uniform(-0.01, 0.01, 2)
    coarse = tuple(int(np.ceil(n * HEAD_MM / NODE_MM)) + 2 for n in _SHAPE)
    nodes = []
    for _ in range(3):
        smooth = ndimage.gaussian_filter(rng.standard_normal(coarse), 5.0, mode="reflect")
        nodes.append(smooth / np.abs(smooth).max() * 4.0)
    return Warp(linear, np.asarray(nodes, dtype=np.float32))


@lru_cache(maxsize=1)
def build_head(seed: int, patient: str) -> Head:
    """Build a subject's head on a 1.2 mm grid, the same at every visit."""
    warp = draw_warp(seed, patient)
    affine = np.diag([HEAD_MM] * 3 + [1.0])
    affine[:3, 3] = _LOW
    source = atlas.load()
    brain = np.ascontiguousarray(np.stack([source.gm, source.wm], axis=-1))
    surfaces = np.ascontiguousarray(np.stack([source.surfaces[n] for n in _SURFACES], axis=-1))
    stack = np.zeros((*_SHAPE, CHANNELS), dtype=np.uint8)
    _fill(
        brain,
        np.asarray(np.linalg.inv(source.fine_affine), dtype=np.float64),
        surfaces,
        np.asarray(np.linalg.inv(source.coarse_affine), dtype=np.float64),
        np.ascontiguousarray(np.moveaxis(warp.nodes, 0, -1)),
        warp.linear,
        np.asarray(_LOW),
        stack,
    )
    return Head(stack, occupancy(stack), affine, warp)


@kernel
def _fill(
    brain: Floats,
    to_brain: Matrix,
    surfaces: Floats,
    to_surfaces: Matrix,
    nodes: Floats,
    linear: Matrix,
    low: Matrix,
    stack: NDArray[np.uint8],
) -> None:
    """Fill the head grid: where each voxel lies in the atlas, and what is there."""
    gray = np.empty(2, np.float32)
    distance = np.empty(6, np.float32)
    moved = np.empty(3, np.float32)
    part = np.empty(11, np.float32)
    for i in range(stack.shape[0]):
        x = low[0] + HEAD_MM * i
        for j in range(stack.shape[1]):
            y = low[1] + HEAD_MM * j
            air = 0
            for k in range(stack.shape[2]):
                if air > 0:
                    air -= 1
                    continue
                z = low[2] + HEAD_MM * k
                moved[:] = 0.0
                trilinear(
                    nodes,
                    i * HEAD_MM / NODE_MM,
                    j * HEAD_MM / NODE_MM,
                    k * HEAD_MM / NODE_MM,
                    moved,
                )
                a = linear[0, 0] * x + linear[0, 1] * y + linear[0, 2] * z + moved[0]
                b = linear[1, 0] * x + linear[1, 1] * y + linear[1, 2] * z + moved[1]
                c = linear[2, 0] * x + linear[2, 1] * y + linear[2, 2] * z + moved[2]
                distance[:] = 0.0
                trilinear(
                    surfaces,
                    a * to_surfaces[0, 0] + to_surfaces[0, 3],
                    b * to_surfaces[1, 1] + to_surfaces[1, 3],
                    c * to_surfaces[2, 2] + to_surfaces[2, 3],
                    distance,
                )
                outside = distance[1] if distance[0] != 0.0 else HEAD_MM
                if outside >= EDGE_MM:
                    # No surface comes closer than it is far, so that many voxels are air as well.
                    air = int(0.8 * (outside - EDGE_MM) / HEAD_MM)
                    continue
                gray[:] = 0.0
                trilinear(
                    brain,
                    a * to_brain[0, 0] + to_brain[0, 3],
                    b * to_brain[1, 1] + to_brain[1, 3],
                    c * to_brain[2, 2] + to_brain[2, 3],
                    gray,
                )
                _compose(gray[0], gray[1], distance, part)
                for t in range(CHANNELS):
                    stack[i, j, k, t] = np.uint8(FULL * part[t] + 0.5)


@kernel
def _compose(gm: float, wm: float, distance: Floats, part: Floats) -> None:
    """Lay the tissues over each other, outside to inside, each replacing what lies beneath.

    ``part`` follows `TISSUES`, then air; ``distance`` follows `_SURFACES`.
    """
    brain, head = distance[0], distance[1]
    part[:] = 0.0
    _lay(part, 6, _inside(head))
    _lay(part, 3, _inside(head) * (1.0 - _inside(head + 5.0)))
    _lay(part, 10, _inside(distance[2]))
    _lay(part, 7, _inside(distance[3]))
    _lay(part, 4, _inside(brain - 9.0))
    _lay(part, 5, _inside(brain - 7.3) * (1.0 - _inside(brain - 5.0)))
    _lay(part, 0, _inside(brain - 2.6))
    matter = min(max(gm + wm, 0.0), 1.0)
    for t in range(part.size):
        part[t] *= 1.0 - matter
    part[1] += gm
    part[2] += wm
    _lay(part, 8, _inside(distance[4]))
    _lay(part, 9, _inside(distance[5]))


@kernel
def _lay(part: Floats, tissue: int, fraction: float) -> None:
    for t in range(part.size):
        part[t] *= 1.0 - fraction
    part[tissue] += fraction


@kernel
def _inside(distance: float) -> float:
    """Return the fraction of a voxel inside a surface, from the signed distance of its centre."""
    return min(max(0.5 - distance / EDGE_MM, 0.0), 1.0)
