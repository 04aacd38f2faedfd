"""The dynamic series of a session as the perfusion stages find it, or the reason there is none."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from afterglow.bids.images import load_nifti
from afterglow.bids.sidecars import read_json
from afterglow.errors import AfterglowError, NotEvaluable

if TYPE_CHECKING:
    from numpy.typing import NDArray

Find = Callable[[str], Path]


@dataclass(frozen=True)
class DynamicSeries:
    """A 4D series with its frame times, motion corrected where stage `anat` has done so.

    Attributes
    ----------
    path : str
        Relative to the study.
    sidecar : dict
        BIDS sidecar of the converted series.
    data : array (x, y, z, n_time)
        Signal.
    affine : array (4, 4)
        Voxel to world mm.
    time : array (n_time,)
        Frame times (s).
    censored : array (n_time,) of bool
        Frames that motion has spoilt.
    part : dict
        What stage `anat` says of the series; empty where it has no result.
    sources : tuple of str
        The files used, relative to the study.
    """

    path: str
    sidecar: dict[str, Any]
    data: NDArray[np.float32]
    affine: NDArray[np.float64]
    time: NDArray[np.float64]
    censored: NDArray[np.bool_]
    part: dict[str, Any]
    sources: tuple[str, ...]


@dataclass
class SessionResult:
    """What a perfusion stage reports: the summary later stages read, and doubts."""

    summary: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def load_dynamic(
    find: Find,
    kind: Literal["dsc", "dce"],
    bids: dict[str, Any],
    anat: dict[str, Any] | None,
    problems: Sequence[str] = (),
) -> DynamicSeries:
    """Load the DSC or DCE series of a session.

    Parameters
    ----------
    find : callable
        Gives the file at a path relative to the study (``Job.path``).
    kind : "dsc" or "dce"
        Which series.
    bids, anat : dict
        Summaries of the stages; ``anat`` is None where it has no result.
    problems : sequence of str
        What stage `bids` could not convert.

    Raises
    ------
    NotEvaluable
        ``no_dsc_series`` or ``no_dce_series``, ``conversion_failed``, or the reason of the series.
    AfterglowError
        Where frames, frame times and motion table do not match.
    """
    entry = _entry(kind, bids, problems)
    part = (anat or {}).get(kind) or {}
    path = part.get("moco") or entry["path"]
    sidecar = read_json(find(entry["sidecar"]))
    data, affine = load_nifti(find(path))
    time = np.asarray(sidecar.get("VolumeTiming") or [], dtype=np.float64)
    if data.ndim != 4 or time.size != data.shape[3]:
        raise AfterglowError(
            f"{time.size} frame times for an image of shape {data.shape}",
            where=path,
            expected="one time a frame",
            remedy="see the timing of the series in index/series.parquet",
        )
    censored = np.zeros(time.size, dtype=bool)
    if part.get("motion"):
        censored = _censored(find(part["motion"]), part["motion"], time.size)
    sources = tuple(dict.fromkeys((path, entry["path"])))
    return DynamicSeries(path, sidecar, data, affine, time, censored, part, sources)


def measured_times(sidecar: dict[str, Any], where: str) -> list[float]:
    """Return the frame times (s) of a sidecar, empty where it has none.

    Raises
    ------
    AfterglowError
        Times that nothing in the header supports.
    """
    if sidecar.get("VolumeTiming") and sidecar.get("TimingEvaluable") is False:
        raise AfterglowError(
            f"the sidecar's frame times are not measured ({sidecar.get('TimingReason')})",
            where=where,
            expected="times from the header",
            remedy="give a file of frame times",
        )
    return [float(value) for value in sidecar.get("VolumeTiming") or []]


def _entry(kind: str, bids: dict[str, Any], problems: Sequence[str]) -> dict[str, Any]:
    """Return what stage `bids` says of the series, or say why there is none."""
    entry: dict[str, Any] | None = (bids.get("series") or {}).get(kind)
    if not entry:
        failed = [text for text in problems if kind in text.lower()]
        if failed:
            raise NotEvaluable("conversion_failed", failed[0])
        raise NotEvaluable(f"no_{kind}_series", f"the session has no {kind.upper()} series")
    if not entry.get("evaluable", True):
        reason = entry.get("reason") or "no_temporal_tag"
        raise NotEvaluable(reason, "the series cannot be evaluated")
    return entry


def _censored(path: Path, name: str, n_time: int) -> NDArray[np.bool_]:
    """Return which frames the motion table censors."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    if len(rows) != n_time:
        raise AfterglowError(
            f"a motion table of {len(rows)} rows for {n_time} frames",
            where=name,
            remedy="run stage anat of this session again with --force",
        )
    return np.array([row["censored"].lower() in {"1", "true"} for row in rows], dtype=bool)
