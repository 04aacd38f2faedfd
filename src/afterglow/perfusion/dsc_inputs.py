"""What the `dsc` stage finds: series, timing, echo time, masks, and the facts of the center."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.bids.images import load_nifti
from afterglow.bids.sidecars import read_json
from afterglow.errors import NotEvaluable
from afterglow.perfusion.dsc_reference import brain_like, grown
from afterglow.perfusion.dsc_series import DSCSeries
from afterglow.perfusion.dsc_slices import slice_offsets
from afterglow.perfusion.dynamic import DynamicSeries, Find, load_dynamic

if TYPE_CHECKING:
    from numpy.typing import NDArray

_VESSEL_MARGIN = 6.0
# s; a header that wrote seconds for milliseconds falls below
ECHO_TIMES = (0.001, 0.2)


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
    loaded = load_dynamic(find, "dsc", bids, anat, problems)
    data, part = loaded.data, loaded.part
    warnings: list[str] = []
    signal, echo_times, others = _echoes(find, loaded, bids, warnings)
    masks = _Masks(find, part, data, warnings)
    series = DSCSeries(
        signal=signal,
        time=loaded.time,
        echo_times=echo_times,
        mask=masks.brain,
        affine=loaded.affine,
        lesions=masks.lesions,
        white_matter=masks.white_matter,
        censored=loaded.censored,
        search=grown(masks.brain, loaded.affine, _VESSEL_MARGIN) & brain_like(data)
        if part.get("brain")
        else None,
        slice_offsets=slice_offsets(loaded.sidecar, data.shape[2]),
    )
    sources = list(dict.fromkeys([*loaded.sources, *others, *masks.used]))
    return DSCInputs(series, loaded.path, loaded.sidecar, sources, bool(part), warnings)


def _echoes(
    find: Find, loaded: DynamicSeries, bids: dict[str, Any], warnings: list[str]
) -> tuple[NDArray[np.float32], tuple[float, ...], list[str]]:
    """Return the signal, of two echoes where there are two, the echo times (s), later echoes."""
    first = _echo_time(loaded.sidecar)
    raw = bids["series"]["dsc"].get("echoes") or []
    moved = loaded.part.get("echoes") or []
    if len(raw) != 2:
        if len(raw) > 2:
            warnings.append(f"{len(raw)} echoes: only the first is used")
        return loaded.data, (first,), []
    if loaded.part.get("moco") and len(moved) != 2:
        warnings.append("second echo not motion corrected: only the first is used")
        return loaded.data, (first,), []
    path = moved[1] if moved else raw[1]
    second, _ = load_nifti(find(path))
    if second.shape != loaded.data.shape:
        warnings.append(f"second echo of shape {second.shape}: only the first is used")
        return loaded.data, (first,), []
    later = _echo_time(read_json(find(raw[1].replace(".nii.gz", ".json"))))
    return np.stack([loaded.data, second]), (first, later), [path]


def _echo_time(sidecar: dict[str, Any]) -> float:
    te = sidecar.get("EchoTime")
    if not te or not ECHO_TIMES[0] <= float(te) < ECHO_TIMES[1]:
        raise NotEvaluable("no_echo_time", f"the echo time is {te!r} s")
    return float(te)


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
