"""Rows of `lesions`: every lesion at every session, with its changes and responses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afterglow.bids.sidecars import read_json
from afterglow.lesions.growth import change_per_month, growth_exponent
from afterglow.lesions.rano import LesionAt, PatientResponse, patient_response
from afterglow.lesions.response import (
    Course,
    ResponseSettings,
    exceeds_noise,
    lesion_response,
    measurable,
)
from afterglow.tables.clinical import People, Place
from afterglow.tables.families import Families, families, lesion_of_row
from afterglow.tables.identities import Identities
from afterglow.tables.mask_facts import Facts
from afterglow.tables.study import StudyStates
from afterglow.tables.treatment import Outcome, Treated

if TYPE_CHECKING:
    from afterglow.config.tables import TablesConfig

Find = Callable[[str], Path]
_GONE = {"volume": 0.0, "longest_diameter": 0.0, "perpendicular_diameter": 0.0}


def measured_rows(study: StudyStates, identities: Identities, find: Find) -> list[dict[str, Any]]:
    """Return one row per lesion and session as measured, and one per lesion that is absent."""
    import pyarrow.parquet as pq

    rows = []
    for plan in study.sessions:
        subject, session = plan["subject"], plan["session"]
        summary = study.done("features", subject, session)
        if not summary:
            continue
        thickness = _slice_thickness(study.done("bids", subject, session), find)
        for part in pq.read_table(find(summary["lesions"])).to_pylist():
            label = int(part["label"])
            lesion = identities.lesion_id(subject, session, label)
            edema, why = part["edema_volume"], part.pop("edema_reason")
            rows.append(
                {
                    "center": plan["center"],
                    "subject": subject,
                    "session": session,
                    "lesion_id": lesion,
                    "state": identities.states.get((subject, session, label)),
                    **part,
                    "slice_thickness": thickness,
                    "edema_ratio": None if edema is None else edema / part["volume"],
                    "reason": f"edema: {why}" if why else "",
                }
            )
    return rows + _absent_rows(study, identities)


def _slice_thickness(bids: Mapping[str, Any], find: Find) -> float | None:
    """Return the slice thickness (mm) of the image that lesions are measured on, where known."""
    series = bids.get("series", {}).get(bids.get("reference"), {})
    sidecar = series.get("sidecar")
    told = read_json(find(sidecar)).get("SliceThickness") if sidecar else None
    return None if told is None else float(told)


def _absent_rows(study: StudyStates, identities: Identities) -> list[dict[str, Any]]:
    """Return rows of lesions that a session does not show."""
    rows = []
    for subject, session, lesion, state in identities.absent:
        sizes: dict[str, Any] = dict(_GONE) if state == "resolved" else {}
        identity = study.state("identity", subject, None)
        rows.append(
            {
                "center": study.center_of(subject),
                "subject": subject,
                "session": session,
                "lesion_id": lesion,
                "label": 0,
                "state": state,
                **sizes,
                "reason": state,
                "record_id": None if identity is None else identity.key,
            }
        )
    return rows


def places_of(rows: Sequence[Mapping[str, Any]], masks: Facts | None = None) -> list[Place]:
    """Return where the lesions are, and which of them the site drew."""

    def given(row: Mapping[str, Any]) -> bool:
        facts = (masks or {}).get((row["subject"], row["session"], int(row["label"])), {})
        return bool(facts.get("mask_source", "given") == "given")

    return [
        Place(
            row["subject"],
            row["session"],
            row["label"],
            row["lesion_id"],
            (row["centroid_x"], row["centroid_y"], row["centroid_z"]),
            given(row),
        )
        for row in rows
        if row["label"]
    ]


def add_identity(
    rows: Sequence[dict[str, Any]], identities: Identities, masks: Facts | None = None
) -> None:
    """Add what the graph says beyond the state, the dose, and where the voxels come from."""
    for row in rows:
        place = (row["subject"], row["session"], int(row["label"]))
        row.update(identities.dose.get(place, {}))
        row.update((masks or {}).get(place, {}))
        key = (row["subject"], row["lesion_id"])
        row["same_as"] = identities.same_as.get(key)
        row["decision"] = identities.decisions.get(place)
        row["first_session"] = identities.first.get(key)


def add_treatment(
    rows: Sequence[dict[str, Any]],
    treated: Treated,
    labels: Mapping[tuple[str, str], Outcome],
    people: People,
) -> None:
    """Add treatment, days from it, and the adjudicated outcome."""
    later = _appeared_after(rows, treated, people)
    for row in rows:
        subject, lesion = row["subject"], (row["subject"], row["lesion_id"])
        first = lesion_of_row(row)
        named = treated.get(lesion) or treated.get(first)
        own = named or treated.get((subject, None))
        if own is not None:
            if named or first not in later:
                row["prescribed_dose"], row["fractions"] = own.dose, own.fractions
            row["histology"] = own.histology
            day = people.dates.get((subject, row["session"]))
            if own.srs is not None and day is not None:
                row["days_from_srs"] = float((day - own.srs).days)
        outcome = labels.get(lesion) or labels.get(first)
        if outcome is not None:
            row["outcome"], row["outcome_basis"] = outcome.label, outcome.basis
            row["outcome_blinded"] = outcome.blinded
            if own is not None and own.srs is not None and outcome.day is not None:
                row["outcome_days_from_srs"] = float((outcome.day - own.srs).days)


def _appeared_after(
    rows: Sequence[Mapping[str, Any]], treated: Treated, people: People
) -> set[tuple[str, str]]:
    """Return the lesions that were new after the subject's first radiosurgery.

    What a site says of a subject without naming lesions cannot be about them.
    """
    found = set()
    for row in rows:
        own = treated.get((row["subject"], None))
        day = people.dates.get((row["subject"], row["session"]))
        if own is None or own.srs is None or day is None or row.get("state") != "new":
            continue
        if day > own.srs:
            found.add(lesion_of_row(row))
    return found


def settings_of(config: TablesConfig) -> ResponseSettings:
    """Return the response settings of a study."""
    return ResponseSettings(
        increase=config.change_floor,
        decrease=config.response_drop,
        absolute_increase=config.absolute_increase,
        slice_factor=config.slice_factor,
        immunotherapy=config.immunotherapy,
    )


def add_responses(
    rows: Sequence[dict[str, Any]],
    order: Mapping[tuple[str, str], int],
    settings: ResponseSettings,
    edges: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Add changes and lesion responses; ``order`` places (subject, session) in time."""
    kin = families(rows, edges, order)
    for lesion, course in _courses(rows, order).items():
        places = [order[r["subject"], r["session"]] for r in course]
        _respond(course, "diameter", _histories(kin, lesion, places, "longest_diameter"), settings)
        _respond(course, "volume", _histories(kin, lesion, places, "volume"), settings.for_volume())
        for place, row in zip(places, course, strict=True):
            held = ", ".join(name for _, name in kin.held(lesion, place)) if row["label"] else ""
            row["reason"] = "; ".join(x for x in (row["reason"], held and f"with: {held}") if x)
            if row["label"]:
                row["measurable"] = measurable(
                    row["longest_diameter"],
                    row["perpendicular_diameter"],
                    row["n_slices"],
                    row.pop("slice_thickness", None) or float("nan"),
                    settings,
                )


