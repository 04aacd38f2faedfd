"""What the `dsc` stage finds: series, timing, echo time, masks, and the facts of the center."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.bids.images import load_nifti
from afterglow.bids.sidecars import read_json
from afterglow.errors import AfterglowError, NotEvaluable
from afterglow.perfusion.dsc_analysis import DSCSeries
from afterglow.perfusion.dsc_reference import brain_like, grown

if TYPE_CHECKING:
    from numpy.typing import NDArray

Find = Callable[[str], Path]

_VESSEL_MARGIN = 6.0


@dataclass
class DSCInputs:
    """A series ready to be analysed, and where everything about it comes from."""

    series: DSCSeries
    path: str
    sidecar: dict[str, Any]
    sources: list[str]
    registered: bool
    warnings: list[str] = field(default_factory=list)


def gather(
    find: Find,
    bids: dict[str, Any],
    anat: dict[str, Any] | None,
    problems: tuple[str, ...] = (),
) -> DSCInputs:
    """Return the series with its masks, motion corrected where stage `anat` has done so.

    Parameters
    ----------
    find : callable
        Gives the file at a path relative to the study (``Job.path``).
    bids, anat : dict
        Summaries of the stages; ``anat`` is None where it has no result.
    problems : tuple of str
        What stage `bids` could not convert.

    Raises
    ------
    NotEvaluable
        ``no_dsc_series``, ``conversion_failed``, ``no_echo_time``, or the reason of the series.
    AfterglowError
        Where times and frames do not match.
    """
    entry = _entry(bids, problems)
    sidecar = read_json(find(entry["sidecar"]))
    part = (anat or {}).get("dsc") or {}
    path = part.get("moco") or entry["path"]
    data, affine = load_nifti(find(path))
    time = np.asarray(sidecar.get("VolumeTiming") or [], dtype=np.float64)
    if data.ndim != 4 or time.size != data.shape[3]:
        raise AfterglowError(
            f"{time.size} frame times for an image of shape {data.shape}",
            where=path,
            expected="one time a frame",
            remedy="see the timing of the series in index/series.parquet",
        )
    te = sidecar.get("EchoTime")
    if not te or not 0 < float(te) < 0.2:
        raise NotEvaluable("no_echo_time", f"the echo time is {te!r} s")
    warnings: list[str] = []
    masks = _Masks(find, part, data, warnings)
    series = DSCSeries(
        signal=data,
        time=time,
        echo_times=(float(te),),
        mask=masks.brain,
        affine=affine,
        lesions=masks.lesions,
        white_matter=masks.white_matter,
        censored=_censored(find, part.get("motion"), time.size),
        search=grown(masks.brain, affine, _VESSEL_MARGIN) & brain_like(data)
        if part.get("brain")
        else None,
        slice_offsets=slice_offsets(sidecar, data.shape[2]),
    )
    sources = list(dict.fromkeys([path, entry["path"], *masks.used]))
    return DSCInputs(series, path, sidecar, sources, bool(part), warnings)


def _entry(bids: dict[str, Any], problems: tuple[str, ...]) -> dict[str, Any]:
    """Return the entry of the DSC series, or say why there is none."""
    entry = (bids.get("series") or {}).get("dsc")
    if not entry:
        failed = [text for text in problems if "dsc" in text.lower()]
        if failed:
            raise NotEvaluable("conversion_failed", failed[0])
        raise NotEvaluable("no_dsc_series", "the session has no DSC series")
    if not entry.get("evaluable", True):
        reason = entry.get("reason") or "no_temporal_tag"
        raise NotEvaluable(reason, "the series cannot be evaluated")
    found: dict[str, Any] = entry
    return found


class _Masks:
    """Brain, lesions and white matter on the grid of the series."""

    def __init__(
        self, find: Find, part: dict[str, Any], data: NDArray[np.float32], warnings: list[str]
    ) -> None:
        self.used: list[str] = []
        self._find = find
        if part.get("brain"):
            self.brain = self._load(part["brain"]) > 0.5
        else:
            warnings.append(
                "no anatomy: the series is used without motion correction, in voxels with signal,"
                " without lesions left out and without rCBV"
            )
            self.brain = brain_like(data)
        self.brain &= np.isfinite(data).all(axis=-1)
        lesions = part.get("lesions")
        self.lesions = self._load(lesions) > 0.5 if lesions else None
        white = (part.get("probseg") or {}).get("WM")
        self.white_matter = self._load(white) if white else None

    def _load(self, path: str) -> NDArray[np.float32]:
        self.used.append(path)
        return load_nifti(self._find(path))[0]


def _censored(find: Find, path: str | None, n_time: int) -> NDArray[np.bool_]:
    """Return which frames the motion table censors."""
    if not path:
        return np.zeros(n_time, bool)
    with find(path).open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    flags = np.array([row.get("censored", "0").lower() in {"1", "true"} for row in rows], bool)
    if flags.size != n_time:
        raise AfterglowError(
            f"{flags.size} rows of motion for {n_time} frames", where=path, expected="one a frame"
        )
    return flags


def slice_offsets(sidecar: dict[str, Any], n_slices: int) -> NDArray[np.float64] | None:
    """Return the acquisition of each slice after the frame time (s), None where unknown.

    Motion correction keeps the grid, and the few degrees it turns leave slices where they are but
    for a fraction of their thickness.
    """
    timing = sidecar.get("SliceTiming")
    if not timing or len(timing) != n_slices:
        return None
    offsets = np.asarray(timing, dtype=np.float64)
    return offsets[::-1].copy() if sidecar.get("SliceEncodingDirection") == "k-" else offsets
