"""Voxel grids, and how much of each voxel of one grid a mask on another grid covers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Grid:
    """A voxel grid: ``shape`` and the (4, 4) voxel-to-world matrix in mm."""

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    @property
    def spacing(self) -> NDArray[np.float64]:
        """Voxel size along each array axis, mm."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def voxel_volume(self) -> float:
        """Volume of a voxel, mm³."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @property
    def slice_axis(self) -> int:
        """Array axis across the axial slices of the acquisition."""
        return int(np.argmax(np.abs(self.affine[2, :3]) / self.spacing))

    def world(
        self, index: NDArray[np.int64], to: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Return (n, 3) world points (mm) of (n, 3) indices, moved on by the matrix ``to``."""
        matrix = self.affine if to is None else to @ self.affine
        return np.asarray(index @ matrix[:3, :3].T + matrix[:3, 3])


@dataclass(frozen=True, eq=False)
class Region:
    """Covered ``fraction`` of each voxel of the box that starts at ``corner``.

    Pieces fall into whole voxels, so a fraction may exceed 1 by a few percent.
    """

    corner: tuple[int, int, int]
    fraction: NDArray[np.float32]

    def index(self, least: float) -> NDArray[np.int64]:
        """Return (n, 3) indices of the voxels covered by at least ``least``."""
        return np.asarray(np.argwhere(self.fraction >= least) + np.array(self.corner))


def coverage(
    mask: NDArray[np.bool_],
    source: Grid,
    target: Grid,
    target_to_source: NDArray[np.float64] | None = None,
    samples: int = 4,
) -> Region:
    """Return how much of each voxel of ``target`` the mask covers.

    Every voxel of the mask is taken apart into ``samples`` cubed pieces, each of which falls into
    one target voxel: the volume of the mask is kept, whatever the grids.

    Parameters
    ----------
    mask : (x, y, z) bool array
        On the grid ``source``.
    source, target : Grid
        Grids.
    target_to_source : (4, 4) array, optional
        World of ``target`` to world of ``source``; identity by default.
    samples : int
        Pieces along each axis of a voxel.

    Returns
    -------
    Region
        Empty where the mask lies outside of the target.
    """
    move = np.eye(4) if target_to_source is None else target_to_source
    to_target = np.linalg.inv(move @ target.affine) @ source.affine
    index = np.argwhere(mask)
    steps = (np.arange(samples) + 0.5) / samples - 0.5
    pieces = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    first = index @ to_target[:3, :3].T + to_target[:3, 3]
    beyond = np.abs(to_target[:3, :3]).sum(axis=1) / 2
    if not len(index):
        return _NOWHERE
    low = np.maximum(np.floor(first.min(axis=0) - beyond), 0).astype(np.int64)
    high = np.ceil(first.max(axis=0) + beyond).astype(np.int64) + 1
    box = np.minimum(high, target.shape) - low
    if (box <= 0).any():
        return _NOWHERE
    counts = np.zeros(int(box.prod()))
    for offset in pieces @ to_target[:3, :3].T:
        places = np.rint(first + offset).astype(np.int64) - low
        inside = ((places >= 0) & (places < box)).all(axis=1)
        flat = np.ravel_multi_index(tuple(places[inside].T), tuple(box))
        counts += np.bincount(flat, minlength=len(counts))
    share = source.voxel_volume / target.voxel_volume / samples**3
    fraction = (counts * share).reshape(tuple(box)).astype(np.float32)
    return Region((int(low[0]), int(low[1]), int(low[2])), fraction)


_NOWHERE = Region((0, 0, 0), np.zeros((0, 0, 0), np.float32))
