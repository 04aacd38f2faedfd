"""Vascular dictionary: gamma-distributed transit times, fitted by variable projection."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TRANSITS = np.geomspace(1.0, 30.0, 14)
_SHAPES = (1.0, 2.0, 5.0, 50.0)
_DELAY_STEP = 0.5
_DELAYS = (-3.0, 9.0)
_FINE = 8
_SPAN = 1e-6
_CHUNK = 256


class VascularFit(NamedTuple):
    """Result of the dictionary, each of shape (n_voxels,).

    Attributes
    ----------
    flow : array
        Amplitude of the residue (1/s).
    mtt, cth, delay : array
        Mean and standard deviation of transit times, and delay after the AIF (s).
    """

    flow: NDArray[np.float64]
    mtt: NDArray[np.float64]
    cth: NDArray[np.float64]
    delay: NDArray[np.float64]


class _Dictionary(NamedTuple):
    """Unit-norm atoms in a small basis of time courses, and what each stands for (4, n_atoms).

    Smooth responses span few dimensions: a match costs a third in that basis (n_time, n_basis).

    The rows are flow for a match of one, mean transit time, heterogeneity and delay.
    """

    basis: NDArray[np.float32]
    atoms: NDArray[np.float32]
    parameters: NDArray[np.float32]


def fit_dictionary(
    rows: NDArray[np.float64], artery: NDArray[np.float64], dt: float
) -> VascularFit:
    """Fit gamma-distributed transit times (Mouridsen 2006) with delay to every row.

    The amplitude of each atom is the linear least-squares one (variable projection); the
    parameters are the mean over the dictionary weighted by the likelihood under the noise that
    the best atom leaves, which is the best estimate in the mean-square sense and does not jump
    between atoms.

    Parameters
    ----------
    rows : array (n_voxels, n_time)
        Finite tissue curves.
    artery : array (n_time,)
        AIF on the same even grid.
    dt : float
        Frame time (s).
    """
    book = _dictionary(artery, dt)
    parts = [_fit_chunk(rows[i : i + _CHUNK], book) for i in range(0, len(rows), _CHUNK)]
    if not parts:
        return VascularFit(*(np.empty(0) for _ in range(4)))
    return VascularFit(*np.concatenate(parts, axis=1).astype(np.float64))


def _dictionary(artery: NDArray[np.float64], dt: float) -> _Dictionary:
    """Return the response of every residue, transit time and delay to the AIF."""
    from scipy.signal import fftconvolve
    from scipy.special import gammainc

    n = artery.size
    step = dt / _FINE
    fine = np.arange(n * _FINE) * step
    coarse = np.arange(n) * dt
    bolus = np.interp(fine, coarse, artery)
    transits, shapes = (grid.ravel() for grid in np.meshgrid(_TRANSITS, _SHAPES, indexing="ij"))
    residues = 1.0 - gammainc(shapes[:, None], fine * (shapes / transits)[:, None])
    # Half a weight at time zero: the trapezoidal rule for a residue that starts with a step.
    residues[:, 0] *= 0.5
    responses = fftconvolve(residues, bolus[None, :], axes=1)[:, : fine.size] * step
    delays = np.arange(_DELAYS[0], _DELAYS[1] + 1e-9, _DELAY_STEP)
    shifted = np.stack(
        [[np.interp(coarse - d, fine, row, left=0.0) for d in delays] for row in responses]
    ).reshape(-1, n)
    norms = np.linalg.norm(shifted, axis=1)
    columns = (
        1.0 / norms,
        np.repeat(transits, delays.size),
        np.repeat(transits / np.sqrt(shapes), delays.size),
        np.tile(delays, transits.size),
    )
    atoms = shifted / norms[:, None]
    values, vectors = np.linalg.eigh(atoms.T @ atoms)
    basis = vectors[:, values > _SPAN * values[-1]]
    return _Dictionary(
        np.ascontiguousarray(basis, dtype=np.float32),
        np.ascontiguousarray((atoms @ basis).T, dtype=np.float32),
        np.ascontiguousarray(np.stack(columns), dtype=np.float32),
    )


def _fit_chunk(rows: NDArray[np.float64], book: _Dictionary) -> NDArray[np.float32]:
    """Return flow, transit time, heterogeneity and delay of some rows (4, n_voxels)."""
    from afterglow.perfusion.dsc_kernels import likelihood_means

    data = rows.astype(np.float32)
    scale = np.maximum(np.linalg.norm(data, axis=1, keepdims=True), np.float32(1e-30))
    match = ((data / scale) @ book.basis) @ book.atoms
    best = np.maximum(match.max(axis=1), np.float32(0.0))
    freedom = data.shape[1] - 4
    found: NDArray[np.float32] = likelihood_means(match, best, book.parameters, freedom)
    found[0] *= scale[:, 0]
    return found
