"""A mask of one grid brought to another: rearranged where the voxels are the same, else nearest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.lesions.grids import Grid


@dataclass(frozen=True, eq=False)
class Placed:
    """The mask on its new grid.

    ``resampled`` is False where every voxel was only moved to its place, ``clipped`` the share of
    the mask that lies outside of the new grid.
    """

    mask: NDArray[np.bool_]
    resampled: bool
    clipped: float


def place(mask: NDArray[np.bool_], source: Grid, target: Grid, tolerance: float = 1e-3) -> Placed:
    """Return a mask on another grid of the same world.

    Where the voxel centers of both grids coincide, in whatever order and however far each grid
    reaches, voxels are only rearranged; otherwise the nearest voxel of the source decides.

    Parameters
    ----------
    mask : (x, y, z) bool array
        On ``source``.
    source, target : Grid
        Grids.
    tolerance : float
        Largest distance (mm) between voxel centers that counts as the same place.
    """
    index = np.argwhere(mask)
    found = np.zeros(target.shape, dtype=bool)
    if not len(index):
        return Placed(found, False, 0.0)
    to_target = np.linalg.inv(target.affine) @ source.affine
    places = index @ to_target[:3, :3].T + to_target[:3, 3]
    whole = np.rint(places).astype(np.int64)
    off = np.linalg.norm((places - whole) @ target.affine[:3, :3].T, axis=1).max()
    inside = ((whole >= 0) & (whole < target.shape)).all(axis=1)
    clipped = float(1 - inside.mean())
    if off <= tolerance and _one_to_one(to_target):
        found[tuple(whole[inside].T)] = True
        return Placed(found, False, clipped)
    return Placed(_nearest(mask, to_target, places, found), True, clipped)


def _one_to_one(step: NDArray[np.float64]) -> bool:
    """Return whether the axes of one grid are those of the other, in some order and direction."""
    size = np.abs(step[:3, :3])
    near = np.rint(size)
    orders = (near.sum(axis=0) == 1).all() and (near.sum(axis=1) == 1).all()
    return bool(orders and np.abs(size - near).max() < 1e-3)


def _nearest(
    mask: NDArray[np.bool_],
    to_target: NDArray[np.float64],
    places: NDArray[np.float64],
    found: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Fill the target voxels whose nearest source voxel is in the mask, around the mask only."""
    reach = np.abs(to_target[:3, :3]).sum(axis=1) / 2 + 1
    low = np.clip(np.floor(places.min(axis=0) - reach).astype(int), 0, found.shape)
    high = np.clip(np.ceil(places.max(axis=0) + reach).astype(int) + 1, 0, found.shape)
    if (high <= low).any():
        return found
    axes = [np.arange(a, b) for a, b in zip(low, high, strict=True)]
    box = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    back = np.linalg.inv(to_target)
    sources = np.rint(box @ back[:3, :3].T + back[:3, 3]).astype(np.int64)
    inside = ((sources >= 0) & (sources < mask.shape)).all(axis=-1)
    values = np.zeros(inside.shape, dtype=bool)
    values[inside] = mask[tuple(sources[inside].T)]
    found[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = values
    return found
