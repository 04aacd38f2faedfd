"""A digest of what a table says, whatever wrote it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

DIGITS = 7


def content_digest(table: Any, order: Iterable[str] | None = None) -> str:
    """Return the canonical digest of a table's content.

    Columns are taken in order of name, rows in order of all key-like columns; floats are rounded
    to 7 significant digits, NaN counts as null and -0 as 0. Encoding, chunks, metadata, codec
    and the library that wrote the file do not matter.

    Parameters
    ----------
    table : pyarrow.Table
        The table.
    order : iterable of str, optional
        Columns that order the rows; by default all that are not floats or lists.

    Returns
    -------
    str
        sha256, hexadecimal.

    Examples
    --------
    >>> import pyarrow as pa
    >>> one = pa.table({"id": ["a", "b"], "x": [0.1, 1.0]})
    >>> two = pa.table({"x": [1.0, 0.1 + 1e-12], "id": ["b", "a"]})
    >>> content_digest(one) == content_digest(two)
    True
    """
    import pyarrow as pa

    plain = pa.table({name: _plain(table.column(name)) for name in sorted(table.column_names)})
    keys = list(order) if order is not None else _key_columns(plain)
    if keys:
        plain = plain.take(_row_order(plain, keys))
    digest = hashlib.sha256()
    for name in plain.column_names:
        digest.update(f"{name}:{plain.num_rows};".encode())
        _feed(digest, plain.column(name))
    return digest.hexdigest()


def _plain(column: Any) -> Any:
    """Return a column without dictionary encoding, views, chunks and narrow types."""
    import pyarrow as pa
    import pyarrow.types as kinds

    if kinds.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    found = column.type
    if kinds.is_large_string(found) or kinds.is_string_view(found):
        column = column.cast(pa.string())
    elif kinds.is_integer(found):
        column = column.cast(pa.int64())
    elif kinds.is_floating(found):
        column = column.cast(pa.float64())
    elif kinds.is_large_list(found) or kinds.is_list(found):
        inner = pa.float64() if kinds.is_floating(found.value_type) else pa.string()
        column = column.cast(pa.list_(inner))
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _key_columns(table: Any) -> list[str]:
    import pyarrow.types as kinds

    return [
        field.name
        for field in table.schema
        if not (kinds.is_floating(field.type) or kinds.is_nested(field.type))
    ]


def _row_order(table: Any, keys: list[str]) -> Any:
    import pyarrow.compute as pc

    return pc.sort_indices(table, sort_keys=[(name, "ascending") for name in keys])


def _feed(digest: Any, column: Any) -> None:
    """Feed validity and values of one column."""
    import pyarrow as pa
    import pyarrow.types as kinds

    for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        if kinds.is_list(chunk.type):
            lengths = chunk.value_lengths().fill_null(-1).to_numpy(zero_copy_only=False)
            digest.update(np.ascontiguousarray(lengths, dtype="<i8").tobytes())
            _feed(digest, chunk.flatten())
        elif kinds.is_floating(chunk.type):
            values = chunk.to_numpy(zero_copy_only=False).astype(np.float64)
            digest.update(np.packbits(np.isnan(values)).tobytes())
            digest.update(_rounded(values).tobytes())
        elif kinds.is_string(chunk.type):
            _feed_text(digest, chunk)
        else:
            digest.update(np.packbits(np.asarray(chunk.is_null())).tobytes())
            numbers = chunk.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
            digest.update(numbers.astype("<i8").tobytes())


def _feed_text(digest: Any, chunk: Any) -> None:
    """Feed lengths in bytes (-1 for null), then the bytes."""
    import pyarrow.compute as pc

    lengths = pc.binary_length(chunk).fill_null(-1).to_numpy(zero_copy_only=False)
    digest.update(np.ascontiguousarray(lengths, dtype="<i8").tobytes())
    digest.update("".join(pc.drop_null(chunk).to_pylist()).encode("utf-8"))


def _rounded(values: np.ndarray[Any, np.dtype[np.float64]]) -> Any:
    """Return floats rounded to significant digits, as little-endian bytes; NaN and -0 become 0."""
    good = np.isfinite(values) & (values != 0)
    whole = np.zeros_like(values)
    power = np.zeros(values.shape, dtype="<i8")
    power[good] = np.floor(np.log10(np.abs(values[good]))).astype(np.int64)
    whole[good] = np.rint(values[good] / 10.0 ** (power[good] - (DIGITS - 1)))
    carried = np.abs(whole) >= 10.0**DIGITS
    whole[carried] /= 10
    power[carried] += 1
    whole[np.isposinf(values)], whole[np.isneginf(values)] = 2e15, -2e15
    return np.concatenate([whole.astype("<i8"), power])
