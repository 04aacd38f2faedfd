"""Contrast enhancement in units of white-matter signal, and what of it may be a lesion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from afterglow.errors import NotEvaluable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.lesions.grids import Grid

_LEAST_WHITE = 2000  # voxels
_SURFACE = 3.0  # mm
_COMPACT = 0.5
_ALONE = 1 / 3


@dataclass(frozen=True, eq=False)
class Enhancement:
    """Enhancement of one session.

    ``image`` (x, y, z) is the signal after contrast minus that before it, each over the median of
    white matter, the median of the difference taken off; ``noise`` its robust standard deviation
    in white matter.
    """

    image: NDArray[np.float32]
    noise: float
    grid: Grid

    @property
    def score(self) -> NDArray[np.float32]:
        """Enhancement over its spread in white matter."""
        return np.asarray(self.image / np.float32(self.noise))


def enhancement(
    after: NDArray[np.float32],
    before: NDArray[np.float32],
    white_matter: NDArray[np.float32],
    brain: NDArray[np.bool_],
    grid: Grid,
    lesions: NDArray[np.bool_] | None = None,
) -> Enhancement:
    """Return the normalized difference of two T1-weighted images on one grid.

    Parameters
    ----------
    after, before : (x, y, z) arrays
        Signal after and before contrast.
    white_matter : (x, y, z) array
        Probability of white matter.
    brain : (x, y, z) bool array
        Brain mask.
    grid : Grid
        Their grid.
    lesions : (x, y, z) bool array, optional
        Left out of the reference.

    Raises
    ------
    NotEvaluable
        Too little white matter to normalize by.
    """
    white = brain & (white_matter > 0.95) & (after > 0) & (before > 0)
    if lesions is not None:
        white &= ~lesions
    if int(white.sum()) < _LEAST_WHITE:
        raise NotEvaluable("no_reference_tissue", "too little white matter to normalize by")
    difference = after / np.median(after[white]) - before / np.median(before[white])
    middle = float(np.median(difference[white]))
    spread = 1.4826 * float(np.median(np.abs(difference[white] - middle)))
    if not spread > 0:
        raise NotEvaluable("no_signal", "the images before and after contrast do not differ")
    return Enhancement((difference - middle).astype(np.float32), spread, grid)


def blob_candidates(
    found: Enhancement, brain: NDArray[np.bool_], threshold: float, smallest: float
) -> NDArray[np.int32]:
    """Return compact enhancing objects in the brain, numbered by decreasing size.

    Vessels, sinuses and the surface of the brain enhance too; they are thin or flat. An object is
    compact where the largest ball within it has at least half the radius of the ball of its volume
    and it is at least a third of everything bright that it is connected to: a wide piece of a sinus
    is not.

    Parameters
    ----------
    found : Enhancement
        Enhancement of the session.
    brain : (x, y, z) bool array
        Brain mask.
    threshold : float
        Least score.
    smallest : float
        Smallest object, mm³.
    """
    from scipy import ndimage

    spacing = found.grid.spacing
    inner = ndimage.distance_transform_edt(brain, sampling=spacing) > _SURFACE
    warm = (found.score >= threshold) & inner
    level = _typical(found, warm)
    solid = warm & (found.image >= 0.5 * level)
    depth = ndimage.distance_transform_edt(solid, sampling=spacing)
    cores, count = ndimage.label(depth > 1.2 * float(spacing.max()), np.ones((3, 3, 3)))
    rounds = int(np.ceil(_SURFACE / float(spacing.min())))
    everywhere = ndimage.binary_dilation(brain, iterations=rounds)
    labels, _ = ndimage.label(everywhere & (found.image >= 0.5 * level), np.ones((3, 3, 3)))
    return _compact(labels, cores, count, depth, found.grid, smallest)


def _typical(found: Enhancement, warm: NDArray[np.bool_]) -> float:
    """Return the enhancement of what enhances clearly, 0 where nothing does."""
    values = found.image[warm]
    return float(np.percentile(values, 75)) if values.size else 0.0


def _compact(
    labels: NDArray[np.int32],
    cores: NDArray[np.int32],
    count: int,
    depth: NDArray[np.float64],
    grid: Grid,
    smallest: float,
) -> NDArray[np.int32]:
    """Return what lies around the cores that are compact, numbered by decreasing size."""
    from scipy import ndimage

    sizes = np.bincount(labels.ravel())
    kept: list[tuple[int, NDArray[np.bool_], tuple[slice, ...]]] = []
    for number, box in enumerate(ndimage.find_objects(cores), start=1):
        if box is None or count == 0:
            continue
        reach = float(depth[box][cores[box] == number].max())
        room = _grown(box, np.ceil(2 * reach / grid.spacing).astype(int), labels.shape)
        core = cores[room] == number
        around = ndimage.distance_transform_edt(~core, sampling=grid.spacing)
        tree = int(np.bincount(labels[room][core]).argmax())
        own = (labels[room] == tree) & (around <= 1.5 * float(grid.spacing.max()) + 1.0)
        volume = float(own.sum()) * grid.voxel_volume
        radius = (3 * volume / (4 * np.pi)) ** (1 / 3)
        alone = own.sum() >= _ALONE * sizes[tree]
        if volume >= smallest and reach >= _COMPACT * radius and alone:
            kept.append((int(own.sum()), own, room))
    kept.sort(key=lambda item: -item[0])
    found = np.zeros(labels.shape, dtype=np.int32)
    for number, (_, own, room) in enumerate(kept, start=1):
        view = found[room]
        view[own & (view == 0)] = number
    return found


def _grown(
    box: tuple[slice, ...], by: NDArray[np.int64], shape: tuple[int, ...]
) -> tuple[slice, ...]:
    return tuple(
        slice(max(0, part.start - int(step) - 2), min(size, part.stop + int(step) + 2))
        for part, step, size in zip(box, by, shape, strict=True)
    )
