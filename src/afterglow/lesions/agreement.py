"""How far the masks of two raters agree: Dice over all, and lesion by lesion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Agreement:
    """Agreement of one rater with another.

    ``dice`` over all lesions; ``lesions`` maps each label of the first rater to the Dice
    coefficient with everything of the second that touches it (0 where nothing does); ``missed`` and
    ``extra`` count lesions of the first and of the second rater that touch none of the other's.
    """

    dice: float
    lesions: dict[int, float]
    missed: int
    extra: int


def dice(one: NDArray[np.bool_], two: NDArray[np.bool_]) -> float:
    """Return the Dice coefficient of two masks, NaN where both are empty.

    Examples
    --------
    >>> dice(np.array([True, True, False]), np.array([True, False, False]))
    0.6666666666666666
    """
    total = int(one.sum()) + int(two.sum())
    return 2 * int((one & two).sum()) / total if total else float("nan")


def agreement(one: NDArray[np.int32], two: NDArray[np.int32]) -> Agreement:
    """Return how far the lesion labels of two raters agree, on one grid."""
    found = {}
    for label in _labels(one):
        own = one == label
        touching = np.unique(two[own])
        other = np.isin(two, touching[touching > 0])
        found[label] = dice(own, other) if other.any() else 0.0
    extra = sum(not (one[two == label] > 0).any() for label in _labels(two))
    missed = sum(value == 0 for value in found.values())
    return Agreement(dice(one > 0, two > 0), found, missed, extra)


def _labels(labels: NDArray[np.int32]) -> list[int]:
    return [int(n) for n in np.unique(labels) if n > 0]
