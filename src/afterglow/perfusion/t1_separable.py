"""Least squares of models that are a scale times a function of a few positive parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_STEP = 1e-5
_MAX_ITERATIONS = 60
_TOLERANCE = 1e-9


def nearest_entry(data: Array, book: Array) -> NDArray[np.intp]:
    """Return for every curve (n_voxels, m) the dictionary entry (k, m) that fits best in shape."""
    length = np.linalg.norm(book, axis=1)
    return np.asarray(np.argmax((data @ book.T) / np.where(length > 0, length, np.inf), axis=1))


def fit_scaled(
    model: Callable[[Array], Array], data: Array, start: Array, low: Array, high: Array
) -> tuple[Array, Array, Array, Array]:
    """Fit ``scale * model(parameters)`` to many curves at once.

    The scale is solved for; damped Gauss-Newton steps go in the logarithms of the parameters, with
    central differences of the model.

    Parameters
    ----------
    model : callable
        From parameters (n, k) to curves (n, m) of unit scale.
    data : array (n, m)
        Curves.
    start : array (n, k)
        Positive start values.
    low, high : array (k,)
        Bounds.

    Returns
    -------
    parameters (n, k), scale (n,), errors (n, k + 1), rested (n,) of bool
        Standard errors of the parameters and then of the scale; NaN where they are not determined.
    """
    theta, n = np.clip(start, low, high), data.shape[0]
    damping = np.full(n, 1e-4)
    shape = model(theta)
    scale, rss = _scaled(shape, data)
    rested = np.zeros(n, dtype=bool)
    for _ in range(_MAX_ITERATIONS):
        rows = np.flatnonzero(~rested)
        if rows.size == 0:
            break
        here, f = theta[rows], shape[rows]
        jac = scale[rows, None, None] * _slopes(model, here)
        jac = (
            jac
            - f[:, None, :]
            * (np.einsum("nkm,nm->nk", jac, f) / np.sum(f * f, axis=1)[:, None])[:, :, None]
        )
        residual = data[rows] - scale[rows, None] * f
        normal = np.einsum("nkm,nlm->nkl", jac, jac)
        weight = np.einsum("nkk->nk", normal)
        normal = normal + (damping[rows, None] * weight + 1e-300)[:, :, None] * np.eye(
            here.shape[1]
        )
        right = np.einsum("nkm,nm->nk", jac, residual)
        step = np.clip(np.linalg.solve(normal, right[:, :, None])[:, :, 0], -1.0, 1.0)
        trial = np.clip(here * np.exp(step), low, high)
        new_shape = model(trial)
        new_scale, new_rss = _scaled(new_shape, data[rows])
        moved = np.abs(np.log(trial / here)).max(axis=1)
        better = new_rss <= rss[rows]
        rested[rows] = (moved < _TOLERANCE) | (~better & (moved < 1e-7))
        taken = rows[better]
        theta[taken], shape[taken] = trial[better], new_shape[better]
        scale[taken], rss[taken] = new_scale[better], new_rss[better]
        damping[rows] = np.where(better, damping[rows] * 0.1, np.maximum(damping[rows], 1e-3) * 10)
    return theta, scale, _errors(model, theta, shape, scale, rss), rested


def _scaled(shape: Array, data: Array) -> tuple[Array, Array]:
    """Return the best scale and the residual sum of squares."""
    power = np.sum(shape * shape, axis=1)
    scale = np.sum(shape * data, axis=1) / np.where(power > 0, power, np.inf)
    return scale, np.sum((data - scale[:, None] * shape) ** 2, axis=1)


def _slopes(model: Callable[[Array], Array], theta: Array) -> Array:
    """Return derivatives (n, k, m) in the logarithms of the parameters."""
    found = []
    for place in range(theta.shape[1]):
        factor = np.ones(theta.shape[1])
        factor[place] = np.exp(_STEP)
        found.append((model(theta * factor) - model(theta / factor)) / (2.0 * _STEP))
    return np.stack(found, axis=1)


def _errors(
    model: Callable[[Array], Array], theta: Array, shape: Array, scale: Array, rss: Array
) -> Array:
    """Return standard errors of parameters and scale."""
    count, size = theta.shape[1] + 1, shape.shape[1]
    jac = np.concatenate([scale[:, None, None] * _slopes(model, theta), shape[:, None, :]], axis=1)
    length = np.linalg.norm(jac, axis=2)
    unit = jac / np.where(length > 0, length, 1.0)[:, :, None]
    normal = np.einsum("nkm,nlm->nkl", unit, unit)
    good = (np.linalg.det(normal) > 1e-10) & (length > 0).all(axis=1) & (size > count)
    inverse = np.linalg.inv(np.where(good[:, None, None], normal, np.eye(count)))
    variance = np.einsum("nkk->nk", inverse) / np.where(length > 0, length, 1.0) ** 2
    errors = np.sqrt(variance * (rss / max(size - count, 1))[:, None])
    errors[:, :-1] *= theta
    return np.where(good[:, None], errors, np.nan)
