"""Distortion of an echo-planar image: a smooth displacement along its phase encoding.

Where the main field is uneven the rows of an EPI are displaced, by millimetres beside the frontal
sinus and the petrous bones, and along the phase encoding only. The displacement is a sum of
trilinear hats some centimetres wide, found by least squares as a pose is
(`afterglow.anat.least_squares`): the T1w, on the grid of the EPI, is explained by the EPI's
intensities, and neighbouring hats are held together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.anat.grids import Volume, coarse
from afterglow.anat.least_squares import (
    intensities,
    make_target,
    model_gradient,
    robust_weights,
    smooth,
)
from afterglow.anat.refine import polynomials
from afterglow.anat.registration import Deformation
from afterglow.anat.sampling import point_sample, spline_coefficients
from afterglow.anat.transforms import apply, average, resample, voxel_sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.config.anat import AnatConfig

    Floats = NDArray[np.float64]

_STEPS = 8
_POINTS = 15000


@dataclass(frozen=True)
class Knots:
    """A coarse grid of world points on which the displacement is given.

    Attributes
    ----------
    low : ndarray, shape (3,)
        First point, world mm.
    step : float
        Distance, mm.
    count : tuple of int
        Points along x, y, z.
    """

    low: Floats
    step: float
    count: tuple[int, int, int]

    @classmethod
    def around(cls, world: Floats, step: float) -> Knots:
        """Return the grid that holds all points, shape (k, 3)."""
        low = world.min(axis=0) - 1.0
        x, y, z = (int(n) for n in np.ceil((world.max(axis=0) + 1.0 - low) / step) + 1)
        return cls(low, step, (x, y, z))

    def hats(self, world: Floats) -> Floats:
        """Return the weight of every knot at world points, shape (k, knots); held at the border."""
        place = np.clip((world - self.low) / self.step, 0.0, np.array(self.count) - 1.0)
        x, y, z = (
            np.maximum(0.0, 1.0 - np.abs(place[:, k, None] - np.arange(n)))
            for k, n in enumerate(self.count)
        )
        product = x[:, :, None, None] * y[:, None, :, None] * z[:, None, None, :]
        return np.asarray(product.reshape(len(world), -1))

    def stiffness(self) -> Floats:
        """Return the matrix whose quadratic form is the squared difference of neighbours.

        A twentieth of the squared value keeps knots without data at zero.
        """
        number = np.arange(int(np.prod(self.count))).reshape(self.count)
        rows = []
        for axis in range(3):
            lines = np.moveaxis(number, axis, 0)
            for a, b in zip(lines[:-1].ravel(), lines[1:].ravel(), strict=True):
                row = np.zeros(number.size)
                row[a], row[b] = 1.0, -1.0
                rows.append(row)
        apart = np.array(rows).reshape(-1, number.size)
        return np.asarray(apart.T @ apart + 0.05 * np.eye(number.size))


def phase_axis(sidecar: dict[str, Any]) -> int | None:
    """Return the voxel axis of the phase encoding that a BIDS sidecar names, None where none.

    Examples
    --------
    >>> phase_axis({"PhaseEncodingDirection": "j-"}), phase_axis({"PhaseEncodingAxis": "i"})
    (1, 0)
    """
    text = str(sidecar.get("PhaseEncodingDirection") or sidecar.get("PhaseEncodingAxis") or "-")
    return "ijk".index(text[0]) if text[0] in "ijk" else None


def undistort(
    target: Volume,
    t1w: Volume,
    matrix: Floats,
    region: Volume,
    axis: int,
    settings: AnatConfig,
) -> Deformation:
    """Return the displacement of an EPI along its phase encoding, followed by ``matrix`` to T1w.

    Parameters
    ----------
    target : Volume
        Mean echo-planar image.
    t1w : Volume
        Bias-corrected T1w.
    matrix : ndarray, shape (4, 4)
        Rigid world matrix from ``target`` to ``t1w``.
    region : Volume
        Brain without lesions, on the grid of ``t1w``.
    axis : int
        Voxel axis of the phase encoding.
    settings : AnatConfig
        Distance of the knots and stiffness.
    """
    small = coarse(target, settings.refine_mm)
    grid = (small.shape, small.affine, matrix)
    moving = smooth(average(t1w.values, t1w.affine, *grid), small.affine)
    points = _points(resample(region.values, region.affine, *grid) > 0.5, settings)
    world = apply(small.affine, points)
    knots = Knots.around(world, settings.epi_knots_mm)
    along = small.affine[:3, axis] / voxel_sizes(small.affine)[axis]
    amplitudes = _amplitudes(small, moving, points, knots, axis, settings.epi_stiffness)
    everywhere = apply(target.affine, np.argwhere(np.ones(target.shape, dtype=bool)))
    shift = np.concatenate(
        [knots.hats(part) @ amplitudes for part in np.array_split(everywhere, 32)]
    )
    field = (shift[:, None] * along).reshape(*target.shape, 3)
    return Deformation(field.astype(np.float32), target.affine, np.asarray(matrix))


def _points(inside: NDArray[np.bool_], settings: AnatConfig) -> NDArray[np.intp]:
    edge = np.zeros_like(inside)
    edge[1:-1, 1:-1, 1:-1] = True
    points = np.argwhere(inside & edge)
    if len(points) > _POINTS:
        rng = np.random.default_rng(settings.seed)
        points = points[np.sort(rng.choice(len(points), _POINTS, replace=False))]
    return points


def _amplitudes(
    small: Volume,
    moving: NDArray[np.float32],
    points: NDArray[np.intp],
    knots: Knots,
    axis: int,
    stiffness: float,
) -> Floats:
    """Return the displacement (mm) at every knot, by Gauss-Newton with the intensities."""
    still = smooth(small.values, small.affine)
    made = make_target(small.affine, still, points, polynomials(small.affine, points))
    source = spline_coefficients(moving)
    zoom = float(voxel_sizes(small.affine)[axis])
    hats, penalty = knots.hats(made.world), knots.stiffness()
    seen = np.ones(len(points), dtype=bool)
    amplitudes: Floats = np.zeros(hats.shape[1])
    coefficients: Floats | None = None
    for _ in range(_STEPS):
        index = points.T.astype(np.float64)
        index[axis] += hats @ amplitudes / zoom
        values = point_sample(source, index, 3)
        if coefficients is None:
            coefficients = intensities(values, made.basis, seen)
        weight, spread = robust_weights(values - made.basis @ coefficients, seen)
        slope = model_gradient(made, coefficients) @ small.affine[:3, axis] / zoom
        design = np.hstack([hats * slope[:, None], made.basis])
        weighted = design * weight[:, None]
        normal, wanted = design.T @ weighted, weighted.T @ values
        held = stiffness * spread**2 * penalty
        count = len(amplitudes)
        normal[:count, :count] += held
        wanted[:count] += held @ amplitudes
        normal[np.diag_indices_from(normal)] += 1e-9 * np.trace(normal) / len(normal)
        solution: Floats = np.asarray(np.linalg.solve(normal, wanted), dtype=np.float64)
        amplitudes, coefficients = amplitudes - solution[:count], solution[count:]
        if float(np.abs(solution[:count]).max()) < 0.02:
            break
    return amplitudes
