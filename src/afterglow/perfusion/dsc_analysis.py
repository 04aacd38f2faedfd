"""All maps of one DSC series, from signal in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from afterglow.errors import NotEvaluable
from afterglow.perfusion.aif_detect import ArterialInput, detect
from afterglow.perfusion.dsc_deconvolution import deconvolve
from afterglow.perfusion.dsc_leakage import leakage_correct
from afterglow.perfusion.dsc_measures import area, peak_height, psr
from afterglow.perfusion.dsc_normalization import normalize_rcbv
from afterglow.perfusion.dsc_reason import Reason, judge_voxels
from afterglow.perfusion.dsc_reference import grown, non_enhancing
from afterglow.perfusion.dsc_windows import Windows, find_windows
from afterglow.perfusion.signal import delta_r2star

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.config.dsc import DSCConfig

_FEWEST_REFERENCE = 50
_FEWEST_NAWM = 30


@dataclass(frozen=True)
class DSCSeries:
    """One series with what is known of it.

    Attributes
    ----------
    signal : array (x, y, z, n_time), or (2, x, y, z, n_time) for two echoes
    time : array (n_time,)
        Frame times (s).
    echo_times : tuple of float
        Seconds.
    mask : bool array (x, y, z)
        Brain.
    affine : array (4, 4)
    lesions : bool array (x, y, z) or None
    white_matter : array (x, y, z) or None
        Probability (0 to 1).
    censored : bool array (n_time,)
        Frames left out for motion.
    slice_offsets : array (z,) or None
        Acquisition of each slice after the frame time (s).
    search : bool array (x, y, z) or None
        Where to look for arteries; the brain by default.
    """

    signal: NDArray[np.floating]
    time: NDArray[np.float64]
    echo_times: tuple[float, ...]
    mask: NDArray[np.bool_]
    affine: NDArray[np.float64]
    lesions: NDArray[np.bool_] | None
    white_matter: NDArray[np.floating] | None
    censored: NDArray[np.bool_]
    slice_offsets: NDArray[np.float64] | None = None
    search: NDArray[np.bool_] | None = None


@dataclass
class DSCResult:
    """Maps (x, y, z) with NaN outside the mask, and what they rest on.

    Attributes
    ----------
    maps : dict
        By name, see ``docs/stages.md``.
    evaluable_by : dict
        Bool arrays by map name.
    reasons : uint8 array (x, y, z)
        Bits of :class:`afterglow.perfusion.dsc_reason.Reason`.
    windows : Windows
        Frames count from the start of the series.
    aif : ArterialInput or None
    aif_reason : str
        Why there is no AIF.
    reference, nawm : bool array (x, y, z)
        Reference of the leakage correction; white matter of the whole brain.
    curves : dict
        Mean delta R2* (1/s) by region: ``brain``, ``reference``, ``nawm``, ``lesions``.
    signal_curve : array (n_time,)
        Mean signal of the brain.
    warnings : list of str
    """

    maps: dict[str, NDArray[np.float64]]
    evaluable_by: dict[str, NDArray[np.bool_]]
    reasons: NDArray[np.uint8]
    windows: Windows
    aif: ArterialInput | None
    aif_reason: str
    reference: NDArray[np.bool_]
    nawm: NDArray[np.bool_]
    curves: dict[str, NDArray[np.float64]]
    signal_curve: NDArray[np.float64]
    warnings: list[str] = field(default_factory=list)


def analyse(series: DSCSeries, config: DSCConfig) -> DSCResult:
    """Compute every map of a series.

    Parameters
    ----------
    series : DSCSeries
    config : DSCConfig
        Settings of the stage.

    Raises
    ------
    NotEvaluable
        Reasons of :func:`afterglow.perfusion.dsc_windows.find_windows`; ``no_brain`` for an empty
        mask.
    """
    if not series.mask.any():
        raise NotEvaluable("no_brain", "the brain mask is empty on the DSC grid")
    rows = series.signal[..., series.mask, :].astype(np.float64)
    shown = rows[0] if len(series.echo_times) == 2 else rows
    kept = ~series.censored
    mean = np.nanmean(shown, axis=0)
    windows = find_windows(mean, series.time, tail=config.psr_tail, kept=kept)
    bridged = _bridged(rows, series.time, kept)
    rates = delta_r2star(bridged, series.echo_times, windows.baseline)
    first = windows.baseline[0]
    work = _Work(
        series=series,
        config=config,
        windows=windows,
        signal=(bridged[0] if len(series.echo_times) == 2 else bridged)[:, first:],
        rates=rates[:, first:],
        time=series.time[first:],
        kept=kept[first:],
    )
    return _run(work, mean)


@dataclass
class _Work:
    """The rows of the mask from the first steady frame on."""

    series: DSCSeries
    config: DSCConfig
    windows: Windows
    signal: NDArray[np.float64]
    rates: NDArray[np.float64]
    time: NDArray[np.float64]
    kept: NDArray[np.bool_]
    maps: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    evaluable: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def frames(self, span: tuple[int, int]) -> tuple[int, int]:
        """Return frames counted from the first steady one."""
        first = self.windows.baseline[0]
        return span[0] - first, span[1] - first

    def inside(self, volume: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """Return a volume's values in the mask, False where there is none."""
        if volume is None:
            return np.zeros(len(self.rates), bool)
        return volume[self.series.mask]


