"""The modelling matrix: `features` with one column per map, region and statistic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.lesions.radiomics_ids import ibsi_id
from afterglow.tables.changes import Changes, described

if TYPE_CHECKING:
    from numpy.typing import NDArray

Key = tuple[str, str, str, str, int]
KEYS = ("center", "subject", "session", "lesion_id", "label")


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
    before: tuple[Any, NDArray[np.int64]] | None = None
    for batch in batches:
        # sessions of one study mostly hold the same cells in the same order
        cells = batch.select(["map", "region", "statistic"]).combine_chunks()
        if before is None or not before[0].equals(cells):
            before = cells, _columns(batch, place, units)
        columns = before[1]
        labels, first, rows = np.unique(
            batch.column("label").to_numpy(), return_index=True, return_inverse=True
        )
        block = np.full((len(labels), len(place)), np.nan)
        block[rows, columns] = batch.column("value").to_numpy(zero_copy_only=False)
        blocks.append(block)
        heads = batch.select([*KEYS, "record_id"]).take(first.tolist()).to_pylist()
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


def wide_table(
    wide: Wide,
    changes: Changes,
    facts: Mapping[Key, Mapping[str, Any]],
) -> tuple[Any, list[Any]]:
    """Return the wide table and the fields beyond the model.

    Parameters
    ----------
    wide : Wide
        The matrix.
    changes : Changes
        The change columns.
    facts : mapping
        Rows of `lesions` by key, for the columns of the model.
    """
    import pyarrow as pa

    fields = [
        pa.field(name, pa.float64(), metadata=_facts(name, unit))
        for name, unit in zip(wide.names, wide.units, strict=True)
    ]
    for name in changes.names:
        base, unit, words = described(name)
        told = {"unit": unit, "definition": words + _definition(base)}
        fields.append(pa.field(name, pa.float64(), metadata=told))
    columns: dict[str, Any] = {
        name: pa.array([key[k] for key in wide.keys], pa.int64() if k == 4 else pa.string())
        for k, name in enumerate(KEYS)
    }
    for name, kind in (("days_from_srs", pa.float64()), ("outcome", pa.string())):
        values = [facts.get(key, {}).get(name) for key in wide.keys]
        columns[name] = pa.array(values, kind)
    columns["record_id"] = pa.array(wide.records, pa.string())
    matrix = np.concatenate([wide.values, changes.values], axis=1)
    for k, field in enumerate(fields):
        columns[field.name] = pa.array(np.ascontiguousarray(matrix[:, k]))
    return pa.table(columns), fields


def _facts(name: str, unit: str) -> dict[str, str]:
    """Return unit, definition and, where it has one, the permanent IBSI id of a column."""
    code = ibsi_id(name.rpartition(".")[2])
    return {"unit": unit, "definition": _definition(name)} | ({"ibsi": code} if code else {})


def _definition(name: str) -> str:
    """Return what a column of the matrix is, in terms of `features`."""
    image, region, statistic = name.split(".")
    return f"features: map {image}, region {region}, statistic {statistic}"
