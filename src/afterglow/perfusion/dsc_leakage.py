"""Leakage correction of DSC: Boxerman-Schmainda-Weisskoff and the bidirectional model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Model = Literal["bsw", "bidirectional"]

_CHUNK = 16384
_N_RATES = 16
_REFINE_STEPS = 12


class Leakage(NamedTuple):
    """Result of a leakage correction.

    Attributes
    ----------
    corrected : array (..., n_time)
        Delta R2* without the leakage term (1/s).
    k1 : array (...)
        Weight of the reference curve (1).
    k2 : array (...)
        Leakage (1/s); positive where T1 effects dominate, negative where T2* effects do.
    kep : array (...) or None
        Efflux rate (1/min); None for ``bsw``.
    """

    corrected: NDArray[np.float64]
    k1: NDArray[np.float64]
    k2: NDArray[np.float64]
    kep: NDArray[np.float64] | None


def leakage_correct(
    delta_r2star: ArrayLike,
    time: ArrayLike,
    reference_mask: ArrayLike,
    model: Model = "bsw",
    *,
    kept: ArrayLike | None = None,
    max_kep: float = 5.0,
    shape_terms: int = 0,
) -> Leakage:
    """Remove the effect of contrast that has left the vessels.

    ``bsw`` (Boxerman 2006): ``dR2*(t) = K1 ref(t) - K2 int_0^t ref``; ``bidirectional`` (Leu 2016)
    replaces the integral by ``int_0^t ref(s) exp(-kep (t - s)) ds``. Both are least squares per
    voxel, the first in closed form, the second by variable projection over kep. The corrected
    curve is the measured one plus the leakage term: what the model does not explain stays.

    Parameters
    ----------
    delta_r2star : array (..., n_time)
        Delta R2* (1/s); NaN in single frames is allowed where ``kept`` is False.
    time : array (n_time,)
        Frame times (s).
    reference_mask : bool array (...)
        Voxels whose mean is the reference curve: brain that does not enhance.
    model : str
        ``bsw`` or ``bidirectional``.
    kept : bool array (n_time,), optional
        Frames that enter the fit (censored ones do not).
    max_kep : float
        Largest efflux rate tried (1/min).
    shape_terms : int
        Derivatives of the reference (0 to 2) fitted beside it in ``bsw``. A voxel that is reached
        later or passed more slowly than the reference otherwise shows leakage it does not have:
        2 s of delay cost 9 % of CBV without a term and 4 % with one.

    Returns
    -------
    Leakage
        NaN for voxels that are not finite in the frames kept.

    Raises
    ------
    ValueError
        Unknown model, shapes that disagree, or an empty or flat reference.

    Examples
    --------
    >>> t = np.arange(0.0, 100.0, 1.4)
    >>> ref = np.exp(-0.5 * ((t - 30) / 4) ** 2)
    >>> leaky = 2.0 * ref - 0.05 * np.cumsum(ref) * 1.4
    >>> found = leakage_correct(np.stack([ref, leaky]), t, np.array([True, False]))
    >>> found.k1.round(1)
    array([1., 2.])
    >>> bool(abs(np.trapezoid(found.corrected[1], t) / np.trapezoid(ref, t) - 2.0) < 0.05)
    True
    """
    data = np.asarray(delta_r2star, dtype=np.float64)
    seconds = np.asarray(time, dtype=np.float64)
    frames = np.ones(seconds.size, bool) if kept is None else np.asarray(kept, dtype=bool)
    if data.shape[-1:] != seconds.shape or frames.shape != seconds.shape:
        raise ValueError(f"delta_r2star {data.shape}, time {seconds.shape}, kept {frames.shape}")
    if model not in ("bsw", "bidirectional"):
        raise ValueError(f"model must be bsw or bidirectional, found {model!r}")
    if shape_terms not in (0, 1, 2):
        raise ValueError(f"shape_terms must be 0, 1 or 2, found {shape_terms}")
    rows = data.reshape(-1, seconds.size)
    reference = reference_curve(
        rows, np.asarray(reference_mask, dtype=bool).ravel(), seconds, frames
    )
    parts = [
        _correct(
            rows[i : i + _CHUNK], seconds, reference, frames, model, max_kep / 60.0, shape_terms
        )
        for i in range(0, max(len(rows), 1), _CHUNK)
    ]
    corrected, k1, k2, rate = (np.concatenate(items) for items in zip(*parts, strict=True))
    shape = data.shape[:-1]
    return Leakage(
        corrected.reshape(data.shape),
        k1.reshape(shape),
        k2.reshape(shape),
        (60.0 * rate).reshape(shape) if model == "bidirectional" else None,
    )


def reference_curve(
    rows: NDArray[np.float64],
    mask: NDArray[np.bool_],
    time: NDArray[np.float64],
    kept: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Return the mean of the reference voxels, censored frames interpolated (n_time,).

    Raises
    ------
    ValueError
        Where no finite voxel is left or the curve is flat.
    """
    if mask.shape != rows.shape[:1]:
        raise ValueError(f"reference_mask {mask.shape} does not match {rows.shape[:1]} voxels")
    chosen = rows[mask]
    chosen = chosen[np.isfinite(chosen[:, kept]).all(axis=1)]
    if not len(chosen):
        raise ValueError("the reference mask holds no finite voxel")
    curve = np.interp(time, time[kept], chosen[:, kept].mean(axis=0))
    if not np.ptp(curve) > 0:
        raise ValueError("the reference curve is flat")
    return np.asarray(curve)


