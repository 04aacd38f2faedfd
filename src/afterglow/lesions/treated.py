"""The treated volume of each lesion: what received a share of the largest dose of its plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from afterglow.lesions.grids import Grid
from afterglow.lesions.regions import Piece

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from afterglow.lesions.dose import Dose


def treated_volumes(
    dose: Dose,
    session_to_dose: NDArray[np.float64],
    lesions: Mapping[int, Piece],
    share: float,
) -> dict[int, Piece]:
    """Return the treated volume of every lesion that lies in one.

    A treated volume is a connected region that received at least ``share`` of the largest dose of
    the plan; it is that of every lesion with a voxel center in it.

    Parameters
    ----------
    dose : Dose
        Dose of the plan.
    session_to_dose : (4, 4) array
        World of the session to world of the dose.
    lesions : mapping
        Lesions on the session's grid by label.
    share : float
        Share of the largest dose (fraction).

    Returns
    -------
    dict
        Masks on the dose's grid, whose affine leads to the world of the session.
    """
    from scipy import ndimage

    volumes, count = ndimage.label(dose.gray >= share * dose.gray.max(), np.ones((3, 3, 3)))
    if not count:
        return {}
    back = np.linalg.inv(session_to_dose) @ dose.grid.affine
    boxes = ndimage.find_objects(volumes)
    found = {}
    for label, piece in lesions.items():
        index = np.rint(
            _moved(piece.points, np.asarray(np.linalg.inv(back), dtype=np.float64))
        ).astype(int)
        inside = ((index >= 0) & (index < dose.grid.shape)).all(axis=1)
        touched = volumes[tuple(index[inside].T)]
        touched = touched[touched > 0]
        if touched.size:
            number = int(np.bincount(touched).argmax())
            box = boxes[number - 1]
            found[label] = Piece(volumes[box] == number, _part(dose.grid.shape, back, box))
    return found


def _moved(points: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(points @ matrix[:3, :3].T + matrix[:3, 3])


def _part(shape: tuple[int, int, int], affine: NDArray[np.float64], box: tuple[slice, ...]) -> Grid:
    """Return the grid of a box of a grid."""
    from afterglow.lesions.regions import cut

    return cut(Grid(shape, affine), box)
