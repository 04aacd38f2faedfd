"""Leakage correction of DSC: Boxerman-Schmainda-Weisskoff and the bidirectional model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from afterglow.perfusion.dsc_shapes import delayed_and_dispersed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Model = Literal["bsw", "bidirectional"]

_CHUNK = 4096
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
    adapt: bool = False,
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
    adapt : bool
        Let each voxel's vascular curve be the reference at the best of 35 delays and transit times
        (:func:`afterglow.perfusion.dsc_shapes.delayed_and_dispersed`). A voxel that is reached
        later or passed more slowly than the reference otherwise shows leakage it does not have:
        2 s of delay
        cost a tenth of CBV, a transit time of 9 s instead of 4.5 s three tenths.

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
    rows = data.reshape(-1, seconds.size)
    reference = reference_curve(
        rows, np.asarray(reference_mask, dtype=bool).ravel(), seconds, frames
    )
    shapes = delayed_and_dispersed(reference, seconds) if adapt else reference[None]
    fit = _Fit(seconds, reference, shapes, frames, model, max_kep / 60.0)
    parts = [fit.correct(rows[i : i + _CHUNK]) for i in range(0, max(len(rows), 1), _CHUNK)]
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


class _Fit:
    """Least squares of vascular curve and leakage on every shape of the reference and rate.

    For each pair the leakage column is made orthogonal to the vascular one, so that the energy a
    pair explains is the sum of two squares, and all pairs are judged by two matrix products.
    """

    def __init__(
        self,
        time: NDArray[np.float64],
        reference: NDArray[np.float64],
        shapes: NDArray[np.float64],
        kept: NDArray[np.bool_],
        model: Model,
        max_rate: float,
    ) -> None:
        from afterglow.perfusion.dsc_kernels import decayed_integral

        self.time, self.reference, self.shapes, self.kept = time, reference, shapes, kept
        self.model = model
        count = 1 if model == "bsw" else _N_RATES
        self.rates = np.concatenate([[0.0], np.geomspace(max_rate / 100.0, max_rate, count - 1)])
        self.leaked = np.stack([decayed_integral(reference, time, rate) for rate in self.rates])
        vascular = np.where(kept, shapes, 0.0)
        self.lengths = np.linalg.norm(vascular, axis=1)
        self.units = vascular / self.lengths[:, None]
        basis = np.where(kept, self.leaked, 0.0)
        self.along = self.units @ basis.T
        others = basis[None] - self.along[..., None] * self.units[:, None]
        self.norms = np.linalg.norm(others, axis=2)
        self.others = others / self.norms[..., None]

    def correct(
        self, rows: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return corrected curves, K1, K2 and efflux rate (1/s) of some voxels."""
        good = np.asarray(np.isfinite(rows[:, self.kept]).all(axis=1))
        data = np.where(good[:, None] & self.kept, rows, 0.0)
        first = data @ self.units.T
        second = (data @ self.others.reshape(-1, self.time.size).T).reshape(
            len(data), *self.norms.shape
        )
        # Efflux and a slow passage look alike: the shape is chosen without, the rate after it.
        shape = np.argmax(second[..., 0] ** 2 + first**2, axis=1)
        voxel = np.arange(len(data))
        place = np.argmax(second[voxel, shape] ** 2, axis=1)
        if self.model == "bsw":
            leak = second[voxel, shape, place] / self.norms[shape, place]
            k1 = (first[voxel, shape] - leak * self.along[shape, place]) / self.lengths[shape]
            rate, k2 = np.zeros(len(data)), -leak
            corrected = rows + k2[:, None] * self.leaked[0]
        else:
            corrected, k1, k2, rate = self._with_efflux(rows, data, shape, place)
        for values in (k1, k2, rate):
            values[~good] = np.nan
        corrected[~good] = np.nan
        return corrected, k1, k2, rate

    def _with_efflux(
        self,
        rows: NDArray[np.float64],
        data: NDArray[np.float64],
        shape: NDArray[np.intp],
        place: NDArray[np.intp],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Refine the efflux rate between its neighbours on the grid, by golden section."""
        from afterglow.perfusion.dsc_kernels import add_leakage, refine_rates

        low = self.rates[np.maximum(place - 1, 0)]
        high = self.rates[np.minimum(place + 1, self.rates.size - 1)]
        corrected, rate = np.empty_like(rows), np.empty(len(rows))
        k1, k2 = np.empty(len(rows)), np.empty(len(rows))
        for number in np.unique(shape):
            own = np.flatnonzero(shape == number)
            found = refine_rates(
                data[own],
                self.units[number],
                self.reference,
                self.time,
                self.kept,
                low[own],
                high[own],
                _REFINE_STEPS,
            )
            corrected[own], k1[own], k2[own] = add_leakage(
                rows[own],
                data[own],
                self.shapes[number],
                self.reference,
                self.time,
                self.kept,
                found,
            )
            rate[own] = found
        return corrected, k1, k2, rate
