"""Voxel grids, and how much of each voxel of one grid a mask on another grid covers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
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
    """Covered ``fraction`` (0 to 1) of each voxel of the box that starts at ``corner``."""

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

    Every target voxel is sampled at ``samples`` cubed points; a point is inside where the
    nearest voxel of the mask is. The mask is never resampled onto a coarser grid first.

    Parameters
    ----------
    mask : (x, y, z) bool array
        On the grid ``source``.
    source, target : Grid
        Grids.
    target_to_source : (4, 4) array, optional
        World of ``target`` to world of ``source``; identity by default.
    samples : int
        Samples along each axis of a voxel.

    Returns
    -------
    Region
        Empty where the mask lies outside of the target.
    """
    from scipy import ndimage

    move = np.eye(4) if target_to_source is None else target_to_source
    to_source = np.linalg.inv(source.affine) @ move @ target.affine
    to_target = np.asarray(np.linalg.inv(to_source), dtype=np.float64)
    box = _box_in_target(mask, to_target, target.shape)
    if box is None:
        return Region((0, 0, 0), np.zeros((0, 0, 0), np.float32))
    low, high = box
    cropped, corner = _crop(mask)
    steps = (np.arange(samples) + 0.5) / samples - 0.5
    total = np.zeros(tuple(high - low), np.float32)
    for offset in product(steps, steps, steps):
        start = to_source[:3, :3] @ (low + np.array(offset)) + to_source[:3, 3] - corner
        total += ndimage.affine_transform(
            cropped, to_source[:3, :3], offset=start, output_shape=total.shape, order=0
        )
    share = (total / samples**3).astype(np.float32)
    return Region((int(low[0]), int(low[1]), int(low[2])), share)


def _crop(mask: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the box of a mask with a border of one voxel, and its corner index."""
    index = np.argwhere(mask)
    low, high = index.min(axis=0), index.max(axis=0) + 1
    inner = mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    return np.pad(inner, 1).astype(np.float32), np.asarray(low - 1)


def _box_in_target(
    mask: NDArray[np.bool_], to_target: NDArray[np.float64], shape: tuple[int, int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Return the half-open index box of the target that can touch the mask, None if none."""
    index = np.argwhere(mask)
    if not len(index):
        return None
    ends = zip(index.min(axis=0) - 0.5, index.max(axis=0) + 0.5, strict=True)
    corners = np.array(list(product(*ends)))
    moved = corners @ to_target[:3, :3].T + to_target[:3, 3]
    low = np.clip(np.floor(moved.min(axis=0)), 0, None).astype(np.int64)
    high = np.minimum(np.ceil(moved.max(axis=0)).astype(np.int64) + 1, shape)
    return (low, high) if (high > low).all() else None
