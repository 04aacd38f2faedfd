"""The page of one lesion: its course, what it looks like, and what rules and models say of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from afterglow import __version__
from afterglow.lesions.response import repeatability_limits
from afterglow.report.lesion_charts import lesion_charts, time_axis
from afterglow.report.lesion_rows import MEASURES, LesionFacts, Measure, Row
from afterglow.report.render import known, number, page, unit, words
from afterglow.report.rule_table import why_withheld
from afterglow.report.therapies import axis_shift, intervals, therapy_table

IMAGES = {
    "T1w": "T1w after contrast",
    "FLAIR": "FLAIR",
    "rCBV": "rCBV, ratio",
    "PSR": "PSR, %",
    "Ktrans": "Ktrans, 1/min",
}
DOSE = (
    ("prescribed_dose", "Prescribed dose, Gy"),
    ("fractions", "Fractions"),
    ("dose_mean", "Mean dose, Gy"),
    ("dose_d98", "D98 (least dose to 98 %), Gy"),
    ("dose_d2", "D2 (greatest dose to 2 %), Gy"),
    ("dose_v12", "Tissue at or above 12 Gy, target included, mL"),
    ("dose_type", "Kind of dose"),
    ("dose_reason", "Why there is no dose distribution"),
)


def lesion_page(
    facts: LesionFacts,
    *,
    study: str,
    titles: Mapping[str, str],
    cutoffs: Mapping[str, str] | None = None,
    repeatability: Mapping[str, float],
    ranges: Mapping[str, tuple[float, float]],
    pixels: int = 160,
    record_id: str = "",
) -> str:
    """Return the page of one lesion.

    Parameters
    ----------
    facts : LesionFacts
        Its rows.
    study : str
        Name of the study.
    titles : mapping
        Title of each rule by its id.
    cutoffs : mapping, optional
        Comparator, cut-off and unit of each rule by its id.
    repeatability : mapping
        Within-subject coefficient of variation by map (fraction).
    ranges : mapping
        Range of the colours of each map.
    pixels : int
        Side of the pictures.
    record_id : str
        Key of the page.
    """
    last = facts.visits[-1]
    times, axis = time_axis(facts)
    shift = axis_shift(times, facts.sessions, axis.startswith("Days"))
    return page(
        "lesion.html.j2",
        version=__version__,
        study=study,
        subject=last["subject"],
        center=last["center"],
        lesion=last["lesion_id"],
        tiles=_tiles(facts),
        charts=lesion_charts(facts, times, axis, repeatability, intervals(facts.therapies, shift)),
        bands=_band_notes(repeatability),
        visits=_visits(facts),
        decisions=[
            [f"ses-{v['session']}", v["decision"]] for v in facts.visits if v.get("decision")
        ],
        pictures=_pictures(facts, ranges),
        extent=(facts.slices or {}).get("extent"),
        pixels=pixels,
        dose=[[text, last[k]] for k, text in DOSE if last.get(k) not in {None, ""}],
        rules=_rules(facts.rules, titles, cutoffs or {}),
        withheld=_withheld(facts.rules),
        predictions=_predictions(facts.predictions),
        outcome=_outcome(last),
        therapies=therapy_table(facts.therapies, shift),
        therapy_axis=axis if math.isfinite(shift) else "Days from the subject's radiosurgery",
        record_id=record_id,
    )


def _tiles(facts: LesionFacts) -> list[tuple[str, str]]:
    last, seen = facts.visits[-1], [v for v in facts.visits if v["label"]]
    volume = seen[-1].get("volume") if seen else None
    calls = Counter(r["call"] for r in facts.rules if r["session"] == last["session"])
    said = f"{calls['progression']} of {calls['progression'] + calls['treatment_effect']}"
    return [
        (words(last.get("state")), "state at the last session"),
        (f"{number(volume)} mL", "volume when last seen"),
        (words(last.get("response_volume")), "response by volume"),
        (said, "rules with a call say progression, last session"),
        (words(last.get("outcome")) if last.get("outcome") else "none", "adjudicated outcome"),
    ]


def _band_notes(repeatability: Mapping[str, float]) -> list[str]:
    notes = []
    for name, cv in sorted(repeatability.items()):
        low, high = repeatability_limits(cv)
        notes.append(
            f"{name}: a change from the first value of less than {100 * (1 - low):.0f} % down or"
            f" {100 * (high - 1):.0f} % up is within noise (within-subject coefficient of"
            f" variation {cv:g})"
        )
    return notes


def held_of(visit: Row) -> str:
    """Return the lesions that changes count in beside this one, empty where none.

    Examples
    --------
    >>> held_of({"reason": "edema: no_flair; with: L002, L004"}), held_of({"reason": ""})
    ('L002, L004', '')
    """
    parts = str(visit.get("reason") or "").split("; ")
    return next((p.removeprefix("with: ") for p in parts if p.startswith("with: ")), "")


def _visits(facts: LesionFacts) -> list[dict[str, Any]]:
    rows = []
    for visit in facts.visits:
        session = facts.sessions.get(visit["session"], {})
        rows.append(
            {
                "session": visit["session"],
                "page": f"sub-{visit['subject']}_ses-{visit['session']}.html",
                "day": visit.get("days_from_srs"),
                "state": visit.get("state"),
                "verdict": session.get("qc_verdict"),
                "volume": visit.get("volume"),
                "diameter": visit.get("longest_diameter"),
                "change": visit.get("volume_change_nadir"),
                "held": held_of(visit),
                "response": visit.get("response_volume"),
                "cells": [_cell(facts, visit, m) for m in MEASURES if m.map],
                "source": visit.get("mask_source"),
            }
        )
    return rows


def _cell(facts: LesionFacts, visit: Row, measure: Measure) -> dict[str, Any]:
    cell = facts.features.get((visit["session"], measure.map, "median"))
    if cell is None:
        return {"value": None, "reason": "not measured"}
    if not cell["evaluable"]:
        return {"value": None, "reason": words(cell["reason"])}
    return {"value": cell["value"], "reason": ""}


def _pictures(
    facts: LesionFacts, ranges: Mapping[str, tuple[float, float]]
) -> list[dict[str, Any]]:
    """Return a row of pictures for each image that any session has."""
    seen = (facts.slices or {}).get("sessions") or {}
    rows = []
    for name, title in IMAGES.items():
        if not any(name in entry["tiles"] for entry in seen.values()):
            continue
        tiles = []
        for visit in facts.visits:
            entry = seen.get(visit["session"])
            path = entry["tiles"].get(name) if entry else None
            day = visit.get("days_from_srs")
            when = f"ses-{visit['session']}" + (f", day\u00a0{day:g}" if known(day) else "")
            tiles.append(
                {
                    "src": None if path is None else path.removeprefix("derivatives/"),
                    "outline": entry["outline"] if entry else "",
                    "when": when,
                    "alt": f"{title} of lesion {visit['lesion_id']}, {when}",
                }
            )
        span = ranges.get(name)
        rows.append({"title": title, "span": span, "tiles": tiles})
    return rows


def _rules(
    rows: Sequence[Row], titles: Mapping[str, str], cutoffs: Mapping[str, str]
) -> list[list[Any]]:
    called = [r for r in rows if r["call"] in {"progression", "treatment_effect", "indeterminate"}]
    called.sort(key=lambda r: (r["session"], r["rule_id"]))
    return [
        [
            f"ses-{r['session']}",
            titles.get(r["rule_id"], r["rule_id"]),
            r["call"],
            f"{number(r['value'])} {unit(r['unit']) if r['unit'] else ''}".strip(),
            cutoffs.get(r["rule_id"]) or number(r["cutoff"]),
            "; ".join(words(x) for x in r["reasons"]),
            words(r["evidence_level"]),
        ]
        for r in called
    ]


def _withheld(rows: Sequence[Row]) -> list[list[Any]]:
    """Return how often each reason kept a rule from a call."""
    counts = Counter(
        (r["call"], next(iter(r["reasons"]), ""))
        for r in rows
        if r["call"] in {"not_applicable", "not_evaluable"}
    )
    return [[words(call), why_withheld(why), n] for (call, why), n in sorted(counts.items())]


def _predictions(rows: Sequence[Row]) -> list[list[Any]]:
    shown = sorted(rows, key=lambda r: (r["session"], r["model"], r["split"]))
    return [
        [f"ses-{r['session']}", words(r["model"]), words(r["split"]), r["probability"]]
        for r in shown
    ]


def _outcome(last: Row) -> list[list[Any]]:
    if not last.get("outcome"):
        return []
    blinded = {True: "yes", False: "no", None: "unknown"}[last.get("outcome_blinded")]
    return [
        ["Label", words(last["outcome"])],
        ["Rests on", words(last.get("outcome_basis"))],
        ["Days from radiosurgery", number(last.get("outcome_days_from_srs"))],
        ["Adjudicated blind to perfusion", blinded],
    ]
