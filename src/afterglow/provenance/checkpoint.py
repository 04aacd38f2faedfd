"""Checkpoints: what the ledger held after each run, chained so that no record changes unseen."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afterglow.provenance.coverage import (
    REMOVED,
    Leaves,
    as_leaves,
    find,
    merged,
    parse_checkpoint,
)
from afterglow.provenance.digest import file_digest
from afterglow.provenance.records import RECORDS, record_path, write_atomically

CHECKPOINTS = Path("ledger/checkpoints")
# The newest checkpoint whose root was found to follow from its leaves, by digest. Every earlier
# one is tied to it by digests too, so that this stays true for as long as the links hold.
HEAD = Path(".cache/head.json")


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint as it stands.

    Attributes
    ----------
    path : Path
        Its file.
    digest : str
        The sha256 of the file.
    content : dict
        All of it but the leaves; empty where it cannot be read.
    leaves : Leaves
        The records it adds, and with an empty digest those it removes.
    """

    path: Path
    digest: str
    content: dict[str, Any]
    leaves: Leaves


def merkle_root(leaves: Iterable[str]) -> str:
    """Return the Merkle root of hexadecimal leaves in the given order.

    Inner nodes are hashed with another prefix than leaves, so that none passes for the other.

    Examples
    --------
    >>> merkle_root(["aa"]) != merkle_root(["aa", "aa"])
    True
    """
    sha256 = hashlib.sha256
    level = [sha256(b"\0" + leaf.encode()).digest() for leaf in leaves]
    count = len(level)
    if not level:
        return sha256(b"empty").hexdigest()
    while len(level) > 1:
        pairs = [
            sha256(b"\1" + one + two).digest()
            for one, two in zip(level[::2], level[1::2], strict=False)
        ]
        level = pairs + [sha256(b"\1" + last).digest() for last in level[2 * len(pairs) :]]
    return sha256(b"\2" + str(count).encode() + level[0]).hexdigest()


def read_checkpoints(root: Path) -> Iterator[Checkpoint]:
    """Yield every checkpoint in order."""
    return map(_read, sorted((root / CHECKPOINTS).glob("*.json")))


def _read(path: Path) -> Checkpoint:
    text = b""
    with contextlib.suppress(OSError):
        text = path.read_bytes()
    digest = hashlib.sha256(text).hexdigest()
    try:
        return Checkpoint(path, digest, *parse_checkpoint(text))
    except (ValueError, TypeError, KeyError, AttributeError):
        return Checkpoint(path, digest, {}, as_leaves({}))


def covered_records(root: Path) -> Leaves:
    """Return the digest of every record that the checkpoints vouch for."""
    return merged(checkpoint.leaves for checkpoint in read_checkpoints(root))


def append_checkpoint(root: Path, keys: Iterable[str] | None = None) -> list[str]:
    """Append a checkpoint and return the keys that it newly covers; none where nothing is new.

    Parameters
    ----------
    root : Path
        The study's ``out``.
    keys : iterable of str, optional
        Records that this run may have written; all by default. A record that changed without
        being among them is not vouched for: `check` reports it.
    """
    standing = covered_records(root)
    wanted = [record_path(root, key) for key in sorted(keys)] if keys is not None else None
    paths = wanted if wanted is not None else sorted((root / RECORDS).glob("*.json"))
    current = {path.stem: file_digest(path) for path in paths if path.exists()}
    now = as_leaves(current)
    place = find(standing.keys, now.keys)
    known = place >= 0
    known[known] = standing.digests[place[known]] == now.digests[known]
    news = {key: current[key] for key, is_known in zip(current, known, strict=True) if not is_known}
    if not news:
        return []
    _append(root, {"leaves": news}, merged([standing, now]))
    return list(news)


def append_tombstone(root: Path, keys: Iterable[str], why: dict[str, Any]) -> Path:
    """Append a checkpoint that says which records were removed on purpose, and why."""
    gone = sorted(keys)
    left = merged([covered_records(root), as_leaves(dict.fromkeys(gone, REMOVED))])
    return _append(root, {"leaves": {}, "removed": gone, "why": why}, left)


def _append(root: Path, own: dict[str, Any], leaves: Leaves) -> Path:
    previous = sorted((root / CHECKPOINTS).glob("*.json"))
    content = {
        "index": len(previous) + 1,
        "previous": file_digest(previous[-1]) if previous else None,
        "root": _root_of(leaves),
        **own,
    }
    path = root / CHECKPOINTS / f"{content['index']:06d}.json"
    text = json.dumps(content, sort_keys=True, indent=1) + "\n"
    write_atomically(path, text)
    _remember(root, hashlib.sha256(text.encode()).hexdigest())
    return path


def _root_of(leaves: Leaves) -> str:
    pairs = zip(leaves.keys.tolist(), leaves.digests.tolist(), strict=True)
    return merkle_root(f"{key.decode()}:{digest.decode()}" for key, digest in pairs)


def check_checkpoints(root: Path, *, deep: bool = True) -> tuple[list[tuple[Path, str]], Leaves]:
    """Hold every checkpoint against its predecessor, and its root against its leaves.

    Parameters
    ----------
    root : Path
        The study's ``out``.
    deep : bool, optional
        Compute every root; else that of the newest only, which the chain of digests ties to all,
        and not even that where it was computed before and nothing in the chain moved.

    Returns
    -------
    wrong : list of (Path, str)
        Every checkpoint that does not follow, with what is wrong.
    covered : Leaves
        All that the checkpoints vouch for.
    """
    wrong: list[tuple[Path, str]] = []
    parts: list[Leaves] = []
    before: str | None = None
    sound = None if deep else _remembered(root)
    last = sum(1 for _ in (root / CHECKPOINTS).glob("*.json"))
    for number, checkpoint in enumerate(read_checkpoints(root), start=1):
        parts.append(checkpoint.leaves)
        fault = _link_fault(checkpoint, number, before)
        to_compute = deep or (number == last and (wrong or checkpoint.digest != sound))
        if not fault and to_compute:
            parts = [merged(parts)]
            if checkpoint.content["root"] != _root_of(parts[0]):
                fault = "its root does not follow from its leaves"
        if fault:
            wrong.append((checkpoint.path, fault))
        before = checkpoint.digest
    if before not in {None, sound} and not wrong:
        _remember(root, before)
    return wrong, merged(parts)


def _link_fault(checkpoint: Checkpoint, number: int, before: str | None) -> str:
    """Return why a checkpoint does not follow the one before it; empty where it does."""
    if not checkpoint.content:
        return "unreadable"
    if checkpoint.path.stem != f"{number:06d}" or checkpoint.content["index"] != number:
        return "an earlier checkpoint is missing"
    if checkpoint.content["previous"] != before:
        return "its predecessor was changed or removed"
    return ""


def _remembered(root: Path) -> str | None:
    try:
        return str(json.loads((root / HEAD).read_text(encoding="utf-8"))["sha256"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _remember(root: Path, digest: str) -> None:
    # A study that cannot be written to is checked in full each time.
    with contextlib.suppress(OSError):
        write_atomically(root / HEAD, json.dumps({"sha256": digest}), durable=False)
