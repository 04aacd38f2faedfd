"""One subject's head: the atlas under a smooth random deformation, as tissue fractions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from afterglow.phantom import atlas
from afterglow.phantom.geometry import Floats, Matrix
from afterglow.phantom.interpolate import sample
from afterglow.phantom.seeds import generator

HEAD_MM = 1.2
_LOW = (-102.0, -132.0, -108.0)
_SHAPE = (171, 201, 180)
_NODE_MM = 5.0
_EDGE_MM = 1.2

TISSUES = ("csf", "gm", "wm", "fat", "bone", "marrow", "muscle", "eye", "artery", "vein")


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

        index = ((point - _LOW) / _NODE_MM).reshape(3, 1)
        parts = [ndimage.map_coordinates(n, index, order=1, mode="nearest")[0] for n in self.nodes]
        return np.asarray(parts, dtype=float)


@dataclass(frozen=True)
class Head:
    """Tissue fractions of a subject without lesions.

    Attributes
    ----------
    fractions : dict of str to ndarray, shape (x, y, z)
        Fraction of every tissue of `TISSUES`; the rest is air.
    affine : ndarray
        4x4 matrix from indices to head space, RAS mm.
    warp : Warp
        Head space to atlas space.
    """

    fractions: dict[str, Floats]
    affine: Matrix
    warp: Warp


def draw_warp(seed: int, patient: str) -> Warp:
    """Draw a subject's deformation: sizes within 5 %, smooth displacements up to 4 mm."""
    from scipy import ndimage

    rng = generator(seed, patient, "warp")
    linear = np.diag(1.0 / (1.0 + rng.uniform(-0.05, 0.05, 3)))
    linear[0, 1:] = rng.uniform(-0.01, 0.01, 2)
    coarse = tuple(int(np.ceil(n * HEAD_MM / _NODE_MM)) + 2 for n in _SHAPE)
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
    where = _atlas_points(warp)
    gm, wm = sample((source.gm, source.wm), _indices(source.fine_affine, where))
    surfaces = sample(
        tuple(source.surfaces.values()), _indices(source.coarse_affine, where), outside=60.0
    )
    distance = dict(zip(source.surfaces, surfaces, strict=True))
    return Head(_compose(gm, wm, distance), affine, warp)


def _atlas_points(warp: Warp) -> Floats:
    """Return the atlas position of every voxel of the head grid, shape (3, x, y, z)."""
    from scipy import ndimage

    axes = [low + HEAD_MM * np.arange(n) for low, n in zip(_LOW, _SHAPE, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    scale = np.diag([HEAD_MM / _NODE_MM] * 3)
    where = np.empty((3, *_SHAPE), dtype=np.float32)
    for k in range(3):
        shift = ndimage.affine_transform(
            warp.nodes[k], scale, output_shape=_SHAPE, order=1, mode="nearest", output=np.float32
        )
        a, b, c = warp.linear[k]
        where[k] = a * x + b * y + c * z + shift
    return where


def _indices(affine: Matrix, where: Floats) -> Floats:
    """Return positions as fractional indices of a grid without rotation."""
    scale = np.diag(affine)[:3].reshape(3, 1, 1, 1).astype(np.float32)
    return np.asarray((where - affine[:3, 3].reshape(3, 1, 1, 1).astype(np.float32)) / scale)


def _compose(gm: Floats, wm: Floats, distance: dict[str, Floats]) -> dict[str, Floats]:
    """Lay the tissues over each other, outside to inside, each replacing what lies beneath."""
    layers: dict[str, Floats] = {}

    def lay(name: str, fraction: Floats) -> None:
        for below in layers.values():
            np.multiply(below, 1.0 - fraction, out=below)
        layers[name] = layers[name] + fraction if name in layers else fraction.copy()

    brain, head = distance["brain"], distance["head"]
    lay("muscle", _inside(head))
    lay("fat", _inside(head) * (1.0 - _inside(head + 5.0)))
    lay("air", _inside(distance["airway"]))
    lay("eye", _inside(distance["eye"]))
    lay("bone", _inside(brain - 9.0))
    lay("marrow", _inside(brain - 7.3) * (1.0 - _inside(brain - 5.0)))
    lay("csf", _inside(brain - 2.6))
    rest = 1.0 - np.clip(gm + wm, 0.0, 1.0)
    for below in layers.values():
        np.multiply(below, rest, out=below)
    layers["gm"], layers["wm"] = gm.copy(), wm.copy()
    lay("artery", _inside(distance["artery"]))
    lay("vein", _inside(distance["vein"]))
    return {name: layers[name] for name in TISSUES}


def _inside(distance: Floats) -> Floats:
    """Return the fraction of a voxel inside a surface, from the signed distance of its centre."""
    return np.asarray(np.clip(0.5 - distance / _EDGE_MM, 0.0, 1.0))
