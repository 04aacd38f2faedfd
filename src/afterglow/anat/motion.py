"""Rigid motion of a dynamic series in which a bolus passes.

Signal change must not be taken for motion. A bolus darkens grey matter more than white, grey matter
lies at the surface, and a surface that darkens looks like a head that moved. Every frame is
therefore explained by the model of `afterglow.anat.least_squares` with a map for every tissue, from
the session's T1w once the series is roughly aligned and registered: each may brighten or darken as
it likes, differently from place to place. Where that registration failed, a few smooth maps of
change are learned from the series instead. What remains (vessels, lesions) is down-weighted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from afterglow.anat.grids import Volume
from afterglow.anat.least_squares import Target, fit, make_target, smooth, world_gradient
from afterglow.anat.sampling import point_sample
from afterglow.anat.transforms import (
    apply,
    invert,
    resample,
    rigid,
    rigid_parameters,
    voxel_sizes,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from afterglow.config.anat import AnatConfig

    Floats = NDArray[np.float64]

_MODES = 3
_FIRST_THINNED = 3
_SLOPE_MM = 70.0
# Of a voxel. Interpolation between slices that are sharper than they are thick follows the grid.
_LEAST_SIGMA = 0.6


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
class Rough:
    """A series that is aligned to some tenths of a millimetre.

    Attributes
    ----------
    series : Volume
        Values of shape (x, y, z, n).
    frames : list of ndarray
        Every frame, smoothed.
    poses : ndarray, shape (n, 6)
        Target to frame, as `afterglow.anat.least_squares.fit` gives them.
    points : ndarray of int, shape (k, 3)
        Voxels to compare at.
    reference : int
        Frame in whose place the target lies.
    calm : ndarray of int, shape (m,)
        Frames of ordinary signal.
    target : Volume
        Their mean.
    """

    series: Volume
    frames: list[NDArray[np.float32]]
    poses: Floats
    points: NDArray[np.intp]
    reference: int
    calm: NDArray[np.intp]
    target: Volume


def roughly(series: Volume, settings: AnatConfig) -> Rough:
    """Align every frame to one of them.

    Parameters
    ----------
    series : Volume
        Values of shape (x, y, z, n).
    settings : AnatConfig
        Number of points.
    """
    frames = _smoothed(series)
    reference = _reference_frame(frames)
    points = head_points(frames[reference], settings)
    poses = np.zeros((len(frames), 6))
    target = make_target(series.affine, frames[reference], points[::_FIRST_THINNED], None)
    poses, _ = _track(frames, target, poses, series.affine, reference, order=1)
    calm = _calm(frames, target, poses, series.affine)
    still = [np.asarray(series.values[..., k], dtype=np.float32) for k in calm]
    mean = _aligned(still, target.center, poses[calm], series.affine).mean(axis=0)
    return Rough(series, frames, poses, points, reference, calm, series.like(mean))


def estimate(
    rough: Rough,
    settings: AnatConfig,
    tissues: Mapping[str, NDArray[np.float32]] | None = None,
) -> Motion:
    """Estimate the motion of every frame.

    Parameters
    ----------
    rough : Rough
        The series, roughly aligned.
    settings : AnatConfig
        Thresholds.
    tissues : mapping of str to ndarray, optional
        ``GM``, ``WM``, ``CSF`` fractions on the grid of the series.
    """
    affine = rough.series.affine
    mean = smooth(rough.target.values, affine, _LEAST_SIGMA)
    if tissues is None:
        modes, steep = _modes(rough), None
    else:
        maps = [smooth(values, affine, _LEAST_SIGMA) for values in _changing(tissues, affine)]
        modes = np.stack([m[tuple(rough.points.T)] for m in maps], axis=1).astype(np.float64)
        steep = np.stack([world_gradient(mean * m, affine, rough.points).T for m in maps], axis=2)
    target = make_target(affine, mean, rough.points, modes, steep)
    poses, misfit = _track(rough.frames, target, rough.poses, affine, rough.reference, order=3)
    return _summarize(poses, misfit, rough.series, settings)


def _changing(
    tissues: Mapping[str, NDArray[np.float32]], affine: Floats
) -> list[NDArray[np.float32]]:
    """Return what may change by itself: tissues, the rest of the head, matter from place to place.

    The amplitude of grey and white matter may vary with the position and its products.
    """
    grey, white, liquor = (np.asarray(tissues[c], np.float32) for c in ("GM", "WM", "CSF"))
    rest = 1.0 - np.clip(grey + white + liquor, 0.0, 1.0)
    shape = grey.shape
    index = np.indices(shape).reshape(3, -1).T - (np.array(shape) - 1) / 2
    axes = (index @ affine[:3, :3].T / _SLOPE_MM).T.reshape(3, *shape).astype(np.float32)
    products = [axes[i] * axes[j] for i in range(3) for j in range(i, 3)]
    return [grey, white, liquor, rest, *(m * v for m in (grey, white) for v in (*axes, *products))]


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


def _smoothed(series: Volume) -> list[NDArray[np.float32]]:
    count = series.values.shape[3]
    return [smooth(series.values[..., k], series.affine, _LEAST_SIGMA) for k in range(count)]


def _reference_frame(frames: list[NDArray[np.float32]]) -> int:
    """Return the early frame that is most like the others near it (before any bolus)."""
    early = frames[1 : max(3, min(8, len(frames) // 4))] or frames
    middle = np.median(np.stack(early), axis=0)
    apart = [float(np.abs(f - middle).mean()) for f in early]
    return int(np.argmin(apart)) + (1 if len(frames) > 1 else 0)


def head_points(image: NDArray[np.float32], settings: AnatConfig) -> NDArray[np.intp]:
    """Return voxels, shape (k, 3), inside and just around the head, thinned at random."""
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


def _track(
    frames: list[NDArray[np.float32]],
    target: Target,
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
        result[k], misfit[k] = fit(frames[k], target, start, affine, order)
    return result, misfit


def _aligned(
    frames: list[NDArray[np.float32]], center: Floats, poses: Floats, affine: Floats
) -> NDArray[np.float32]:
    """Return all frames on the target's grid, shape (n, x, y, z)."""
    stack = [
        resample(f, affine, f.shape, affine, rigid(p, center), 1)
        for f, p in zip(frames, poses, strict=True)
    ]
    return np.stack(stack)


