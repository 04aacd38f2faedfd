"""Regions of a lesion and the reference tissue it is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from afterglow.lesions.grids import Grid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

LESION_REGIONS = ("lesion", "enhancing", "necrosis", "rim", "shell", "flair", "treated")
CONTRALATERAL = "contralateral_nawm"
WHOLE_BRAIN = "whole_brain_nawm"


@dataclass(frozen=True, eq=False)
class Plane:
    """The midsagittal plane: unit ``normal`` and ``offset`` in mm, ``normal . x = offset``."""

    normal: NDArray[np.float64]
    offset: float

    @classmethod
    def of(cls, facts: Mapping[str, object]) -> Plane:
        """Return the plane from the summary of stage `anat`."""
        normal = np.asarray(facts["normal"], dtype=np.float64)
        length = float(np.linalg.norm(normal))
        return cls(normal / length, float(facts["offset"]) / length)  # type: ignore[arg-type]

    def side(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the signed distances (mm) of (n, 3) points."""
        return np.asarray(points @ self.normal - self.offset)

    def mirror(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (n, 3) points reflected in the plane.

        Examples
        --------
        >>> Plane(np.array([1.0, 0, 0]), 2.0).mirror(np.array([[5.0, 1, 1]])).tolist()
        [[-1.0, 1.0, 1.0]]
        """
        return np.asarray(points - 2 * self.side(points)[:, None] * self.normal)


@dataclass(frozen=True)
class ReferenceSettings:
    """What counts as normal-appearing white matter; lengths mm, volumes mL."""

    white_matter: float = 0.9
    csf: float = 0.05
    lesion_margin: float = 5.0
    midline_margin: float = 4.0
    volume: float = 4.0
    minimum: float = 2.0
    reach: float = 40.0


@dataclass(frozen=True, eq=False)
class Piece:
    """A mask on a small grid of its own, cut out of a larger one.

    ``reason`` says why the mask is empty although nobody knows that there is nothing.
    """

    mask: NDArray[np.bool_]
    grid: Grid
    reason: str = ""

    @property
    def volume(self) -> float:
        """Volume by counting voxels, mL."""
        return float(self.mask.sum()) * self.grid.voxel_volume / 1000

    @property
    def points(self) -> NDArray[np.float64]:
        """World points (n, 3) of its voxels, mm."""
        return self.grid.world(np.argwhere(self.mask))


def lesion_regions(
    labels: NDArray[np.int32],
    grid: Grid,
    brain: NDArray[np.bool_] | None,
    rim: float,
    shell: float,
) -> dict[int, dict[str, Piece]]:
    """Return the regions of every lesion that its mask alone tells, by label and name.

    ``rim`` is what lies within ``rim`` mm under the surface of the ``lesion``, ``shell`` what lies
    within ``shell`` mm outside of it, in the brain and in no lesion. The surface lies half a voxel
    beyond the outermost voxel centers. All pieces of a lesion share one box.
    """
    from scipy import ndimage

    half = float(grid.spacing.min()) / 2
    found: dict[int, dict[str, Piece]] = {}
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        room = grow(box, np.ceil(shell / grid.spacing).astype(int) + 2, labels.shape)
        part = labels[room]
        own = part == number
        depth = ndimage.distance_transform_edt(np.pad(own, 1), sampling=grid.spacing)
        depth = depth[1:-1, 1:-1, 1:-1] - half
        beyond = ndimage.distance_transform_edt(~own, sampling=grid.spacing) - half
        around = ~own & (beyond <= shell) & (part == 0)
        if brain is not None:
            around &= brain[room]
        small = cut(grid, room)
        masks = {"lesion": own, "rim": own & (depth <= rim), "shell": around}
        found[number] = {name: Piece(mask, small) for name, mask in masks.items()}
    return found


def cut(grid: Grid, room: tuple[slice, ...]) -> Grid:
    """Return the grid of a box of slices."""
    corner = np.array([part.start for part in room], dtype=np.float64)
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ corner
    shape = [part.stop - part.start for part in room]
    return Grid((shape[0], shape[1], shape[2]), affine)


def grow(
    box: tuple[slice, ...], by: NDArray[np.int64], shape: tuple[int, ...]
) -> tuple[slice, ...]:
    """Return a box of slices grown by ``by`` voxels and cut at the image."""
    return tuple(
        slice(max(0, part.start - int(step)), min(size, part.stop + int(step)))
        for part, step, size in zip(box, by, shape, strict=True)
    )


@dataclass(frozen=True, eq=False)
class Candidates:
    """Voxels of one grid that may serve as reference tissue.

    ``index`` (n, 3) on the grid, ``points`` (n, 3) world points of the session (mm),
    ``voxel_volume`` in mm³.
    """

    index: NDArray[np.int64]
    points: NDArray[np.float64]
    voxel_volume: float


def candidates(
    grid: Grid,
    to_session: NDArray[np.float64],
    white_matter: NDArray[np.float32],
    csf: NDArray[np.float32],
    usable: NDArray[np.bool_],
    lesion_points: NDArray[np.float64],
    settings: ReferenceSettings,
) -> Candidates:
    """Return the voxels of normal-appearing white matter on one grid.

    Parameters
    ----------
    grid : Grid
        Grid of the map.
    to_session : (4, 4) array
        World of the map to world of the session (T1w).
    white_matter, csf : arrays on the grid
        Tissue probabilities.
    usable : bool array on the grid
        Brain, and evaluable in the map.
    lesion_points : (n, 3) array
        All lesion voxels of the session, world points of the session (mm).
    settings : ReferenceSettings
        Thresholds and margins.
    """
    from scipy.spatial import cKDTree

    white = (white_matter >= settings.white_matter) & (csf <= settings.csf)
    index = np.argwhere(usable & _inner(white, grid))
    points = grid.world(index, to_session)
    if len(lesion_points) and len(index):
        near, _ = cKDTree(lesion_points).query(
            points, distance_upper_bound=settings.lesion_margin + float(grid.spacing.max()) / 2
        )
        index, points = index[~np.isfinite(near)], points[~np.isfinite(near)]
    return Candidates(index, points, grid.voxel_volume)


def _inner(white: NDArray[np.bool_], grid: Grid) -> NDArray[np.bool_]:
    """Return the white matter whose neighbours within the slice are white matter too.

    A tissue probability says little of partial volume on thick slices: at its border the white
    matter of a map is part cortex, and T1 and CBV read too high.
    """
    from scipy import ndimage

    cross = np.zeros((3, 3, 3), dtype=bool)
    cross[1, 1, 1] = True
    for axis in np.argsort(grid.spacing, kind="stable")[:2]:
        for side in (0, 2):
            place = [1, 1, 1]
            place[axis] = side
            cross[tuple(place)] = True
    return np.asarray(ndimage.binary_erosion(white, cross))


def contralateral(
    found: Candidates, lesion: NDArray[np.float64], plane: Plane, settings: ReferenceSettings
) -> NDArray[np.int64]:
    """Return (n, 3) indices of contralateral reference tissue of one lesion.

    The white matter nearest to the lesion's mirror image on the other side of the midsagittal
    plane, until the volume aimed at is reached; none where fewer than the minimum lies within
    reach.

    Parameters
    ----------
    found : Candidates
        Normal-appearing white matter of the grid.
    lesion : (n, 3) array
        Voxels of the lesion, world points of the session (mm).
    plane : Plane
        Midsagittal plane in the session's world.
    settings : ReferenceSettings
        Volumes and margins.
    """
    from scipy.spatial import cKDTree

    if not len(found.index):
        return found.index
    sign = 1.0 if plane.side(lesion).mean() >= 0 else -1.0
    other = plane.side(found.points) * sign < -settings.midline_margin
    index, points = found.index[other], found.points[other]
    if not len(index):
        return index
    apart, _ = cKDTree(plane.mirror(lesion)).query(points)
    order = np.argsort(apart, kind="stable")
    count = int(np.ceil(settings.volume * 1000 / found.voxel_volume))
    chosen = order[:count][apart[order[:count]] <= settings.reach]
    if len(chosen) * found.voxel_volume < settings.minimum * 1000:
        return index[:0]
    return np.asarray(index[np.sort(chosen)])


def whole_brain(found: Candidates, settings: ReferenceSettings) -> NDArray[np.int64]:
    """Return (n, 3) indices of all normal-appearing white matter; none below the minimum."""
    if len(found.index) * found.voxel_volume < settings.minimum * 1000:
        return found.index[:0]
    return found.index
