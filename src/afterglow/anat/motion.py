"""Rigid motion of a dynamic series in which a bolus passes.

Signal change must not be taken for motion. Every frame is therefore explained, voxel by voxel, as

    frame(T x) = f(target(x)) + target(x) * sum_r c_r phi_r(x)

where ``f`` is a free piecewise linear curve of the target's intensity (tissues may brighten or
darken as they like, as in the correlation ratio of Roche 1998) and ``phi_r`` are a few smooth maps
of change learned from the series once it is roughly aligned: smooth, because motion shows as thin
pairs of bright and dark at edges and a passing bolus does not. What remains (vessels, lesions) is
down-weighted (Tukey's biweight). The six parameters of ``T`` follow by Gauss-Newton.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.anat.grids import Volume
from afterglow.anat.transforms import invert, resample, rigid, rigid_parameters, voxel_sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.config.anat import AnatConfig

    Floats = NDArray[np.float64]

_KNOTS = (2, 10, 20, 30, 40, 50, 60, 70, 80, 90, 98)
_MODES = 3
_STEPS = 12


@dataclass(frozen=True)
class Motion:
    """Motion of a series.

    Attributes
    ----------
    matrices : ndarray, shape (n, 4, 4)
        World matrix from the target to every frame.
    parameters : ndarray, shape (n, 6)
        Translation (mm) and rotation about the volume's centre (degrees) of the same matrices.
    displacement : ndarray, shape (n,)
        Framewise displacement, mm (Power 2012, sphere of ``fd_radius_mm``); 0 for the first frame.
    censored : ndarray of bool, shape (n,)
        Frames that moved more than ``fd_censor_mm`` since the frame before, or fit badly.
    resampled : ndarray of bool, shape (n,)
        Frames that were interpolated; the others moved less than ``motion_skip_mm``.
    misfit : ndarray, shape (n,)
        Robust residual of the frame over the target's median signal.
    """

    matrices: Floats
    parameters: Floats
    displacement: Floats
    censored: NDArray[np.bool_]
    resampled: NDArray[np.bool_]
    misfit: Floats


@dataclass(frozen=True)
class _Target:
    """What frames are compared with, at the sampled points."""

    world: Floats
    basis: Floats
    curve: Floats
    gradient: Floats
    center: Floats
    scale: float


def estimate(series: Volume, settings: AnatConfig) -> Motion:
    """Estimate the motion of every frame.

    Parameters
    ----------
    series : Volume
        Values of shape (x, y, z, n).
    settings : AnatConfig
        Number of points, thresholds.
    """
    frames = _smoothed(series)
    n = len(frames)
    reference = _reference_frame(frames)
    points = _points(frames[reference], settings)
    poses = np.zeros((n, 6))
    target = _target(series.affine, frames[reference], points, None)
    poses, _ = _track(frames, target, poses, series.affine, reference, order=1)
    aligned = _aligned(frames, target, poses, series.affine)
    mean, modes = _learn(aligned, points, series)
    target = _target(series.affine, mean, points, modes)
    poses, misfit = _track(frames, target, poses, series.affine, reference, order=3)
    return _summarize(poses, misfit, series, settings)


def align(image: Volume, target: Volume, settings: AnatConfig) -> NDArray[np.float64]:
    """Return the world matrix from ``target`` to ``image``: same geometry, other contrast."""
    moving = _smooth(image.values, image.affine)
    still = _smooth(target.values, target.affine)
    points = _points(still, settings)
    made = _target(target.affine, still, points, None)
    pose, _ = _fit(moving, made, np.zeros(6), image.affine, order=3)
    return rigid(pose, made.center)


def correct(series: Volume, motion: Motion) -> NDArray[np.float32]:
    """Sample every moved frame on the target's grid (cubic, once); the others stay as they are."""
    result = np.array(series.values, dtype=np.float32)
    for k in np.flatnonzero(motion.resampled):
        moved = resample(
            series.values[..., k],
            series.affine,
            series.shape,
            series.affine,
            motion.matrices[k],
            3,
            fill=np.nan,
        )
        frame = np.asarray(series.values[..., k], dtype=np.float32)
        low, high = float(frame.min()), float(frame.max())
        result[..., k] = np.where(np.isnan(moved), frame, np.clip(moved, low, high))
    return result


def _smooth(values: NDArray[Any], affine: Floats) -> NDArray[np.float32]:
    from scipy import ndimage

    sigma = 1.8 / voxel_sizes(affine)
    return np.asarray(ndimage.gaussian_filter(np.asarray(values, np.float32), sigma, truncate=3.0))


