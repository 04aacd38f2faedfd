"""From tables to the matrix a model sees: one row per labelled lesion at its landmark."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from afterglow.cohort.design import Design
from afterglow.cohort.imaging_labels import BASIS, ImagingRule, imaging_label
from afterglow.cohort.labels import Mixed, binary_label, by_tissue
from afterglow.tables.families import lesion_of_row

Row = Mapping[str, Any]

STATISTICS = ("median", "p90", "hotspot", "ratio_median", "ratio_p90")
REGIONS = ("lesion", "shell")
LESION_COLUMNS = ("volume", "volume_change_nadir", "days_from_srs", "prescribed_dose", "fractions")


@dataclass(frozen=True)
class Landmarks:
    """The rows used for modelling, and the rows of lesions that were left out, by reason."""

    rows: tuple[Row, ...]
    labels: tuple[int, ...]
    left_out: dict[str, tuple[Row, ...]]


def landmarks(
    lesions_rows: Iterable[Row],
    *,
    mixed: Mixed,
    landmark_day: float | None = None,
    imaging: ImagingRule | None = None,
) -> Landmarks:
    """Return, for each labelled lesion, its last session after SRS and up to the landmark.

    A scan of the day of the label counts for a label by tissue only: a label by imaging was read
    from it.

    Parameters
    ----------
    lesions_rows : iterable of mapping
        Rows of the lesions table, with ``days_from_first`` of their session where known. A
        session counts where its day is unknown too, unless the label has a day: then nothing
        shows that the scan came before it.
    mixed : str
        How mixed lesions are labelled.
    landmark_day : float, optional
        Days from SRS up to which scans count; lesions labelled by then are left out. Default:
        the day of the label.
    imaging : ImagingRule, optional
        Labels lesions that have no outcome by their later volumes, at the landmark that the rule
        gives; their rows then carry ``outcome_basis`` ``imaging_rule``.
    """
    rows, labels = [], []
    left_out: defaultdict[str, list[Row]] = defaultdict(list)
    for visits in _by_lesion(lesions_rows):
        found = _landmark(visits, mixed, landmark_day, imaging)
        if isinstance(found, str):
            left_out[found] += visits
        else:
            rows.append(found[0])
            labels.append(found[1])
    reasons = {reason: tuple(found) for reason, found in sorted(left_out.items())}
    return Landmarks(tuple(rows), tuple(labels), reasons)


def _by_lesion(lesions_rows: Iterable[Row]) -> list[list[Row]]:
    found: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in lesions_rows:
        if row.get("label") != 0:
            found[lesion_of_row(row)].append(row)
    return [found[key] for key in sorted(found)]


def _landmark(
    visits: list[Row], mixed: Mixed, landmark_day: float | None, imaging: ImagingRule | None
) -> tuple[Row, int] | str:
    """Return the landmark row of a lesion and its label, or why it has none."""
    label = next((r.get("outcome") for r in visits if r.get("outcome")), None)
    if label is None and imaging is not None:
        found = imaging_label(visits, imaging)
        if isinstance(found, str):
            return f"imaging_rule_{found}"
        facts = {
            "outcome": found.label,
            "outcome_basis": BASIS,
            "outcome_blinded": None,
            "outcome_days_from_srs": found.day,
        }
        at = next(r for r in visits if str(r["session"]) == found.session)
        last = _number(at.get("days_from_srs"))
        visits = [{**r, **facts} for r in visits if not _number(r.get("days_from_srs")) > last]
        label = found.label
    binary = binary_label(label, mixed)
    if binary is None:
        return "no_label" if label is None else f"label_{label}"
    if landmark_day is not None:
        if any(_number(r.get("outcome_days_from_srs")) <= landmark_day for r in visits):
            return "label_before_landmark"
        visits = [r for r in visits if _number(r.get("days_from_srs")) <= landmark_day]
    usable = [r for r in visits if _usable(r)]
    if not usable:
        return "no_scan_between_srs_and_" + ("label" if landmark_day is None else "landmark")
    return max(usable, key=_order), binary


def design(marks: Landmarks, features_rows: Iterable[Row], lesions_rows: Sequence[Row]) -> Design:
    """Return the modelling matrix: values at the landmark and changes from the first scan.

    Columns are ``region_map_statistic``, the same with ``_change`` (fraction of the first
    value, over the lesion's sessions up to the landmark), and numeric columns of the lesions
    table.
    """
    values = _values(features_rows)
    first = _first_rows(lesions_rows)
    columns: list[dict[str, float]] = []
    for row in marks.rows:
        start = first[lesion_of_row(row)]
        now, before = (values.get(_cell(r), {}) for r in (row, start))
        found = dict(now)
        if start["session"] != row["session"]:
            found |= _changes(now, before)
        found |= {name: _number(row.get(name)) for name in LESION_COLUMNS if name in row}
        columns.append(found)
    names = tuple(sorted({name for found in columns for name in found}))
    x = np.array([[found.get(name, math.nan) for name in names] for found in columns])
    return Design(
        x.reshape(len(columns), len(names)),
        np.array(marks.labels, dtype=np.int64),
        np.array([str(r["subject"]) for r in marks.rows], dtype=np.str_),
        np.array([str(r.get("center") or "") for r in marks.rows], dtype=np.str_),
        names,
        tuple(f"{r['subject']}/{r['lesion_id']}/{r['session']}" for r in marks.rows),
        np.array([_number(r.get("days_from_srs")) for r in marks.rows]),
        np.array([_number(r.get("outcome_days_from_srs")) for r in marks.rows]),
    )


def _values(features_rows: Iterable[Row]) -> dict[tuple[str, str, str], dict[str, float]]:
    out: defaultdict[tuple[str, str, str], dict[str, float]] = defaultdict(dict)
    for row in features_rows:
        if row["region"] not in REGIONS or row["statistic"] not in STATISTICS:
            continue
        number = _number(row.get("value")) if row.get("evaluable") is not False else math.nan
        name = f"{row['region']}_{row['map']}_{row['statistic']}"
        out[str(row["subject"]), str(row["lesion_id"]), str(row["session"])][name] = number
    return out


def _first_rows(lesions_rows: Sequence[Row]) -> dict[tuple[str, str], Row]:
    first: dict[tuple[str, str], Row] = {}
    for row in lesions_rows:
        key = lesion_of_row(row)
        if key not in first or _order(row) < _order(first[key]):
            first[key] = row
    return first


def _cell(row: Row) -> tuple[str, str, str]:
    return str(row["subject"]), str(row["lesion_id"]), str(row["session"])


def _changes(now: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    return {
        f"{name}_change": now[name] / before[name] - 1
        for name in now
        if name.endswith("_median") and before.get(name, 0.0) > 0
    }


def _usable(row: Row) -> bool:
    """Return whether features of a session may stand beside the label.

    The scan of the very day of a label by imaging is what the label was read from.
    """
    day, label_day = _number(row.get("days_from_srs")), _number(row.get("outcome_days_from_srs"))
    if math.isnan(day):
        return math.isnan(label_day)
    same_day = day == label_day and by_tissue(row)
    return day > 0 and (not day >= label_day or same_day)


def _order(row: Row) -> tuple[float, float, str]:
    """Return what orders sessions in time; a site's own names of visits do not."""
    days = (_number(row.get(name)) for name in ("days_from_srs", "days_from_first"))
    srs, first = (-math.inf if math.isnan(day) else day for day in days)
    return srs, first, str(row["session"])


def _number(value: Any) -> float:
    if value is None or isinstance(value, str):
        return math.nan
    number = float(value)
    return number if math.isfinite(number) else math.nan
