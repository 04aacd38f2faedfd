"""Tracer kinetics of dynamic contrast-enhanced series, voxel by voxel, with uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from afterglow.perfusion.dce_descriptive import descriptors, iauc
from afterglow.perfusion.dce_models import DEFAULT_BOUNDS, SPECS
from afterglow.perfusion.dce_reason import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    from afterglow.perfusion.dce_engine import Engine
    from afterglow.perfusion.dce_fitted import Fitted

__all__ = ["DEFAULT_BOUNDS", "Fit", "ModelName", "Reason", "descriptors", "fit", "iauc", "predict"]

ModelName = Literal["tofts", "extended_tofts", "patlak", "2cum", "2cxm", "auto"]

# A block and what its fit needs stay in the cache of a core (0.8 MB), and threads end together.
_BLOCK_VALUES = 100_000
_RICHNESS = ("none", "patlak", "tofts", "extended_tofts", "2cxm")
_MARGIN = 2.0


@dataclass(frozen=True)
class Fit:
    """Result of :func:`fit`; every array has the shape of the leading dimensions.

    Attributes
    ----------
    model : str or array of str
        The model, or per voxel the chosen one (``none`` where no contrast describes the curve best,
        empty outside the mask) for ``auto``.
    maps : dict of arrays
        Ktrans, kep, PS (1/min), Fp (mL/100 mL/min), ve, vp (fractions), delay (s), as the model
        has them; NaN outside the mask and for unusable input.
    standard_errors : dict of arrays
        One standard error of each map, from the covariance of the fit.
    evaluable : array of bool
        Every free parameter can be identified.
    evaluable_by : dict of arrays of bool
        The same for each parameter.
    reason : array of uint16
        Flags of :class:`Reason`.
    rss : array
        Residual sum of squares (mM^2), weighted.
    aicc, bic : array
        Information criteria.
    n_frames : int
        Frames that were used.
    """

    model: str | NDArray[np.str_]
    maps: dict[str, NDArray[np.floating]]
    standard_errors: dict[str, NDArray[np.floating]]
    evaluable: NDArray[np.bool_]
    evaluable_by: dict[str, NDArray[np.bool_]]
    reason: NDArray[np.uint16]
    rss: NDArray[np.floating]
    aicc: NDArray[np.floating]
    bic: NDArray[np.floating]
    n_frames: int


def fit(
    concentration: ArrayLike,
    time: ArrayLike,
    plasma_aif: ArrayLike,
    model: ModelName = "extended_tofts",
    fit_delay: bool = False,
    mask: ArrayLike | None = None,
    *,
    delay: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    max_relative_se: float = 0.25,
    threads: int | None = 1,
) -> Fit:
    """Fit a tracer-kinetic model to every voxel.

    Parameters
    ----------
    concentration : array (..., n_time)
        Tissue concentration (mM).
    time : array (n_time,)
        Frame times (s), rising, at any spacing.
    plasma_aif : array (n_time,)
        Arterial plasma concentration (mM) at these times, a straight line between them.
    model : str
        ``tofts``, ``extended_tofts``, ``patlak``, ``2cum``, ``2cxm``; ``auto`` takes per voxel the
        simplest of none, patlak, tofts, extended_tofts, 2cxm, and a richer one only where its AICc
        is lower by more than 2.
    fit_delay : bool
        Fit the delay of the tissue behind the input.
    mask : array (...) of bool, optional
        Voxels to fit; all by default.
    delay : float or array (...), optional
        Known delay (s), not fitted.
    weights : array (n_time,), optional
        Weight of each frame (proportional to inverse variance); 0 censors a frame, whose values,
        those of the input included, are then not used.
    bounds : mapping, optional
        Bounds by parameter, instead of :data:`DEFAULT_BOUNDS`.
    max_relative_se : float
        A parameter counts as identified up to this ratio of standard error to value; with 0.25
        its 95 % interval stays within half of the value.
    threads : int or None
        Threads to use; None for all. The result does not depend on it.

    Returns
    -------
    Fit

    Raises
    ------
    ValueError
        Where shapes disagree, time does not rise, or a name is unknown.

    Examples
    --------
    >>> from afterglow.perfusion import aif
    >>> t = np.arange(0.0, 300.0, 3.0)
    >>> plasma = aif.to_plasma(aif.parker(t, arrival=20.0))
    >>> truth = {"Ktrans": np.array([0.1]), "ve": np.array([0.3]), "vp": np.array([0.05])}
    >>> r = fit(predict("extended_tofts", truth, t, plasma), t, plasma)
    >>> {name: float(r.maps[name][0].round(5)) for name in truth}
    {'Ktrans': 0.1, 've': 0.3, 'vp': 0.05}
    """
    from afterglow.perfusion.compiled import each
    from afterglow.perfusion.dce_engine import Engine
    from afterglow.perfusion.dce_fitted import Precision

    names = [name for name in _RICHNESS if name != "none"] if model == "auto" else [model]
    if any(name not in SPECS for name in names):
        raise ValueError(f"unknown model {model!r}; known are auto, {', '.join(SPECS)}")
    unknown = set(bounds or {}) - set(DEFAULT_BOUNDS)
    if unknown:
        raise ValueError(f"unknown bounds {sorted(unknown)}; known are {sorted(DEFAULT_BOUNDS)}")
    if fit_delay and delay is not None:
        raise ValueError("delay is either given or fitted")
    series = np.asarray(concentration)
    shape = series.shape[:-1]
    series = np.atleast_2d(series)
    limits = {**DEFAULT_BOUNDS, **(bounds or {})}
    precision = Precision(max_relative_se)
    engines = [
        Engine(SPECS[name], time, plasma_aif, weights, limits, fit_delay, precision)
        for name in names
    ]
    if series.shape[-1:] != (engines[0].n_time,):
        raise ValueError(f"{series.shape} holds no series of {engines[0].n_time} frames")
    inside = np.ones(series.shape[:-1], bool)
    if mask is not None:
        inside = np.asarray(mask, dtype=bool).reshape(np.shape(mask) or (1,))
    if inside.shape != series.shape[:-1]:
        raise ValueError(f"mask {inside.shape} does not fit the series {series.shape}")
    known = None if delay is None else np.broadcast_to(np.asarray(delay, float), inside.shape)
    collected = _Collector(inside.shape, engines, series.dtype, model)

    def work(where: NDArray[np.intp]) -> None:
        index = np.unravel_index(where, inside.shape)
        block = np.ascontiguousarray(series[index], dtype=np.float64)
        lag = None if known is None else known[index]
        collected.add(where, [engine.fit(block, lag) for engine in engines])

    each(work, _blocks(inside, series.shape[-1]), threads)
    return collected.result(shape)


def predict(
    model: str, maps: Mapping[str, ArrayLike], time: ArrayLike, plasma_aif: ArrayLike
) -> NDArray[np.float64]:
    """Return the tissue concentration that a model predicts.

    Parameters
    ----------
    model : str
        Any model of :func:`fit` but ``auto``.
    maps : mapping of arrays (...)
        Its parameters, in the units of :class:`Fit`; ``delay`` (s) is optional.
    time : array (n_time,)
        Frame times (s).
    plasma_aif : array (n_time,)
        Arterial plasma concentration (mM).

    Returns
    -------
    array (..., n_time)
        Concentration (mM).

    Raises
    ------
    ValueError
        Where the model is unknown or a parameter is missing.
    """
    from afterglow.perfusion.dce_engine import predict_curves

    if model not in SPECS:
        raise ValueError(f"unknown model {model!r}; known are {', '.join(SPECS)}")
    spec = SPECS[model]
    missing = [name for name in spec.free if name not in maps]
    if missing:
        raise ValueError(f"model {model} needs {', '.join(missing)}")
    wanted = [name for name in (*spec.free, "delay") if name in maps]
    arrays = np.broadcast_arrays(*[np.asarray(maps[name], dtype=np.float64) for name in wanted])
    flat = {name: array.ravel() for name, array in zip(wanted, arrays, strict=True)}
    return predict_curves(spec, flat, time, plasma_aif).reshape(*arrays[0].shape, -1)


def _blocks(inside: NDArray[np.bool_], n_time: int) -> list[NDArray[np.intp]]:
    """Return the voxels of the mask in blocks of about equal memory."""
    where = np.flatnonzero(inside)
    size = max(_BLOCK_VALUES // max(n_time, 1), 64)
    return [where[start : start + size] for start in range(0, where.size, size)]


class _Collector:
    """Puts the results of blocks into maps; for ``auto`` chooses per voxel first."""

    def __init__(
        self,
        shape: tuple[int, ...],
        engines: list[Engine],
        dtype: np.dtype[np.generic],
        model: str,
    ) -> None:
        self._shape, self._engines, self._model = shape, engines, model
        kind = np.float32 if dtype == np.float32 else np.float64
        names = list(dict.fromkeys(name for engine in engines for name in engine.names))
        self._maps = {name: np.full(shape, np.nan, dtype=kind) for name in names}
        self._errors = {name: np.full(shape, np.nan, dtype=kind) for name in names}
        self._by = {name: np.zeros(shape, dtype=bool) for name in names}
        self._scalars = {
            name: np.full(shape, np.nan, dtype=kind) for name in ("rss", "aicc", "bic")
        }
        self._reason = np.full(shape, Reason.OUTSIDE_MASK, dtype=np.uint16)
        self._chosen = np.full(shape, -1, dtype=np.int8)

    def add(self, where: NDArray[np.intp], fitted: list[Fitted]) -> None:
        """Take the results of one block."""
        choice = _choose(fitted) if self._model == "auto" else np.ones(where.size, dtype=np.int8)
        self._chosen.reshape(-1)[where] = choice
        none = choice == 0
        for number, one in enumerate(fitted, start=1):
            mine = choice == number
            target = where[mine]
            for name, values in one.values.items():
                self._maps[name].reshape(-1)[target] = values[mine]
                self._errors[name].reshape(-1)[target] = one.errors[name][mine]
                self._by[name].reshape(-1)[target] = one.evaluable[name][mine]
            for name, array in self._scalars.items():
                array.reshape(-1)[target] = getattr(one, name)[mine]
            self._reason.reshape(-1)[target] = one.reason[mine]
        if none.any():
            self._add_none(where, none, fitted)

    def _add_none(
        self, where: NDArray[np.intp], none: NDArray[np.bool_], fitted: list[Fitted]
    ) -> None:
        """Record voxels whose curve is best described by no contrast at all."""
        target = where[none]
        for name, array in self._scalars.items():
            array.reshape(-1)[target] = getattr(fitted[0], f"none_{name}")[none]
        unusable = fitted[0].unusable[none]
        flags = np.where(unusable, fitted[0].reason[none], Reason.NO_ENHANCEMENT)
        self._reason.reshape(-1)[target] = flags
        for name in ("Ktrans", "vp"):
            self._maps[name].reshape(-1)[target] = np.where(unusable, np.nan, 0.0)

    def result(self, shape: tuple[int, ...]) -> Fit:
        """Return the maps in the shape of the input (that of a single curve is empty)."""
        chosen: str | NDArray[np.str_] = self._model
        if self._model == "auto":
            names = np.array([*_RICHNESS, ""])
            chosen = names[self._chosen].reshape(shape)

        def shaped(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
            return {name: array.reshape(shape) for name, array in arrays.items()}

        reason = self._reason.reshape(shape)
        return Fit(
            model=chosen,
            maps=shaped(self._maps),
            standard_errors=shaped(self._errors),
            evaluable=np.asarray(reason == 0),
            evaluable_by=shaped(self._by),
            reason=reason,
            **shaped(self._scalars),
            n_frames=self._engines[0].n_used,
        )


def _choose(fitted: list[Fitted]) -> NDArray[np.int8]:
    """Return the place of the chosen model in order of richness (0 is none).

    Patlak and Tofts are equally rich: the lower criterion wins between them. A richer model must be
    better by the margin than the best of the simpler ones, and may not sit at a bound: there it is
    the simpler model again.
    """
    best = fitted[0].none_aicc.copy()
    choice = np.zeros(best.size, dtype=np.int8)
    equal = [(0, 1), (2,), (3,)]
    for level in equal:
        for place in level:
            value = fitted[place].aicc
            same_level = (choice > 0) & np.isin(choice, [p + 1 for p in level])
            needed = np.where(same_level, 0.0, _MARGIN)
            better = (value < best - needed) & ~fitted[place].at_bound
            choice[better] = place + 1
            best = np.where(better, value, best)
    return choice