def _smoothed(series: Volume) -> list[NDArray[np.float32]]:
    return [_smooth(series.values[..., k], series.affine) for k in range(series.values.shape[3])]


def _reference_frame(frames: list[NDArray[np.float32]]) -> int:
    """Return the early frame that is most like the others near it (before any bolus)."""
    early = frames[1 : max(3, min(8, len(frames) // 4))] or frames
    middle = np.median(np.stack(early), axis=0)
    apart = [float(np.abs(f - middle).mean()) for f in early]
    return int(np.argmin(apart)) + (1 if len(frames) > 1 else 0)


def _points(image: NDArray[np.float32], settings: AnatConfig) -> NDArray[np.intp]:
    """Return voxel indices, shape (k, 3), inside and just around the head, thinned at random."""
    from scipy import ndimage

    from afterglow.anat.bias import head

    inside = ndimage.binary_dilation(head(image), iterations=2)
    border = np.zeros_like(inside)
    thick = [2, 2, 1] if min(image.shape) > 8 else [1, 1, 0]
    border[tuple(slice(t, n - t) for t, n in zip(thick, image.shape, strict=True))] = True
    found = np.argwhere(inside & border)
    if len(found) <= settings.motion_points:
        return found
    rng = np.random.default_rng(settings.seed)
    return np.asarray(found[np.sort(rng.choice(len(found), settings.motion_points, replace=False))])


def _target(
    affine: Floats, image: NDArray[np.float32], points: NDArray[np.intp], modes: Floats | None
) -> _Target:
    """Sample target, its intensity basis and its world gradient at the points."""
    at = tuple(points.T)
    values = image[at].astype(np.float64)
    knots: Floats = np.unique(np.asarray(np.percentile(values, _KNOTS), dtype=np.float64))
    hats = _hats(values, knots)
    basis = hats if modes is None else np.hstack([hats, values[:, None] * modes])
    voxel = np.stack([np.gradient(image, axis=k)[at] for k in range(3)], axis=-1)
    gradient = voxel @ np.linalg.inv(affine[:3, :3])
    world = points @ affine[:3, :3].T + affine[:3, 3]
    center = affine[:3, :3] @ ((np.array(image.shape) - 1) / 2) + affine[:3, 3]
    return _Target(world, basis, _slopes(values, knots), gradient, center, float(np.median(values)))


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


def _track(
    frames: list[NDArray[np.float32]],
    target: _Target,
    poses: Floats,
    affine: Floats,
    reference: int,
    order: int,
) -> tuple[Floats, Floats]:
    """Fit all frames, outward from the reference; each starts where its neighbour ended."""
    result, misfit = np.array(poses), np.zeros(len(frames))
    first = not poses.any()
    outward = [*range(reference, len(frames)), *range(reference - 1, -1, -1)]
    for k in outward:
        near = k - 1 if k > reference else min(k + 1, reference)
        start = result[near] if first else poses[k]
        result[k], misfit[k] = _fit(frames[k], target, start, affine, order)
    return result, misfit


def _fit(
    frame: NDArray[np.float32], target: _Target, start: Floats, affine: Floats, order: int
) -> tuple[Floats, float]:
    """Return pose (mm, radians) and robust residual of one frame."""
    from scipy import ndimage

    source = ndimage.spline_filter(frame, order=3, output=np.float32) if order > 1 else frame
    to_index = invert(affine)
    limit = np.array(frame.shape)[:, None] - 1
    pose, spread = np.array(start), 0.0
    arms = target.world - target.center
    for _ in range(_STEPS):
        index = _apply_index(to_index @ rigid(pose, target.center), target.world)
        seen = np.all((index >= 0) & (index <= limit), axis=0)
        values = ndimage.map_coordinates(
            source, index, order=order, mode="nearest", prefilter=False
        )
        step, spread = _step(values.astype(np.float64), seen, target, arms, pose)
        pose = pose + step
        if np.abs(step[:3]).max() < 0.003 and np.abs(step[3:]).max() < 5e-5:
            break
    return pose, spread / max(target.scale, 1e-9)


def _apply_index(matrix: Floats, world: Floats) -> Floats:
    return np.asarray((world @ matrix[:3, :3].T + matrix[:3, 3]).T)


def _step(
    values: Floats, seen: NDArray[np.bool_], target: _Target, arms: Floats, pose: Floats
) -> tuple[Floats, float]:
    """One weighted Gauss-Newton step over pose and intensity coefficients together."""
    basis = target.basis[seen]
    wanted = values[seen]
    knots = target.curve.shape[1]
    weight = np.ones(len(wanted))
    coefficients = _solve(basis, wanted, weight)
    for _ in range(2):
        residual = wanted - basis @ coefficients
        spread = 1.4826 * float(np.median(np.abs(residual))) + 1e-9
        weight = np.clip(1 - (residual / (4.685 * spread)) ** 2, 0, None) ** 2
        coefficients = _solve(basis, wanted, weight)
    residual = wanted - basis @ coefficients
    slope = target.curve[seen] @ coefficients[:knots]
    slope = slope + basis[:, knots:] @ coefficients[knots:] / np.maximum(target.scale, 1e-9)
    world_gradient = (target.gradient[seen] * slope[:, None]) @ rigid(pose, np.zeros(3))[:3, :3].T
    turned = arms[seen] @ rigid(pose, np.zeros(3))[:3, :3].T
    jacobian = np.hstack([world_gradient, np.cross(turned, world_gradient)])
    solution = _solve(np.hstack([jacobian, basis]), wanted, weight)
    step = np.clip(solution[:6], [-3] * 3 + [-0.05] * 3, [3] * 3 + [0.05] * 3)
    return -step, spread


def _solve(design: Floats, wanted: Floats, weight: Floats) -> Floats:
    """Weighted least squares by normal equations, with a trace of ridge."""
    weighted = design * weight[:, None]
    normal = design.T @ weighted
    normal[np.diag_indices_from(normal)] += 1e-9 * np.trace(normal) / len(normal) + 1e-12
    return np.asarray(np.linalg.solve(normal, weighted.T @ wanted))


def _aligned(
    frames: list[NDArray[np.float32]], target: _Target, poses: Floats, affine: Floats
) -> NDArray[np.float32]:
    """Return all frames on the target's grid, shape (n, x, y, z)."""
    stack = [
        resample(f, affine, f.shape, affine, rigid(p, target.center), 1)
        for f, p in zip(frames, poses, strict=True)
    ]
    return np.stack(stack)


def _learn(
    aligned: NDArray[np.float32], points: NDArray[np.intp], series: Volume
) -> tuple[NDArray[np.float32], Floats]:
    """Return the mean of frames without bolus, and smooth maps of relative change."""
    from scipy import ndimage

    at = tuple(points.T)
    level = np.median(aligned[(slice(None), *at)], axis=1)
    quiet = np.abs(level / np.median(level) - 1)
    calm = np.argsort(quiet, kind="stable")[: max(3, len(level) // 3)]
    mean = aligned[np.sort(calm)].mean(axis=0)
    floor = max(0.1 * float(np.median(mean[at])), 1e-6)
    sigma = 5.0 / voxel_sizes(series.affine)
    weight = ndimage.gaussian_filter(mean, sigma) + floor
    change = np.stack([ndimage.gaussian_filter(a - mean, sigma)[at] for a in aligned]) / weight[at]
    change = change - change.mean(axis=1, keepdims=True)
    _, _, modes = np.linalg.svd(change.astype(np.float64), full_matrices=False)
    return mean, modes[:_MODES].T * np.sqrt(modes.shape[1])


def _spikes(misfit: Floats, factor: float) -> NDArray[np.bool_]:
    """Return the frames whose residual stands out from the series and from the frames around.

    A bolus raises the residual over several frames; a spoilt frame, or two, stands alone.
    """
    padded = np.pad(misfit, 2, mode="edge")
    around = np.maximum(padded[:-4], padded[4:])
    return np.asarray(misfit > factor * np.maximum(around, np.median(misfit)))


def _summarize(poses: Floats, misfit: Floats, series: Volume, settings: AnatConfig) -> Motion:
    center = series.affine @ [*((np.array(series.shape) - 1) / 2), 1.0]
    matrices = np.stack([rigid(p, center[:3]) for p in poses])
    parameters = np.stack([rigid_parameters(m, center[:3]) for m in matrices])
    change = np.abs(np.diff(parameters, axis=0, prepend=parameters[:1]))
    jumps = change[:, :3].sum(axis=1) + settings.fd_radius_mm * change[:, 3:].sum(axis=1)
    corners = series.affine[:3, :3] @ np.diag((np.array(series.shape) - 1) / 2)
    reach = np.abs(corners).sum(axis=1) * 0.7
    farthest = np.linalg.norm(parameters[:, :3], axis=1) + np.linalg.norm(reach) * np.linalg.norm(
        parameters[:, 3:], axis=1
    )
    censored = (jumps > settings.fd_censor_mm) | _spikes(misfit, settings.misfit_censor)
    degrees = np.hstack([parameters[:, :3], np.degrees(parameters[:, 3:])])
    resampled = farthest > settings.motion_skip_mm
    return Motion(matrices, degrees, jumps, censored, resampled, misfit)
