"""Rows of a Parquet file by value, reading only the row groups that may hold them.

pyarrow's converters from Python values import pandas, and its filters a module of functions: both
take longer than the question, so few rows are found and cut out without them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from afterglow.provenance.coverage import as_texts

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_FEW = 1000


def rows_where(
    path: Path, where: Mapping[str, str], columns: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Return the rows whose text columns hold the given values.

    Parameters
    ----------
    path : Path
        The file.
    where : mapping
        Value by column; all rows where it is empty.
    columns : sequence of str, optional
        What to return of each row; all by default.
    """
    import pyarrow.parquet as pq

    wanted = list(columns) if columns is not None else None
    found: list[dict[str, Any]] = []
    with pq.ParquetFile(path) as file:
        for group in _possible(file, where):
            mask = np.ones(file.metadata.row_group(group).num_rows, dtype=bool)
            for name, value in where.items():
                told = file.read_row_group(group, columns=[name]).column(name).to_pylist()
                mask &= np.fromiter((text == value for text in told), bool, len(told))
            if mask.any():
                found += rows(file.read_row_group(group, columns=wanted), mask)
    return found


def rows_among(
    path: Path, column: str, values: NDArray[Any], columns: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the rows whose column of whole numbers holds one of some values."""
    import pyarrow.parquet as pq

    found: list[dict[str, Any]] = []
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            mask = are_among(numbers(file.read_row_group(group, columns=[column]), column), values)
            if mask.any():
                found += rows(file.read_row_group(group, columns=list(columns)), mask)
    return found


def are_among(values: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which numbers are among the wanted ones, of which there may be many.

    `numpy.isin` hashes both, at ten times the cost of sorting one.

    Examples
    --------
    >>> are_among(np.array([1, 2, 9]), np.array([9, 1])).tolist()
    [True, False, True]
    """
    if not len(wanted):
        return np.zeros(len(values), dtype=bool)
    there = np.sort(wanted)
    spot = np.minimum(np.searchsorted(there, values), len(there) - 1)
    return np.asarray(there[spot] == values)


def numbers(table: pa.Table, name: str) -> NDArray[Any]:
    """Return a column of whole numbers, none of them absent, as an array."""
    return np.from_dlpack(table.column(name).combine_chunks())


def texts(table: pa.Table, name: str) -> NDArray[np.bytes_]:
    """Return a column of texts, none of them absent, as an array; digests stay where they are.

    Raises
    ------
    ValueError
        A text holds a zero byte, which the array would drop where it stands last.
    """
    column = table.column(name).combine_chunks()
    if not len(column):
        return as_texts([])
    ends = np.frombuffer(column.buffers()[1], np.int32, len(column) + 1, 4 * column.offset)
    wide = int(ends[-1] - ends[0]) // len(column)
    if wide and (np.diff(ends) == wide).all():
        return np.frombuffer(column.buffers()[2], f"S{wide}", len(column), int(ends[0]))
    return as_texts(column.to_pylist())


def read(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Return a file, or some of its columns."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return file.read(columns=None if columns is None else list(columns))


def chosen(table: pa.Table, mask: NDArray[np.bool_]) -> pa.Table:
    """Return the rows of a table that a mask marks."""
    import pyarrow as pa

    bits = pa.py_buffer(np.packbits(mask, bitorder="little").tobytes())
    return table.filter(pa.Array.from_buffers(pa.bool_(), len(mask), [None, bits]))


def _possible(file: pq.ParquetFile, where: Mapping[str, str]) -> Iterator[int]:
    """Yield the row groups whose least and greatest values leave room for the wanted ones."""
    places = {name: file.schema_arrow.get_field_index(name) for name in where}
    for number in range(file.num_row_groups):
        group = file.metadata.row_group(number)
        found = {name: group.column(place).statistics for name, place in places.items()}
        if not any(
            kept is not None and kept.has_min_max and not kept.min <= where[name] <= kept.max
            for name, kept in found.items()
        ):
            yield number


def rows(table: pa.Table, mask: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Return the rows that a mask marks: few as slices, many through a filter."""
    at = np.flatnonzero(mask)
    if len(at) > _FEW:
        table, at = chosen(table, mask), np.arange(len(at))
    runs = np.split(at, np.flatnonzero(np.diff(at) > 1) + 1) if len(at) else []
    return [row for run in runs for row in table.slice(run[0], len(run)).to_pylist()]
