"""Lesion masks as given: integer labels, or one binary mask that is taken apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from afterglow.errors import AfterglowError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Labels:
    """Lesion labels of one session.

    ``rule`` says how they came about: ``labels`` (kept as given), ``components`` (a binary
    mask, numbered by decreasing size) or ``empty``.
    """

    data: NDArray[np.int32]
    rule: str

    @property
    def numbers(self) -> list[int]:
        """Labels present, ascending."""
        return [int(n) for n in np.unique(self.data) if n > 0]


def read_labels(given: NDArray[np.generic], where: str = "") -> Labels:
    """Return integer lesion labels from a given mask.

    Parameters
    ----------
    given : (x, y, z) array
        Binary mask or one integer per lesion.
    where : str, optional
        Name of the mask in error messages.

    Raises
    ------
    AfterglowError
        Values that are negative, not finite or not whole numbers.

    Examples
    --------
    >>> mask = np.zeros((5, 5, 5)); mask[0, 0, :3] = 1; mask[4, 4, 4] = 1
    >>> read_labels(mask).rule, read_labels(mask).numbers
    ('components', [1, 2])
    """
    values = np.asarray(given, dtype=np.float64)
    whole = np.rint(values)
    if not np.isfinite(values).all() or np.abs(values - whole).max(initial=0) > 1e-3:
        raise AfterglowError(
            "the lesion mask holds values that are no labels",
            where=where,
            expected="whole numbers, 0 for background",
            remedy="export the mask as a label map",
        )
    if whole.min(initial=0) < 0:
        raise AfterglowError("the lesion mask holds negative labels", where=where)
    labels = whole.astype(np.int32)
    found = np.unique(labels[labels > 0])
    if not found.size:
        return Labels(labels, "empty")
    if found.size > 1:
        return Labels(labels, "labels")
    return Labels(components(labels > 0), "components")


def components(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return the 26-connected components of a mask, numbered by decreasing size."""
    from scipy import ndimage

    parts, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    order = np.argsort(-sizes[1:], kind="stable") + 1
    renumber = np.zeros(count + 1, dtype=np.int32)
    renumber[order] = np.arange(1, count + 1)
    return np.asarray(renumber[parts], dtype=np.int32)
