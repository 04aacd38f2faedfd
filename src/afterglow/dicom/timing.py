"""When each volume of a dynamic series was acquired, and by what evidence.

Every element that may tell a time is a candidate. A candidate counts only if it gives all
volumes a time and the times rise. One source times all volumes: clocks are never mixed. The
vendors' habits decide which source is asked first; the others are compared with it. Nothing is
ever derived from the repetition time without the result being marked as not evaluable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterglow.dicom.volumes import Row, Volumes, assemble

_HALF_DAY, _DAY = 43200.0, 86400.0
# s between volumes of a head; other units lead outside
_PLAUSIBLE = (0.05, 600.0)
_CLOCK_SOURCES = frozenset({"acquisition_time"})
_OF_FRAMES = ("frame_acquisition_datetime", "temporal_offset")
# asked only where nothing better tells the time: their zero and their dummies differ by software
_WEAK = frozenset(
    {"siemens_since_start", "trigger_delay", "frame_reference_time", "frame_reference_datetime"}
)

# in what order a vendor's elements are trusted
_ORDER: dict[str, tuple[str, ...]] = {
    "GE": (
        "trigger_time",
        "frame_acquisition_datetime",
        "temporal_offset",
        "acquisition_datetime",
        "acquisition_time",
    ),
    "Siemens": (
        "frame_acquisition_datetime",
        "acquisition_time",
        "acquisition_datetime",
        "temporal_offset",
        "siemens_since_start",
        "trigger_time",
    ),
    "Philips": (
        "frame_acquisition_datetime",
        "philips_dynamic_start",
        "acquisition_time",
        "trigger_time",
        "temporal_offset",
        "acquisition_datetime",
    ),
}
_OTHERS = (
    "frame_acquisition_datetime",
    "temporal_offset",
    "acquisition_datetime",
    "acquisition_time",
    "trigger_time",
    "frame_reference_time",
    "frame_reference_datetime",
    "philips_dynamic_start",
    "siemens_since_start",
    "trigger_delay",
)


@dataclass(frozen=True)
class FrameTimes:
    """Start of each volume (s from the first), and how far it can be trusted.

    Attributes
    ----------
    seconds : ndarray, shape (n_volumes,)
        Times from 0; nominal where ``evaluable`` is False.
    source : str
        The element that gave them; ``nominal`` where none did, ``single`` for one volume.
    disagreement : float or None
        Largest difference (s) between the chosen and any other candidate; None with one.
    evaluable : bool
        Whether the header supports the times.
    reason : str
        Why not: ``no_temporal_tag``, ``times_not_rising``, ``times_incomplete``,
        ``sources_disagree``, ``times_implausible`` (steps of under 0.05 or over 600 s),
        ``volumes_share_times`` (label and control of one time).
    candidates : mapping
        Every candidate that gives all volumes rising times, and the nominal one where the
        repetition time is the time of a volume.
    """

    seconds: NDArray[np.float64]
    source: str
    disagreement: float | None
    evaluable: bool
    reason: str
    candidates: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


def resolve(rows: Any, volumes: Volumes | None = None) -> FrameTimes:
    """Find the frame times of one series.

    Parameters
    ----------
    rows : pyarrow.Table or sequence of mapping
        Inventory rows of one series.
    volumes : Volumes, optional
        Result of ``assemble`` on them, where it is at hand.

    Returns
    -------
    FrameTimes
    """
    if hasattr(rows, "to_pylist"):
        rows = rows.to_pylist()
    volumes = assemble(rows) if volumes is None else volumes
    count = volumes.n_volumes
    if count < 2:
        return FrameTimes(np.zeros(count), "single", None, True, "")
    measured, failures = _measured(volumes)
    nominal = _nominal(rows, count)
    candidates = dict(measured)
    if _repetition_is_volume(rows):
        candidates["nominal"] = nominal
    if not measured:
        return FrameTimes(nominal, "nominal", None, False, _why(failures), candidates)
    order = (*_ORDER.get(str(rows[0].get("vendor")), ()), *_OTHERS)
    source = next(name for name in order if name in measured)
    seconds = measured[source]
    others = {name: times for name, times in candidates.items() if name != source}
    differences = {n: float(np.max(np.abs(t - seconds))) for n, t in others.items()}
    reason = "sources_disagree" if _clash(source, measured, differences, volumes) else ""
    step = float(np.median(np.diff(seconds)))
    if not reason and step > 0 and not _PLAUSIBLE[0] <= step <= _PLAUSIBLE[1]:
        reason = "times_implausible"
    if not reason and _frames_contradict(seconds, measured, volumes):
        reason = "sources_disagree"
    if not np.all(np.diff(seconds) > 0):
        reason = "volumes_share_times"
    disagreement = round(max(differences.values()), 6) if differences else None
    return FrameTimes(seconds, source, disagreement, not reason, reason, candidates)


def _measured(volumes: Volumes) -> tuple[dict[str, NDArray[np.float64]], set[str]]:
    """Return the candidates that hold, and why the others do not."""
    held: dict[str, NDArray[np.float64]] = {}
    failures: set[str] = set()
    labelled = len({volume[0].label for volume in volumes.complete}) > 1
    for name in _OTHERS:
        starts = [_start(volume, name) for volume in volumes.complete]
        known = [value for value in starts if value is not None]
        if len(set(known)) < 2:
            continue
        if len(known) < len(starts):
            failures.add("times_incomplete")
            continue
        times = np.array(known)
        if name in _CLOCK_SOURCES:
            times = _past_midnight(times)
        steps = np.diff(times)
        if np.all(steps > 0) or (labelled and np.all(steps >= 0)):
            held[name] = np.round(times - times[0], 6)
        else:
            failures.add("times_not_rising")
    strong = {name: times for name, times in held.items() if name not in _WEAK}
    return strong or held, failures


def _start(volume: Sequence[Any], name: str) -> float | None:
    """Return when the earliest slice of a volume was acquired."""
    values = [s.times.get(name) for s in volume]
    if any(value is None for value in values):
        return None
    if name in _CLOCK_SOURCES and max(values) - min(values) > _HALF_DAY:
        # a volume across midnight: its early slices carry the late times of day
        values = [v for v in values if v - min(values) > _HALF_DAY]
    return float(min(values))


def _past_midnight(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Add a day after every fall of more than half a day."""
    falls = np.concatenate([[0], np.cumsum(np.diff(times) < -_HALF_DAY)])
    return times + falls * _DAY


