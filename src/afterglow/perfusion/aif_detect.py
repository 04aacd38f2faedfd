"""Arteries and a draining vein found in a dynamic series."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.perfusion.aif_features import (
    Features,
    Kind,
    describe,
    enhancement,
    global_arrival,
    holds_signal,
)
from afterglow.perfusion.arrival import BolusArrival, bolus_arrival

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_MIN_CNR = 8.0
_MIN_TISSUE_RATIO = {"dsc": 1.0, "dce": 3.0}
_MAX_LATE = {"dsc": 0.75, "dce": 0.5}
# Signal saturates: at its peak pure blood reads less than its concentration says.
_MAX_LATE_SATURATED = 0.7
_PART_OF_HIGHEST = 0.45
_PART_OF_BEST = 0.75
_MIN_CORRELATION = 0.9
_MOST_VOXELS = 400
_NOISE_BAND = 6.0
_MOST_VENOUS = 30
_CANDIDATES = 2000


@dataclass(frozen=True)
class ArterialInput:
    """Vessels found in a dynamic series.

    Attributes
    ----------
    curve : array (n_time,)
        Mean of ``dynamic`` over the arterial voxels, in the unit of ``dynamic``; NaN where no
        vessel was found.
    voxels : array of bool, shape of the mask
        The arterial voxels.
    metrics : dict
        ``n_voxels``, ``peak``, ``time_to_peak`` (s), ``fwhm`` (s), ``late`` (tail over peak),
        ``rough``, ``cnr``, ``tissue_ratio`` (peak over that of the median voxel), ``consistency``
        (median correlation with the mean curve), ``frames_in_half_width`` and ``quality`` (0 to 1).
    arrival : float
        Arrival of the bolus in the arterial curve (s); NaN where none was found.
    evaluable : bool
        False where no vessel was found, for the ``reason`` given.
    venous_voxels : array of bool, shape of the mask
        Those of the vein; none where no vein was found.
    """

    curve: NDArray[np.float64]
    voxels: NDArray[np.bool_]
    metrics: dict[str, Any]
    arrival: float
    evaluable: bool
    reason: str
    venous_voxels: NDArray[np.bool_]
    bolus: BolusArrival = field(default_factory=lambda: BolusArrival(float("nan"), 0, 0.0))


def detect(
    dynamic: ArrayLike, time: ArrayLike, mask: ArrayLike | None = None, kind: Kind = "dsc"
) -> ArterialInput:
    """Find arterial input and venous output in a dynamic series.

    Candidates are the most enhancing voxels. Arteries among them are the ones that enhance first;
    the highest of these with curves that agree make the input. The vein is what enhances later and
    keeps the highest tail. A series without a curve that is high, early, and washed out holds no
    vessel, and says so.

    Parameters
    ----------
    dynamic : array (..., n_time)
        Signal, delta R2* or concentration (told apart by the baseline).
    time : array (n_time,)
        Frame times (s).
    mask : array (...) of bool, optional
        Where to look; everywhere by default.
    kind : "dsc" or "dce"
        Sets how long a first pass lasts and how far a vessel stands out.

    Returns
    -------
    ArterialInput

    Raises
    ------
    ValueError
        Where shapes disagree.
    """
    series = np.asarray(dynamic)
    seconds = np.asarray(time, dtype=np.float64)
    if series.shape[-1] != seconds.size:
        raise ValueError(f"{series.shape[-1]} frames but {seconds.size} times")
    inside = np.ones(series.shape[:-1], bool) if mask is None else np.asarray(mask, dtype=bool)
    if inside.shape != series.shape[:-1]:
        raise ValueError(f"mask {inside.shape} does not fit the series {series.shape}")
    where = np.flatnonzero(inside.ravel())
    curves = series.reshape(-1, seconds.size)[where].astype(np.float64)
    finite = np.isfinite(curves).all(axis=1) & (np.ptp(curves, axis=1) > 0)
    curves, where = curves[finite], where[finite]
    if curves.shape[0] < 1 or seconds.size < 8:
        return _nothing(inside.shape, seconds.size, "too_few_curves")
    raised = enhancement(curves, kind)
    if raised is None:
        return _nothing(inside.shape, seconds.size, "no_bolus")
    return _select(curves, raised, where, inside.shape, seconds, kind)


def _select(
    curves: NDArray[np.float64],
    raised: NDArray[np.float64],
    where: NDArray[np.intp],
    shape: tuple[int, ...],
    time: NDArray[np.float64],
    kind: Kind,
) -> ArterialInput:
    """Choose arterial and venous voxels among the most enhancing ones."""
    arrival = global_arrival(raised, time)
    if arrival.index < 1:
        return _nothing(shape, time.size, "no_bolus")
    height = raised[:, arrival.first :].max(axis=1)
    tissue = float(np.median(height))
    count = min(_CANDIDATES, height.size)
    pick = np.sort(np.argpartition(height, -count)[-count:])
    raised, where = raised[pick], where[pick]
    found = describe(raised, time, arrival, kind)
    saturates = kind == "dce" and holds_signal(curves)
    vessel = _vessels(found, _MAX_LATE_SATURATED if saturates else _MAX_LATE[kind])
    if not vessel.any():
        return _nothing(shape, time.size, "no_vessel")
    artery = _arteries(raised, found, vessel, time)
    metrics = _metrics(raised, found, artery, tissue, time)
    if metrics["tissue_ratio"] < _MIN_TISSUE_RATIO[kind]:
        return _nothing(shape, time.size, "no_vessel", metrics)
    curve = curves[pick[artery]].mean(axis=0)
    bolus = bolus_arrival(raised[artery].mean(axis=0), time)
    vein = _vein(raised, found, artery, time)
    return ArterialInput(
        curve=curve,
        voxels=_to_mask(where[artery], shape),
        metrics=metrics,
        arrival=bolus.seconds,
        evaluable=True,
        reason="",
        venous_voxels=_to_mask(where[vein], shape),
        bolus=bolus,
    )


def _vessels(found: Features, max_late: float) -> NDArray[np.bool_]:
    """Return which candidates look like a vessel at all: clear, high, with a first pass."""
    clear = (found.cnr >= _MIN_CNR) & (found.peak > 0) & ~(found.late > max_late)
    if not clear.any():
        return clear
    highest = np.sort(found.peak[clear])[-min(5, int(clear.sum()))]
    high: NDArray[np.bool_] = found.peak >= _PART_OF_HIGHEST * highest
    return clear & high


def _arteries(
    raised: NDArray[np.float64],
    found: Features,
    vessel: NDArray[np.bool_],
    time: NDArray[np.float64],
) -> NDArray[np.intp]:
    """Return the candidates that enhance first, highest first, and agree in shape."""
    step = float(np.median(np.diff(time)))
    onset = found.onset[vessel]
    first = float(np.percentile(onset, 5))
    early = vessel & (found.onset <= first + max(0.75 * step, 1.0))
    order = np.flatnonzero(early)
    score = found.peak[order] * np.exp(-found.rough[order])
    order = order[np.argsort(-score, kind="stable")]
    best = order[: max(3, order.size // 10)]
    template = raised[best].mean(axis=0)
    alike = _correlation(raised[order], template) >= _MIN_CORRELATION
    # Among many pure voxels the highest are the ones noise has raised: all within noise are taken.
    noise = float(np.median(found.peak[order] / found.cnr[order]))
    top = float(np.median(found.peak[best]))
    high = found.peak[order] >= max(_PART_OF_BEST * top, top - _NOISE_BAND * noise)
    kept = order[alike & high][:_MOST_VOXELS]
    return kept if kept.size else order[:1]


def _vein(
    raised: NDArray[np.float64],
    found: Features,
    artery: NDArray[np.intp],
    time: NDArray[np.float64],
) -> NDArray[np.intp]:
    """Return candidates that enhance after the arteries and keep the highest tail."""
    step = float(np.median(np.diff(time)))
    latest = float(np.median(found.onset[artery]))
    later = (found.cnr >= _MIN_CNR) & (found.onset > latest + max(0.5 * step, 1.0))
    later &= found.onset <= latest + 15.0
    later &= found.peak >= 0.4 * float(np.median(found.peak[artery]))
    order = np.flatnonzero(later)
    if order.size < 3:
        return np.zeros(0, dtype=np.intp)
    area = np.trapezoid(raised[order], time, axis=1)
    order = order[np.argsort(-area, kind="stable")][: max(3, min(_MOST_VENOUS, order.size // 5))]
    alike = _correlation(raised[order], raised[order[:3]].mean(axis=0)) >= _MIN_CORRELATION
    return np.asarray(order[alike])


def _metrics(
    raised: NDArray[np.float64],
    found: Features,
    chosen: NDArray[np.intp],
    tissue: float,
    time: NDArray[np.float64],
) -> dict[str, Any]:
    """Return the quality metrics of the chosen voxels."""
    mean = raised[chosen].mean(axis=0)
    step = float(np.median(np.diff(time)))
    fwhm = float(np.median(found.fwhm[chosen]))
    metrics: dict[str, Any] = {
        "n_voxels": int(chosen.size),
        "peak": float(mean.max()),
        "time_to_peak": float(np.median(found.time_to_peak[chosen])),
        "fwhm": fwhm,
        "late": float(np.median(found.late[chosen])),
        "rough": float(np.median(found.rough[chosen])),
        "cnr": float(np.median(found.cnr[chosen])),
        "tissue_ratio": float(mean.max()) / tissue if tissue > 0 else float("inf"),
        "consistency": float(np.median(_correlation(raised[chosen], mean))),
        "frames_in_half_width": fwhm / step,
    }
    parts = (
        min(metrics["cnr"] / 40.0, 1.0),
        min(metrics["frames_in_half_width"] / 3.0, 1.0),
        min(chosen.size / 3.0, 1.0),
        max(metrics["consistency"], 0.0),
        min(metrics["tissue_ratio"] / 3.0, 1.0),
        float(np.clip(1.0 - (metrics["late"] if np.isfinite(metrics["late"]) else 0.0), 0, 1)),
    )
    metrics["quality"] = float(np.prod(parts) ** (1.0 / len(parts)))
    return metrics


def _correlation(curves: NDArray[np.float64], template: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the correlation of each curve with a template."""
    a = curves - curves.mean(axis=1, keepdims=True)
    b = template - template.mean()
    norm = np.sqrt((a * a).sum(axis=1) * (b * b).sum())
    return np.asarray((a @ b) / np.where(norm > 0, norm, np.inf))


def _to_mask(where: NDArray[np.intp], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return flat positions as a mask."""
    mask = np.zeros(shape, dtype=bool)
    mask.ravel()[where] = True
    return mask


def _nothing(
    shape: tuple[int, ...], n_time: int, reason: str, metrics: dict[str, Any] | None = None
) -> ArterialInput:
    """Return the answer that there is no vessel."""
    nan = np.full(n_time, np.nan)
    empty = np.zeros(shape, dtype=bool)
    none = {"n_voxels": 0, "quality": 0.0}
    facts = {**(metrics or {}), **none, "reason": reason}
    return ArterialInput(nan, empty, facts, float("nan"), False, reason, empty)
