"""From a DCE signal series to maps: arrival, T1, concentration, arterial input, kinetics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from afterglow.errors import NotEvaluable
from afterglow.perfusion import dce, signal
from afterglow.perfusion.aif_choice import ArterialChoice, Injection, choose_input

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.config.dce import DCEConfig

Scalar = TypeVar("Scalar", bound=np.generic)
_BLOCK = 65_536
_BACKGROUND = 0.1
_MIN_VOXELS = 20
_NEGATIVE_SIGMA = 4.0


@dataclass(frozen=True)
class DCEResult:
    """What :func:`analyse` finds.

    Attributes
    ----------
    maps, standard_errors : dict of arrays (x, y, z)
        By parameter, units of :class:`afterglow.perfusion.dce.Fit`; besides ``IAUC`` (mM s).
    evaluable_by : dict of arrays of bool
        By parameter.
    reason : array of uint16
        Flags of :class:`afterglow.perfusion.dce.Reason`.
    model : str or array of str
        The model, or the chosen one of each voxel.
    choice : ArterialChoice
        The arterial input.
    arrival : BolusArrival
        In the series as a whole.
    baseline : (int, int)
        First frame and stop of the baseline.
    mean_curve : array (n_time,)
        Mean concentration of the mask (mM).
    residual : array (x, y, z)
        Root mean square residual of the fit (mM).
    warnings : list of str
        Doubts.
    """

    maps: dict[str, NDArray[np.floating]]
    standard_errors: dict[str, NDArray[np.floating]]
    evaluable_by: dict[str, NDArray[np.bool_]]
    reason: NDArray[np.uint16]
    model: str | NDArray[np.str_]
    choice: ArterialChoice
    arrival: signal.BolusArrival
    baseline: tuple[int, int]
    mean_curve: NDArray[np.float64]
    residual: NDArray[np.floating]
    warnings: list[str] = field(default_factory=list)


def foreground(series: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return where a series (x, y, z, n_time) holds an object, by its mean signal."""
    mean = np.nanmean(series[..., : max(series.shape[-1] // 4, 1)], axis=-1, dtype=np.float64)
    top = float(np.nanpercentile(mean, 98))
    return np.asarray(np.isfinite(mean) & (mean > _BACKGROUND * top))


def whole_arrival(
    series: NDArray[np.floating], time: NDArray[np.float64], mask: NDArray[np.bool_]
) -> signal.BolusArrival:
    """Return the arrival of the bolus in the voxels of the mask that change most."""
    curves = series[mask].astype(np.float64)
    curves = curves[np.isfinite(curves).all(axis=1)]
    if curves.shape[0] == 0:
        raise NotEvaluable("no_signal", "no voxel of the mask has a finite signal")
    swing = curves.max(axis=1) - np.median(curves, axis=1)
    count = min(max(_MIN_VOXELS, curves.shape[0] // 50), curves.shape[0])
    top = np.argpartition(swing, -count)[-count:]
    found = [signal.bolus_arrival(part.mean(axis=0), time) for part in (curves[top], curves)]
    kept = [arrival for arrival in found if arrival.index > 0]
    if not kept:
        raise NotEvaluable("no_bolus", "no arrival of contrast is seen in the series")
    return min(kept, key=lambda arrival: arrival.index)


def concentration_of(
    series: NDArray[np.floating],
    mask: NDArray[np.bool_],
    t10: NDArray[np.floating],
    injection: Injection,
    baseline: signal.Baseline,
    b1: NDArray[np.floating] | None = None,
) -> NDArray[np.float32]:
    """Return the concentration (n_voxels, n_time) of the voxels of a mask, in blocks."""
    where = np.flatnonzero(mask)
    out = np.empty((where.size, series.shape[-1]), dtype=np.float32)
    for start in range(0, where.size, _BLOCK):
        part = slice(start, min(start + _BLOCK, where.size))
        index = np.unravel_index(where[part], mask.shape)
        out[part] = signal.spgr_concentration(
            series[index],
            t10[index],
            injection.tr,
            injection.flip_angle,
            injection.relaxivity,
            baseline,
            None if b1 is None else np.where(np.isfinite(b1[index]), b1[index], 1.0),
        )
    return out


def conversion_flags(
    series: NDArray[np.floating],
    mask: NDArray[np.bool_],
    curves: NDArray[np.float32],
    baseline: tuple[int, int],
) -> NDArray[np.uint16]:
    """Return for the voxels of a mask where the signal saturates or falls below its baseline."""
    saturated, negative = np.empty(curves.shape[0], bool), np.empty(curves.shape[0], bool)
    where = np.flatnonzero(mask)
    for start in range(0, where.size, _BLOCK):
        part = slice(start, min(start + _BLOCK, where.size))
        index = np.unravel_index(where[part], mask.shape)
        block = curves[part]
        known = np.isfinite(block)
        base = series[index][:, baseline[0] : baseline[1]].mean(axis=1)
        saturated[part] = (~known & np.isfinite(series[index])).any(axis=1) & (base > 0)
        after = np.where(known, block, 0.0)[:, baseline[1] :]
        mean, count = after.mean(axis=1), max(after.shape[1], 2)
        # Second differences: noise without the course of the contrast.
        noise = np.sqrt(np.mean(np.diff(after, n=2, axis=1) ** 2, axis=1) / 6.0)
        frames = max(baseline[1] - baseline[0], 1)
        negative[part] = mean < -_NEGATIVE_SIGMA * noise * np.sqrt(1.0 / count + 1.0 / frames)
    flags = np.where(saturated, dce.Reason.SATURATED, 0) | np.where(
        negative, dce.Reason.NEGATIVE, 0
    )
    return flags.astype(np.uint16)


def analyse(
    series: NDArray[np.floating],
    time: NDArray[np.float64],
    mask: NDArray[np.bool_],
    t10: NDArray[np.floating],
    injection: Injection,
    config: DCEConfig,
    *,
    search_mask: NDArray[np.bool_] | None = None,
    measured_t1: bool = True,
    native_t1: bool = True,
    b1: NDArray[np.floating] | None = None,
    censored: NDArray[np.bool_] | None = None,
    plasma_aif: NDArray[np.float64] | None = None,
    threads: int | None = 1,
) -> DCEResult:
    """Return the tracer-kinetic maps of one series.

    Parameters
    ----------
    series : array (x, y, z, n_time)
        Signal of a spoiled gradient echo.
    time : array (n_time,)
        Frame times (s).
    mask : array (x, y, z) of bool
        Voxels to fit.
    t10 : array (x, y, z)
        T1 before contrast (s).
    injection : Injection
        Agent, dose, haematocrit and sequence.
    config : DCEConfig
        Settings.
    search_mask : array (x, y, z) of bool, optional
        Where vessels are looked for; the mask by default.
    measured_t1 : bool
        False where ``t10`` is assumed: it then says nothing of the arterial voxels.
    native_t1 : bool
        False where ``t10`` was measured after an earlier injection.
    b1 : array (x, y, z), optional
        Ratio of actual to nominal flip angle.
    censored : array (n_time,) of bool, optional
        Frames that do not count.
    plasma_aif : array (n_time,), optional
        Plasma input (mM) to use instead of any other.
    threads : int or None
        Threads of the fit; None for all.

    Returns
    -------
    DCEResult

    Raises
    ------
    NotEvaluable
        ``no_bolus``, ``no_signal``.
    """
    arrival = whole_arrival(series, time, mask)
    baseline = (arrival.first, arrival.index)
    notes = _doubts(arrival, censored)
    if plasma_aif is None:
        choice = choose_input(
            series, time, mask if search_mask is None else search_mask, baseline, injection,
            arrival=arrival.seconds, t1=t10 if measured_t1 else None, native=native_t1, b1=b1,
            wanted=config.aif, min_quality=config.aif_min_quality,
            partial_volume=config.partial_volume,
        )  # fmt: skip
    else:
        choice = _given_input(plasma_aif, injection.hematocrit, arrival.seconds)
    if choice.reason:
        notes.append(f"the kinetic maps are not evaluable ({choice.reason}): {choice.rule}")
    if choice.doubt:
        notes.append(choice.doubt)
    curves = concentration_of(series, mask, t10, injection, baseline, b1)
    doubt = conversion_flags(series, mask, curves, baseline)
    weights = None if censored is None else (~censored).astype(np.float64)
    fitted = dce.fit(
        curves,
        time,
        choice.plasma,
        model=config.model,
        fit_delay=config.fit_delay,
        weights=weights,
        max_relative_se=config.max_relative_se,
        threads=threads,
    )
    area = dce.iauc(curves, time, choice.arrival, config.iauc_duration)
    maps = fitted.maps | {"IAUC": area.astype(np.float32)}
    by = {name: values & (doubt == 0) for name, values in fitted.evaluable_by.items()}
    by["IAUC"] = np.isfinite(area)
    nan = float("nan")
    return DCEResult(
        maps={n: _volume(v, mask, nan) for n, v in maps.items()},
        standard_errors={n: _volume(v, mask, nan) for n, v in fitted.standard_errors.items()},
        evaluable_by={n: _volume(v, mask, False) for n, v in by.items()},
        reason=_volume(fitted.reason | doubt, mask, int(dce.Reason.OUTSIDE_MASK)),
        model=fitted.model,
        choice=choice,
        arrival=arrival,
        baseline=baseline,
        mean_curve=np.nanmean(curves, axis=0, dtype=np.float64),
        residual=_volume(np.sqrt(fitted.rss / max(fitted.n_frames, 1)), mask, nan),
        warnings=notes,
    )


def _given_input(plasma: NDArray[np.float64], hematocrit: float, arrival: float) -> ArterialChoice:
    """Return the choice of a plasma curve that the caller brings along."""
    blood = np.asarray(plasma) * (1.0 - hematocrit)
    return ArterialChoice(blood, plasma, "given", "the input was given", arrival, 1.0)


def _volume(values: NDArray[Scalar], mask: NDArray[np.bool_], fill: float) -> NDArray[Scalar]:
    """Return values of the voxels of a mask in their places, and ``fill`` around them."""
    volume = np.full(mask.shape, fill, dtype=values.dtype)
    volume[mask] = values
    return volume


def _doubts(arrival: signal.BolusArrival, censored: NDArray[np.bool_] | None) -> list[str]:
    """Return what is doubtful about the series as a whole."""
    notes = []
    frames = arrival.index - arrival.first
    if frames < 3:
        notes.append(f"the baseline has only {frames} frames: concentrations carry its noise")
    if arrival.confidence < 0.5:
        notes.append(f"the arrival of the bolus is doubtful (confidence {arrival.confidence:.2f})")
    if censored is not None and censored.any():
        notes.append(f"{int(censored.sum())} of {censored.size} frames are censored for motion")
    return notes
