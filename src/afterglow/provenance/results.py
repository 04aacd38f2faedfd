"""Outputs that stand as they were catalogued, and files that nobody recorded, in one walk."""

from __future__ import annotations

from array import array
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from afterglow.provenance.file_stats import TOKEN, as_tokens, files_below
from afterglow.provenance.lookup import numbers

if TYPE_CHECKING:
    import pyarrow as pa

RESULT_FOLDERS = ("bids", "derivatives", "tables", "cohort")


def compare_results(
    root: Path, recorded: pa.Table, others: Collection[str]
) -> tuple[NDArray[np.bool_], list[str]]:
    """Look once at every file in the folders of results.

    Parameters
    ----------
    root : Path
        The study's ``out``.
    recorded : pyarrow.Table
        Outputs with ``path``, ``size``, ``mtime`` and ``inode``.
    others : collection of str
        Paths that are recorded elsewhere.

    Returns
    -------
    moved : ndarray of bool
        Marks the rows of ``recorded`` whose file was not seen, or not with that size, time and
        inode: it may be absent, changed, touched, or stand outside of these folders.
    strays : list of str
        Files that are neither in ``recorded`` nor in ``others``.
    """
    row_of = {path: row for row, path in enumerate(recorded.column("path").to_pylist())}
    rows, found, strays = array("q"), array("q"), []
    for path, entry in files_below(root, RESULT_FOLDERS):
        row = row_of.get(path)
        if row is not None:
            try:
                status = entry.stat()
            except OSError:
                continue
            rows.append(row)
            found.extend((status.st_size, status.st_mtime_ns, status.st_ino))
        elif path not in others:
            strays.append(path)
    same = np.zeros(recorded.num_rows, dtype=bool)
    seen = np.array(rows, dtype=np.int64)
    known = np.stack([numbers(recorded, name) for name in TOKEN], axis=1)
    same[seen] = (known[seen] == as_tokens(found)).all(axis=1)
    return ~same, strays
