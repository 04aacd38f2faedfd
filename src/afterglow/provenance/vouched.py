"""Whether the records that stand are those the checkpoints vouch for, a million at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from afterglow.provenance.catalog import columns_of
from afterglow.provenance.coverage import Leaves, Texts, find, latest_rows
from afterglow.provenance.digest import file_digest
from afterglow.provenance.file_stats import TOKEN, Tokens, json_files
from afterglow.provenance.lookup import numbers, texts
from afterglow.provenance.records import RECORDS, record_path

Fault = Literal["missing", "differs", "unvouched"]


@dataclass(frozen=True)
class Standing:
    """Record files by sorted key with size, time and inode."""

    keys: Texts
    tokens: Tokens


def standing_records(root: Path) -> Standing:
    """Return every record file as it stands now, at the cost of one look at each."""
    names, tokens = json_files(root / RECORDS)
    # In the bytes of the file system: not every name is text.
    keys = np.array([n[:-5].encode(errors="surrogateescape") for n in names], dtype=np.bytes_)
    order = np.argsort(keys)
    return Standing(keys[order], tokens[order])


def faults(root: Path, covered: Leaves, *, deep: bool) -> Iterator[tuple[str, Fault]]:
    """Yield every record that is not as the checkpoints have it, with what is wrong.

    Parameters
    ----------
    root : Path
        The study's ``out``.
    covered : Leaves
        What the checkpoints vouch for, sorted by key.
    deep : bool
        Hash every record; else only those that moved since they were catalogued.
    """
    keys, digests = covered.keys, covered.digests
    now = standing_records(root)
    place = find(now.keys, keys)
    for key in keys[place < 0]:
        yield key.decode(), "missing"
    doubtful = place >= 0
    if not deep:
        known, catalogued = _catalogued(root)
        spot = find(known.keys, keys)
        rows = np.flatnonzero(doubtful & (spot >= 0))
        rows = rows[(now.tokens[place[rows]] == known.tokens[spot[rows]]).all(axis=1)]
        doubtful[rows] = False
        for key in keys[rows[catalogued[spot[rows]] != digests[rows]]]:
            yield key.decode(), "differs"
    for key, digest in zip(keys[doubtful], digests[doubtful], strict=True):
        if file_digest(record_path(root, key.decode())) != digest.decode():
            yield key.decode(), "differs"
    for key in now.keys[find(keys, now.keys) < 0]:
        yield os.fsdecode(key), "unvouched"


def _catalogued(root: Path) -> tuple[Standing, Texts]:
    """Return the records as they stood when catalogued, with digests; a key's latest row counts."""
    table = columns_of(root, "records", ["key", "digest", *TOKEN])
    keys = texts(table, "key")
    rows = latest_rows(keys)
    tokens = np.stack([numbers(table, name) for name in TOKEN], axis=1)
    return Standing(keys[rows], tokens[rows]), texts(table, "digest")[rows]
