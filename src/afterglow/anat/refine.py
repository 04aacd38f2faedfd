"""The last tenths of a millimetre of a rigid registration, by least squares.

Mutual information on coarse grids finds the place but keeps an error of some tenths of a
millimetre: its maximum is pulled towards grids that coincide. From there on the images are
compared on one grid with one voxel shape (the finer one is averaged over the voxels of the coarser)
by the model of `afterglow.anat.least_squares`, with polynomials of the position for receive fields
that differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from afterglow.anat import quality
from afterglow.anat.grids import Volume, bounding_box, coarse
from afterglow.anat.least_squares import fit, make_target, smooth
from afterglow.anat.motion import head_points
from afterglow.anat.sampling import distance
from afterglow.anat.transforms import apply, average, compose, invert, resample, rigid, voxel_sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.config.anat import AnatConfig

    Floats = NDArray[np.float64]

_ROUNDS = 2
_DEGREE = 3
_POLYNOMIAL_MM = 70.0
# Of the similarity before: mutual information has its maximum some tenths of a millimetre away.
_LEAST_ALIKE = 0.9


def align(image: Volume, target: Volume, settings: AnatConfig) -> Floats:
    """Return the world matrix from ``target`` to ``image``: same geometry, other contrast."""
    still = smooth(target.values, target.affine)
    points = head_points(still, settings)
    made = make_target(target.affine, still, points, None)
    moving = smooth(image.values, image.affine)
    pose, _ = fit(moving, made, np.zeros(6), image.affine, order=3)
    return rigid(pose, made.center)


def refine(
    fine: Volume,
    other: Volume,
    matrix: Floats,
    region: Volume,
    settings: AnatConfig,
    *,
    points: int | None = None,
) -> Floats:
    """Refine a rigid world matrix from ``fine`` to ``other``.

    Parameters
    ----------
    fine : Volume
        T1w.
    other : Volume
        Image with voxels of the same size or larger.
    matrix : ndarray, shape (4, 4)
        First guess, right to some millimetres.
    region : Volume
        Where to compare, on the grid of ``fine``: brain, without lesions. A curve of the T1w's
        intensities has to explain ``other`` there: where liquor and bone, both dark in T1w, differ,
        as they do in T2*-weighted images, the region must keep away from bone.
    settings : AnatConfig
        Working voxel size, number of points, and how far the result may move.
    points : int, optional
        Another number of points.

    Returns
    -------
    ndarray, shape (4, 4)
        The refined matrix; ``matrix`` itself where there is too little to compare, where the
        refinement would move the region by more than ``refine_limit_mm``, or where it makes the
        images clearly less alike.
    """
    small = coarse(other, settings.refine_mm)
    result = np.asarray(matrix, dtype=np.float64)
    for _ in range(_ROUNDS):
        back = invert(result)
        grid = (small.shape, small.affine, back)
        on = small.like(average(fine.values, fine.affine, *grid))
        where = resample(region.values, region.affine, *grid) > 0.5
        step = _pose(on, small, where, settings, points or settings.motion_points)
        if step is None:
            return np.asarray(matrix, dtype=np.float64)
        result = compose(result, step)
    moved = apply(compose(matrix, invert(result)), corners(region))
    far = float(np.linalg.norm(moved - corners(region), axis=1).max())
    after, before = (quality.alike(fine, other, m, region, settings) for m in (result, matrix))
    if far > settings.refine_limit_mm or after < _LEAST_ALIKE * before:
        return np.asarray(matrix, dtype=np.float64)
    return result


def grown(mask: Volume, mm: float) -> Volume:
    """Return a mask with ``mm`` around it."""
    return mask.like(distance(np.asarray(mask.values) > 0.5, voxel_sizes(mask.affine)) <= mm)


def corners(region: Volume) -> Floats:
    """Return the world corners, shape (8, 3), of the box around a region."""
    box = bounding_box(np.asarray(region.values) > 0.5)
    ends = [(s.start or 0, (s.stop or n) - 1) for s, n in zip(box, region.shape, strict=True)]
    index = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)
    return apply(region.affine, index)


def _pose(
    still: Volume, moving: Volume, where: NDArray[np.bool_], settings: AnatConfig, most: int
) -> Floats | None:
    """Return the world matrix from ``still`` to ``moving``, both on one grid."""
    edge = np.zeros_like(where)
    edge[tuple(slice(1, -1) if n > 4 else slice(None) for n in where.shape)] = True
    points = np.argwhere(where & edge)
    if len(points) < settings.motion_points // 10:
        return None
    if len(points) > most:
        rng = np.random.default_rng(settings.seed)
        points = points[np.sort(rng.choice(len(points), most, replace=False))]
    target = smooth(still.values, still.affine)
    made = make_target(still.affine, target, points, polynomials(still.affine, points))
    pose, _ = fit(smooth(moving.values, moving.affine), made, np.zeros(6), moving.affine, order=3)
    return rigid(pose, made.center)


def polynomials(affine: Floats, points: NDArray[np.intp]) -> Floats:
    """Return all products of coordinates up to degree 3 at voxels, without the constant."""
    world = apply(affine, points)
    x, y, z = ((world - world.mean(axis=0)) / _POLYNOMIAL_MM).T
    powers = range(_DEGREE + 1)
    return np.stack(
        [x**a * y**b * z**c for a in powers for b in powers for c in powers if 0 < a + b + c <= 3],
        axis=1,
    )
