"""Rows of `sessions` and `failures`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from afterglow.anat import expected
from afterglow.bids.sidecars import read_json
from afterglow.provenance.job import State
from afterglow.provenance.records import unit_name
from afterglow.tables.clinical import parse_date
from afterglow.tables.study import SESSION_STAGES, StudyStates

Find = Callable[[str], Path]
_WORST = ("pass", "look", "fail")


def session_row(
    study: StudyStates,
    plan: Mapping[str, Any],
    find: Find,
    days: float | None,
    unusual: Sequence[str] = (),
) -> dict[str, Any]:
    """Return one row of `sessions`, without the response of the patient.

    ``unusual`` are doubts about the session among those of its center (`unusual_quality`).
    """
    subject, session = plan["subject"], plan["session"]
    row = {
        "center": plan["center"],
        "subject": subject,
        "session": session,
        "arrival": plan.get("arrival"),
        "is_reference": plan.get("is_reference"),
        "has_mask": plan.get("has_mask"),
        "days_from_srs": days if days is not None else plan.get("days_from_srs"),
        "days_from_first": _days_from_first(study, plan),
    }
    row |= _acquisition(study, subject, session, find)
    row["series_doubts"] = "; ".join(study.done("bids", subject, session).get("doubts") or ())
    row |= _quality(study.done("anat", subject, session), unusual)
    reasons = []
    for stage in SESSION_STAGES:
        state = study.state(stage, subject, session)
        row[f"state_{stage}"] = "missing" if state is None else state.status
        if state is not None and not state.done:
            reasons.append(f"{stage}: {state.reason}")
    features = study.state("features", subject, session)
    row["n_lesions"] = study.done("features", subject, session).get("n_lesions")
    row["reason"] = "; ".join(reasons)
    row["record_id"] = None if features is None else features.key
    return row


def _days_from_first(study: StudyStates, plan: Mapping[str, Any]) -> float | None:
    """Return the days since the subject's first session, None without dates."""
    first = parse_date(str(study.by_subject[plan["subject"]][0].get("date_shifted") or ""))
    own = parse_date(str(plan.get("date_shifted") or ""))
    return None if first is None or own is None else float((own - first).days)


def _acquisition(study: StudyStates, subject: str, session: str, find: Find) -> dict[str, Any]:
    """Return the facts of the scanner and of the perfusion series."""
    series = study.done("bids", subject, session).get("series", {})
    sidecars = {
        name: read_json(find(entry["sidecar"]))
        for name, entry in series.items()
        if isinstance(entry, Mapping) and entry.get("sidecar")
    }
    any_sidecar = next((sidecars[k] for k in ("T1w_ce", "T1w", *sidecars) if k in sidecars), {})
    row = {
        "vendor": any_sidecar.get("Manufacturer"),
        "scanner": any_sidecar.get("ManufacturersModelName"),
        "field_strength": any_sidecar.get("MagneticFieldStrength"),
    }
    for name in ("dsc", "dce"):
        row |= _series(name, sidecars.get(name, {}))
    dsc = study.done("dsc", subject, session).get("domain", {})
    dce = study.done("dce", subject, session).get("domain", {})
    row["agent"] = dsc.get("agent") or dce.get("agent")
    row["dose"] = _first(dsc.get("dose"), dce.get("dose"))
    stated = dce if dsc.get("dose") is None else dsc
    row["dose_source"] = stated.get("dose_source")
    row["preload"] = dsc.get("preload")
    row["leakage_model"] = dsc.get("leakage_model")
    return row


def _series(name: str, sidecar: Mapping[str, Any]) -> dict[str, Any]:
    times = sidecar.get("VolumeTiming") or []
    steps = [b - a for a, b in pairwise(times)]
    echo = sidecar.get("EchoTime")
    return {
        f"{name}_echo_time": echo[0] if isinstance(echo, list) else echo,
        f"{name}_repetition_time": _first(
            sidecar.get("RepetitionTimeExcitation"), sidecar.get("RepetitionTime")
        ),
        f"{name}_flip_angle": sidecar.get("FlipAngle"),
        f"{name}_n_volumes": len(times) or None,
        f"{name}_frame_time": round(median(steps), 6) if steps else None,
        f"{name}_timing_source": sidecar.get("TimingSource"),
        f"{name}_timing_disagreement": sidecar.get("TimingDisagreement"),
    }


def _first(*values: Any) -> Any:
    """Return the first value that is known."""
    return next((value for value in values if value is not None), None)


def unusual_quality(study: StudyStates, limit: float) -> dict[tuple[str, str], list[str]]:
    """Return the quality numbers that are unusual for their center, by subject and session."""
    keys = [(plan["subject"], plan["session"]) for plan in study.sessions]
    verdicts = {key: study.done("anat", *key).get("verdicts") or {} for key in keys}
    centers = {(plan["subject"], plan["session"]): plan["center"] for plan in study.sessions}
    return expected.unusual(verdicts, centers, limit)