def _why(failures: set[str]) -> str:
    for reason in ("times_not_rising", "times_incomplete"):
        if reason in failures:
            return reason
    return "no_temporal_tag"


def _repetition_time(rows: Sequence[Row]) -> float | None:
    """Return the repetition time (s) of a series, of its files or its frames."""
    row = rows[0]
    frames = row.get("frames") or [{}]
    value = row.get("repetition_time") or frames[0].get("repetition_time")
    return None if not value else float(value) / 1000.0


def _repetition_is_volume(rows: Sequence[Row]) -> bool:
    """Tell whether the repetition time means the time of a volume: single-shot 2D only."""
    tokens = {str(t).upper() for t in rows[0].get("scanning_sequence") or ()}
    planar = "EP" in tokens or "ep" in str(rows[0].get("sequence_name") or "").lower()[:3]
    planar = planar or str(rows[0].get("echo_planar") or "").upper() == "YES"
    return (
        rows[0].get("acquisition_type") == "2D"
        and planar
        and (_repetition_time(rows) or 0.0) >= 0.1
    )


def _nominal(rows: Sequence[Row], count: int) -> NDArray[np.float64]:
    """Return what the header promises: repetition time, or duration over volumes."""
    step = _repetition_time(rows) or 1.0
    duration = rows[0].get("acquisition_duration")
    if duration and rows[0].get("acquisition_type") == "3D":
        step = float(duration) / max(rows[0].get("n_temporal") or count, count)
    return np.round(np.arange(count) * step, 6)


def _frames_contradict(
    seconds: NDArray[np.float64], measured: Mapping[str, Any], volumes: Volumes
) -> bool:
    """Tell whether times of frames that fall or repeat speak against those that were chosen.

    An enhanced object states the time of each frame; a source that merely counts volumes must not
    take its place where the two contradict.
    """
    for name in _OF_FRAMES:
        starts = [_start(volume, name) for volume in volumes.complete]
        known = np.array([value for value in starts if value is not None])
        if name in measured or len(known) < len(starts) or np.unique(known).size < 2:
            continue
        coarse = 1.05 if np.all(known == np.round(known)) else 0.01
        allowed = max(0.25 * float(np.median(np.diff(seconds))), coarse)
        if float(np.max(np.abs(known - known[0] - seconds))) > allowed:
            return True
    return False


def _clash(
    source: str,
    measured: Mapping[str, NDArray[np.float64]],
    differences: Mapping[str, float],
    volumes: Volumes,
) -> bool:
    """Tell whether two measured sources differ by more than their resolution allows."""
    step = float(np.median(np.diff(measured[source])))
    whole = all(s.whole_seconds for volume in volumes.complete for s in volume)
    for name in measured:
        if name == source:
            continue
        coarse = 1.05 if whole and "acquisition_time" in {name, source} else 0.0
        if differences[name] > max(0.25 * step, coarse, 0.01):
            return True
    return False
