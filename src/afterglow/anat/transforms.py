"""World-space matrices: from ANTs, to ANTs, composed, and applied once to images.

Every matrix of the project is 4x4, maps world points in millimetres (RAS, as NIfTI) from the space
it is named after to another: ``dsc_to_T1w`` takes a point of the DSC image to the same point of the
head in the T1w image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.anat.sampling import affine_sample
from afterglow.errors import AfterglowError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


def compose(*matrices: Matrix) -> Matrix:
    """Return the matrix that applies ``matrices`` in the order given (first one first).

    Examples
    --------
    >>> shift, scale = np.eye(4), np.diag([2.0, 2.0, 2.0, 1.0])
    >>> shift[0, 3] = 1.0
    >>> compose(shift, scale)[0, 3]
    np.float64(2.0)
    """
    result: Matrix = np.eye(4)
    for matrix in matrices:
        result = np.asarray(matrix, dtype=np.float64) @ result
    return result


def invert(matrix: Matrix) -> Matrix:
    """Return the inverse of a 4x4 world matrix."""
    return np.asarray(np.linalg.inv(np.asarray(matrix, dtype=np.float64)))


def apply(matrix: Matrix, points: NDArray[Any]) -> NDArray[np.float64]:
    """Map world points, shape (..., 3), in mm."""
    matrix = np.asarray(matrix, dtype=np.float64)
    return np.asarray(np.asarray(points) @ matrix[:3, :3].T + matrix[:3, 3])


def lps_to_ras(matrix: Matrix) -> Matrix:
    """Turn a matrix between LPS spaces (ITK) into the one between RAS spaces; its own inverse."""
    return np.asarray(_FLIP @ np.asarray(matrix, dtype=np.float64) @ _FLIP)


def from_itk(parameters: NDArray[Any], center: NDArray[Any]) -> Matrix:
    """Return the world RAS matrix of an ITK matrix-offset transform.

    ITK maps ``y = A (x - c) + t + c`` in LPS.

    Parameters
    ----------
    parameters : ndarray, shape (12,)
        ``A`` row by row, then ``t`` (mm).
    center : ndarray, shape (3,)
        ``c`` (mm).
    """
    parameters = np.asarray(parameters, dtype=np.float64).ravel()
    center = np.asarray(center, dtype=np.float64).ravel()
    linear = parameters[:9].reshape(3, 3)
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = parameters[9:12] + center - linear @ center
    return lps_to_ras(matrix)


def read_itk(path: Path | str) -> Matrix:
    """Read an ANTs ``0GenericAffine.mat`` as a world RAS matrix, in full precision.

    Raises
    ------
    AfterglowError
        The file holds a transform that is neither a matrix with offset nor Euler angles.
    """
    from scipy.io import loadmat

    content = loadmat(str(path))
    name = next((key for key in content if "_3_3" in key), "")
    parameters, center = content.get(name), content.get("fixed")
    if parameters is None or center is None:
        raise AfterglowError("an ITK transform file holds no 3-D transform", where=str(path))
    parameters = np.asarray(parameters, dtype=np.float64).ravel()
    if parameters.size == 12:
        return from_itk(parameters, center)
    if name.startswith("Euler3D") and parameters.size == 6:
        linear = _euler_zxy(parameters[:3])
        return from_itk(np.concatenate([linear.ravel(), parameters[3:]]), np.ravel(center)[:3])
    raise AfterglowError(f"a transform of type {name} is not linear", where=str(path))


def write_itk(matrix: Matrix, path: Path | str) -> None:
    """Write a world RAS matrix as an ITK affine (``.mat``) that ANTs reads."""
    from scipy.io import savemat

    lps = lps_to_ras(matrix)
    parameters = np.concatenate([lps[:3, :3].ravel(), lps[:3, 3]])[:, None]
    content = {"AffineTransform_double_3_3": parameters, "fixed": np.zeros((3, 1))}
    savemat(str(path), content, format="4")


def rigid(parameters: Sequence[float] | NDArray[Any], center: NDArray[Any]) -> Matrix:
    """Return the matrix of a rigid move: rotation about ``center``, then translation.

    Parameters
    ----------
    parameters : sequence of 6 floats
        Translation x, y, z (mm), then rotation about x, y, z (radians, applied in this order).
    center : ndarray, shape (3,)
        Fixed point of the rotation (world mm).
    """
    shift, angles = np.asarray(parameters[:3], float), np.asarray(parameters[3:6], float)
    cx, cy, cz = np.cos(angles)
    sx, sy, sz = np.sin(angles)
    rx = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rz = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = rz @ ry @ rx
    matrix[:3, 3] = shift + center - matrix[:3, :3] @ center
    return matrix


def rigid_parameters(matrix: Matrix, center: NDArray[Any]) -> NDArray[np.float64]:
    """Return translation (mm) and rotation (radians) of a rigid matrix, the inverse of `rigid`.

    Examples
    --------
    >>> move = rigid([1, 2, 3, 0.1, -0.2, 0.3], np.array([5.0, 0, 0]))
    >>> np.round(rigid_parameters(move, np.array([5.0, 0, 0])), 6).tolist()
    [1.0, 2.0, 3.0, 0.1, -0.2, 0.3]
    """
    r = matrix[:3, :3]
    angles = [
        np.arctan2(r[2, 1], r[2, 2]),
        np.arctan2(-r[2, 0], np.hypot(r[0, 0], r[1, 0])),
        np.arctan2(r[1, 0], r[0, 0]),
    ]
    shift = matrix[:3, 3] - center + r @ center
    return np.concatenate([shift, angles])


def resample(
    source: NDArray[Any],
    source_affine: Matrix,
    target_shape: Sequence[int],
    target_affine: Matrix,
    world_matrix: Matrix | None = None,
    order: int = 1,
    *,
    fill: float = 0.0,
) -> NDArray[np.float32]:
    """Sample an image on another grid, once.

    Parameters
    ----------
    source : ndarray, shape (x, y, z)
        Image to sample; labels with ``order=0``.
    source_affine, target_affine : ndarray, shape (4, 4)
        Voxel to world mm of either grid.
    target_shape : sequence of 3 ints
        Shape of the result.
    world_matrix : ndarray, shape (4, 4), optional
        Maps world points of the target space to the source space; the identity where absent.
        Concatenated transforms are multiplied first (`compose`).
    order : int
        0 nearest, 1 linear, 3 cubic B-spline.
    fill : float
        Value outside the source's field of view.

    Returns
    -------
    ndarray, shape ``target_shape``, float32
    """
    world = np.eye(4) if world_matrix is None else np.asarray(world_matrix, dtype=np.float64)
    matrix = invert(source_affine) @ world @ np.asarray(target_affine, dtype=np.float64)
    x, y, z = (int(n) for n in target_shape[:3])
    return affine_sample(source, matrix, (x, y, z), order, fill)


def resample_labels(
    labels: NDArray[Any],
    shape: Sequence[int],
    fraction: Callable[[NDArray[Any]], NDArray[np.float32]],
) -> NDArray[np.int32]:
    """Sample integer labels: each voxel takes the label that fills most of it, if half or more.

    A label smaller than a voxel of the target keeps the one voxel it fills most.

    Parameters
    ----------
    labels : ndarray of int, shape (x, y, z)
        Zero is background.
    shape : sequence of 3 ints
        Of the target.
    fraction : callable
        Takes a mask and returns the part of every target voxel that it fills (`average`).
    """
    labels = np.asarray(labels)
    best = np.full(tuple(shape[:3]), 0.5, dtype=np.float32)
    result = np.zeros(best.shape, dtype=np.int32)
    for label in sorted(int(v) for v in np.unique(labels) if v != 0):
        part = fraction(labels == label)
        take = part >= best
        if not take.any() and part.max() > 0:
            take = np.asarray(part == part.max())
        result[take], best[take] = label, part[take]
    return result


def voxel_sizes(affine: Matrix) -> NDArray[np.float64]:
    """Return the three voxel sizes in mm."""
    return np.asarray(np.linalg.norm(np.asarray(affine)[:3, :3], axis=0))


def average(
    source: NDArray[Any],
    source_affine: Matrix,
    target_shape: Sequence[int],
    target_affine: Matrix,
    world_matrix: Matrix | None = None,
) -> NDArray[np.float32]:
    """Return the mean of an image within every target voxel: the fraction filled, for a mask.

    Like `resample`, with up to 4 samples along each axis of a target voxel.
    """
    many, fine, steps = subdivided(target_shape, target_affine, source_affine)
    return block_mean(resample(source, source_affine, many, fine, world_matrix, 1), steps)


def subdivided(
    shape: Sequence[int], affine: Matrix, source_affine: Matrix
) -> tuple[tuple[int, int, int], Matrix, NDArray[np.intp]]:
    """Return a grid with up to 4 points along each axis of a voxel, as fine as the source's.

    Returns
    -------
    shape : tuple of int
        Of the finer grid.
    affine : ndarray, shape (4, 4)
        Of the finer grid.
    steps : ndarray of int, shape (3,)
        Points in a voxel along each axis.
    """
    ratio = voxel_sizes(affine) / voxel_sizes(source_affine)
    steps = np.clip(np.ceil(ratio), 1, 4).astype(int)
    fine = np.array(affine, dtype=np.float64)
    fine[:3, :3] = fine[:3, :3] / steps
    fine[:3, 3] = (np.asarray(affine) @ [*((1 / steps - 1) / 2), 1.0])[:3]
    x, y, z = (int(n) * int(k) for n, k in zip(shape[:3], steps, strict=True))
    return (x, y, z), fine, steps


def block_mean(values: NDArray[np.float32], steps: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return the mean of blocks of ``steps`` voxels."""
    x, y, z = (n // k for n, k in zip(values.shape, steps, strict=True))
    blocks = values.reshape(x, steps[0], y, steps[1], z, steps[2])
    return np.asarray(blocks.mean(axis=(1, 3, 5), dtype=np.float32))


def _euler_zxy(angles: NDArray[np.float64]) -> Matrix:
    """Return ITK's Euler rotation, R = Rz Rx Ry."""
    cx, cy, cz = np.cos(angles)
    sx, sy, sz = np.sin(angles)
    rx = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rz = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(rz @ rx @ ry)
