"""From tables to the matrix a model sees: one row per labelled lesion at its landmark."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from afterglow.cohort.design import Design
from afterglow.cohort.labels import Mixed, binary_label

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


def landmarks(lesions_rows: Iterable[Row], *, mixed: Mixed) -> Landmarks:
    """Return, for each labelled lesion, its last session after SRS and up to the label.

    A session counts where its day is unknown too, unless the label has a day: then nothing shows
    that the scan came before it.
    """
    by_lesion: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in lesions_rows:
        if row.get("label") != 0:
            by_lesion[str(row["subject"]), str(row["lesion_id"])].append(row)
    rows, labels = [], []
    left_out: defaultdict[str, list[Row]] = defaultdict(list)
    for key in sorted(by_lesion):
        visits = by_lesion[key]
        label = next((r.get("outcome") for r in visits if r.get("outcome")), None)
        binary = binary_label(label, mixed)
        usable = [r for r in visits if _usable(r)]
        if binary is None:
            left_out["no_label" if label is None else f"label_{label}"] += visits
        elif not usable:
            left_out["no_scan_between_srs_and_label"] += visits
        else:
            rows.append(max(usable, key=_order))
            labels.append(binary)
    reasons = {reason: tuple(found) for reason, found in sorted(left_out.items())}
    return Landmarks(tuple(rows), tuple(labels), reasons)


def design(marks: Landmarks, features_rows: Iterable[Row], lesions_rows: Sequence[Row]) -> Design:
    """Return the modelling matrix: values at the landmark and changes from the first scan.

    Columns are ``region_map_statistic``, the same with ``_change`` (fraction of the first
    value, over the lesion's sessions up to the landmark), and numeric columns of the lesions
    table.
    """
    values = _values(features_rows)
    first = _first_sessions(lesions_rows)
    columns: list[dict[str, float]] = []
    for row in marks.rows:
        lesion = str(row["subject"]), str(row["lesion_id"])
        now = values.get((*lesion, str(row["session"])), {})
        before = values.get((*lesion, first[lesion]), {})
        found = dict(now)
        if first[lesion] != row["session"]:
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


def _first_sessions(lesions_rows: Sequence[Row]) -> dict[tuple[str, str], str]:
    first: dict[tuple[str, str], Row] = {}
    for row in lesions_rows:
        key = str(row["subject"]), str(row["lesion_id"])
        if key not in first or _order(row) < _order(first[key]):
            first[key] = row
    return {key: str(row["session"]) for key, row in first.items()}


def _changes(now: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    return {
        f"{name}_change": now[name] / before[name] - 1
        for name in now
        if name.endswith("_median") and before.get(name, 0.0) > 0
    }


def _usable(row: Row) -> bool:
    day, label_day = _number(row.get("days_from_srs")), _number(row.get("outcome_days_from_srs"))
    if math.isnan(day):
        return math.isnan(label_day)
    return day > 0 and not day > label_day


def _order(row: Row) -> tuple[float, str]:
    day = _number(row.get("days_from_srs"))
    return (-math.inf if math.isnan(day) else day, str(row["session"]))


def _number(value: Any) -> float:
    if value is None or isinstance(value, str):
        return math.nan
    number = float(value)
    return number if math.isfinite(number) else math.nan
