"""What a checkpoint covers, as columns: a million digests without an object for each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Texts = NDArray[np.bytes_]

# Stands for the digest of a record that was removed.
REMOVED = ""

_OPEN, _CLOSE = b'\n "leaves": {\n', b"\n }"
# A key and its digest on a line of their own, as checkpoints are written; the last has no comma.
_LINE = np.dtype(
    {
        "names": ["open", "key", "colon", "digest", "close", "end"],
        "formats": ["S3", "S64", "S4", "S64", "S1", "S2"],
    }
)


@dataclass(frozen=True)
class Leaves:
    """Digests of records by key.

    Attributes
    ----------
    keys, digests : ndarray of bytes, shape (n,)
        ``REMOVED`` in place of a digest says that the record was removed.
    """

    keys: Texts
    digests: Texts

    def at(self, rows: NDArray[Any] | slice) -> Leaves:
        """Return some of the rows."""
        return Leaves(self.keys[rows], self.digests[rows])


def as_texts(values: Sequence[str]) -> Texts:
    """Return texts as one array of bytes.

    Raises
    ------
    ValueError
        A text holds a zero byte, which the array would drop where it stands last.
    """
    if any("\0" in value for value in values):
        raise ValueError("zero byte in a text")
    return np.array([value.encode() for value in values], dtype=np.bytes_)


def as_leaves(digests: Mapping[str, str]) -> Leaves:
    """Return digests by key as columns."""
    return Leaves(as_texts(list(digests)), as_texts(list(digests.values())))


def parse_checkpoint(text: bytes) -> tuple[dict[str, Any], Leaves]:
    """Return what a checkpoint says beside its leaves, and what it adds and removes.

    Raises
    ------
    ValueError, TypeError, KeyError, AttributeError
        The text is no checkpoint.
    """
    content, leaves = _parse_lines(text) or _parse_any(text)
    gone = as_leaves(dict.fromkeys(content.get("removed", ()), REMOVED))
    # Unlike any text that JSON holds, so that a missing entry equals nothing that is expected.
    told = {"index": None, "previous": "", "root": ""} | content
    return told, _joined([leaves, gone])


def merged(parts: Iterable[Leaves]) -> Leaves:
    """Return what some checkpoints cover together, sorted by key; later ones count."""
    leaves = _joined(list(parts))
    if not _ascending(leaves.keys):
        leaves = leaves.at(latest_rows(leaves.keys))
    left = leaves.digests != REMOVED.encode()
    return leaves if left.all() else leaves.at(left)


def latest_rows(keys: Texts) -> NDArray[np.int64]:
    """Return the row at which each key stands last, in the order of the keys.

    Examples
    --------
    >>> latest_rows(np.array([b"b", b"a", b"b"])).tolist()
    [1, 2]
    """
    order = np.argsort(keys, kind="stable")
    last = np.ones(len(keys), dtype=bool)
    last[:-1] = keys[order[1:]] != keys[order[:-1]]
    return np.asarray(order[last], dtype=np.int64)


def find(sorted_keys: Texts, wanted: Texts) -> NDArray[np.int64]:
    """Return where each key stands among sorted ones, -1 where it does not."""
    if not len(sorted_keys):
        return np.full(len(wanted), -1, dtype=np.int64)
    if len(sorted_keys) == len(wanted) and (sorted_keys == wanted).all():
        return np.arange(len(wanted), dtype=np.int64)
    spot = np.minimum(np.searchsorted(sorted_keys, wanted), len(sorted_keys) - 1)
    return np.where(sorted_keys[spot] == wanted, spot, -1).astype(np.int64)


def _ascending(keys: Texts) -> bool:
    """Return whether keys are sorted, and none is told twice."""
    return bool((keys[1:] > keys[:-1]).all())


def _joined(parts: list[Leaves]) -> Leaves:
    full = [part for part in parts if len(part.keys)]
    if len(full) == 1:
        return full[0]
    empty = np.empty(0, dtype="S64")
    return Leaves(
        np.concatenate([empty, *(part.keys for part in full)]),
        np.concatenate([empty, *(part.digests for part in full)]),
    )


def _parse_any(text: bytes) -> tuple[dict[str, Any], Leaves]:
    content = json.loads(text)
    return content, as_leaves(content.pop("leaves"))


def _parse_lines(text: bytes) -> tuple[dict[str, Any], Leaves] | None:
    """Read a checkpoint laid out as this software does; None where it is laid out otherwise."""
    start = text.find(_OPEN) + len(_OPEN)
    end = text.find(_CLOSE, start)
    count, rest = divmod(end + 2 - start, _LINE.itemsize)
    if start < len(_OPEN) or end < 0 or rest or text.count(b'"leaves"') != 1:
        return None
    rows = np.frombuffer(text, _LINE, count, start)
    keys, digests = rows["key"].copy(), rows["digest"].copy()
    laid_out = (
        (rows["open"] == b'  "').all()
        and (rows["colon"] == b'": "').all()
        and (rows["close"] == b'"').all()
        and (rows["end"][:-1] == b",\n").all()
        and _ascending(keys)
    )
    if not (laid_out and _hexadecimal(keys) and _hexadecimal(digests)):
        return None
    return json.loads(text[:start] + text[end:]), Leaves(keys, digests)


def _hexadecimal(texts: Texts) -> bool:
    try:
        return len(bytes.fromhex(texts.tobytes().decode("ascii"))) * 2 == texts.nbytes
    except ValueError:
        return False
