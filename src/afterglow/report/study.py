"""The page of all sessions: stages by quality at a glance, with ways down."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from typing import Any

from afterglow import __version__
from afterglow.report.render import page, words

Row = Mapping[str, Any]
STAGES = {
    "bids": "Conversion",
    "anat": "Anatomy",
    "dsc": "DSC",
    "dce": "DCE",
    "identity": "Identity",
    "features": "Measured",
}
_MARKS = {"done": "✓", "partial": "◐", "failed": "✗", "not_evaluable": "○", "absent": "·"}
_RANK = {"failed": 0, "absent": 1, "partial": 2, "not_evaluable": 3, "done": 4}


def study_page(
    sessions: Sequence[Row],
    lesions: Sequence[Row],
    failures: Sequence[Row],
    *,
    study: str,
    stories: frozenset[tuple[str, str]] = frozenset(),
    record_id: str = "",
) -> str:
    """Return the page of all sessions of a study.

    Parameters
    ----------
    sessions, lesions, failures : sequence of mapping
        Rows of the tables.
    study : str
        Name of the study.
    stories : set of (subject, lesion id)
        Lesions that have a page.
    record_id : str
        Key of the page.
    """
    shown = sorted(sessions, key=lambda r: (r["center"], r["subject"], r["session"]))
    return page(
        "study.html.j2",
        version=__version__,
        study=study,
        stages=list(STAGES.values()),
        rows=_rows(shown, lesions, failures, stories),
        centers=sorted({r["center"] for r in sessions}),
        verdicts=sorted({r.get("qc_verdict") or "none" for r in sessions}),
        tiles=_tiles(shown, lesions, failures),
        matrix=_matrix(shown),
        record_id=record_id,
    )


def story_path(subject: str, lesion: str) -> str:
    """Return where the page of a lesion stands, relative to ``out``.

    Examples
    --------
    >>> story_path("1a2b", "L001")
    'derivatives/sub-1a2b_lesion-L001.html'
    """
    return f"derivatives/sub-{subject}_lesion-{lesion}.html"


def _rows(
    sessions: Sequence[Row],
    lesions: Sequence[Row],
    failures: Sequence[Row],
    stories: frozenset[tuple[str, str]],
) -> list[dict[str, Any]]:
    parts = {(row["subject"], row["session"], row["stage"]) for row in failures}
    seen: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for row in lesions:
        if row["label"]:
            seen[row["subject"], row["session"]].add(row["lesion_id"])
    out = []
    for row in sessions:
        subject = row["subject"]
        states = [_state(row, stage, parts) for stage in STAGES]
        out.append(
            {
                "center": row["center"],
                "subject": subject,
                "session": row["session"],
                "page": f"../derivatives/sub-{subject}_ses-{row['session']}.html",
                "day": row.get("days_from_srs"),
                "vendor": row.get("vendor"),
                "field": row.get("field_strength"),
                "verdict": row.get("qc_verdict") or "none",
                "why": _why(row),
                "states": [(s, _MARKS.get(s, "?"), _RANK.get(s, 1)) for s in states],
                "least": min(states, key=lambda s: _RANK.get(s, 1)),
                "lesions": [
                    (name, f"../{story_path(subject, name)}" if (subject, name) in stories else "")
                    for name in sorted(seen[subject, row["session"]])
                ],
                "response": row.get("patient_rano_bm"),
            }
        )
    return out


def _state(row: Row, stage: str, parts: Set[tuple[str, str, str]]) -> str:
    """Return how a stage ended; ``partial`` where it is done but for a part that failed."""
    state = str(row.get(f"state_{stage}") or "absent")
    failed = (row["subject"], row["session"], stage) in parts
    return "partial" if failed and state == "done" else state


def _why(row: Row) -> list[str]:
    """Return what speaks against a session, one thing each."""
    said = str(row.get("qc_reasons") or row.get("reason") or "")
    return [words(part.strip()) for part in said.split(";") if part.strip()]


def _tiles(
    sessions: Sequence[Row], lesions: Sequence[Row], failures: Sequence[Row]
) -> list[tuple[Any, str]]:
    whole = sum(all(r.get(f"state_{s}") == "done" for s in STAGES) for r in sessions)
    return [
        (len({r["center"] for r in sessions}), "centers"),
        (len({r["subject"] for r in sessions}), "subjects"),
        (len(sessions), "sessions"),
        (len({(r["subject"], r["lesion_id"]) for r in lesions}), "lesions"),
        (f"{whole} of {len(sessions)}", "sessions with every stage done"),
        (len(failures), "failures"),
    ]


def _matrix(sessions: Sequence[Row]) -> list[list[Any]]:
    """Return, by center and stage, how many sessions are done of how many."""
    by_center: defaultdict[str, list[Row]] = defaultdict(list)
    for row in sessions:
        by_center[row["center"]].append(row)
    table = []
    for center, rows in sorted(by_center.items()):
        verdicts = Counter(r.get("qc_verdict") or "none" for r in rows)
        listed = ", ".join(f"{words(v)} {n}" for v, n in sorted(verdicts.items()))
        done = [sum(r.get(f"state_{s}") == "done" for r in rows) for s in STAGES]
        table.append([center, len(rows), *(f"{n} of {len(rows)}" for n in done), listed])
    return table
