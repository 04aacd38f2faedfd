"""Radiation dose in and around lesions, between the voxels of its grid by a spline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.errors import NotEvaluable
from afterglow.lesions.blobs import sub_voxel_offsets
from afterglow.lesions.grids import Grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEP = 0.5  # mm
_DEGREE = 3
_FALL_OFF_DEGREE = 5  # nearer where the dose falls off, but it overshoots at the shoulder
_FLOOR = 0.01  # of the largest dose
_PIECE = 0.25  # mm
_LARGE = 15_000.0  # mm³; above it pieces of 0.5 mm are fine enough
COVERED = {"D98": 2.0, "D95": 5.0, "D50": 50.0, "D2": 98.0}
VOLUMES = {"V10": 10.0, "V12": 12.0}
# Gy; no treatment of the brain reaches it, and 20 Gy written as centigray do
_IMPLAUSIBLE = 300.0


@dataclass(frozen=True, eq=False)
class Dose:
    """Absorbed dose of a whole plan.

    ``gray`` (x, y, z) on ``grid`` (RAS); ``kind`` is PHYSICAL or EFFECTIVE, ``summation`` what
    was summed. Values between voxels come from a cubic spline through the logarithm of the dose
    (plus 1 % of the largest): outside of a target dose falls off like an exponential, whose
    logarithm bends less between the voxels. Straight lines take 6 to 12 % off V12 on grids of 2 to
    3 mm, a cubic spline through the dose itself 2 % on one of 3 mm.
    """

    gray: NDArray[np.float64]
    grid: Grid
    kind: str
    summation: str
    _spline: dict[int, Any] = field(default_factory=dict, repr=False)

    def at(self, points: NDArray[np.float64], degree: int = _DEGREE) -> NDArray[np.float64]:
        """Return the dose (Gy) at (n, 3) world points; NaN outside of the grid.

        ``degree`` is that of the spline.
        """
        from scipy import ndimage

        floor = _FLOOR * float(self.gray.max(initial=0.0)) or 1.0
        if degree not in self._spline:
            logarithm = np.log(np.maximum(self.gray, 0.0) + floor)
            self._spline[degree] = ndimage.spline_filter(logarithm, degree, mode="nearest")
        inverse = np.linalg.inv(self.grid.affine)
        index = points @ inverse[:3, :3].T + inverse[:3, 3]
        inside = ((index >= -0.5) & (index <= np.array(self.grid.shape) - 0.5)).all(axis=1)
        values = np.full(len(points), np.nan)
        values[inside] = ndimage.map_coordinates(
            self._spline[degree],
            index[inside].T,
            order=degree,
            mode="nearest",
            prefilter=False,
        )
        return np.asarray(np.maximum(np.exp(values) - floor, 0.0))


def dose_of(
    gray: NDArray[np.generic], affine: NDArray[np.float64], facts: Mapping[str, Any]
) -> Dose:
    """Return the dose of ``afterglow.bids.structures.dose``.

    Raises
    ------
    NotEvaluable
        The grid holds the dose of a beam or of one fraction, not of the plan; or differences of
        doses; or a physical dose beyond any treatment, as centigray called Gy would be.
    """
    summation = str(facts.get("DoseSummationType") or "")
    if summation not in {"PLAN", "MULTI_PLAN"}:
        raise NotEvaluable("dose_of_a_part", f"the grid holds the dose of {summation or 'no plan'}")
    kind = str(facts.get("DoseType") or "")
    if kind not in {"", "PHYSICAL", "EFFECTIVE"}:
        raise NotEvaluable("dose_of_other_kind", f"the grid holds a dose of type {kind}")
    values = np.asarray(gray, dtype=np.float64)
    largest = float(values.max(initial=0.0))
    if kind != "EFFECTIVE" and largest > _IMPLAUSIBLE:
        raise NotEvaluable("dose_implausible", f"{largest:.0f} Gy at most: are these centigray?")
    grid = Grid((values.shape[0], values.shape[1], values.shape[2]), affine)
    return Dose(values, grid, kind, summation)


def fine_points(mask: NDArray[np.bool_], grid: Grid, step: float = STEP) -> NDArray[np.float64]:
    """Return world points (n, 3) that fill the voxels of a mask, at most ``step`` mm apart."""
    counts = np.maximum(1, np.ceil(grid.spacing / step - 1e-6)).astype(int)
    index = np.argwhere(mask)
    fine = (index[:, None, :] + sub_voxel_offsets(counts)[None, :, :]).reshape(-1, 3)
    return np.asarray(fine @ grid.affine[:3, :3].T + grid.affine[:3, 3])


def dose_statistics(dose: Dose, points: NDArray[np.float64]) -> dict[str, float]:
    """Return dose statistics (Gy) of a lesion filled by ``points`` in the world of the dose.

    ``Dx`` is the dose that x % of the volume receive at least; ``covered`` the share of the lesion
    within the grid. All are NaN where less than 99 % of it is.
    """
    values = dose.at(points)
    good = values[np.isfinite(values)]
    covered = len(good) / len(values) if len(values) else 0.0
    names = ("Dmean", "Dmin", "Dmax", *COVERED)
    if covered < 0.99:
        return {**dict.fromkeys(names, float("nan")), "covered": covered}
    levels = np.percentile(good, list(COVERED.values()))
    found = {"Dmean": good.mean(), "Dmin": good.min(), "Dmax": good.max()}
    found |= dict(zip(COVERED, levels, strict=True))
    return {**{name: float(found[name]) for name in names}, "covered": covered}


def isodose_volumes(
    dose: Dose, lesions: dict[int, NDArray[np.float64]]
) -> dict[int, dict[str, float]]:
    """Return the volume (mL) of tissue at or above 10 and 12 Gy that belongs to each lesion.

    Every piece of such tissue, at most half a millimeter wide, belongs to the nearest lesion.

    Parameters
    ----------
    dose : Dose
        Dose.
    lesions : dict
        Points (n, 3) of each lesion in the world of the dose, by label.
    """
    found = {label: dict.fromkeys(VOLUMES, 0.0) for label in lesions}
    if not lesions:
        return found
    warm = _warm(dose, min(VOLUMES.values()))
    if not warm.any():
        return found
    large = float(warm.sum()) * dose.grid.voxel_volume > _LARGE
    step, owners = STEP if large else _PIECE, sorted(lesions)
    points = fine_points(warm, dose.grid, step)
    values = dose.at(points, _FALL_OFF_DEGREE)
    nearest = _nearest(points.reshape(int(warm.sum()), -1, 3), [lesions[label] for label in owners])
    piece = float(np.prod(_piece(dose.grid, step))) / 1000
    for place, label in enumerate(owners):
        own = values[nearest == place]
        for name, least in VOLUMES.items():
            found[label][name] = float((own >= least).sum() * piece)
    return found


def _nearest(pieces: NDArray[np.float64], clouds: list[NDArray[np.float64]]) -> NDArray[np.intp]:
    """Return which cloud is nearest to each piece of each voxel, pieces (voxels, k, 3), as one row.

    Where the cloud nearest to the middle of a voxel is nearer than any other by more than the
    voxel is wide, it is the nearest to all of its pieces.
    """
    from scipy.spatial import cKDTree

    trees = [cKDTree(cloud) for cloud in clouds]

    def apart(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack([tree.query(points)[0] for tree in trees])

    count, parts, _ = pieces.shape
    if len(trees) == 1:
        return np.zeros(count * parts, dtype=np.intp)
    middles = pieces.mean(axis=1)
    reach = np.linalg.norm(pieces - middles[:, None], axis=2).max()
    from_middle = apart(middles)
    first, second = np.partition(from_middle, 1, axis=0)[:2]
    nearest = np.repeat(np.argmin(from_middle, axis=0)[:, None], parts, axis=1)
    unsure = second - first <= 2.01 * reach
    nearest[unsure] = np.argmin(apart(pieces[unsure].reshape(-1, 3)), axis=0).reshape(-1, parts)
    return nearest.ravel()


def _piece(grid: Grid, step: float) -> NDArray[np.float64]:
    """Return the size (mm) of the pieces into which voxels of the dose are taken apart."""
    return np.asarray(grid.spacing / np.ceil(grid.spacing / step - 1e-6))


def _warm(dose: Dose, least: float) -> NDArray[np.bool_]:
    """Return the voxels of the dose that may hold tissue above ``least`` Gy."""
    from scipy import ndimage

    return np.asarray(ndimage.binary_dilation(dose.gray >= 0.7 * least, np.ones((3, 3, 3))))
