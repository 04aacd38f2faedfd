"""Rows of a Parquet file by value, reading only the row groups that may hold them.

pyarrow's converters from Python values import pandas, which takes longer than the question; here
values become arrays by their buffers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


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
    rows: list[dict[str, Any]] = []
    with pq.ParquetFile(path) as file:
        for group in _possible(file, where):
            mask = _equal(file.read_row_group(group, columns=list(where)), where)
            if mask is None or mask.true_count:
                table = file.read_row_group(group, columns=wanted)
                rows += (table if mask is None else table.filter(mask)).to_pylist()
    return rows


def rows_among(
    path: Path, column: str, values: NDArray[Any], columns: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the rows whose column of whole numbers holds one of some values."""
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = []
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            mask = np.isin(numbers(file.read_row_group(group, columns=[column]), column), values)
            if mask.any():
                table = file.read_row_group(group, columns=list(columns))
                rows += table.filter(_mask(mask)).to_pylist()
    return rows


def numbers(table: pa.Table, name: str) -> NDArray[Any]:
    """Return a column of whole numbers, none of them absent, as an array."""
    return np.from_dlpack(table.column(name).combine_chunks())


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


def _equal(table: pa.Table, where: Mapping[str, str]) -> Any:
    import pyarrow.compute as pc

    mask = None
    for name, value in where.items():
        here = pc.equal(table.column(name), _text(value)).combine_chunks()
        mask = here if mask is None else pc.and_(mask, here)
    return mask


def _text(value: str) -> pa.Scalar[Any]:
    import pyarrow as pa

    content = value.encode()
    ends = pa.py_buffer(struct.pack("=ii", 0, len(content)))
    return pa.StringArray.from_buffers(1, ends, pa.py_buffer(content))[0]


def _mask(values: NDArray[np.bool_]) -> pa.Array[Any]:
    import pyarrow as pa

    bits = np.packbits(values, bitorder="little").tobytes()
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, pa.py_buffer(bits)])
