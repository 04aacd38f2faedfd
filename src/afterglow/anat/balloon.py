"""Brainextractor's balloon with its inner loops in numpy.

As it comes, brainextractor compiles its loops: half a minute in every new study, and seconds in
every job to load them. On the coarse surface that is used here, arrays are as fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import trimesh
from brainextractor import BrainExtractor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_DEPTHS_MM, _RADII_MM = (20.0, 10.0), (3.33, 10.0)


class Balloon(BrainExtractor):  # type: ignore[misc]
    """Surface of 642 vertices (2562 as it comes) that deforms after Smith 2002.

    The outline it finds is coarse; it only has to bring the template into place.

    Parameters
    ----------
    img : nibabel image
        Cubic voxels, along the axes of the image.
    threshold : float
        Fractional intensity threshold, 0 to 1; larger is tighter.
    """

    def __init__(self, img: Any, threshold: float) -> None:
        size = float(img.header["pixdim"][1])
        self.bt, self.d1, self.d2 = threshold, _DEPTHS_MM[0] / size, _DEPTHS_MM[1] / size
        sharp, flat = (1.0 / mm for mm in _RADII_MM)
        self.E, self.F = (sharp + flat) / 2.0, 6.0 / (sharp - flat)
        self.data, self.shape = img.get_fdata(), img.shape
        self.t2, self.t98 = (float(v) for v in np.percentile(self.data, (2.0, 98.0)))
        self.t = self.t2 + 0.1 * (self.t98 - self.t2)
        head = self.data > self.t
        weight = np.clip(self.data[head], self.t2, self.t98)
        self.c = np.average(np.argwhere(head), axis=0, weights=weight)
        self.r = 0.5 * float(np.cbrt(3.0 * head.sum() / (4.0 * np.pi)))
        away = np.linalg.norm(np.indices(self.shape).reshape(3, -1).T - self.c, axis=1)
        self.tm = float(np.median(self.data.ravel()[away <= 2.0 * self.r]))
        self.surface = trimesh.creation.icosphere(subdivisions=3, radius=self.r)
        self.surface.apply_translation(self.c)
        self.vertices, self.faces = np.array(self.surface.vertices), np.array(self.surface.faces)
        self.update_surface_attributes()

    def update_surface_attributes(self) -> None:
        """Find normals (weighted by the angles of the faces), centroids and mean edge length."""
        count, corners = len(self.vertices), self.vertices[self.faces]
        sides = np.roll(corners, -1, axis=1) - corners
        normals = _unit(np.cross(sides[:, 0], -sides[:, 2]))
        ways = _unit(sides)
        inner = -np.sum(ways * np.roll(ways, 1, axis=1), axis=2)
        angles = np.arccos(np.clip(inner, -1.0, 1.0))
        share = (angles[:, :, None] * normals[:, None, :]).reshape(-1, 3)
        at = self.faces.ravel()
        self.vertex_normals = _unit(_summed(at, share, count))
        # Every edge is a side of two faces, once each way: each neighbour counts once.
        ends = np.roll(self.faces, -1, axis=1).ravel()
        number = np.bincount(at, minlength=count)
        self.vertex_neighbors_centroids = _summed(at, self.vertices[ends], count) / number[:, None]
        length = np.linalg.norm(sides, axis=2).ravel()
        self.l = float(np.mean(np.bincount(at, length, count) / number))

    def step_of_deformation(
        self, data: Floats, vertices: Floats, normals: Floats, *rest: Any
    ) -> None:
        """Write the displacement of one step into the last argument."""
        toward = self.vertex_neighbors_centroids - vertices
        across = np.sum(toward * normals, axis=1, keepdims=True) * normals
        bend = 2.0 * np.linalg.norm(across, axis=1) / self.l**2
        smooth = (1.0 + np.tanh(self.F * (bend - self.E))) / 2.0
        low = np.min(self._along(data, vertices, normals, self.d1), axis=0)
        high = np.max(self._along(data, vertices, normals, self.d2), axis=0)
        low = np.maximum(self.t2, np.minimum(low, self.tm))
        high = np.minimum(self.tm, np.maximum(high, self.t))
        level = (high - self.t2) * self.bt + self.t2
        push = 0.1 * (low - level) / (high - self.t2) * self.l
        rest[-1][:] = 0.5 * (toward - across) + smooth[:, None] * across + push[:, None] * normals

    @staticmethod
    def _along(data: Floats, vertices: Floats, normals: Floats, depth: float) -> Floats:
        """Return the signal at voxels from every vertex inwards, shape (steps, vertices)."""
        last = np.array(data.shape) - 1
        start = np.rint(vertices)
        way = np.rint(vertices - depth * normals) - start
        steps = np.abs(way).max(axis=1, keepdims=True)
        samples = []
        for step in range(int(steps.max()) + 1):
            part = np.minimum(step, steps) / np.maximum(steps, 1.0)
            index = np.clip(start + np.rint(part * way), 0, last).astype(np.intp)
            samples.append(data[tuple(index.T)])
        return np.stack(samples)


def _unit(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12))


def _summed(at: NDArray[np.intp], values: Floats, count: int) -> Floats:
    """Return the sum of rows by number, shape (count, 3)."""
    return np.stack([np.bincount(at, values[:, k], count) for k in range(3)], axis=1)
