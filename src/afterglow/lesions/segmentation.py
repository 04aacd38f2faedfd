"""Enhancing lesions where nobody drew them, grown from seeds by a random walker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from afterglow.lesions.agreement import dice
from afterglow.lesions.enhancement import Enhancement
from afterglow.lesions.masks import components
from afterglow.lesions.walker import random_walker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

METHOD = "random_walker-1"
_NEAR_SEED = 2.0  # mm


@dataclass(frozen=True)
class GrowSettings:
    """How lesions are grown; ``reach`` in mm, ``threshold`` in spreads, ``smallest`` in mm³."""

    reach: float = 6.0
    threshold: float = 4.0
    smallest: float = 30.0


@dataclass(frozen=True, eq=False)
class Seed:
    """Where a lesion is expected: voxels of the session's grid, and from where that is known."""

    mask: NDArray[np.bool_]
    source: str


@dataclass(frozen=True)
class Grown:
    """How one lesion was made.

    ``quality`` is the Dice coefficient of the lesion at 40 % and at 60 % of its enhancement, times
    contrast / (contrast + 3 noise): near 1 where its border is sharp and clear. ``doubt`` names
    what a person should look at, empty where nothing.
    """

    label: int
    source: str
    quality: float
    doubt: str
    n_voxels: int


@dataclass(frozen=True, eq=False)
class Segmented:
    """Lesions of one session, and seeds (source, reason) that gave none."""

    labels: NDArray[np.int32]
    lesions: list[Grown]
    missed: list[tuple[str, str]]


@dataclass(frozen=True, eq=False)
class _Part:
    """One grown lesion before numbering."""

    mask: NDArray[np.bool_]
    source: str
    quality: float
    doubt: str


def segment(
    found: Enhancement,
    brain: NDArray[np.bool_],
    seeds: Sequence[Seed],
    settings: GrowSettings | None = None,
) -> Segmented:
    """Return the enhancing lesions of a session.

    Each seed is grown within reach; what grew into each other is one lesion. Lesions are
    numbered by decreasing size.

    Parameters
    ----------
    found : Enhancement
        Enhancement of the session.
    brain : (x, y, z) bool array
        Brain mask.
    seeds : sequence of Seed
        Where lesions are expected.
    settings : GrowSettings, optional
        Reach and thresholds.
    """
    settings = settings or GrowSettings()
    parts: list[_Part] = []
    missed = []
    for seed in seeds:
        part = _grow(found, brain, seed, settings)
        if isinstance(part, str):
            missed.append((seed.source, part))
        else:
            parts.append(part)
    whole = np.zeros(found.grid.shape, dtype=bool)
    for part in parts:
        whole |= part.mask
    labels = components(whole)
    sizes = np.bincount(labels.ravel(), minlength=1)
    lesions = []
    for label in range(1, len(sizes)):
        own = [p for p in parts if (labels[p.mask] == label).any()]
        worst = min(own, key=lambda p: p.quality)
        doubts = sorted({p.doubt for p in own if p.doubt})
        sources = ",".join(sorted({p.source for p in own}))
        lesions.append(Grown(label, sources, worst.quality, ",".join(doubts), int(sizes[label])))
    return Segmented(labels, lesions, missed)


def _grow(
    found: Enhancement, brain: NDArray[np.bool_], seed: Seed, settings: GrowSettings
) -> _Part | str:
    """Return the lesion of one seed, or why there is none."""
    from scipy import ndimage

    grid = found.grid
    room = _room(seed.mask, np.ceil((settings.reach + 4) / grid.spacing).astype(int))
    own = seed.mask[room]
    away = ndimage.distance_transform_edt(~own, sampling=grid.spacing)
    inside = ndimage.binary_dilation(brain[room], iterations=1)
    domain = (away <= settings.reach) & inside
    values = found.image[room]
    warm = domain & (values >= settings.threshold * found.noise)
    warm &= _connected(warm, warm & (away <= _NEAR_SEED))
    if float(warm.sum()) * grid.voxel_volume < settings.smallest / 2:
        return "no_enhancement"
    floor, top = _plateau(values, domain, warm)
    if top <= floor:
        return "no_enhancement"
    level = np.asarray((values - floor) / (top - floor), dtype=np.float32)
    masks = {share: _cut(level, domain, away, share) for share in (0.4, 0.5, 0.6)}
    lesion = masks[0.5]
    if float(lesion.sum()) * grid.voxel_volume < settings.smallest:
        return "too_small"
    contrast = (top - floor) / (top - floor + 3 * found.noise)
    quality = dice(masks[0.4], masks[0.6]) * contrast
    border = (away > settings.reach - float(grid.spacing.max())) & lesion
    doubt = "reaches_limit" if float(border.sum()) > 0.02 * float(lesion.sum()) else ""
    mask = np.zeros(grid.shape, dtype=bool)
    mask[room] = lesion
    return _Part(mask, seed.source, 0.0 if np.isnan(quality) else quality, doubt)


def _room(mask: NDArray[np.bool_], by: NDArray[np.int64]) -> tuple[slice, ...]:
    """Return the box of a mask, grown by some voxels and cut at the image."""
    index = np.argwhere(mask)
    low = np.maximum(index.min(axis=0) - by, 0)
    high = np.minimum(index.max(axis=0) + by + 1, mask.shape)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def _connected(mask: NDArray[np.bool_], start: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the parts of a mask that hold a voxel of ``start``."""
    from scipy import ndimage

    parts, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    touched = np.unique(parts[start])
    return np.asarray(np.isin(parts, touched[touched > 0]))


def _plateau(
    values: NDArray[np.float32], domain: NDArray[np.bool_], warm: NDArray[np.bool_]
) -> tuple[float, float]:
    """Return the enhancement of the surroundings and of the lesion's plateau."""
    rest = values[domain & ~warm]
    floor = float(np.median(rest)) if rest.size > 20 else 0.0
    top = float(np.percentile(values[warm], 90))
    for _ in range(2):
        bright = warm & (values >= floor + 0.7 * (top - floor))
        top = float(np.median(values[bright]))
    return floor, top


def _cut(
    level: NDArray[np.float32],
    domain: NDArray[np.bool_],
    away: NDArray[np.float64],
    share: float,
) -> NDArray[np.bool_]:
    """Return the lesion whose border lies at a share of the plateau, cavities filled.

    Voxels clearly above that share and connected to the seed are lesion, those clearly below it or
    beyond reach background; the walker decides between them.
    """
    from scipy import ndimage

    sure = domain & (level >= share + 0.2)
    sure &= _connected(sure, sure & (away <= _NEAR_SEED))
    seeds = np.zeros(level.shape, dtype=np.int8)
    seeds[~domain | (level < share - 0.2)] = -1
    seeds[sure] = 1
    # shift the level so that the walker's one half is the share asked for
    probability = random_walker(np.clip(level - share + 0.5, 0, 1), seeds)
    near = np.abs(level - share) <= 0.2
    lesion = np.where(near, (probability + (level - share + 0.5)) / 2 >= 0.5, probability >= 0.5)
    lesion &= domain
    lesion &= _connected(lesion, sure | (lesion & (away <= 0)))
    return np.asarray(ndimage.binary_fill_holes(lesion))