def _bridged(
    rows: NDArray[np.float64], time: NDArray[np.float64], kept: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the rows with censored frames interpolated between their neighbours."""
    if kept.all():
        return rows
    good = np.flatnonzero(kept)
    out = rows.copy()
    for frame in np.flatnonzero(~kept):
        after = int(np.clip(np.searchsorted(good, frame), 1, good.size - 1))
        a, b = good[after - 1], good[after]
        part = float(np.clip((time[frame] - time[a]) / (time[b] - time[a]), 0.0, 1.0))
        out[..., frame] = (1.0 - part) * rows[..., a] + part * rows[..., b]
    return out


def _run(work: _Work, mean: NDArray[np.float64]) -> DSCResult:
    """Fill the maps in order: quality, reference, leakage, CBV, signal measures, flow."""
    series = work.series
    lesion_rows = work.inside(series.lesions)
    reasons = judge_voxels(
        work.signal,
        work.rates,
        work.frames(work.windows.baseline),
        work.frames(work.windows.first_pass),
        lesion_rows,
    )
    good = reasons == 0
    near = (
        work.inside(grown(series.lesions, series.affine, work.config.lesion_margin))
        if series.lesions is not None
        else np.zeros(len(good), bool)
    )
    reference = non_enhancing(
        work.rates, work.time, work.frames(work.windows.first_pass), good & ~near
    )
    corrected = _volumes(work, good, reference)
    nawm = _white_matter(work, good & ~near)
    _relative(work, nawm)
    _signal_measures(work, good)
    aif, why = _flow(work, corrected, good)
    regions = {"brain": good, "reference": reference, "nawm": nawm, "lesions": lesion_rows & good}
    return DSCResult(
        maps={name: _volume(values, series.mask) for name, values in work.maps.items()},
        evaluable_by={name: _flags(v, series.mask) for name, v in work.evaluable.items()},
        reasons=_bits(reasons, series.mask),
        windows=work.windows,
        aif=aif,
        aif_reason=why,
        reference=_flags(reference, series.mask),
        nawm=_flags(nawm, series.mask),
        curves=_curves(work, corrected, regions),
        signal_curve=mean,
        warnings=work.warnings + list(work.windows.warnings),
    )


def _volumes(
    work: _Work, good: NDArray[np.bool_], reference: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Add raw and corrected CBV, K1, K2 (and kep); return the corrected curves."""
    span = None
    if work.config.cbv_window == "first_pass":
        span = work.frames(work.windows.first_pass)
    raw = area(work.rates, work.time, span, work.kept)
    _add(work, "CBVraw", raw, good)
    if reference.sum() < _FEWEST_REFERENCE:
        work.warnings.append(
            f"no_leakage_correction: {int(reference.sum())} voxels of intact brain are too few"
        )
        return work.rates
    found = leakage_correct(
        work.rates,
        work.time,
        reference,
        work.config.leakage_model,
        kept=work.kept,
        max_kep=work.config.max_kep,
        shape_terms=work.config.shape_terms,
    )
    _add(work, "CBV", area(found.corrected, work.time, span, work.kept), good)
    _add(work, "K1", found.k1, good)
    _add(work, "K2", found.k2, good)
    if found.kep is not None:
        _add(work, "kep", found.kep, good)
    return found.corrected


def _add(work: _Work, name: str, values: NDArray[np.float64], good: NDArray[np.bool_]) -> None:
    """Keep a map and where it is evaluable."""
    work.maps[name] = values
    work.evaluable[name] = good & np.isfinite(values)


def _white_matter(work: _Work, candidates: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return normal-appearing white matter of the whole brain, none where it is unknown."""
    probability = work.series.white_matter
    if probability is None:
        work.warnings.append("no_tissue: without white matter there is no rCBV")
        return np.zeros(len(candidates), bool)
    nawm: NDArray[np.bool_] = candidates & (
        probability[work.series.mask] >= work.config.nawm_probability
    )
    if nawm.sum() < _FEWEST_NAWM:
        work.warnings.append(f"no_nawm: {int(nawm.sum())} voxels of white matter are too few")
        return np.zeros(len(candidates), bool)
    return nawm


def _relative(work: _Work, nawm: NDArray[np.bool_]) -> None:
    """Add rCBV where there is white matter and corrected CBV."""
    if nawm.any() and "CBV" in work.maps:
        try:
            rcbv = normalize_rcbv(work.maps["CBV"], nawm)
        except ValueError as error:
            work.warnings.append(f"no_rcbv: {error}")
            return
        _add(work, "rCBV", rcbv, work.evaluable["CBV"])


def _signal_measures(work: _Work, good: NDArray[np.bool_]) -> None:
    """Add PSR and peak heights, from the uncorrected signal."""
    windows = work.windows
    baseline = work.frames(windows.baseline)
    known = {"arrival": windows.arrival, "baseline": baseline}
    passage = float(work.time[work.frames(windows.first_pass)[1] - 1] - windows.arrival)
    try:
        found = psr(work.signal, work.time, tail=windows.tail_seconds, **known)  # type: ignore[arg-type]
        _add(work, "PSR", found, good)
    except NotEvaluable as reason:
        work.warnings.append(f"no PSR: {reason}")
    relative = peak_height(work.signal, work.time, first_pass=passage, **known)  # type: ignore[arg-type]
    _add(work, "PH", relative, good)
    rates = peak_height(work.rates, work.time, kind="dr2s", first_pass=passage, **known)  # type: ignore[arg-type]
    _add(work, "PHdR2s", rates, good)


def _flow(
    work: _Work,
    corrected: NDArray[np.float64],
    good: NDArray[np.bool_],
) -> tuple[ArterialInput | None, str]:
    """Add CBF, MTT and Tmax where an arterial input is found."""
    found = _artery(work)
    if not found.evaluable:
        work.warnings.append(f"no CBF, MTT, Tmax: no arterial input ({found.reason})")
        return None, found.reason
    config = work.config
    maps = deconvolve(
        corrected,
        found.curve,
        work.time,
        config.deconvolution,
        threshold=config.svd_threshold,
        oscillation_index=config.oscillation_index,
    )
    shift = _slice_shift(work.series, found.voxels)
    usable = good & maps.evaluable
    for name, values in (("CBF", maps.cbf), ("MTT", maps.mtt)):
        _add(work, name, values, usable)
    _add(work, "Tmax", maps.tmax + shift, usable)
    _add(work, "delay", maps.delay + shift, usable)
    if maps.cth is not None:
        _add(work, "CTH", maps.cth, usable)
    return found, ""


def _artery(work: _Work) -> ArterialInput:
    """Find the arterial input around the brain, outside lesions and unsaturated voxels."""
    series, windows = work.series, work.windows
    where = series.mask if series.search is None else series.search | series.mask
    if series.lesions is not None:
        where = where & ~series.lesions
    signal = series.signal[..., where, :].astype(np.float64)
    signal = _bridged(signal, series.time, ~series.censored)
    rates = delta_r2star(signal, series.echo_times, windows.baseline)[:, windows.baseline[0] :]
    shown = (signal[0] if len(series.echo_times) == 2 else signal)[:, windows.baseline[0] :]
    reasons = judge_voxels(
        shown,
        rates,
        work.frames(windows.baseline),
        work.frames(windows.first_pass),
        np.zeros(len(rates), bool),
    )
    blocking = np.uint8(Reason.NOT_FINITE | Reason.SATURATED | Reason.LOW_SNR | Reason.NO_BOLUS)
    volume = np.full((*where.shape, work.time.size), np.nan, np.float32)
    volume[where] = rates
    return detect(volume, work.time, _flags((reasons & blocking) == 0, where), kind="dsc")


def _slice_shift(series: DSCSeries, artery: NDArray[np.bool_]) -> NDArray[np.float64] | float:
    """Return, per voxel, its slice's acquisition after that of the arterial voxels (s).

    Frames carry one time for all slices of 2D EPI, so that delays measured in frames lack it.
    """
    if series.slice_offsets is None:
        return 0.0
    offsets = np.broadcast_to(series.slice_offsets, series.mask.shape)
    return np.asarray(offsets[series.mask] - offsets[artery].mean())


def _volume(values: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return values of the mask as a volume, NaN outside."""
    out = np.full(mask.shape, np.nan)
    out[mask] = values
    return out


def _flags(values: NDArray[np.bool_], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return flags of the mask as a volume."""
    out = np.zeros(mask.shape, bool)
    out[mask] = values
    return out


def _bits(values: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return reason bits of the mask as a volume."""
    out = np.zeros(mask.shape, np.uint8)
    out[mask] = values
    return out


def _curves(
    work: _Work, corrected: NDArray[np.float64], regions: dict[str, NDArray[np.bool_]]
) -> dict[str, NDArray[np.float64]]:
    """Return mean curves of regions on the whole time axis, NaN in frames dropped."""
    lead = np.full(work.windows.baseline[0], np.nan)
    curves = {}
    for name, chosen in regions.items():
        if chosen.any():
            curves[name] = np.concatenate([lead, work.rates[chosen].mean(axis=0)])
            curves[f"{name}_corrected"] = np.concatenate([lead, corrected[chosen].mean(axis=0)])
    return curves
