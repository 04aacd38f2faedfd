"""Which series of one study were acquired after an injection, by evidence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_DYNAMIC = frozenset({"DSC", "DCE"})
# s; series of one injection begin together
_APART = 5.0
_SAME = 1.01
_NAME = re.compile(r"\b(post|gd|gad\w*|c\+|ce|km|contrast|enh\w*)\b|\+ ?(c|gd|km)\b")
_PRE_NAME = re.compile(r"\b(pre|nativ\w*|non[ -]?contrast|w ?o|without)\b|\bpre[ -]?(gd|con)")


@dataclass(frozen=True)
class AfterContrast:
    """Whether a series was acquired after an injection: ``after`` None where nothing tells."""

    after: bool | None
    rule: str
    confidence: float


def injections(study: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the dynamic contrast series of one study in order of time.

    Parameters
    ----------
    study : sequence of dict
        ``class`` and ``facts`` of every series of the study.
    """
    found = [s for s in study if s["class"] in _DYNAMIC and s["facts"]["n_volumes"] > 1]
    return sorted(found, key=_begin)


def _begin(series: dict[str, Any]) -> float:
    start = series["facts"]["start"]
    return float("inf") if start is None else float(start)


def after_contrast(series: dict[str, Any], study: Sequence[dict[str, Any]]) -> AfterContrast:
    """Decide for one single-volume series whether contrast agent was in the patient.

    The order relative to an injection decides, then a contrast tag that not every series of
    the study carries. The name of the series only ever lowers the confidence.
    """
    start = series["facts"]["start"]
    named = _NAME.search(series["facts"]["text"]) is not None
    named_pre = _PRE_NAME.search(series["facts"]["text"]) is not None
    tagged = bool(series["facts"]["contrast"])
    dynamic = [s["facts"]["start"] for s in injections(study) if s["facts"]["start"] is not None]
    if dynamic and start is not None:
        if start > min(dynamic):
            return AfterContrast(True, "after_injection", 0.98 if tagged or named else 0.93)
        if not tagged or not _specific(study):
            return AfterContrast(False, "before_injection", 0.8 if named else 0.95)
    if tagged and _specific(study):
        return AfterContrast(True, "contrast_tag", 0.7 if named_pre else 0.95)
    if tagged:
        later = start is not None and _has_earlier_twin(series, study)
        if named_pre or (not later and not named and _has_later_twin(series, study)):
            return AfterContrast(None, "contrast_tag_on_all", 0.5)
        return AfterContrast(True, "contrast_tag_on_all", 0.75 if later or named else 0.6)
    return AfterContrast(
        False if not named else None, "no_contrast_evidence", 0.5 if named else 0.9
    )


def _specific(study: Sequence[dict[str, Any]]) -> bool:
    """Tell whether some images of the study do not carry the contrast tag."""
    marks = [bool(s["facts"]["contrast"]) for s in study if s["facts"]["object"] == "image"]
    return not all(marks)


def _twins(series: dict[str, Any], study: Sequence[dict[str, Any]]) -> list[float]:
    return [
        s["facts"]["start"] - series["facts"]["start"]
        for s in study
        if s is not series
        and s["class"] == series["class"]
        and s["facts"]["start"] is not None
        and series["facts"]["start"] is not None
    ]


def _has_earlier_twin(series: dict[str, Any], study: Sequence[dict[str, Any]]) -> bool:
    return any(distance < 0 for distance in _twins(series, study))


def _has_later_twin(series: dict[str, Any], study: Sequence[dict[str, Any]]) -> bool:
    return any(distance > 0 for distance in _twins(series, study))


def study_facts(study: Sequence[dict[str, Any]], enhanced: Sequence[float] = ()) -> dict[str, Any]:
    """Return what the order of series tells about injections.

    Parameters
    ----------
    study : sequence of dict
        As for :func:`injections`.
    enhanced : sequence of float
        When images began that a contrast tag says were acquired after an injection.

    Returns
    -------
    dict
        ``injections``: classes of the dynamic contrast series in order of time;
        ``preload_evidence``: ``dce_before_dsc``, ``dsc_before_dsc`` (an earlier DSC series),
        ``contrast_before_dsc`` (an enhanced image only), ``none_seen`` or null without DSC;
        ``injection_before_dce``,
        ``injection_between_vfa_and_dce`` and ``injection_before_vfa`` (an earlier one, whose
        agent is still in the patient): true, false, or null where it cannot be told.

    Where a class was acquired twice, all this speaks of the series that is used.
    """
    dynamic = injections(study)
    preload = before_dce = between = before_vfa = None
    dsc, dce = _used(dynamic, "DSC"), _used(dynamic, "DCE")
    if dsc is not None:
        kinds = {s["class"] for s in _earlier(dynamic, dsc)}
        preload = _preload(kinds, any(start < _begin(dsc) for start in enhanced))
    if dce is not None and dce["facts"]["start"] is not None:
        begin = _begin(dce)
        earlier = [s["facts"]["start"] for s in _earlier(dynamic, dce)]
        earlier += [start for start in enhanced if start < begin]
        before_dce = bool(earlier)
        vfa = [s["facts"]["start"] for s in study if s["class"] == "VFA"]
        if vfa and None not in vfa:
            between = any(max(vfa) < start for start in earlier)
            before_vfa = any(start < min(vfa) for start in [begin, *earlier])
    return {
        "injections": [s["class"] for s in dynamic],
        "preload_evidence": preload,
        "injection_before_dce": before_dce,
        "injection_between_vfa_and_dce": between,
        "injection_before_vfa": before_vfa,
    }


def same_volume(study: Sequence[dict[str, Any]]) -> int:
    """Return how many injections of a study state one and the same volume; 0 unless all do.

    Equal doses do so, and so does a site that enters the total of the day in each series.
    """
    apart: list[dict[str, Any]] = []
    for series in injections(study):
        if not apart or _begin(series) > _begin(apart[-1]) + _APART:
            apart.append(series)
    volumes = [s["facts"].get("contrast_volume") or 0.0 for s in apart]
    same = len(volumes) > 1 and 0 < max(volumes) <= _SAME * min(volumes)
    return len(volumes) if same else 0


def _preload(kinds: set[str], enhanced: bool) -> str:
    if "DCE" in kinds:
        return "dce_before_dsc"
    if "DSC" in kinds:
        return "dsc_before_dsc"
    return "contrast_before_dsc" if enhanced else "none_seen"


def _used(dynamic: Sequence[dict[str, Any]], kind: str) -> dict[str, Any] | None:
    """Return the series of a class that stage `bids` takes where there are several."""
    found = [s for s in dynamic if s["class"] == kind]
    return min(
        found,
        key=lambda s: (not s["evaluable"], -s["facts"]["n_volumes"], _begin(s), s["series_key"]),
        default=None,
    )


def _earlier(dynamic: Sequence[dict[str, Any]], used: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the dynamic series of injections before that of a series."""
    return [s for s in dynamic if s is not used and _begin(s) < _begin(used) - _APART]
