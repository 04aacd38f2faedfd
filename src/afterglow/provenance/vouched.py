"""Whether the records that stand are those the checkpoints vouch for, a million at a time."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from afterglow.provenance.catalog import batches
from afterglow.provenance.checkpoint import covered_records
from afterglow.provenance.digest import file_digest
from afterglow.provenance.records import RECORDS, record_path

Texts = NDArray[np.bytes_]
Numbers = NDArray[np.int64]
# Digests and keys are sha256 in hexadecimal.
_WIDTH = 64
Fault = Literal["missing", "differs", "unvouched"]


@dataclass(frozen=True)
class Standing:
    """Record files by sorted key with size, time and inode; digests where they are known."""

    keys: Texts
    tokens: Numbers
    digests: Texts | None = None


def standing_records(root: Path) -> Standing:
    """Return every record file as it stands now, at the cost of one look at each."""
    keys, tokens = bytearray(), array("q")
    folder = root / RECORDS
    if folder.is_dir():
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".json") and entry.name[0] != ".":
                    status = entry.stat()
                    keys += entry.name[:-5].encode()[:_WIDTH].ljust(_WIDTH, b"\0")
                    tokens.extend((status.st_size, status.st_mtime_ns, status.st_ino))
    names = np.frombuffer(bytes(keys), dtype=f"S{_WIDTH}")
    order = np.argsort(names)
    return Standing(names[order], np.array(tokens, dtype=np.int64).reshape(-1, 3)[order])


def faults(root: Path, *, deep: bool) -> Iterator[tuple[str, Fault]]:
    """Yield every record that is not as the checkpoints have it, with what is wrong.

    Parameters
    ----------
    root : Path
        The study's ``out``.
    deep : bool
        Hash every record; else only those that moved since they were catalogued.
    """
    keys, digests = _covered(root)
    now = standing_records(root)
    place = _find(now.keys, keys)
    for key in keys[place < 0]:
        yield key.decode(), "missing"
    there = place >= 0
    trusted = np.zeros(len(keys), dtype=bool)
    if not deep:
        known = _catalogued(root)
        spot = _find(known.keys, keys)
        both = there & (spot >= 0)
        trusted[both] = (now.tokens[place[both]] == known.tokens[spot[both]]).all(axis=1)
        if known.digests is not None:
            for key in keys[trusted][known.digests[spot[trusted]] != digests[trusted]]:
                yield key.decode(), "differs"
    for key, digest in zip(keys[there & ~trusted], digests[there & ~trusted], strict=True):
        if file_digest(record_path(root, key.decode())) != digest.decode():
            yield key.decode(), "differs"
    for key in now.keys[_find(keys, now.keys) < 0]:
        yield key.decode(), "unvouched"


def _covered(root: Path) -> tuple[Texts, Texts]:
    """Return the keys that the checkpoints vouch for, sorted, and their digests."""
    vouched = covered_records(root)
    keys = np.fromiter(vouched.keys(), dtype=f"S{_WIDTH}", count=len(vouched))
    digests = np.fromiter(vouched.values(), dtype=f"S{_WIDTH}", count=len(vouched))
    order = np.argsort(keys)
    return keys[order], digests[order]


def _catalogued(root: Path) -> Standing:
    """Return the records as they stood when catalogued; the latest row of a key counts."""
    kind = f"S{_WIDTH}"
    names = ["size", "mtime", "inode"]
    pieces: list[tuple[Texts, Texts, Numbers]] = [
        (
            np.array(piece.column("key").to_pylist(), dtype=kind),
            np.array(piece.column("digest").to_pylist(), dtype=kind),
            np.stack([np.from_dlpack(piece.column(name)) for name in names], axis=1),
        )
        for piece in batches(root, "records", ["key", "digest", *names])
    ]
    if not pieces:
        return Standing(np.empty(0, dtype=kind), np.empty((0, 3), dtype=np.int64))
    keys, digests, tokens = (np.concatenate(part) for part in zip(*pieces, strict=True))
    del pieces
    order = np.argsort(keys, kind="stable")
    last = np.append(keys[order][1:] != keys[order][:-1], True) if len(keys) else order[:0]
    order = order[np.asarray(last, dtype=bool)]
    return Standing(keys[order], tokens[order], digests[order])


def _find(sorted_keys: Texts, wanted: Texts) -> NDArray[np.int64]:
    """Return where each key stands among sorted ones, -1 where it does not."""
    if not len(sorted_keys):
        return np.full(len(wanted), -1, dtype=np.int64)
    spot = np.minimum(np.searchsorted(sorted_keys, wanted), len(sorted_keys) - 1)
    return np.where(sorted_keys[spot] == wanted, spot, -1).astype(np.int64)
