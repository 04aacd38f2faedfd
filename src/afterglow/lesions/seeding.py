"""Where lesions are to be expected: those of other sessions, and the treated volume."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from afterglow.lesions.grids import Grid, coverage
from afterglow.lesions.segmentation import Seed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.lesions.dose import Dose

_TREATED = 0.5  # of the largest dose: targets are prescribed to about the half of it or more


def moved_seeds(
    labels: NDArray[np.int32],
    source: Grid,
    target: Grid,
    target_to_source: NDArray[np.float64],
    name: str,
) -> list[Seed]:
    """Return one seed per lesion of another session, on this session's grid.

    Parameters
    ----------
    labels : (x, y, z) integer array
        Lesions of the other session.
    source, target : Grid
        Grids of the other and of this session.
    target_to_source : (4, 4) array
        World of this session to world of the other one.
    name : str
        What the seeds are called.
    """
    found = []
    for label in [int(n) for n in np.unique(labels) if n > 0]:
        part = coverage(labels == label, source, target, target_to_source)
        # a lesion smaller than a voxel covers none by half
        least = min(0.5, float(part.fraction.max(initial=0.0)) * 0.99)
        if least <= 0:
            continue
        mask = np.zeros(target.shape, dtype=bool)
        mask[tuple(part.index(least).T)] = True
        found.append(Seed(mask, name))
    return found


def treated_seeds(
    dose: Dose, target: Grid, target_to_dose: NDArray[np.float64], name: str
) -> list[Seed]:
    """Return one seed per connected volume that received at least half of the largest dose."""
    from scipy import ndimage

    high = dose.gray >= _TREATED * float(dose.gray.max())
    parts, _ = ndimage.label(high, np.ones((3, 3, 3)))
    return moved_seeds(parts.astype(np.int32), dose.grid, target, target_to_dose, name)


def without_doubles(groups: Iterable[Sequence[Seed]]) -> list[Seed]:
    """Return the seeds of all groups, without those that mostly lie in one of an earlier group."""
    kept: list[Seed] = []
    for group in groups:
        fresh = [seed for seed in group if not any(_inside(seed, other) for other in kept)]
        kept += fresh
    return kept


def _inside(seed: Seed, other: Seed) -> bool:
    shared = int((seed.mask & other.mask).sum())
    return shared > 0.5 * min(int(seed.mask.sum()), int(other.mask.sum()))
