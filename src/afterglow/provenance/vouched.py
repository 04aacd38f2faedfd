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
from afterglow.provenance.file_stats import TOKEN, LookAside, Tokens
from afterglow.provenance.lookup import numbers, texts
from afterglow.provenance.records import RECORDS, record_path

Fault = Literal["missing", "differs", "unvouched"]

# Rows at a time: a million keys need no second copy then.
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Standing:
    """Record files by sorted key with size, time and inode."""

    keys: Texts
    tokens: Tokens


@dataclass(frozen=True)
class Catalogued(Standing):
    """Records as they were catalogued, and the digests of what they held then."""

    digests: Texts


_NO_TEXTS = np.empty(0, dtype=np.bytes_)
_NOTHING = Catalogued(_NO_TEXTS, np.empty((0, 3), dtype=np.int64), _NO_TEXTS)


def look_at_records(root: Path) -> LookAside:
    """Begin one look at every record file."""
    return LookAside(root / RECORDS)


def _standing(look: LookAside) -> Standing:
    keys, tokens = look.result()
    order = np.argsort(keys)
    return Standing(keys[order], tokens[order])


def faults(
    root: Path, covered: Leaves, look: LookAside, *, deep: bool
) -> Iterator[tuple[str, Fault]]:
    """Yield every record that is not as the checkpoints have it, with what is wrong.

    Parameters
    ----------
    root : Path
        The study's ``out``.
    covered : Leaves
        What the checkpoints vouch for, sorted by key.
    look : LookAside
        At the records, begun before.
    deep : bool
        Hash every record; else only those that moved since they were catalogued.
    """
    now = _standing(look)
    then = _catalogued(root) if not deep else _NOTHING
    told = _told_of(covered.keys, now, then)
    for rows in _blocks(len(told)):
        part, at = covered.at(rows), told[rows]
        same = at >= 0
        for key in part.keys[same][then.digests[at[same]] != part.digests[same]]:
            yield key.decode(), "differs"
    for row in np.flatnonzero(told < 0):
        key = covered.keys[row].decode()
        fault = _fault(record_path(root, key), covered.digests[row].decode())
        if fault:
            yield key, fault
    for row in np.flatnonzero(find(covered.keys, now.keys) < 0):
        yield os.fsdecode(now.keys[row]), "unvouched"


def _told_of(keys: Texts, now: Standing, then: Catalogued) -> NDArray[np.int64]:
    """Return the row of the catalog that tells what each record holds; -1 where the file moved."""
    here, told = find(now.keys, keys), find(then.keys, keys)
    both = np.flatnonzero((here >= 0) & (told >= 0))
    moved = (now.tokens[here[both]] != then.tokens[told[both]]).any(axis=1)
    told[both[moved]] = -1
    told[here < 0] = -1
    return told


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, start + _BLOCK) for start in range(0, count, _BLOCK))


def _fault(path: Path, digest: str) -> Fault | None:
    """Open a record; it may have come since the look, and a folder in its place is none."""
    try:
        return None if file_digest(path) == digest else "differs"
    except OSError:
        return "missing"


def _catalogued(root: Path) -> Catalogued:
    """Return what the catalog tells last of each record."""
    told = texts(columns_of(root, "records", ["key"]), "key")
    rows = latest_rows(told)
    keys = told[rows]
    del told
    then = columns_of(root, "records", list(TOKEN))
    tokens = np.stack([numbers(then, name)[rows] for name in TOKEN], axis=1)
    digests = texts(columns_of(root, "records", ["digest"]), "digest")[rows]
    return Catalogued(keys, tokens, digests)
