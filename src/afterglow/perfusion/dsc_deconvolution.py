"""Deconvolution of DSC tissue curves: SVD methods, Tikhonov, vascular dictionary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

Method = Literal["osvd", "csvd", "ssvd", "tikhonov", "vascular"]

_CHUNK = 4096
_FLOOR = 0.05
_DEFAULT_THRESHOLD = {"csvd": 0.10, "ssvd": 0.20}


@dataclass(frozen=True)
class Deconvolution:
    """Maps of one deconvolution, each of the tissue array's leading shape.

    Attributes
    ----------
    cbf : array
        Cerebral blood flow, ``6000 kappa max R`` (mL/100 mL/min; relative from delta R2*).
    cbv : array
        Cerebral blood volume, ``100 kappa`` times the ratio of areas (mL/100 mL; likewise).
    mtt : array
        Mean transit time (s): ``60 CBV/CBF``; of the fitted model for ``vascular``.
    tmax : array
        Time of the residue's maximum (s).
    delay : array
        Arrival after the AIF (s): rise of the residue to half its maximum, so that the step of a
        smoothed residue is not put late; the fitted delay for ``vascular``.
    evaluable : bool array
        Finite input, positive area, CBF and a maximum inside the measured time.
    cth : array or None
        Capillary transit-time heterogeneity (s), the standard deviation of transit times;
        ``vascular`` only.
    """

    cbf: NDArray[np.float64]
    cbv: NDArray[np.float64]
    mtt: NDArray[np.float64]
    tmax: NDArray[np.float64]
    delay: NDArray[np.float64]
    evaluable: NDArray[np.bool_]
    cth: NDArray[np.float64] | None = None


def deconvolve(
    tissue: ArrayLike,
    aif: ArrayLike,
    time: ArrayLike,
    method: Method = "osvd",
    kappa: float = 1.0,
    *,
    threshold: float | None = None,
    oscillation_index: float = 0.065,
) -> Deconvolution:
    """Deconvolve tissue curves with an arterial input function.

    ``tissue = CBF/6000/kappa AIF * R``. Curves are taken as piecewise linear (Ostergaard 1996);
    frames that are not evenly spaced are interpolated onto an even grid.

    Parameters
    ----------
    tissue : array (..., n_time)
        Concentration (mM) or delta R2* (1/s).
    aif : array (n_time,)
        Arterial curve in the same unit.
    time : array (n_time,)
        Frame times (s), rising.
    method : str
        ``ssvd``: truncated SVD (sensitive to delay). ``csvd``: block-circulant SVD with zero
        padding to twice the length. ``osvd``: the same with, per voxel, the smallest threshold
        whose oscillation index passes (Wu 2003). ``tikhonov``: smoothness-penalised with
        generalised cross-validation. ``vascular``: dictionary of gamma-distributed transit times
        (Mouridsen 2006) by variable projection; its CBF is good relative to other voxels.
    kappa : float
        Haematocrit and density factor.
    threshold : float, optional
        Fraction of the largest singular value below which ``csvd`` (0.10) and ``ssvd`` (0.20)
        truncate.
    oscillation_index : float
        Largest oscillation index that passes, for ``osvd``.

    Returns
    -------
    Deconvolution
        NaN where a curve is not finite or has no positive peak.

    Raises
    ------
    ValueError
        Unknown method, shapes that do not agree, or an AIF without positive area.

    Examples
    --------
    >>> t = np.arange(0.0, 90.0, 1.5)
    >>> a = np.clip(t - 10, 0, None) ** 3 * np.exp(-np.clip(t - 10, 0, None) / 1.5)
    >>> round(float(deconvolve(0.04 * a, a, t, "csvd").cbv), 3)
    4.0
    """
    curves, artery, seconds = _checked(tissue, aif, time)
    shape = curves.shape[:-1]
    rows = curves.reshape(-1, curves.shape[-1])
    usable = np.asarray(np.isfinite(rows).all(axis=1))
    even, dt = _even(seconds)
    if even is not None:
        artery = np.interp(even, seconds, artery)
        rows = _resample(rows, seconds, even)
    filled = np.where(usable[:, None], rows, 0.0)
    if method == "vascular":
        from afterglow.perfusion.dsc_vascular import fit_dictionary

        fit = fit_dictionary(filled, artery, dt)
        height, peak, rise = fit.flow, fit.delay, fit.delay
        mtt_model, cth = fit.mtt, fit.cth
    else:
        height, peak, rise = _SOLVERS[method](
            filled, artery, dt, threshold=threshold, oscillation_index=oscillation_index
        )
        mtt_model, cth = None, None
    grid = seconds if even is None else even
    cbv = 100.0 * kappa * np.trapezoid(filled, grid, axis=1) / np.trapezoid(artery, grid)
    return _maps(
        shape, usable, 6000.0 * kappa * height, cbv, (peak, rise), seconds, (mtt_model, cth)
    )


def _checked(
    tissue: ArrayLike, aif: ArrayLike, time: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the input as arrays, or refuse it."""
    curves = np.asarray(tissue, dtype=np.float64)
    artery = np.asarray(aif, dtype=np.float64)
    seconds = np.asarray(time, dtype=np.float64)
    if artery.ndim != 1 or artery.shape != seconds.shape or curves.shape[-1:] != seconds.shape:
        raise ValueError(
            f"tissue {curves.shape}, aif {artery.shape} and time {seconds.shape} disagree"
        )
    if seconds.size < 4 or np.any(np.diff(seconds) <= 0):
        raise ValueError("time must rise and hold at least four frames")
    if not np.isfinite(artery).all() or not np.trapezoid(artery, seconds) > 0:
        raise ValueError("the AIF must be finite and have a positive area")
    return curves, artery, seconds


