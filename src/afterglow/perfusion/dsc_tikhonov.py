"""Tikhonov deconvolution with a smoothness penalty and generalised cross-validation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_N_PENALTIES = 40
_RIDGE = 0.05
_CAUTION = 1.2


def smooth_solver(
    kernel: NDArray[np.float64],
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Return a function from tissue curves to residues on a circle of twice the length.

    The residue may start before the AIF (second half of the circle). It minimises
    ``||A R - c||^2 + lambda ||L R||^2`` with L the second difference plus a small ridge; only the
    measured frames are residuals, so that generalised cross-validation (Golub 1979) counts no
    padded zeros as data. Every degree of freedom counts 1.2 times (Cummins 2001): the plain
    criterion undersmooths now and then, and the maximum of R would show it.

    Parameters
    ----------
    kernel : array (n_time,)
        Weights of the AIF (unit of the AIF times s).

    Returns
    -------
    callable
        From (n_voxels, n_time) to (n_voxels, 2 n_time).
    """
    n = kernel.size
    length = 2 * n
    index = (np.arange(n)[:, None] - np.arange(length)[None, :]) % length
    matrix = np.concatenate([kernel, np.zeros(n)])[index]
    identity = np.eye(length)
    second = np.roll(identity, 1, axis=1) - 2.0 * identity + np.roll(identity, -1, axis=1)
    operator = second - _RIDGE * identity
    standard = np.linalg.solve(operator.T, matrix.T).T
    left, values, right = np.linalg.svd(standard, full_matrices=False)
    back = right @ np.linalg.inv(operator).T
    squares = values**2
    penalties = squares[0] * np.logspace(-9, 1, _N_PENALTIES)
    filters = squares / (squares + penalties[:, None])
    freedom = n - _CAUTION * filters.sum(axis=1)
    filters, freedom = filters[freedom > 0.1 * n], freedom[freedom > 0.1 * n]

    def solve(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        parts = rows @ left
        score = parts**2 @ ((1.0 - filters) ** 2).T / freedom**2
        chosen = np.argmin(score, axis=1)
        return np.asarray((parts * filters[chosen] / values) @ back)

    return solve
