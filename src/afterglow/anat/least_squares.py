"""Rigid pose by least squares over pose and intensity together.

One image is explained by another, voxel by voxel, as

    moving(T x) = f(target(x)) + target(x) * sum_r c_r phi_r(x)

where ``f`` is a free piecewise linear curve of the target's intensity (as in the correlation ratio
of Roche 1998) and ``phi_r`` are smooth maps: of contrast agent that arrives, of receive fields that
differ. Outliers are down-weighted (Tukey's biweight). The six parameters of ``T`` and all
coefficients follow by Gauss-Newton.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.anat.sampling import point_sample, spline_coefficients
from afterglow.anat.transforms import invert, rigid, voxel_sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_KNOTS = (2, 10, 20, 30, 40, 50, 60, 70, 80, 90, 98)
_SMOOTH_MM = 1.8
_STEPS = 12


@dataclass(frozen=True)
class Target:
    """What an image is compared with, at ``k`` sampled points.

    Attributes
    ----------
    world : ndarray, shape (k, 3)
        Points, world mm.
    basis : ndarray, shape (k, b)
        Hat functions of the target's intensity, then the target times every smooth map.
    curve : ndarray, shape (k, knots)
        Derivative of the hat functions.
    gradient : ndarray, shape (k, 3)
        Of the target, per mm.
    steep : ndarray, shape (3, k, m), or None
        Gradient of the target times every map; where None, the maps are smooth and count as flat.
    center : ndarray, shape (3,)
        What rotations turn about, world mm.
    scale : float
        Median intensity.
    """

    world: Floats
    basis: Floats
    curve: Floats
    gradient: Floats
    center: Floats
    scale: float
    steep: Floats | None = None


def smooth(values: NDArray[Any], affine: Floats, least: float = 0.0) -> NDArray[np.float32]:
    """Smooth an image so that Gauss-Newton reaches a few millimetres and noise weighs little.

    The width is at least ``least`` voxels along every axis.
    """
    from scipy import ndimage

    sigma = np.maximum(_SMOOTH_MM / voxel_sizes(affine), least)
    return np.asarray(ndimage.gaussian_filter(np.asarray(values, np.float32), sigma, truncate=3.0))


def make_target(
    affine: Floats,
    image: NDArray[np.float32],
    points: NDArray[np.intp],
    modes: Floats | None,
    steep: Floats | None = None,
) -> Target:
    """Sample a smoothed image, its intensity basis and its world gradient.

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
        Grid of ``image``.
    image : ndarray, shape (x, y, z)
        Smoothed target.
    points : ndarray of int, shape (k, 3)
        Voxels to compare at.
    modes : ndarray, shape (k, m), optional
        Maps at the points.
    steep : ndarray, shape (3, k, m), optional
        Gradient of the image times every map (`world_gradient`), where the maps are not smooth.
    """
    at = tuple(points.T)
    values = image[at].astype(np.float64)
    knots: Floats = np.unique(np.asarray(np.percentile(values, _KNOTS), dtype=np.float64))
    hats = _hats(values, knots)
    basis = hats if modes is None else np.hstack([hats, values[:, None] * modes])
    gradient = world_gradient(image, affine, points)
    world = points @ affine[:3, :3].T + affine[:3, 3]
    center = affine[:3, :3] @ ((np.array(image.shape) - 1) / 2) + affine[:3, 3]
    scale = float(np.median(values))
    return Target(world, basis, _slopes(values, knots), gradient, center, scale, steep)


def world_gradient(image: NDArray[np.float32], affine: Floats, points: NDArray[np.intp]) -> Floats:
    """Return the gradient of an image at voxels, shape (k, 3), per mm."""
    voxel = np.empty(points.shape)
    for axis, n in enumerate(image.shape):
        low, high = points.copy(), points.copy()
        low[:, axis] = np.maximum(points[:, axis] - 1, 0)
        high[:, axis] = np.minimum(points[:, axis] + 1, n - 1)
        apart = np.maximum(high[:, axis] - low[:, axis], 1)
        voxel[:, axis] = (image[tuple(high.T)] - image[tuple(low.T)]) / apart
    return np.asarray(voxel @ np.linalg.inv(affine[:3, :3]))


def _hats(values: Floats, knots: Floats) -> Floats:
    """Return piecewise linear hat functions of intensity, flat beyond the outer knots."""
    return np.stack([np.interp(values, knots, row) for row in np.eye(len(knots))], axis=1)


def _slopes(values: Floats, knots: Floats) -> Floats:
    """Return the derivative of every hat at ``values``."""
    segment = np.clip(np.searchsorted(knots, values) - 1, 0, len(knots) - 2)
    width = np.diff(knots)[segment]
    slopes = np.zeros((len(values), len(knots)))
    rows = np.arange(len(values))
    slopes[rows, segment], slopes[rows, segment + 1] = -1 / width, 1 / width
    return slopes


def fit(
    frame: NDArray[np.float32], target: Target, start: Floats, affine: Floats, order: int
) -> tuple[Floats, float]:
    """Fit the pose of one image.

    Parameters
    ----------
    frame : ndarray, shape (x, y, z)
        Smoothed image, on a grid with ``affine``.
    target : Target
        What it is compared with.
    start : ndarray, shape (6,)
        First guess, as the result.
    affine : ndarray, shape (4, 4)
        Grid of ``frame``.
    order : int
        1 linear, 3 cubic interpolation.

    Returns
    -------
    pose : ndarray, shape (6,)
        Translation (mm) and rotation (radians) about ``target.center``, target to image.
    misfit : float
        Robust residual over the target's median signal.
    """
    source = spline_coefficients(frame) if order > 1 else np.ascontiguousarray(frame)
    to_index = invert(affine)
    limit = np.array(frame.shape)[:, None] - 1
    pose, spread = np.array(start), 0.0
    coefficients: Floats | None = None
    for _ in range(_STEPS):
        index = _apply_index(to_index @ rigid(pose, target.center), target.world)
        seen = np.all((index >= 0) & (index <= limit), axis=0)
        values = point_sample(source, index, order)
        if coefficients is None:
            coefficients = intensities(values, target.basis, seen)
        step, coefficients, spread = _step(values, seen, target, pose, coefficients)
        pose = pose + step
        if np.abs(step[:3]).max() < 0.01 and np.abs(step[3:]).max() < 1e-4:
            break
    return pose, spread / max(target.scale, 1e-9)


def _apply_index(matrix: Floats, world: Floats) -> Floats:
    return np.asarray(matrix[:3, :3] @ world.T + matrix[:3, 3:])


def intensities(values: Floats, basis: Floats, seen: NDArray[np.bool_]) -> Floats:
    """Fit the intensity coefficients alone: plain first, then once against outliers."""
    coefficients = _solve(basis, values, seen.astype(np.float64))
    weight, _ = robust_weights(values - basis @ coefficients, seen)
    return _solve(basis, values, weight)


def robust_weights(residual: Floats, seen: NDArray[np.bool_]) -> tuple[Floats, float]:
    """Return Tukey's biweight of residuals, zero where nothing is seen, and their robust spread."""
    spread = 1.4826 * float(np.median(np.abs(residual[seen]))) + 1e-9
    return seen * np.clip(1 - (residual / (4.685 * spread)) ** 2, 0, None) ** 2, spread


