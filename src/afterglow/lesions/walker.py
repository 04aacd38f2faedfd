"""Random walker segmentation (Grady 2006): who reaches a voxel first, lesion or background.

The probability that a walker from a voxel meets the lesion before the background solves a Laplace
equation on the voxel graph, whose edges conduct less the more their ends differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def random_walker(
    image: NDArray[np.floating], seeds: NDArray[np.int8], beta: float = 60.0
) -> NDArray[np.float64]:
    """Return the probability of lesion at every voxel.

    Parameters
    ----------
    image : (x, y, z) array
        Values of about 0 in the background and 1 in the lesion.
    seeds : (x, y, z) integer array
        1 lesion, -1 background, 0 unknown.
    beta : float
        How much a difference of values hinders the walker.

    Examples
    --------
    >>> line = np.array([1.0, 1.0, 0.9, 0.1, 0.0, 0.0]).reshape(6, 1, 1)
    >>> marks = np.array([1, 0, 0, 0, 0, -1], dtype=np.int8).reshape(6, 1, 1)
    >>> (random_walker(line, marks) > 0.5).ravel().tolist()
    [True, True, True, False, False, False]
    """
    from scipy import sparse
    from scipy.sparse.linalg import cg

    probability = (seeds > 0).astype(np.float64)
    unknown = seeds.ravel() == 0
    if not unknown.any() or not (seeds > 0).any():
        return probability
    rows, columns, weights = _edges(np.asarray(image, dtype=np.float64), beta)
    size = unknown.size
    links = sparse.coo_matrix((weights, (rows, columns)), (size, size)).tocsr()
    links = links + links.T
    laplacian = sparse.diags(np.asarray(links.sum(axis=1)).ravel()) - links
    own = laplacian[unknown][:, unknown]
    right = -laplacian[unknown][:, ~unknown] @ probability.ravel()[~unknown]
    scale = sparse.diags(1 / own.diagonal())
    start = np.clip(np.asarray(image, dtype=np.float64).ravel()[unknown], 0, 1)
    found, _ = cg(own, right, x0=start, rtol=1e-4, maxiter=500, M=scale)
    flat = probability.ravel()
    flat[unknown] = np.clip(found, 0, 1)
    return flat.reshape(image.shape)


def _edges(
    image: NDArray[np.float64], beta: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the ends and conductances of all edges between neighbours along the axes."""
    number = np.arange(image.size).reshape(image.shape)
    rows, columns, weights = [], [], []
    for axis in range(image.ndim):
        count = image.shape[axis]
        first, second = np.arange(count - 1), np.arange(1, count)
        step = np.take(image, second, axis=axis) - np.take(image, first, axis=axis)
        rows.append(np.take(number, first, axis=axis).ravel())
        columns.append(np.take(number, second, axis=axis).ravel())
        weights.append(np.exp(-beta * step.ravel() ** 2) + 1e-6)
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(weights)