def _quality(anat: Mapping[str, Any], unusual: Sequence[str]) -> dict[str, Any]:
    """Return the worst verdict and the checks that did not pass."""
    verdicts = anat.get("verdicts") or {}
    found = {name: str(entry.get("verdict")) for name, entry in sorted(verdicts.items())}
    known = [v for v in found.values() if v in _WORST]
    doubts = [
        f"{name}: {verdict} ({', '.join(map(str, verdicts[name].get('reasons') or []))})"
        for name, verdict in found.items()
        if verdict != _WORST[0]
    ]
    known += ["look"] * bool(known and unusual)
    doubts += unusual
    return {
        "longitudinal": anat.get("longitudinal"),
        "qc_verdict": max(known, key=_WORST.index) if known else None,
        "qc_reasons": "; ".join(doubts),
    }


def failure_rows(
    study: StudyStates, absent: Sequence[Mapping[str, Any]] = ()
) -> Iterator[dict[str, Any]]:
    """Yield one row per failed stage, per part that failed, per session put aside.

    ``absent`` are the jobs that ended without a state, as the driver found them: killed, out of
    memory or out of time.
    """
    for job in absent:
        center = study.center_of(job["subject"]) if job["subject"] in study.by_subject else ""
        yield {
            **{name: job[name] or "" for name in ("subject", "session", "stage", "cause")},
            **{name: job[name] or "" for name in ("remedy", "log")},
            "center": center,
            "what": "stage",
            "transient": True,
        }
    for row in study.plan:
        if row.get("status", "planned") == "quarantined":
            yield {
                "center": row["center"],
                "subject": row["subject"] or "",
                "session": row["session"] or "",
                "stage": "index",
                "what": "quarantined",
                "cause": str(row.get("reason") or ""),
                "remedy": "see `afterglow index STUDY`",
                "transient": False,
                "log": "",
            }
    states = [s for states in study.upstream.values() for s in states]
    seen: dict[tuple[str, ...], int] = {}
    for state in sorted(states, key=lambda s: (s.subject or "", s.session or "", s.stage)):
        for row in _failures(study, state):
            keys = tuple(row[k] for k in ("center", "subject", "session", "stage", "what", "cause"))
            seen[keys] = seen.get(keys, 0) + 1
            if seen[keys] == 1:
                yield row


def _failures(study: StudyStates, state: State) -> Iterator[dict[str, Any]]:
    center = study.center_of(state.subject) if state.subject in study.by_subject else ""
    base = {
        "center": center,
        "subject": state.subject or "",
        "session": state.session or "",
        "stage": state.stage,
        "transient": state.transient,
        "log": f"logs/{state.stage}/{unit_name(state.subject, state.session)}.log",
        "record_id": state.key,
    }
    if state.status == "failed":
        cause = state.detail or state.reason
        yield {**base, "what": "stage", "cause": cause, "remedy": state.remedy}
    for problem in state.problems:
        yield {**base, **vars(problem)}


def flow_rows(study: StudyStates, lesions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return how many sessions entered each step and left it, and why."""
    rows: list[dict[str, Any]] = []
    planned = [row for row in study.plan if row.get("status", "planned") == "planned"]
    aside = [row for row in study.plan if row.get("status", "planned") != "planned"]
    left: dict[str, list[Mapping[str, Any]]] = {}
    for row in aside:
        left.setdefault(str(row.get("reason") or "quarantined"), []).append(row)
    rows += _step(1, "indexed and planned", planned, left)
    counts: dict[tuple[str, str], int] = {}
    for lesion in lesions:
        if lesion["label"]:
            key = (lesion["subject"], lesion["session"])
            counts[key] = counts.get(key, 0) + 1
    for number, (stage, name) in enumerate(_STEPS, start=2):
        stay, left = [], {}
        for row in planned:
            state = study.state(stage, row["subject"], row["session"])
            if state is not None and state.done:
                stay.append(row)
                continue
            reason = "missing" if state is None else f"{state.status}: {state.reason}"
            left.setdefault(reason, []).append(row)
        rows += _step(number, name, stay, left, counts)
    labelled = [lesion for lesion in lesions if lesion["label"] and lesion.get("outcome")]
    rows.append(
        {
            "step": len(_STEPS) + 2,
            "name": "lesion with an adjudicated outcome",
            "reason": "",
            "n_subjects": len({lesion["subject"] for lesion in labelled}),
            "n_sessions": len({(x["subject"], x["session"]) for x in labelled}),
            "n_lesions": len(labelled),
        }
    )
    return rows


_STEPS = (
    ("bids", "converted"),
    ("anat", "anatomy"),
    ("dsc", "DSC perfusion"),
    ("dce", "DCE perfusion"),
    ("identity", "lesion identity"),
    ("features", "lesions measured"),
)


def _step(
    number: int,
    name: str,
    stay: Sequence[Mapping[str, Any]],
    left: Mapping[str, Sequence[Mapping[str, Any]]],
    counts: Mapping[tuple[str, str], int] | None = None,
) -> list[dict[str, Any]]:
    """Return the rows of one step: who stays (empty reason), then who left by reason."""
    groups = [("", stay), *sorted(left.items())]
    return [
        {
            "step": number,
            "name": name,
            "reason": reason,
            "n_subjects": len({row["subject"] for row in group}),
            "n_sessions": len(group),
            "n_lesions": None
            if counts is None
            else sum(counts.get((row["subject"], row["session"]), 0) for row in group),
        }
        for reason, group in groups
    ]