def _calm(
    frames: list[NDArray[np.float32]], target: Target, poses: Floats, affine: Floats
) -> NDArray[np.intp]:
    """Return the third of the frames whose median signal is nearest to that of most."""
    back = invert(affine)
    level = np.empty(len(frames))
    for k, (frame, pose) in enumerate(zip(frames, poses, strict=True)):
        index = apply(back @ rigid(pose, target.center), target.world).T
        level[k] = np.median(point_sample(np.ascontiguousarray(frame), index, 1))
    quiet = np.abs(level / np.median(level) - 1)
    return np.sort(np.argsort(quiet, kind="stable")[: max(3, len(level) // 3)])


def _modes(rough: Rough) -> Floats:
    """Learn smooth maps of relative change from the frames; return them at the points, (k, 3)."""
    from scipy import ndimage

    affine, at = rough.series.affine, tuple(rough.points.T)
    center = apply(affine, (np.array(rough.series.shape) - 1) / 2)
    aligned = _aligned(rough.frames, center, rough.poses, affine)
    mean = aligned[rough.calm].mean(axis=0)
    floor = max(0.1 * float(np.median(mean[at])), 1e-6)
    sigma = 5.0 / voxel_sizes(affine)
    weight = ndimage.gaussian_filter(mean, sigma) + floor
    change = (
        np.stack([ndimage.gaussian_filter(a - mean, sigma, truncate=2.5)[at] for a in aligned])
        / weight[at]
    )
    change = change - change.mean(axis=1, keepdims=True)
    _, _, modes = np.linalg.svd(change.astype(np.float64), full_matrices=False)
    return np.asarray(modes[:_MODES].T * np.sqrt(modes.shape[1]))


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
