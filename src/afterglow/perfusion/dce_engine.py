"""One model made ready for one input: dictionary, bounds, and the fit of blocks of voxels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from afterglow.perfusion.convolution import steps
from afterglow.perfusion.dce_columns import predict_block
from afterglow.perfusion.dce_dictionary import fill_book
from afterglow.perfusion.dce_fitted import (
    Fitted,
    Precision,
    criteria,
    frame_weights,
    frames_in_half_width,
)
from afterglow.perfusion.dce_kernels import fit_block
from afterglow.perfusion.dce_models import Spec, derive, factor_bounds, to_columns
from afterglow.perfusion.dce_reason import Reason

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]
    Flags = NDArray[np.bool_]

_MIN_FRAMES = 6
_BOUND_TOLERANCE = 1e-6
_SPIKE_RATIO = 9.0
_SPIKE_PART = 0.15
_RATES = {1: 48, 2: 28}
_SLOWEST_IN_SPANS = 0.02
_NO_CONTRAST_MARGIN = 2.0
# An input whose first pass spans more frames than this at half its height is sampled well enough.
_COARSE_FRAMES = 2.5
# Where it lies between two frames is known no better than this part of a frame; by simulation more
# than 95 of 100 wrong values at frames of 10 s are then flagged (docs/dce_coverage.md).
_PLACE_IN_FRAME = 0.25
# An estimate x is more than half off a truth below x / 1.5, which is x / 3 away.
_HALF_OFF = 1.0 / 3.0


class Found(NamedTuple):
    """What the kernel fills: see :func:`afterglow.perfusion.dce_kernels.fit_block`."""

    parameters: Array
    covariance: Array
    rss: Array
    largest: Array
    rested: Flags
    singular: Flags
    square: Array
    highest: Array


@dataclass
class Engine:
    """A model, an input and a frame weighting, ready to fit blocks of voxels.

    Parameters
    ----------
    spec : Spec
        The model.
    time : array (n_time,)
        Frame times (s).
    plasma : array (n_time,)
        Arterial plasma concentration (mM).
    weights : array (n_time,) or None
        Frame weights, 0 for censored frames.
    bounds : dict
        By parameter, in reported units.
    fit_delay : bool
        Fit a delay.
    precision : Precision
        When a parameter counts as identified.
    """

    spec: Spec
    time: ArrayLike
    plasma: ArrayLike
    weights: ArrayLike | None
    bounds: dict[str, tuple[float, float]]
    fit_delay: bool
    precision: Precision = field(default_factory=Precision)

    def __post_init__(self) -> None:
        seconds = np.ascontiguousarray(self.time, dtype=np.float64)
        plasma = np.array(self.plasma, dtype=np.float64)
        if seconds.ndim != 1 or plasma.shape != seconds.shape:
            raise ValueError(f"time {seconds.shape} and input {plasma.shape} must be equal vectors")
        if np.any(~np.isfinite(seconds)) or np.any(np.diff(seconds) <= 0):
            raise ValueError("time must be finite and rise")
        weight = (
            np.ones_like(seconds) if self.weights is None else frame_weights(self.weights, seconds)
        )
        self.n_time = seconds.size
        self._used = weight > 0
        self.n_used = int(self._used.sum())
        # Only ratios of weights mean anything: with a mean of 1 the residuals stay in mM.
        self._root = np.sqrt(weight / weight[self._used].mean()) if self.n_used else weight
        self._t = seconds / 60.0
        self._h = steps(self._t)
        known = self._used & np.isfinite(plasma)
        self.input_usable = bool(known.sum() >= 3 and np.any(plasma[known] > 0))
        self._c = np.interp(seconds, seconds[known], plasma[known]) if known.any() else plasma
        self._coarse = frames_in_half_width(self._c) < _COARSE_FRAMES
        self.n_parameters = self.spec.n_parameters + int(self.fit_delay)
        self.names = (*self.spec.free, *self.spec.derived)
        if self.fit_delay:
            self.names = (*self.names, "delay")
        self.ready = self.input_usable and self.n_used >= max(_MIN_FRAMES, self.n_parameters + 2)
        self._limits = factor_bounds(self.spec, self.bounds)
        if self.ready:
            self._prepare()

    def _prepare(self) -> None:
        """Make the dictionary that the first search of every voxel goes through."""
        _, _, low, high = self._limits
        self._kinds = np.array(self.spec.kinds, dtype=np.int64)
        slow = max(low[0], _SLOWEST_IN_SPANS / float(self._t[-1] - self._t[0]))
        count = _RATES.get(self.spec.n_rates, 1)
        self._rates = np.geomspace(min(slow, high[0]), high[0], count)
        self._rates = np.clip(self._rates, low[0], high[0])
        # Known delays are looked up in the same grid, so it exists without a fit as well.
        step = max(float(np.median(self._h)), 1.0 / 60.0)
        n_delays = int(np.ceil((high[2] - low[2]) / step)) + 1
        self._delays = np.linspace(low[2], high[2], min(max(n_delays, 2), 41))
        self._no_delay = np.zeros(1)
        self._books: dict[str, tuple[Array, Array, Array, Array]] = {}

    def _book(self, delays: Array, name: str) -> tuple[Array, Array, Array, Array]:
        """Return the dictionary for a grid of delays, made once."""
        if name not in self._books:
            d, r, n = delays.size, self._rates.size, self.n_time
            squares = r if self.spec.n_rates == 2 else 1
            book = (
                np.zeros((d, r, n)),
                np.zeros((d, n)),
                np.zeros((d, r, 3)),
                np.zeros((d, squares, squares)),
            )
            fill_book(
                self._kinds, self._t, self._h, self._c, self._root, self._rates, delays, *book
            )
            self._books[name] = book
        return self._books[name]

    def fit(self, block: Array, delay: Array | None = None) -> Fitted:
        """Fit a block of curves (n_voxels, n_time); ``delay`` (s) where it is known."""
        usable, reason = self._screen(block)
        if delay is not None:
            unknown = ~np.isfinite(delay)
            reason[unknown] |= np.uint16(Reason.NOT_FINITE)
            usable &= ~unknown
        results = self._empty(block.shape[0], usable, reason)
        if self.ready and usable.any():
            self._fill(results, block, delay)
        return results

    def _screen(self, block: Array) -> tuple[Flags, NDArray[np.uint16]]:
        """Return which curves can be fitted, and why the others cannot."""
        reason = np.zeros(block.shape[0], dtype=np.uint16)
        if not self.input_usable:
            reason |= np.uint16(Reason.INPUT_UNUSABLE)
        elif not self.ready:
            reason |= np.uint16(Reason.TOO_FEW_FRAMES)
        if self.n_used:
            part = block if self._used.all() else block[:, self._used]
            finite = np.isfinite(part).all(axis=1)
            reason[~finite] |= np.uint16(Reason.NOT_FINITE)
            low, high = part.min(axis=1), part.max(axis=1)
            constant = finite & (high - low <= 1e-12 * np.maximum(np.abs(high), np.abs(low)))
            reason[constant] |= np.uint16(Reason.CONSTANT)
        return reason == 0, reason

    def _empty(self, n: int, usable: Flags, reason: NDArray[np.uint16]) -> Fitted:
        """Return results without values."""
        nan = {name: np.full(n, np.nan) for name in self.names}
        return Fitted(
            values=nan,
            errors={name: np.full(n, np.nan) for name in self.names},
            evaluable={name: np.zeros(n, dtype=bool) for name in self.names},
            reason=reason,
            unusable=~usable,
            at_bound=np.zeros(n, dtype=bool),
            **{
                name: np.full(n, np.nan)
                for name in ("rss", "aicc", "bic", "none_rss", "none_aicc", "none_bic")
            },
        )

    def _fill(self, results: Fitted, block: Array, delay: Array | None) -> None:
        """Fit the usable curves and derive everything that is reported of them."""
        rows = np.flatnonzero(~results.unusable)
        data = block if rows.size == block.shape[0] else np.ascontiguousarray(block[rows])
        m = self.n_parameters
        mode = 2 if self.fit_delay else int(delay is not None)
        lag = np.zeros(rows.size) if delay is None else delay[rows] / 60.0
        found = self._run(data, mode, lag)
        parameters, covariance, rss, _, _, singular, square, _ = found
        n = rows.size
        variance = rss / max(self.n_used - m, 1)
        covariance = covariance[:, :m, :m] * variance[:, None, None]
        reported = derive(self.spec, parameters)
        if self.fit_delay:
            gradient = np.zeros((n, m))
            gradient[:, -1] = 60.0
            reported["delay"] = (60.0 * parameters[:, 4], gradient)
        results.rss[rows], results.none_rss[rows] = rss, square
        results.aicc[rows], results.bic[rows] = criteria(rss, self.n_used, m)
        results.none_aicc[rows], results.none_bic[rows] = criteria(square, self.n_used, 0)
        bad = singular | self._flag_common(results, rows, found)
        bound = self._at_bound(parameters, reported)
        results.at_bound[rows] = bound["any"]
        moved = self._moved(data, parameters[:, 4] if mode else lag, reported)
        adrift = {}
        worst = np.zeros(n, dtype=bool)
        for name in self.names:
            value, gradient = reported[name]
            se = _propagated(gradient, covariance)
            vague = self._vague(name, value, se)
            se[singular] = np.nan
            adrift[name] = self._adrift(name, value, se, moved)
            results.values[name][rows] = value
            results.errors[name][rows] = se
            results.evaluable[name][rows] = ~(bad | vague | bound[name] | adrift[name])
            if name in self.spec.free or name == "delay":
                worst |= vague
        results.reason[rows[bound["any"]]] |= np.uint16(Reason.AT_BOUND)
        undersampled = np.logical_or.reduce([adrift[name] for name in self.spec.free])
        results.reason[rows[undersampled]] |= np.uint16(Reason.INPUT_UNDERSAMPLED)
        results.reason[rows[worst & ~singular]] |= np.uint16(Reason.IMPRECISE)

    def _vague(self, name: str, value: Array, se: Array) -> Flags:
        """Return where an error is too large for the value; a delay is known to a frame."""
        if name == "delay":
            return np.asarray(~(se <= 60.0 * float(np.median(self._h))))
        with np.errstate(all="ignore"):
            return np.asarray(~(se <= self.precision.max_relative_se * np.abs(value)))

    def _run(self, data: Array, mode: int, lag: Array) -> Found:
        """Return what the kernel finds for curves."""
        n = data.shape[0]
        grid = self._delays if mode else self._no_delay
        found = Found(
            np.zeros((n, 5)), np.zeros((n, 5, 5)), np.zeros(n), np.zeros(n),
            np.zeros(n, dtype=bool), np.zeros(n, dtype=bool), np.zeros(n), np.zeros(n),
        )  # fmt: skip
        fit_block(
            self._kinds, 0, n, data, mode, lag, self._t, self._h, self._c, self._root,
            *self._limits, self._rates, grid, *self._book(grid, "grid" if mode else "none"),
            found.parameters, found.covariance, found.rss, found.largest, found.rested,
            found.singular, found.square, found.highest,
        )  # fmt: skip
        return found

    def _moved(
        self, data: Array, lag: Array, reported: dict[str, tuple[Array, Array]]
    ) -> dict[str, Array]:
        """Return how far each parameter hangs on where the input runs between its frames.

        Frames that are long beside the first pass leave open when within a frame it came. The fit
        is repeated with the input a part of a frame earlier; empty where frames are short enough.
        """
        if not self._coarse:
            return {}
        earlier = lag - _PLACE_IN_FRAME * float(np.median(self._h))
        other = derive(self.spec, self._run(data, 1, earlier).parameters)
        return {name: np.abs(other[name][0] - reported[name][0]) for name in other}

    def _adrift(self, name: str, value: Array, se: Array, moved: dict[str, Array]) -> Flags:
        """Return where a coarse input leaves a truth possible that the value is half off.

        The interval of noise and the shift by the place within a frame add up: the one is random,
        the other is the same for all voxels of a series.
        """
        if name not in moved:
            return np.zeros(value.size, dtype=bool)
        from scipy.special import stdtrit

        width = float(stdtrit(self.n_used - self.n_parameters, 0.975))
        with np.errstate(all="ignore"):
            return ~(width * se + moved[name] <= _HALF_OFF * np.abs(value))

    def _flag_common(self, results: Fitted, rows: NDArray[np.intp], found: Found) -> Flags:
        """Set the flags that concern all parameters; return where any is set."""
        gap = results.none_aicc[rows] - results.aicc[rows]
        none = ~(gap > _NO_CONTRAST_MARGIN)
        rest = np.sqrt(found.rss / self.n_used)
        # A perfect fit has residuals of rounding size, whose shape means nothing.
        beyond = rest * np.minimum(found.largest, 1e6) > _SPIKE_PART * found.highest
        spike = (found.largest > _SPIKE_RATIO) & beyond
        for flags, flag in (
            (none, Reason.NO_ENHANCEMENT),
            (spike, Reason.SPIKE),
            (found.singular, Reason.SINGULAR),
            (~found.rested, Reason.NOT_CONVERGED),
        ):
            results.reason[rows[flags]] |= np.uint16(flag)
        return np.asarray(none | spike | ~found.rested)

    def _at_bound(
        self, parameters: Array, reported: dict[str, tuple[Array, Array]]
    ) -> dict[str, Flags]:
        """Return per reported parameter, and for any, whether it lies at or beyond a bound."""
        lower, upper, low, high = self._limits
        any_bound = np.zeros(parameters.shape[0], dtype=bool)
        for j in range(len(self.spec.kinds)):
            x = parameters[:, j]
            any_bound |= (x <= lower[j]) | (x >= upper[j])
        for j in range(self.spec.n_rates):
            x = parameters[:, 2 + j]
            any_bound |= (x <= low[0] * (1 + _BOUND_TOLERANCE)) | (
                x >= high[0] * (1 - _BOUND_TOLERANCE)
            )
        bound: dict[str, Flags] = {}
        for name, (value, _) in reported.items():
            least, most = self.bounds[name]
            slack = _BOUND_TOLERANCE * (most - least)
            bound[name] = ~((value > least + slack * (least != 0)) & (value < most - slack))
            any_bound |= bound[name]
        bound["any"] = any_bound
        return bound


def _propagated(gradient: Array, covariance: Array) -> Array:
    """Return standard errors (n_voxels,) of what has a gradient by the first parameters."""
    full = np.zeros(covariance.shape[:2])
    full[:, : gradient.shape[1]] = gradient
    with np.errstate(all="ignore"):
        return np.asarray(np.sqrt(np.einsum("ij,ijk,ik->i", full, covariance, full)))


def predict_curves(spec: Spec, maps: dict[str, Array], time: ArrayLike, plasma: ArrayLike) -> Array:
    """Return model curves (n_voxels, n_time) of reported parameters, vectors of n_voxels."""
    t = np.ascontiguousarray(time, dtype=np.float64) / 60.0
    c = np.ascontiguousarray(plasma, dtype=np.float64)
    parameters = to_columns(spec, maps)
    out = np.zeros((parameters.shape[0], t.size))
    kinds = np.array(spec.kinds, dtype=np.int64)
    predict_block(kinds, parameters, t, steps(t), c, out)
    return out
