"""Whether the records that stand are those the checkpoints vouch for, a million at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

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
    there = np.flatnonzero(place >= 0)
    if not deep:
        same, told = _unmoved(root, keys[there], now.tokens[place[there]])
        for key in keys[there[same]][told != digests[there[same]]]:
            yield key.decode(), "differs"
        there = np.delete(there, same)
    for key, digest in zip(keys[there], digests[there], strict=True):
        if file_digest(record_path(root, key.decode())) != digest.decode():
            yield key.decode(), "differs"
    for key in now.keys[find(keys, now.keys) < 0]:
        yield os.fsdecode(key), "unvouched"


def _unmoved(root: Path, keys: Texts, tokens: Tokens) -> tuple[NDArray[np.int64], Texts]:
    """Return which records have the size, time and inode that were catalogued, and the digest."""
    spot = _catalogued(root, keys)
    then = columns_of(root, "records", list(TOKEN))
    known = np.stack([numbers(then, name) for name in TOKEN], axis=1)
    rows = np.flatnonzero(spot >= 0)
    rows = rows[(tokens[rows] == known[spot[rows]]).all(axis=1)]
    return rows, texts(columns_of(root, "records", ["digest"]), "digest")[spot[rows]]


def _catalogued(root: Path, keys: Texts) -> NDArray[np.int64]:
    """Return the row of the catalog that tells of each key last, -1 where none does."""
    told = texts(columns_of(root, "records", ["key"]), "key")
    rows = latest_rows(told)
    # The row after the last one is what a key that is not found, at -1, refers to.
    return np.append(rows, -1)[find(told[rows], keys)]
