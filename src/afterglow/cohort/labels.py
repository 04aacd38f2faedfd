"""What may be wrong with labels before any model is right about them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

Row = Mapping[str, Any]
Mixed = Literal["progression", "treatment_effect", "drop"]

LABELS = {
    "progression": 1,
    "recurrence": 1,
    "tp": 1,
    "treatment_effect": 0,
    "rn": 0,
    "necrosis": 0,
    "radiation_necrosis": 0,
    "radionecrosis": 0,
    "pseudoprogression": 0,
}
# Words of a label's basis that name what a feature measures too, and those features.
SHARED = {
    "perfusion": r"rcbv|cbv|cbf|mtt|tmax|psr|ph|ktrans|ve|vp|kep|iauc|k1|k2",
    "dsc": r"rcbv|cbv|cbf|mtt|tmax|psr|ph|k1|k2",
    "dce": r"ktrans|ve|vp|kep|iauc",
    "rcbv": r"rcbv|cbv",
    "imaging_rule": r"volume|diameter",
    "volume": r"volume|diameter",
    "rano": r"volume|diameter",
}
TISSUE = frozenset({"resection", "biopsy", "histology", "surgery"})
SHORT_FOLLOW_UP = 60.0


def binary_label(label: Any, mixed: Mixed) -> int | None:
    """Return 1 for progression, 0 for treatment effect, None for neither.

    Examples
    --------
    >>> binary_label("RN", "drop"), binary_label("mixed", "progression"), binary_label("?", "drop")
    (0, 1, None)
    """
    name = "_".join(str(label or "").lower().split())
    return LABELS.get(mixed if name == "mixed" else name)


def incorporated(rows: Iterable[Row], names: Iterable[str]) -> list[str]:
    """Return the features that rest on the same evidence as the labels.

    Examples
    --------
    >>> row = {"outcome_basis": "RANO-BM volume at 6 months"}
    >>> incorporated([row], ["volume_change_nadir", "lesion_rCBV_median"])
    ['volume_change_nadir']
    """
    bases = " ".join(sorted({_basis(row) for row in rows}))
    bases = re.sub(r"\b(dsc|dce)[ -]perfusion", r"\1", bases)
    words = [pattern for word, pattern in SHARED.items() if word in bases]
    found = re.compile("|".join(rf"(?:^|_)(?:{w})(?:_|$)" for w in words) or r"(?!)", re.IGNORECASE)
    return [name for name in names if found.search(name)]


def label_doubts(rows: Iterable[Row], mixed: Mixed) -> list[str]:
    """Return one sentence for each reason to doubt the labels of the landmark rows.

    Parameters
    ----------
    rows : iterable of mapping
        Rows of the lesions table at their landmarks.
    mixed : str
        How mixed lesions are labelled.

    Examples
    --------
    >>> row = {"outcome": "RN", "outcome_basis": "imaging-follow-up", "outcome_blinded": None}
    >>> label_doubts([row], "drop")[0][:56]
    'Label and features may share evidence for 1 of 1 lesions'
    """
    listed = list(rows)
    imaging = [r for r in listed if not by_tissue(r)]
    shared = sum(r.get("outcome_blinded") is not True for r in imaging)
    short = sum(_follow_up(r) < SHORT_FOLLOW_UP for r in imaging)
    ruled = sum(_basis(r) == "imaging_rule" for r in listed)
    blended = sum("_".join(str(r.get("outcome")).lower().split()) == "mixed" for r in listed)
    n = len(listed)
    doubts = []
    if shared:
        doubts.append(
            f"Label and features may share evidence for {shared} of {n} lesions: the label does"
            " not rest on tissue and was not given blind to perfusion (incorporation)."
        )
    if short:
        doubts.append(
            f"{short} of {n} labels by imaging come less than {SHORT_FOLLOW_UP:.0f} days after the"
            " scan: shrinkage or growth may not have shown yet."
        )
    if ruled:
        doubts.append(
            f"{ruled} of {n} labels come from later volumes by rule, not from a person or tissue."
        )
    if blended:
        text = "left out" if mixed == "drop" else f"counted as {mixed.replace('_', ' ')}"
        doubts.append(f"{blended} lesions of mixed histology are {text}.")
    return doubts


def by_tissue(row: Row) -> bool:
    """Return whether a label rests on tissue.

    Examples
    --------
    >>> by_tissue({"outcome_basis": "Resection"}), by_tissue({"outcome_basis": None})
    (True, False)
    """
    return _basis(row) in TISSUE


def _basis(row: Row) -> str:
    return str(row.get("outcome_basis") or "unknown").strip().lower()


def _follow_up(row: Row) -> float:
    """Return days from scan to label; infinite where one of them is unknown."""
    label, scan = row.get("outcome_days_from_srs"), row.get("days_from_srs")
    return float("inf") if label is None or scan is None else float(label) - float(scan)