def _step(
    values: Floats, seen: NDArray[np.bool_], target: Target, pose: Floats, coefficients: Floats
) -> tuple[Floats, Floats, float]:
    """One weighted Gauss-Newton step over pose and intensity coefficients together."""
    weight, spread = robust_weights(values - target.basis @ coefficients, seen)
    turn = rigid(pose, np.zeros(3))[:3, :3].T
    gradient = model_gradient(target, coefficients) @ turn
    arms = (target.world - target.center) @ turn
    design = np.empty((len(values), 6 + target.basis.shape[1]))
    design[:, :3] = gradient
    for axis in range(3):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        design[:, 3 + axis] = arms[:, a] * gradient[:, b] - arms[:, b] * gradient[:, a]
    design[:, 6:] = target.basis
    solution = _solve(design, values, weight)
    step = np.clip(solution[:6], [-3] * 3 + [-0.05] * 3, [3] * 3 + [0.05] * 3)
    return -step, solution[6:], spread


def model_gradient(target: Target, coefficients: Floats) -> Floats:
    """Return the gradient of the explained image, shape (k, 3), before the pose turns it."""
    knots = target.curve.shape[1]
    slope = target.curve @ coefficients[:knots]
    if target.steep is not None:
        changes = np.stack([part @ coefficients[knots:] for part in target.steep], axis=1)
        return np.asarray(target.gradient * slope[:, None] + changes)
    slope = slope + target.basis[:, knots:] @ coefficients[knots:] / max(target.scale, 1e-9)
    return target.gradient * slope[:, None]


def _solve(design: Floats, wanted: Floats, weight: Floats) -> Floats:
    """Weighted least squares by normal equations, with a trace of ridge."""
    weighted = design * weight[:, None]
    normal = design.T @ weighted
    normal[np.diag_indices_from(normal)] += 1e-9 * np.trace(normal) / len(normal) + 1e-12
    return np.asarray(np.linalg.solve(normal, weighted.T @ wanted))