def _correct(
    rows: NDArray[np.float64],
    time: NDArray[np.float64],
    reference: NDArray[np.float64],
    kept: NDArray[np.bool_],
    model: Model,
    max_rate: float,
    shape_terms: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return corrected curves, K1, K2 and efflux rate (1/s) of some voxels."""
    from afterglow.perfusion.dsc_kernels import add_leakage, decayed_integral

    good = np.asarray(np.isfinite(rows[:, kept]).all(axis=1))
    data = np.where(good[:, None] & kept, rows, 0.0)
    if model == "bsw":
        rate = np.zeros(len(rows))
        integral = decayed_integral(reference, time, 0.0)
        columns = [reference, -integral]
        for _ in range(shape_terms):
            columns.append(np.gradient(columns[-1] if len(columns) > 2 else reference, time))
        k1, k2 = _first_two(data, np.where(kept, np.stack(columns), 0.0))
        corrected = rows + k2[:, None] * integral
    else:
        rate = _efflux(data, time, reference, kept, max_rate)
        corrected, k1, k2 = add_leakage(rows, data, reference, time, kept, rate)
    for values in (k1, k2, rate):
        values[~good] = np.nan
    corrected[~good] = np.nan
    return corrected, k1, k2, rate


def _first_two(
    data: NDArray[np.float64], design: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the first two least-squares coefficients of every row on the rows of ``design``."""
    solver = np.linalg.pinv(design)[:, :2]
    solved = data @ solver
    return np.ascontiguousarray(solved[:, 0]), np.ascontiguousarray(solved[:, 1])


def _efflux(
    data: NDArray[np.float64],
    time: NDArray[np.float64],
    reference: NDArray[np.float64],
    kept: NDArray[np.bool_],
    max_rate: float,
) -> NDArray[np.float64]:
    """Return the efflux rate (1/s) that explains most of each row, by grid and golden section."""
    from afterglow.perfusion.dsc_kernels import decayed_integral, refine_rates

    rates = np.concatenate([[0.0], np.geomspace(max_rate / 100.0, max_rate, _N_RATES - 1)])
    first = np.where(kept, reference, 0.0)
    first = first / np.linalg.norm(first)
    others = np.stack([np.where(kept, decayed_integral(reference, time, r), 0.0) for r in rates])
    others -= (others @ first)[:, None] * first
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    best = np.argmax((data @ others.T) ** 2, axis=1)
    low, high = rates[np.maximum(best - 1, 0)], rates[np.minimum(best + 1, rates.size - 1)]
    found: NDArray[np.float64] = refine_rates(data, reference, time, kept, low, high, _REFINE_STEPS)
    return found
