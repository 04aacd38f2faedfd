"""Images that a command without a study takes: on one grid and in their units, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from afterglow.bids.images import load_nifti
from afterglow.errors import AfterglowError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_TOLERANCE = 0.01  # mm
_T1_RANGE = (0.1, 10.0)  # s, from fat to water


def load_like(
    path: Path | str, shape: tuple[int, ...], affine: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return an image that lies on the grid of another.

    Parameters
    ----------
    path : path
        The image.
    shape : tuple of int
        What its shape has to be.
    affine : (4, 4) array
        Voxel to world (mm) of the other image.

    Raises
    ------
    AfterglowError
        Its shape or its place in the world is another.
    """
    values, own = load_nifti(path)
    if values.shape != shape:
        raise AfterglowError(
            f"an image of shape {values.shape}", where=Path(path).name, expected=str(shape)
        )
    if not np.allclose(own, affine, atol=_TOLERANCE):
        raise AfterglowError(
            f"an image that lies {np.abs(own - affine).max():.3g} mm off the series",
            where=Path(path).name,
            expected="the affine of the series",
            remedy="resample it to the grid of the series",
        )
    return values


def in_seconds(t1: ArrayLike, where: str = "") -> None:
    """Refuse T1 that cannot be seconds.

    Raises
    ------
    AfterglowError
        The median of what is above zero is no T1 of tissue.
    """
    values = np.asarray(t1, dtype=np.float64)
    known = values[np.isfinite(values) & (values > 0)]
    middle = float(np.median(known)) if known.size else 0.0
    if not _T1_RANGE[0] <= middle <= _T1_RANGE[1]:
        raise AfterglowError(
            f"T1 before contrast is {middle:.4g} s in the median",
            where=where,
            expected=f"seconds, {_T1_RANGE[0]:g} to {_T1_RANGE[1]:g}",
            remedy="divide a map of milliseconds by 1000" if middle > _T1_RANGE[1] else "",
        )
