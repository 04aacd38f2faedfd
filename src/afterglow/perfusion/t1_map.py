"""What every T1 fit returns, and when a T1 counts as measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

T1_RANGE = (0.05, 10.0)
"""Range of T1 (s) within which a value counts as measured."""

_MAX_RELATIVE_SE = 0.3


@dataclass(frozen=True)
class T1Map:
    """T1 and what came with it; arrays of the leading shape of the input.

    Attributes
    ----------
    t1 : array
        T1 (s); NaN where the input cannot be used or no T1 gives such signals.
    m0 : array
        Equilibrium signal, in the unit of the input.
    standard_errors : dict
        ``t1`` (s), ``m0`` and, where it was fitted, ``b1``; NaN where there are no more images than
        parameters.
    evaluable : array of bool
        T1 lies within its range and, where an error is known, that error is below 30 %.
    b1 : array or None
        Ratio of actual to nominal flip angle where it was fitted.
    """

    t1: NDArray[np.floating]
    m0: NDArray[np.floating]
    standard_errors: dict[str, NDArray[np.floating]]
    evaluable: NDArray[np.bool_]
    b1: NDArray[np.floating] | None = None


def finish(maps: Mapping[str, NDArray[np.floating]], shape: tuple[int, ...]) -> T1Map:
    """Return the result of maps ``t1``, ``m0``, ``se_t1``, ``se_m0`` and perhaps ``b1``."""
    found = {name: values.reshape(shape) for name, values in maps.items()}
    low, high = T1_RANGE
    with np.errstate(invalid="ignore"):
        evaluable = (found["t1"] > low) & (found["t1"] < high)
        vague = found["se_t1"] > _MAX_RELATIVE_SE * found["t1"]
    errors = {name[3:]: values for name, values in found.items() if name.startswith("se_")}
    return T1Map(found["t1"], found["m0"], errors, np.asarray(evaluable & ~vague), found.get("b1"))


def chosen_voxels(mask: ArrayLike | None, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Return the flat positions of the voxels of a mask, all where there is none.

    Raises
    ------
    ValueError
        Where the mask has another shape.
    """
    if mask is None:
        return np.arange(int(np.prod(shape)))
    inside = np.asarray(mask, dtype=bool).reshape(np.shape(mask) or (1,))
    if inside.shape != shape:
        raise ValueError(f"mask {inside.shape} does not fit the images {shape}")
    return np.flatnonzero(inside)
