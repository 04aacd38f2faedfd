"""The page of one session: what was acquired, whether to trust it, and what was measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from afterglow import __version__
from afterglow.config.report import SessionReportConfig
from afterglow.provenance.job import State
from afterglow.report.methods import methods_text
from afterglow.report.panels import flicker_panels, mosaics, outline_panels, read_head
from afterglow.report.render import data_uri, number, page, unit, words

Reader = Callable[[str], Path]
ORDER = ("bids", "anat", "dsc", "dce", "features")
STAGE_NAMES = {
    "bids": "Conversion",
    "anat": "Anatomy, registration, motion",
    "dsc": "DSC perfusion",
    "dce": "T1 and DCE perfusion",
    "features": "Lesion measurements",
}
GROUPS = (
    ("Motion", ("motion",)),
    ("Maps, input functions and curves", ("dsc", "dce")),
    ("Brain mask, checkerboards and edges", ("brain", "tissue", "lesions", "registration")),
)
RANK = {"pass": 0, "warn": 1, "warning": 1, "check": 1, "fail": 2}
CAPTIONS = {
    "brain": "Brain extraction: outline of the brain mask on the anatomical reference.",
    "registration": "Registration: moving images against the anatomical reference.",
    "motion": "Motion of the perfusion series; translations in mm, rotations in degrees.",
    "lesions": "Lesion outlines on the anatomical reference.",
    "tissue": "Tissue probabilities on the anatomical reference.",
    "dsc": "DSC perfusion maps, arterial input function and curves, with units.",
    "dce": "T1 and DCE perfusion maps, arterial input function and curves, with units.",
}

# Of facts that are numbers with a unit, in the summaries of dsc and dce.
_UNITS = {
    **dict.fromkeys(("arrival", "duration", "frame_interval", "fwhm", "psr_echo_time"), "s"),
    **dict.fromkeys(("repetition_time", "t1", "te", "time_to_peak", "tr"), "s"),
    **dict.fromkeys(("field", "field_strength"), "T"),
    **dict.fromkeys(("blood_r2star", "relaxivity"), "1/s/mM"),
    "dose": "mmol/kg",
    "flip_angle": "°",
}
# Vessels are looked for in curves of DSC and in the signal of DCE, before it is a concentration.
_PEAK = {"dsc": "1/s", "dce": "signal above baseline"}


def session_page(
    states: Mapping[str, State],
    read: Reader,
    settings: SessionReportConfig,
    *,
    center: str,
    subject: str,
    session: str,
    record_id: str,
    viewer: str = "",
) -> str:
    """Return the page of one session.

    Parameters
    ----------
    states : mapping of str to State
        Upstream states by stage; a stage may be failed, not evaluable or absent.
    read : callable
        Path of a finished file from its path relative to the study's output.
    settings : SessionReportConfig
        What the lesion table shows.
    center, subject, session : str
        Labels.
    record_id : str
        Key of the report itself.
    viewer : str
        Name of the viewer's page beside it; empty where there is none.
    """
    head = read_head(states, read)
    verdicts = _verdicts(states)
    return page(
        "session.html.j2",
        version=__version__,
        center=center,
        subject=subject,
        session=session,
        stages=_stages(states),
        verdicts=verdicts,
        overall=worst(v["verdict"] for v in verdicts),
        trouble=_trouble(states),
        warnings=_warnings(states),
        series=_series(states, read),
        perfusion=_perfusion(states),
        lesions=_lesions(states, read, settings),
        figures=_figures(states, read),
        panels=outline_panels(head) if head else [],
        flicker=flicker_panels(head, states, read) if head else [],
        mosaics=mosaics(head, states, read) if head else [],
        viewer=viewer,
        methods=methods_text(states),
        provenance=_provenance(states, record_id),
    )


def worst(verdicts: Any) -> str:
    """Return the worst of quality verdicts, ``none`` where there is none.

    Examples
    --------
    >>> worst(["pass", "fail", "warn"]), worst([])
    ('fail', 'none')
    """
    found = sorted(verdicts, key=lambda v: RANK.get(v, 1))
    return str(found[-1]) if found else "none"


def _stages(states: Mapping[str, State]) -> list[dict[str, str]]:
    rows = []
    for name in ORDER:
        state = states.get(name)
        status = "absent" if state is None else state.status
        said = () if state is None else (_reason(state), state.detail)
        why = ": ".join(part for part in said if part)
        rows.append({"name": STAGE_NAMES[name], "status": status, "why": why})
    return rows


def _reason(state: State) -> str:
    return words(state.reason) if state.reason else ""


def _verdicts(states: Mapping[str, State]) -> list[dict[str, Any]]:
    rows = []
    for stage in ("anat", "dsc", "dce"):
        state = states.get(stage)
        found = (state.summary.get("verdicts") or {}) if state else {}
        for name, verdict in sorted(found.items()):
            numbers = verdict.get("numbers") or {}
            rows.append(
                {
                    "check": words(name),
                    "verdict": str(verdict.get("verdict", "none")),
                    "reasons": "; ".join(words(r) for r in verdict.get("reasons") or []),
                    "numbers": ", ".join(
                        f"{words(k)} {number(v)}" for k, v in sorted(numbers.items())
                    ),
                }
            )
    # What speaks against the session comes first.
    return sorted(rows, key=lambda row: -RANK.get(row["verdict"], 1))


def _trouble(states: Mapping[str, State]) -> list[list[str]]:
    """Return stage, what, cause and remedy of everything that did not work, failures first."""
    rows = []
    for name in ORDER:
        state = states.get(name)
        if state is not None and state.status != "done":
            what = "failed" if state.status == "failed" else "not evaluable"
            cause = ": ".join(p for p in (_reason(state), state.detail) if p)
            rows.append((state.status != "failed", [STAGE_NAMES[name], what, cause, state.remedy]))
        for problem in state.problems if state else []:
            cells = [STAGE_NAMES[name], problem.what, problem.cause, problem.remedy]
            rows.append((False, cells))
    return [cells for _, cells in sorted(rows, key=lambda row: row[0])]


def _warnings(states: Mapping[str, State]) -> list[str]:
    return [
        f"{STAGE_NAMES[name]}: {warning}"
        for name in ORDER
        if (state := states.get(name)) is not None
        for warning in state.warnings
    ]


def _series(states: Mapping[str, State], read: Reader) -> list[list[Any]]:
    bids = states.get("bids")
    found = (bids.summary.get("series") or {}) if bids else {}
    rows = []
    for name, entry in sorted(found.items()):
        entries = entry if isinstance(entry, list) else [entry]
        for position, one in enumerate(e for e in entries if e):
            label = f"{name} {position + 1}" if len(entries) > 1 else name
            rows.append(_series_row(label, one, read))
    return rows


def _series_row(label: str, entry: Mapping[str, Any], read: Reader) -> list[Any]:
    sidecar = json.loads(read(entry["sidecar"]).read_text(encoding="utf-8"))
    times = sidecar.get("VolumeTiming") or []
    frames = f"{len(times)} in {number(times[-1])} s" if len(times) > 1 else "1"
    doubt = sidecar.get("TimingDisagreement")
    trust = "evaluable" if entry.get("evaluable", True) else words(entry.get("reason"))
    if doubt:
        trust += f"; candidate times differ by {doubt:.3g} s"
    return [
        label,
        sidecar.get("Manufacturer"),
        sidecar.get("MagneticFieldStrength"),
        _milli(sidecar.get("EchoTime")),
        _milli(sidecar.get("RepetitionTime")),
        sidecar.get("FlipAngle"),
        frames,
        words(sidecar.get("TimingSource")) if len(times) > 1 else None,
        trust,
        entry.get("series_key"),
    ]


def _milli(seconds: Any) -> Any:
    if isinstance(seconds, list):
        return ", ".join(number(1000 * s) for s in seconds)
    return None if seconds is None else 1000 * float(seconds)


def _perfusion(states: Mapping[str, State]) -> list[dict[str, Any]]:
    blocks = []
    for name in ("dsc", "dce"):
        state = states.get(name)
        if state is None or not state.done:
            continue
        maps = state.summary.get("maps") or {}
        blocks.append(
            {
                "name": STAGE_NAMES[name],
                "maps": [
                    [key, _noted(m.get("units")), m.get("model"), _voxels(m)]
                    for key, m in sorted(maps.items())
                    if m.get("kind", "map") == "map"
                ],
                "aif": _plain(state.summary.get("aif") or {}, {"peak": _PEAK[name]}),
                "domain": _plain(state.summary.get("domain") or {}),
            }
        )
    return blocks


def _voxels(entry: Mapping[str, Any]) -> str:
    if entry.get("reason"):
        return f"not evaluable: {words(entry['reason'])}"
    return "masked" if entry.get("evaluable") else "all"


def _noted(units: Any) -> str:
    """Return a unit with what the sidecar says of it, but for what the unit says itself."""
    shown, note = unit(units), str(units or "").partition(" (")[2].removesuffix(")")
    note = note.removeprefix(f"{shown}: ").removeprefix(f"{shown} ")
    return f"{shown} ({note})" if note else shown


def _plain(facts: Mapping[str, Any], units: Mapping[str, str] | None = None) -> list[list[Any]]:
    """Return the short facts of a mapping; paths and long lists stay in the record."""
    rows = []
    for key, value in sorted(facts.items()):
        if isinstance(value, bool):
            rows.append([words(key), "yes" if value else "no"])
        elif isinstance(value, int | float):
            told = {**_UNITS, **(units or {})}.get(key, "")
            rows.append([f"{words(key)}, {told}" if told else words(key), number(value)])
        elif isinstance(value, str) and "/" not in value and key != "path":
            rows.append([words(key), value])
    return rows


def _lesions(
    states: Mapping[str, State], read: Reader, settings: SessionReportConfig
) -> dict[str, Any] | None:
    """Return head and rows of the lesion table; labels are those of the session's mask."""
    features = states.get("features")
    if features is None or not features.done:
        return None
    import pyarrow.parquet as pq

    shapes = pq.read_table(read(features.summary["lesions"])).to_pylist()
    cells = pq.read_table(
        read(features.summary["features"]), filters=[("region", "==", "lesion")]
    ).to_pylist()
    by_cell = {(c["label"], c["map"], c["statistic"]): c for c in cells}
    wanted = [tuple(m.split(":", 1)) for m in settings.measures]
    units = {(c["map"], c["statistic"]): c["unit"] for c in cells}
    head = [f"{m} {words(s)}, {unit(units[m, s])}" for m, s in wanted if (m, s) in units]
    shown = [key for key in wanted if key in units]
    rows = [
        {
            "label": shape["label"],
            "volume": shape.get("volume"),
            "diameter": shape.get("longest_diameter"),
            "cells": [_cell(by_cell.get((shape["label"], *key))) for key in shown],
        }
        for shape in sorted(shapes, key=lambda s: s["label"])
    ]
    return {"head": head, "rows": rows}