def _even(seconds: NDArray[np.float64]) -> tuple[NDArray[np.float64] | None, float]:
    """Return an even grid where the frames are not even, and the step (s)."""
    steps = np.diff(seconds)
    dt = float(np.median(steps))
    if np.ptp(steps) <= 0.01 * dt:
        return None, float(steps.mean())
    count = round((seconds[-1] - seconds[0]) / dt) + 1
    grid = np.linspace(seconds[0], seconds[-1], count)
    return grid, float(grid[1] - grid[0])


def _resample(
    rows: NDArray[np.float64], old: NDArray[np.float64], new: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return rows interpolated linearly from the old frame times to the new ones."""
    right = np.clip(np.searchsorted(old, new), 1, old.size - 1)
    part = (new - old[right - 1]) / (old[right] - old[right - 1])
    return rows[:, right - 1] * (1.0 - part) + rows[:, right] * part


def _maps(
    shape: tuple[int, ...],
    usable: NDArray[np.bool_],
    cbf: NDArray[np.float64],
    cbv: NDArray[np.float64],
    times: tuple[NDArray[np.float64], NDArray[np.float64]],
    seconds: NDArray[np.float64],
    model: tuple[NDArray[np.float64] | None, NDArray[np.float64] | None],
) -> Deconvolution:
    """Return the maps in the shape of the input, with NaN where nothing is known."""
    peak, rise = times
    mtt, cth = model
    positive = usable & (cbf > 0)
    if mtt is None:
        mtt = np.where(positive, 60.0 * cbv / np.where(positive, cbf, 1.0), np.nan)
    inside = np.abs(peak) < 0.5 * (seconds[-1] - seconds[0])
    evaluable = positive & (cbv > 0) & inside

    def back(values: NDArray[np.float64], good: NDArray[np.bool_]) -> NDArray[np.float64]:
        return cast("NDArray[np.float64]", np.where(good, values, np.nan).reshape(shape))

    return Deconvolution(
        cbf=back(cbf, positive),
        cbv=back(cbv, usable),
        mtt=back(mtt, positive),
        tmax=back(peak, positive),
        delay=back(rise, positive),
        evaluable=evaluable.reshape(shape),
        cth=None if cth is None else back(cth, positive),
    )


def _linear_kernel(artery: NDArray[np.float64], dt: float) -> NDArray[np.float64]:
    """Return the AIF's weights for a piecewise linear AIF and residue."""
    before = np.concatenate([[0.0], artery[:-1]])
    after = np.concatenate([artery[1:], [0.0]])
    return np.asarray(dt * (before + 4.0 * artery + after) / 6.0)


Read = tuple["NDArray[np.float64]", "NDArray[np.float64]", "NDArray[np.float64]"]


def _in_chunks(
    rows: NDArray[np.float64],
    dt: float,
    residues: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    wrap: bool,
) -> Read:
    """Return height (1/s), peak (s) and rise (s) of the residues of all rows, chunk by chunk."""
    from afterglow.perfusion.dsc_kernels import read_residues

    parts = [
        read_residues(residues(rows[i : i + _CHUNK]), wrap) for i in range(0, len(rows), _CHUNK)
    ]
    if not parts:
        empty = np.empty(0)
        return empty, empty, empty
    height, peak, rise = (np.concatenate(values) for values in zip(*parts, strict=True))
    return height, peak * dt, rise * dt


def _solve_ssvd(
    rows: NDArray[np.float64],
    artery: NDArray[np.float64],
    dt: float,
    *,
    threshold: float | None,
    oscillation_index: float,  # noqa: ARG001 (one signature for all solvers)
) -> Read:
    """Truncate the SVD of the lower triangular AIF matrix."""
    from scipy.linalg import toeplitz

    matrix = toeplitz(_linear_kernel(artery, dt), np.zeros(artery.size))
    left, values, right = np.linalg.svd(matrix)
    limit = _DEFAULT_THRESHOLD["ssvd"] if threshold is None else threshold
    inverse = np.where(values >= limit * values[0], 1.0 / np.maximum(values, 1e-300), 0.0)
    solver = (left * inverse) @ right
    return _in_chunks(rows, dt, lambda part: part @ solver, wrap=False)


def _circulant_spectrum(artery: NDArray[np.float64], dt: float) -> NDArray[np.complex128]:
    """Return the eigenvalues of the block-circulant AIF matrix, zero-padded to twice the length."""
    padded = np.concatenate([artery, np.zeros(artery.size)])
    before, after = np.roll(padded, 1), np.roll(padded, -1)
    return np.fft.rfft(dt * (before + 4.0 * padded + after) / 6.0)


def _solve_csvd(
    rows: NDArray[np.float64],
    artery: NDArray[np.float64],
    dt: float,
    *,
    threshold: float | None,
    oscillation_index: float,  # noqa: ARG001 (one signature for all solvers)
) -> Read:
    """Truncate the SVD of the block-circulant AIF matrix.

    A circulant matrix is diagonal in the Fourier basis and its singular values are the moduli of
    the AIF's spectrum, so that the pseudo-inverse is one small real matrix.
    """
    spectrum = _circulant_spectrum(artery, dt)
    size = np.abs(spectrum)
    limit = _DEFAULT_THRESHOLD["csvd"] if threshold is None else threshold
    inverse = np.zeros_like(spectrum)
    strong = size >= limit * size.max()
    inverse[strong] = 1.0 / spectrum[strong]
    forward = np.fft.rfft(np.eye(artery.size), n=2 * artery.size, axis=1)
    solver = np.fft.irfft(forward * inverse, n=2 * artery.size, axis=1)
    return _in_chunks(rows, dt, lambda part: part @ solver, wrap=True)


def _solve_osvd(
    rows: NDArray[np.float64],
    artery: NDArray[np.float64],
    dt: float,
    *,
    threshold: float | None,  # noqa: ARG001 (one signature for all solvers)
    oscillation_index: float,
) -> Read:
    """Block-circulant SVD with the smallest threshold that keeps the residue from oscillating."""
    from afterglow.perfusion.dsc_kernels import smallest_passing_residues

    length = 2 * artery.size
    spectrum = _circulant_spectrum(artery, dt)
    size = np.abs(spectrum)
    order = np.argsort(-size, kind="stable")
    order = order[size[order] >= _FLOOR * size.max()]
    weight = np.where(np.isin(np.arange(size.size), (0, artery.size)), 1.0, 2.0) / length
    angle = 2.0 * np.pi * np.outer(np.arange(size.size), np.arange(length)) / length
    basis_cos, basis_sin = weight[:, None] * np.cos(angle), weight[:, None] * np.sin(angle)
    inverse = np.zeros_like(spectrum)
    inverse[order] = 1.0 / spectrum[order]

    def residues(part: NDArray[np.float64]) -> NDArray[np.float64]:
        quotient = np.fft.rfft(part, n=length, axis=1) * inverse
        found: NDArray[np.float64] = smallest_passing_residues(
            quotient, order, basis_cos, basis_sin, oscillation_index
        )[0]
        return found

    return _in_chunks(rows, dt, residues, wrap=True)


def _solve_tikhonov(
    rows: NDArray[np.float64],
    artery: NDArray[np.float64],
    dt: float,
    *,
    threshold: float | None,  # noqa: ARG001 (one signature for all solvers)
    oscillation_index: float,  # noqa: ARG001
) -> Read:
    """Smoothest residue on both sides of time zero, its penalty by cross-validation per voxel."""
    from afterglow.perfusion.dsc_tikhonov import smooth_solver

    solve = smooth_solver(_linear_kernel(artery, dt))
    return _in_chunks(rows, dt, solve, wrap=True)


_SOLVERS = {
    "ssvd": _solve_ssvd,
    "csvd": _solve_csvd,
    "osvd": _solve_osvd,
    "tikhonov": _solve_tikhonov,
}
