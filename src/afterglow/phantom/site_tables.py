"""What sites know beside their DICOM: masks, treatments, outcomes, labels, decisions, the study."""

from __future__ import annotations

import csv
import datetime as dt
from itertools import pairwise
from pathlib import Path
from typing import Any

from afterglow.phantom.plan import CenterPlan, CohortPlan, SubjectPlan

# Therapy beside radiosurgery: from and to, in days from it; None where the site's file has no end.
_THERAPIES: dict[str, tuple[tuple[str, int, int | None], ...]] = {
    "NORTH-0001": (("pembrolizumab", 14, None), ("dexamethasone", -2, 21)),
    "NORTH-0002": (
        ("ipilimumab and nivolumab", 10, 73),
        ("dexamethasone", -3, 12),
        ("dexamethasone", 80, 101),
    ),
    "SOUTH-0001": (("osimertinib", -60, 95), ("bevacizumab", 98, None)),
    "WEST-0002": (("dabrafenib and trametinib", -120, 40), ("pembrolizumab", 47, None)),
}
_DECISIONS = ("subject", "session", "target", "decision", "file", "rater", "date", "reason")


def write_masks(directory: Path, center: CenterPlan, layout: list[dict[str, Any]]) -> None:
    """Write a center's list of mask files, where it gives masks as files."""
    masks = [
        {
            "patient": entry["patient"],
            "study_date": entry["study_date"],
            "file": Path(entry["mask"]).name,
            "rater": "reader-1",
        }
        for entry in layout
        if entry["center"] == center.name and entry["mask"]
    ]
    if masks:
        write_csv(directory / "masks" / center.name / "masks.csv", masks)


def write_labels(directory: Path, plan: CohortPlan, center: CenterPlan) -> None:
    """Write how a center names its subjects and visits, where it does so itself."""
    if not center.own_labels:
        return
    own = [subject for subject in plan.subjects if subject.center == center.name]
    folder = directory / "sites" / center.name
    write_csv(folder / "subjects.csv", [{"patient": s.patient, "label": _label(s)} for s in own])
    visits = [
        {"patient": s.patient, "study_date": f"{date:%Y%m%d}", "label": f"v{number}"}
        for s in own
        for number, date in enumerate(s.visits, start=1)
    ]
    write_csv(folder / "visits.csv", visits)


def decisions(plan: CohortPlan) -> list[dict[str, Any]]:
    """Return what readers decided by hand; only of subjects whose labels the site chose."""
    return [
        row
        for subject in plan.subjects
        if plan.center(subject.center).own_labels
        for row in _decisions(subject)
    ]


def _decisions(subject: SubjectPlan) -> list[dict[str, Any]]:
    """Return that a lesion which vanished and returned is the one it was.

    The labels are those of the segments, which a reader counts anew at every visit.
    """
    rows = []
    for spec in subject.lesions:
        there = [v for v in range(len(subject.visits)) if spec.states[v] is not None]
        for before, now in pairwise(there):
            if now == before + 1:
                continue
            same = f"same_as v{before + 1}/{_segment(subject, spec.number, before)}"
            values = (
                _label(subject),
                f"v{now + 1}",
                f"lesion/{_segment(subject, spec.number, now)}",
                same,
                "",
                "reader-1",
                f"{subject.visits[now]:%Y%m%d}",
                "at the place of the lesion that was gone at the visit before",
            )
            rows.append(dict(zip(_DECISIONS, values, strict=True)))
    return rows


def _segment(subject: SubjectPlan, number: int, visit: int) -> int:
    """Return the place of a lesion among those present at a visit, from 1."""
    states = {spec.number: spec.states[visit] for spec in subject.lesions}
    present = [n for n, state in states.items() if state is not None and not state.part_of]
    return present.index(number) + 1


def _label(subject: SubjectPlan) -> str:
    return f"S{subject.patient[-2:]}"


def clinical(subject: SubjectPlan) -> list[dict[str, Any]]:
    """Return one row per lesion: when, how and for what it was treated; and one per therapy."""
    facts: dict[str, Any] = {
        "patient": subject.patient,
        "lesion": "",
        "course": 1,
        "srs_date": f"{subject.srs_date:%Y%m%d}",
        "dose_gy": subject.dose_gy,
        "fractions": subject.fractions,
        "histology": subject.histology,
        "sex": subject.sex,
        "therapy": "",
        "therapy_start_date": "",
        "therapy_end_date": "",
    }
    rows = [{**facts, "lesion": spec.number} for spec in subject.lesions if spec.states[0]]
    for therapy, start, end in _THERAPIES.get(subject.patient, ()):
        own = {"patient": subject.patient, "therapy": therapy}
        own["therapy_start_date"] = _day(subject, start)
        own["therapy_end_date"] = "" if end is None else _day(subject, end)
        rows.append({**dict.fromkeys(facts, ""), **own})
    return rows


def _day(subject: SubjectPlan, days: int) -> str:
    return f"{subject.srs_date + dt.timedelta(days):%Y%m%d}"


def outcomes(plan: CohortPlan, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the label of every growing lesion, with its place at its first visit.

    The first visit, because no later session then changes the row.
    """
    out = []
    for subject in plan.subjects:
        for spec in subject.lesions:
            seen = [
                r for r in rows if (r["patient"], r["lesion"]) == (subject.patient, spec.number)
            ]
            if spec.kind == "stable" or not seen:
                continue
            first = seen[0]
            out.append(
                {
                    "patient": subject.patient,
                    "lesion": spec.number,
                    "study_date": first["study_date"],
                    **{key: first[key] for key in ("centroid_x", "centroid_y", "centroid_z")},
                    "label": spec.kind,
                    "basis": "resection" if spec.kind == "progression" else "imaging-follow-up",
                    "date": f"{subject.srs_date.replace(year=subject.srs_date.year + 1):%Y%m%d}",
                    "blinded": "true",
                }
            )
    return out


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows of the same columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_study(directory: Path, plan: CohortPlan) -> Path:
    """Write the study file and return its path."""
    import yaml

    decided = {"decisions": "decisions.csv"} if decisions(plan) else {}
    content = {
        "study": "afterglow-demo",
        "out": "out",
        "centers": [_center(center) for center in plan.centers],
        "clinical": "clinical.csv",
        "outcomes": "outcomes.csv",
        **decided,
        "report": {"truth": "truth/truth.csv"},
    }
    path = directory / "study.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def _center(center: CenterPlan) -> dict[str, Any]:
    given = {"masks": f"masks/{center.name}/masks.csv"} if center.masks == "nifti" else {}
    if center.own_labels:
        names = ("subjects", "visits")
        given |= {name: f"sites/{center.name}/{name}.csv" for name in names}
    return {
        "name": center.name,
        "dicom": [f"incoming/{center.name}"],
        **given,
        "contrast_agent": center.agent,
        "dose": center.dose,
        "preload": center.preload,
        "hematocrit": center.hematocrit,
    }
