"""Lesions as clouds of points in one common space, which is all that tracking needs to see."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Blob:
    """One connected lesion of one session.

    Parameters
    ----------
    session : str
        Session label.
    label : int
        Label in the session's mask.
    points : (n, 3) array
        Sample points of the lesion in the common (reference) space, mm.
    volume : float
        Volume in mm³.
    """

    session: str
    label: int
    points: NDArray[np.float64]
    volume: float

    @cached_property
    def centroid(self) -> NDArray[np.float64]:
        """Mean of the points, mm."""
        return np.asarray(self.points.mean(axis=0))

    @cached_property
    def tree(self) -> Any:
        """Search tree of the points."""
        from scipy.spatial import cKDTree

        return cKDTree(self.points)

    @property
    def radius(self) -> float:
        """Radius of the sphere of equal volume, mm."""
        return float((3 * self.volume / (4 * np.pi)) ** (1 / 3))


@dataclass(frozen=True)
class Scan:
    """What one session contributes to the lesion graph of its subject.

    ``reason`` is empty where the session is registered to the reference session; otherwise its
    lesions are matched to nothing and the reason is kept with them.
    """

    session: str
    blobs: tuple[Blob, ...]
    reason: str = field(default="")


def blobs_of_labels(
    labels: NDArray[np.int32],
    affine: NDArray[np.float64],
    to_reference: NDArray[np.float64],
    session: str,
    spacing: float = 1.0,
) -> tuple[Blob, ...]:
    """Return one blob per label, sampled no coarser than ``spacing`` and moved to reference space.

    Parameters
    ----------
    labels : (x, y, z) integer array
        Zero is background.
    affine : (4, 4) array
        Voxel to world of the session, mm.
    to_reference : (4, 4) array
        World of the session to world of the reference session.
    session : str
        Session label.
    spacing : float
        Largest distance between neighbouring sample points, mm.
    """
    from scipy import ndimage

    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    offsets = sub_voxel_offsets(np.maximum(1, np.ceil(sizes / spacing - 1e-6)).astype(int))
    to_world = to_reference @ affine
    voxel = float(abs(np.linalg.det(affine[:3, :3])))
    blobs = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        corner = np.array([part.start for part in box], dtype=float)
        index = np.argwhere(labels[box] == number) + corner
        samples = (index[:, None, :] + offsets[None, :, :]).reshape(-1, 3)
        points = samples @ to_world[:3, :3].T + to_world[:3, 3]
        blobs.append(Blob(session, number, points, len(index) * voxel))
    return tuple(blobs)


def sub_voxel_offsets(counts: Iterable[int]) -> NDArray[np.float64]:
    """Return the centers of a regular subdivision of the unit voxel, relative to its center."""
    axes = [(np.arange(count) + 0.5) / count - 0.5 for count in counts]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
