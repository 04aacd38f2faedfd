"""The modelling matrix: `features` with one column per map, region and statistic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHANGE = ".change_baseline"
CHANGE_NADIR = ".change_nadir"
Key = tuple[str, str, str, str, int]


@dataclass(frozen=True, eq=False)
class Wide:
    """Rows by key (center, subject, session, lesion id, label), columns by name.

    A column is called ``map.region.statistic``; not evaluable is NaN.
    """

    keys: list[Key]
    records: list[str]
    names: list[str]
    units: list[str]
    values: NDArray[np.float64]


def pivot(batches: Iterable[Any]) -> Wide:
    """Return the wide matrix of feature rows, one batch per session."""
    place: dict[str, int] = {}
    units: list[str] = []
    blocks: list[NDArray[np.float64]] = []
    keys: list[Key] = []
    records: list[str] = []
    for batch in batches:
        columns = _columns(batch, place, units)
        labels, first, rows = np.unique(
            batch.column("label").to_numpy(), return_index=True, return_inverse=True
        )
        block = np.full((len(labels), len(place)), np.nan)
        block[rows, columns] = batch.column("value").to_numpy(zero_copy_only=False)
        blocks.append(block)
        heads = batch.take(first.tolist()).to_pylist()
        keys += [
            (h["center"], h["subject"], h["session"], h["lesion_id"], h["label"]) for h in heads
        ]
        records += [h["record_id"] for h in heads]
    return _assembled(keys, records, place, units, blocks)


def _columns(batch: Any, place: dict[str, int], units: list[str]) -> NDArray[np.int64]:
    """Return the column of every row; new ones are added to ``place`` and ``units``."""
    code = np.zeros(batch.num_rows, dtype=np.int64)
    for name in ("map", "region", "statistic"):
        part = batch.column(name).combine_chunks().dictionary_encode()
        code = code * len(part.dictionary) + part.indices.to_numpy()
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    heads = batch.select(["map", "region", "statistic", "unit"]).take(first.tolist()).to_pylist()
    names = [f"{h['map']}.{h['region']}.{h['statistic']}" for h in heads]
    for name, head in zip(names, heads, strict=True):
        if name not in place:
            place[name] = len(place)
            units.append(head["unit"])
    return np.array([place[name] for name in names], dtype=np.int64)[inverse]


def _assembled(
    keys: list[Key],
    records: list[str],
    place: Mapping[str, int],
    units: Sequence[str],
    blocks: Sequence[NDArray[np.float64]],
) -> Wide:
    """Return all blocks as one matrix, rows in order of key and columns in order of name."""
    names = sorted(place)
    values = np.full((len(keys), len(names)), np.nan)
    target = np.empty(len(place), dtype=np.int64)
    target[[place[name] for name in names]] = np.arange(len(names))
    start = 0
    for block in blocks:
        values[start : start + len(block), target[: block.shape[1]]] = block
        start += len(block)
    order = sorted(range(len(keys)), key=keys.__getitem__)
    return Wide(
        [keys[k] for k in order],
        [records[k] for k in order],
        names,
        [units[place[name]] for name in names],
        values[order],
    )


def change_columns(
    wide: Wide, order: Mapping[tuple[str, str], int], statistics: Sequence[str]
) -> tuple[list[str], NDArray[np.float64]]:
    """Return changes (%) of the lesion region from baseline and, for sizes, from nadir.

    The baseline of a lesion is its first session with a positive value, the nadir the smallest
    earlier value.

    Parameters
    ----------
    wide : Wide
        The matrix.
    order : mapping
        Place in time of every (subject, session).
    statistics : sequence of str
        Statistics whose change is wanted.
    """
    chosen = [
        (k, name)
        for k, name in enumerate(wide.names)
        if name.split(".")[1] == "lesion" and name.rsplit(".", 1)[-1] in statistics
    ]
    courses: dict[tuple[str, str], list[int]] = {}
    for row, key in enumerate(wide.keys):
        courses.setdefault((key[1], key[3]), []).append(row)
    for rows in courses.values():
        rows.sort(key=lambda r: (order[wide.keys[r][1], wide.keys[r][2]], wide.keys[r][4]))
    block = wide.values[:, [k for k, _ in chosen]]
    baseline, nadir = _changes(block, list(courses.values()))
    names: list[str] = []
    columns: list[NDArray[np.float64]] = []
    for place, (_, name) in enumerate(chosen):
        names.append(name + CHANGE)
        columns.append(baseline[:, place])
        if name.startswith("shape."):
            names.append(name + CHANGE_NADIR)
            columns.append(nadir[:, place])
    stacked = np.stack(columns, axis=1) if columns else np.zeros((len(wide.keys), 0))
    return names, stacked


def _changes(
    values: NDArray[np.float64], courses: Sequence[Sequence[int]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the change (%) of every cell from the first and from the smallest earlier value.

    All lesions advance together, one session at a time.
    """
    baseline = np.full(values.shape, np.nan)
    nadir = np.full(values.shape, np.nan)
    first = np.full((len(courses), values.shape[1]), np.nan)
    lowest = first.copy()
    for step in range(max((len(rows) for rows in courses), default=0)):
        there = np.array([k for k, rows in enumerate(courses) if len(rows) > step])
        rows = np.array([courses[k][step] for k in there])
        now = values[rows]
        baseline[rows] = 100 * (now / first[there] - 1)
        nadir[rows] = 100 * (now / lowest[there] - 1)
        usable = np.where(now > 0, now, np.nan)
        first[there] = np.where(np.isnan(first[there]), usable, first[there])
        lowest[there] = np.fmin(lowest[there], usable)
    return baseline, nadir


def wide_table(
    wide: Wide,
    changes: tuple[list[str], NDArray[np.float64]],
    facts: Mapping[Key, Mapping[str, Any]],
) -> tuple[Any, list[Any]]:
    """Return the wide table and the fields beyond the model.

    Parameters
    ----------
    wide : Wide
        The matrix.
    changes : tuple
        Names and values of the change columns.
    facts : mapping
        Rows of `lesions` by key, for the columns of the model.
    """
    import pyarrow as pa

    fields = [
        pa.field(name, pa.float64(), metadata={"unit": unit, "definition": _definition(name)})
        for name, unit in zip(wide.names, wide.units, strict=True)
    ]
    fields += [
        pa.field(name, pa.float64(), metadata={"unit": "%", "definition": _definition(name)})
        for name in changes[0]
    ]
    columns: dict[str, Any] = {
        name: pa.array([key[k] for key in wide.keys], pa.int64() if k == 4 else pa.string())
        for k, name in enumerate(("center", "subject", "session", "lesion_id", "label"))
    }
    for name, kind in (("days_from_srs", pa.float64()), ("outcome", pa.string())):
        values = [facts.get(key, {}).get(name) for key in wide.keys]
        columns[name] = pa.array(values, kind)
    columns["record_id"] = pa.array(wide.records, pa.string())
    matrix = np.concatenate([wide.values, changes[1]], axis=1)
    for k, field in enumerate(fields):
        columns[field.name] = pa.array(np.ascontiguousarray(matrix[:, k]))
    return pa.table(columns), fields


def _definition(name: str) -> str:
    """Return what a column of the matrix is, in terms of `features`."""
    base, change = name, ""
    for suffix, words in ((CHANGE, "change from baseline of "), (CHANGE_NADIR, "from nadir of ")):
        if name.endswith(suffix):
            base = name.removesuffix(suffix)
            change = words if words.startswith("change") else f"change {words}"
    image, region, statistic = base.split(".")
    return f"{change}features: map {image}, region {region}, statistic {statistic}"