def _cell(cell: Mapping[str, Any] | None) -> dict[str, Any]:
    if cell is None:
        return {"value": None, "reason": "not measured", "n": 0}
    good = cell["evaluable"] and cell["value"] is not None
    reason = "" if good else words(cell["reason"])
    return {"value": cell["value"] if good else None, "reason": reason, "n": cell["n_voxels"]}


def _figures(states: Mapping[str, State], read: Reader) -> list[dict[str, Any]]:
    """Return the figures of the stages in groups, in the order in which one asks for them."""
    found: list[tuple[str, dict[str, str]]] = []
    for name in ("anat", "dsc", "dce"):
        state = states.get(name)
        for entry in (state.summary.get("figures") or []) if state else []:
            path = entry["path"] if isinstance(entry, dict) else entry
            caption = entry.get("caption", "") if isinstance(entry, dict) else ""
            caption = caption or _caption(path, name)
            figure = {"src": data_uri(read(path)), "alt": caption, "caption": caption}
            found.append((_kind(path)[0], figure))
    known = {kind for _, kinds in GROUPS for kind in kinds}
    groups = [(title, [f for kind, f in found if kind in kinds]) for title, kinds in GROUPS]
    groups.append(("Other figures", [f for kind, f in found if kind not in known]))
    return [{"title": title, "figures": figures} for title, figures in groups if figures]


def _kind(path: str) -> tuple[str, str]:
    """Return what a figure shows and of what, such as motion and DSC."""
    named = Path(path).stem.partition("desc-")[2]
    kind, upper, rest = named.partition("_")[0], "", ""
    for name in ("registration", "motion"):
        if kind.startswith(name):
            kind, upper = name, kind.removeprefix(name)
            rest = {"Pre": "T1w before contrast", "Flair": "FLAIR"}.get(upper, upper)
            rest = "reference session" if upper == "Reference" else rest
    return kind, rest


def _caption(path: str, stage: str) -> str:
    kind, rest = _kind(path)
    text = CAPTIONS.get(kind, f"{STAGE_NAMES[stage]}: {words(kind)}.")
    return f"{rest}. {text}" if rest else text


def _provenance(states: Mapping[str, State], record_id: str) -> list[list[Any]]:
    rows = [
        [STAGE_NAMES[name], state.key, len(state.outputs)]
        for name in ORDER
        if (state := states.get(name)) is not None
    ]
    return [*rows, ["This page", record_id, 1]]