def _histories(
    kin: Families, lesion: tuple[str, str], places: Sequence[int], size: str
) -> list[list[float]]:
    """Return, for every session, the sizes up to there of all that the lesion holds then."""
    alone = [kin.size(lesion, (), place, size) for place in places]
    found = []
    for k, place in enumerate(places):
        held = kin.held(lesion, place)
        earlier = places[: k + 1]
        together = [kin.size(lesion, held, p, size) for p in earlier] if held else alone[: k + 1]
        found.append(together)
    return found


def add_growth(
    rows: Sequence[dict[str, Any]],
    order: Mapping[tuple[str, str], int],
    days: Mapping[tuple[str, str], float],
    repeatability: Mapping[str, float],
    edges: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Add change per month, whether changes exceed noise, and the exponent of growth.

    ``days`` are those of (subject, session) where known; ``repeatability`` holds coefficients of
    variation of ``volume`` and ``longest_diameter``, where a study knows them.
    """
    kin = families(rows, edges, order)
    for lesion, course in _courses(rows, order).items():
        when = [days.get((r["subject"], r["session"])) for r in course]
        places = [order[r["subject"], r["session"]] for r in course]
        for size, name in (("volume", "volume"), ("longest_diameter", "diameter")):
            noise = repeatability.get(size)
            for row, past in zip(course, _histories(kin, lesion, places, size), strict=True):
                row[f"{name}_change_month"] = change_per_month(when[: len(past)], past)[-1]
                if noise is not None:
                    row[f"{name}_change_real"] = _real(row[f"{name}_change_baseline"], noise)
        dated = [float("nan") if day is None else day for day in when]
        for row, past in zip(course, _histories(kin, lesion, places, "volume"), strict=True):
            found = growth_exponent(dated[: len(past)], past, repeatability.get("volume"))
            row["growth_exponent"] = found.exponent
            row["growth_exponent_low"], row["growth_exponent_high"] = found.low, found.high
            row["growth_reason"] = found.reason


def _real(change: float | None, within_cv: float) -> bool | None:
    """Return whether a change (%) exceeds the limits of repeatability, None without a change."""
    if change is None or not change > -100:
        return None if change is None or change != change else True  # noqa: PLR0124  NaN
    return exceeds_noise(1.0, 1 + change / 100, within_cv)


def _courses(
    rows: Sequence[dict[str, Any]], order: Mapping[tuple[str, str], int]
) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Return the rows of every lesion in order of time."""
    courses: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        courses.setdefault(lesion_of_row(row), []).append(row)
    for course in courses.values():
        course.sort(key=lambda r: (order[r["subject"], r["session"]], r["label"]))
    return courses


def _respond(
    course: Sequence[dict[str, Any]],
    name: str,
    histories: Sequence[Sequence[float]],
    settings: ResponseSettings,
) -> None:
    for row, sizes in zip(course, histories, strict=True):
        change = lesion_response(Course(tuple(sizes)), settings)[-1]
        row[f"{name}_change_baseline"] = change.from_baseline
        row[f"{name}_change_nadir"] = change.from_nadir
        row[f"response_{name}"] = change.response


def patient_responses(
    rows: Sequence[Mapping[str, Any]],
    order: Mapping[tuple[str, str], int],
    settings: ResponseSettings,
    edges: Sequence[Mapping[str, Any]] = (),
) -> dict[tuple[str, str], PatientResponse]:
    """Return RANO-BM by (subject, session), from imaging alone."""
    by_subject: dict[str, dict[str, dict[str, LesionAt]]] = {}
    born: dict[tuple[str, str], bool | None] = {}
    first: dict[str, str] = {}
    kin = families(rows, edges, order)
    for row in sorted(rows, key=lambda r: order[r["subject"], r["session"]]):
        subject, session = row["subject"], row["session"]
        first.setdefault(subject, session)
        lesion, place = lesion_of_row(row), order[subject, session]
        fresh = born.setdefault(lesion, _fresh(row, first[subject]))
        host = kin.host(lesion, place) if row["state"] == "merged" else None
        by_subject.setdefault(subject, {}).setdefault(session, {})[lesion[1]] = LesionAt(
            kin.size(lesion, kin.held(lesion, place), place, "longest_diameter"),
            bool(row.get("measurable")),
            fresh,
            within=None if host is None else host[1],
        )
    found: dict[tuple[str, str], PatientResponse] = {}
    for subject, visits in by_subject.items():
        sessions = sorted(visits, key=lambda s: order[subject, s])
        answers = patient_response([visits[s] for s in sessions], None, settings)
        found |= {(subject, s): a for s, a in zip(sessions, answers, strict=True)}
    return found


def _fresh(row: Mapping[str, Any], baseline: str) -> bool | None:
    """Return whether a lesion that is seen first in this row is new since baseline.

    A part of a lesion that came apart is not; None where nobody can tell.
    """
    if row["state"] in {"unmatched", None}:
        return None
    return bool(row["session"] != baseline and row["state"] != "split")
