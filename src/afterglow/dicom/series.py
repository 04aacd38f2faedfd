"""Groups instances into series by their identifiers and geometry, and says what each is."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from afterglow.dicom.acquisition import field_doubt, receive_gains
from afterglow.dicom.completeness import add_doubts
from afterglow.dicom.conflicts import is_short
from afterglow.dicom.contrast import after_contrast, same_volume, study_facts
from afterglow.dicom.facts import component, gather, object_kind
from afterglow.dicom.rules import Rule, decide, load_rules
from afterglow.dicom.timing import resolve
from afterglow.dicom.volumes import Row, assemble, lacks_slices, moved_up

# of a contrast tag that the name of the series does not contradict
_SURE = 0.9

# What is found of a series, in the inventory as in the index.
FOUND = (
    ("vendor", pa.string()),
    ("class", pa.string()),
    ("rule", pa.string()),
    ("confidence", pa.float64()),
    ("runner_up", pa.string()),
    ("runner_up_confidence", pa.float64()),
    ("contrast_rule", pa.string()),
    ("n_instances", pa.int64()),
    ("n_volumes", pa.int64()),
    ("n_incomplete", pa.int64()),
    ("n_expected", pa.int64()),
    ("n_cut_off", pa.int64()),
    ("n_positions", pa.int64()),
    ("n_echoes", pa.int64()),
    ("frame_times", pa.list_(pa.float64())),
    ("timing_source", pa.string()),
    ("timing_disagreement", pa.float64()),
    ("evaluable", pa.bool_()),
    ("reason", pa.string()),
    ("doubts", pa.list_(pa.string())),
)
SERIES = pa.schema(
    [
        ("series_key", pa.string()),
        ("patient_id", pa.string()),
        ("study_uid", pa.string()),
        ("series_uid", pa.string()),
        *FOUND,
        ("start", pa.float64()),
        ("facts", pa.string()),
        ("study_facts", pa.string()),
        ("rows", pa.list_(pa.int64())),
    ]
)


def classify(
    table: pa.Table, rules: Sequence[Mapping[str, Any]] | Sequence[Rule] | None = None
) -> pa.Table:
    """Name the series of an inventory.

    Parameters
    ----------
    table : pyarrow.Table
        Result of ``inventory.scan``. Copies of one instance count once.
    rules : sequence, optional
        A site's rules, tried before those of ``config/series.yaml``; or complete ``Rule`` objects.

    Returns
    -------
    pyarrow.Table
        One row per series (``SERIES``); ``rows`` are row numbers of ``table``. ``frame_times`` is
        null for a single volume; ``evaluable`` and ``reason`` speak of the frame times, ``doubts``
        (a word, and its numbers) of the rest.
    """
    described = describe(table.to_pylist(), rules)
    for series in described:
        series["facts"] = json.dumps(series["facts"], sort_keys=True, default=sorted)
        series["study_facts"] = json.dumps(series["study_facts"], sort_keys=True)
    return pa.Table.from_pylist(described, schema=SERIES)


def describe(
    rows: list[dict[str, Any]],
    rules: Sequence[Mapping[str, Any]] | Sequence[Rule] | None = None,
) -> list[dict[str, Any]]:
    """Return what :func:`classify` tabulates, with ``facts`` as dict and ``volumes`` kept."""
    given = list(rules or ())
    complete = bool(given) and isinstance(given[0], Rule)
    every: list[Rule] = given if complete else load_rules(given)  # type: ignore[assignment,arg-type]
    described = [_describe(key, members) for key, members in _group(rows).items()]
    _siblings(described)
    for series in described:
        decision = decide(series["facts"], every)
        series["class"] = decision.series_class
        series["rule"], series["confidence"] = decision.rule, decision.confidence
        series["runner_up"] = decision.runner_up
        series["runner_up_confidence"] = decision.runner_up_confidence
    studies: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for series in described:
        studies[series["patient_id"], series["study_uid"]].append(series)
    for study in studies.values():
        _contrast(study)
        add_doubts(study, rows)
        _gains(study)
    described.sort(key=lambda s: (s["patient_id"], s["study_uid"], s["series_key"]))
    return described


def _group(rows: list[dict[str, Any]]) -> dict[tuple[Any, ...], list[tuple[int, Row]]]:
    groups: dict[tuple[Any, ...], list[tuple[int, Row]]] = defaultdict(list)
    seen: set[tuple[str, str]] = set()
    for number, row in enumerate(rows):
        if row["status"] != "ok":
            continue
        identity = (row["sop_uid"], row["header_sha256"])
        if identity in seen:
            continue
        seen.add(identity)
        groups[group_key(row)].append((number, row))
    return groups


def group_key(row: Row) -> tuple[Any, ...]:
    """Return what instances of one series have in common."""
    kind = object_kind(row)
    key = (row.get("patient_id") or "", row["study_uid"], row["series_uid"], kind)
    if kind != "image":
        return key
    enhanced = bool(row.get("frames"))
    orientation = () if enhanced else _rounded(row.get("image_orientation"), 2)
    spacing = () if enhanced else _rounded(row.get("pixel_spacing"), 3)
    geometry = (row.get("rows"), row.get("columns"), orientation, spacing)
    return (*key, enhanced, component(row), geometry)


def _rounded(values: Sequence[float] | None, digits: int) -> tuple[float, ...]:
    return tuple(round(value, digits) + 0.0 for value in values or ())


def _describe(key: tuple[Any, ...], numbered: list[tuple[int, Row]]) -> dict[str, Any]:
    """Return everything about one series but its class."""
    numbered.sort(key=lambda item: (item[1].get("instance_number") or 0, item[1]["sop_uid"]))
    rows = [row for _, row in numbered]
    volumes = assemble(rows)
    times = resolve(rows, volumes)
    facts = gather(rows, volumes, times)
    dynamic = volumes.n_volumes > 1 and facts["object"] == "image"
    expected = rows[0].get("n_temporal")
    short = dynamic and volumes.incomplete
    return {
        "series_key": hashlib.sha256(repr(key).encode()).hexdigest()[:16],
        "patient_id": rows[0].get("patient_id") or "",
        "study_uid": rows[0]["study_uid"],
        "series_uid": rows[0]["series_uid"],
        "vendor": rows[0]["vendor"],
        "contrast_rule": None,
        "n_instances": len(rows),
        "n_volumes": volumes.n_volumes if facts["object"] == "image" else 0,
        "n_incomplete": len(volumes.incomplete),
        "n_expected": expected,
        "n_cut_off": sum(is_short(row) for row in rows),
        "lacks_slices": lacks_slices(volumes) or moved_up(volumes, rows),
        "n_positions": facts["n_positions"],
        "n_echoes": facts["n_echoes"],
        "frame_times": [float(t) for t in times.seconds] if dynamic else None,
        "timing_source": times.source if dynamic else None,
        "timing_disagreement": times.disagreement if dynamic else None,
        "evaluable": times.evaluable and facts["object"] == "image",
        "reason": _reason(volumes.n_volumes, len(volumes.incomplete), times.reason, bool(short))
        if facts["object"] == "image"
        else "",
        "doubts": [doubt] if (doubt := field_doubt(rows)) else [],
        "receive_gains": receive_gains(rows),
        "start": facts["start"],
        "facts": facts,
        "volumes": volumes,
        "signature": _signature(rows[0], facts, volumes.n_positions),
        "rows": [number for number, _ in numbered],
    }


def _reason(complete: int, incomplete: int, timing: str, short: bool) -> str:
    if timing:
        return timing
    if complete == 0 and incomplete:
        return "no_complete_volume"
    return "incomplete_volumes_dropped" if short or incomplete else ""


def _signature(row: Row, facts: dict[str, Any], n_positions: int) -> tuple[Any, ...]:
    """Return what the members of a mapping protocol share."""
    repetition, echo = facts["repetition_time"], facts["echo_time"]
    return (
        row.get("patient_id"),
        row.get("study_uid"),
        row.get("rows"),
        row.get("columns"),
        n_positions,
        facts["is_3d"],
        facts["gradient_echo"],
        None if repetition is None else round(repetition, 1),
        None if echo is None else round(echo, 1),
    )


def _siblings(described: list[dict[str, Any]]) -> None:
    """Count, for every series, the flip angles and inversion times its siblings cover."""
    angles: dict[Any, set[float]] = defaultdict(set)
    inversions: dict[Any, set[float]] = defaultdict(set)
    for series in described:
        facts = series["facts"]
        if facts["object"] == "image" and not facts["derived"] and facts["n_volumes"] <= 4:
            angles[series["signature"]].update(facts["flip_angles"])
            if facts["inversion_time"]:
                inversions[series["signature"]].add(facts["inversion_time"])
    for series in described:
        series["facts"]["n_flip_siblings"] = len(angles[series["signature"]])
        series["facts"]["n_inversion_siblings"] = max(
            len(inversions[series["signature"]]), series["facts"]["n_inversion_times"]
        )


def _gains(study: list[dict[str, Any]]) -> None:
    """Doubt flip angles that were received at different gains."""
    angles = [series for series in study if series["class"] == "VFA" and series["receive_gains"]]
    found = sorted({tuple(gains) for series in angles for gains in series["receive_gains"]})
    if len(found) > 1:
        said = ", ".join(f"{analog}/{digital}" for analog, digital in found)
        for series in angles:
            series["doubts"].append(f"receive_gains_differ (R1/R2 {said})")


def _contrast(study: list[dict[str, Any]]) -> None:
    """Tell T1w before from T1w after contrast, and keep what the study tells as a whole."""
    verdicts = {
        series["series_key"]: after_contrast(series, study)
        for series in study
        if series["class"] == "T1w"
    }
    enhanced = [
        series["facts"]["start"]
        for series in study
        if (verdict := verdicts.get(series["series_key"])) is not None
        and (verdict.rule, verdict.after) == ("contrast_tag", True)
        and verdict.confidence >= _SURE
        and series["facts"]["start"] is not None
    ]
    whole = study_facts(study, enhanced)
    injections = same_volume(study)
    for series in study:
        verdict = verdicts.get(series["series_key"])
        if verdict is not None:
            series["contrast_rule"] = verdict.rule
            other = "T1w_ce" if not verdict.after else "T1w"
            series["class"] = "T1w_ce" if verdict.after else "T1w"
            if 1.0 - verdict.confidence > series["runner_up_confidence"]:
                series["runner_up"] = other
                series["runner_up_confidence"] = round(1.0 - verdict.confidence, 3)
            series["confidence"] = round(min(series["confidence"], verdict.confidence), 3)
        series["study_facts"] = whole
        series["same_volume"] = injections if series["class"] in {"DSC", "DCE"} else 0
