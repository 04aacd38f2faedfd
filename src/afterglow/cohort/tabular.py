"""A plain feature table from elsewhere, read with a clear word for everything that is wrong."""

from __future__ import annotations

import csv
import difflib
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from afterglow.cohort.design import Design
from afterglow.cohort.labels import Mixed, binary_label
from afterglow.errors import AfterglowError

Row = Mapping[str, Any]
ALIASES = {
    "subject": ("subject", "patient", "participant_id"),
    "lesion_id": ("lesion_id", "lesion"),
    "session": ("session", "session_id", "study_date"),
    "center": ("center", "site"),
}
NOT_FEATURES = ("label", "outcome", "record_id")
LONG = ("region", "map", "statistic", "value")


REGIONS = ("lesion", "enhancing", "necrosis", "rim", "shell", "flair", "treated")


def standard_name(name: str) -> str:
    """Return a feature's name as the models know it: wide columns begin with the map.

    Examples
    --------
    >>> standard_name("rCBV.lesion.median"), standard_name("age")
    ('lesion_rCBV_median', 'age')
    """
    parts = name.split(".")
    if len(parts) == 3 and parts[1] in REGIONS:
        return f"{parts[1]}_{parts[0]}_{parts[2]}"
    return name


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a Parquet or CSV file.

    Raises
    ------
    AfterglowError
        Unreadable, empty, or of another kind.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.suffix == ".parquet":
            rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        elif path.suffix == ".csv":
            with path.open(newline="", encoding="utf-8-sig") as stream:
                rows = [dict(row) for row in csv.DictReader(stream)]
        else:
            raise AfterglowError(
                f"a table of kind `{path.suffix}`", where=path.name, expected=".parquet or .csv"
            )
    except (OSError, pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise AfterglowError(f"the table cannot be read: {error}", where=path.name) from error
    if not rows:
        raise AfterglowError("the table has no rows", where=path.name)
    return rows


def read_features(path: Path) -> list[dict[str, Any]]:
    """Return one row per lesion (and session): keys and numeric features.

    The long form of the features table is spread to ``region_map_statistic`` columns.

    Raises
    ------
    AfterglowError
        A key column is missing, a feature is not a number, or a lesion is there twice.
    """
    rows = [_named(row) for row in read_rows(path)]
    _require(rows[0], ("subject", "lesion_id"), path)
    if all(name in rows[0] for name in LONG):
        rows = _spread(rows)
    features = [n for n in rows[0] if n not in ALIASES and n not in NOT_FEATURES]
    if not features:
        raise AfterglowError(
            "the table has no feature", where=path.name, expected="numeric columns"
        )
    out: list[dict[str, Any]] = []
    seen: set[tuple[str, ...]] = set()
    for number, row in enumerate(rows, start=1):
        key = tuple(_text(row, name) for name in ("center", "subject", "lesion_id", "session"))
        if key in seen:
            raise AfterglowError(
                f"row {number} repeats the lesion of an earlier row",
                where=path.name,
                expected="one row for each lesion and session",
            )
        seen.add(key)
        numbers = {name: _number(row.get(name), name, number, path) for name in features}
        names = ("center", "subject", "lesion_id", "session")
        out.append({**dict(zip(names, key, strict=True)), "features": numbers})
    return out


def read_outcomes(path: Path, mixed: Mixed) -> dict[tuple[str, str], int]:
    """Return the label of each subject and lesion; lesions that are neither are left out.

    Raises
    ------
    AfterglowError
        A column is missing, a lesion has two labels, or no label is of a known kind.
    """
    rows = [_named(row) for row in read_rows(path)]
    if "label" not in rows[0] and "outcome" in rows[0]:
        rows = [{**row, "label": row["outcome"]} for row in rows]
    _require(rows[0], ("subject", "lesion_id", "label"), path)
    found: dict[tuple[str, str], int] = {}
    for row in rows:
        label = binary_label(row["label"], mixed)
        key = _text(row, "subject"), _text(row, "lesion_id")
        if label is None:
            continue
        if found.setdefault(key, label) != label:
            raise AfterglowError("a lesion has two different labels", where=path.name)
    if not found:
        kinds = ", ".join(sorted({str(row["label"]) for row in rows})[:8])
        raise AfterglowError(
            f"no label is of a known kind, found {kinds}",
            where=path.name,
            expected="progression, treatment_effect or mixed",
        )
    return found


def to_design(rows: Sequence[Row], labels: Mapping[tuple[str, str], int]) -> Design:
    """Return the design of the labelled rows; the last session of a lesion counts.

    By ``days_from_srs`` where the table has it, else by the session's name, whose numbers count as
    numbers (``v10`` comes after ``v9``).

    Raises
    ------
    AfterglowError
        No lesion of the table has a label.
    """
    last: dict[tuple[str, str], Row] = {}
    for row in sorted(rows, key=_in_time):
        last[str(row["subject"]), str(row["lesion_id"])] = row
    keys = sorted(set(last) & set(labels))
    if not keys:
        raise AfterglowError(
            "no lesion of the table has a label",
            expected="the same subject and lesion names in both files",
        )
    chosen = [last[key] for key in keys]
    names = tuple(chosen[0]["features"])
    return Design(
        np.array([[row["features"][n] for n in names] for row in chosen], dtype=np.float64),
        np.array([labels[key] for key in keys], dtype=np.int64),
        np.array([key[0] for key in keys]),
        np.array([row["center"] for row in chosen]),
        names,
        tuple(f"{row['subject']}/{row['lesion_id']}/{row['session']}" for row in chosen),
    )


def _in_time(row: Row) -> tuple[float, list[tuple[int, str]]]:
    day = float(row["features"].get("days_from_srs", math.nan))
    parts = re.findall(r"\d+|\D+", str(row["session"]))
    name = [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
    return -math.inf if math.isnan(day) else day, name


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row whose key columns have our names."""
    names = {alias: name for name, aliases in ALIASES.items() for alias in reversed(aliases)}
    return {
        names.get(str(column), standard_name(str(column))): value for column, value in row.items()
    }


def _require(row: Row, needed: Sequence[str], path: Path) -> None:
    for name in needed:
        if name not in row:
            near = difflib.get_close_matches(name, list(row), n=1)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            raise AfterglowError(
                f"the column `{name}` is missing{hint}",
                where=path.name,
                expected=" or ".join(ALIASES.get(name, (name,))),
            )


def _spread(rows: Sequence[Row]) -> list[dict[str, Any]]:
    wide: dict[tuple[str, ...], dict[str, Any]] = {}
    names: dict[str, None] = {}
    for row in rows:
        keys = {name: _text(row, name) for name in ALIASES}
        entry = wide.setdefault(tuple(keys.values()), dict(keys))
        name = standard_name(f"{row['map']}.{row['region']}.{row['statistic']}")
        names[name] = None
        entry[name] = row["value"] if row.get("evaluable") is not False else None
    return [{**dict.fromkeys(names), **entry} for entry in wide.values()]


def _text(row: Row, name: str) -> str:
    value = row.get(name)
    if value is None or str(value).strip() == "":
        return "unknown" if name == "center" else ""
    return str(value).strip().replace("/", "_")


def _number(value: Any, name: str, row: int, path: Path) -> float:
    if value is None or value == "":
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise AfterglowError(
            f"column `{name}` holds {str(value)[:40]!r} in row {row}",
            where=path.name,
            expected="a number, or nothing where it was not measured",
            remedy="remove the column, or encode it as numbers",
        ) from error
