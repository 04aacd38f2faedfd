"""Checkpoints: what the ledger held after each run, chained so that no record changes unseen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from afterglow.provenance.digest import file_digest
from afterglow.provenance.records import RECORDS, record_path, write_atomically

CHECKPOINTS = Path("ledger/checkpoints")


def merkle_root(leaves: list[str]) -> str:
    """Return the Merkle root of hexadecimal leaves in the given order.

    Inner nodes are hashed with another prefix than leaves, so that none passes for the other.

    Examples
    --------
    >>> merkle_root(["aa"]) != merkle_root(["aa", "aa"])
    True
    """
    level = [hashlib.sha256(b"\0" + leaf.encode()).digest() for leaf in leaves]
    if not level:
        return hashlib.sha256(b"empty").hexdigest()
    while len(level) > 1:
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = [hashlib.sha256(b"\1" + b"".join(pair)).digest() for pair in pairs]
    return hashlib.sha256(b"\2" + str(len(leaves)).encode() + level[0]).hexdigest()


def read_checkpoints(root: Path) -> Iterator[tuple[Path, dict[str, Any] | None]]:
    """Yield every checkpoint in order, None in place of one that cannot be read."""
    for path in sorted((root / CHECKPOINTS).glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            content = None
        yield path, content


def covered_records(root: Path) -> dict[str, str]:
    """Return the digest of every record that the checkpoints vouch for, by key."""
    leaves: dict[str, str] = {}
    for _, content in read_checkpoints(root):
        if content:
            _apply(leaves, content)
    return leaves


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
    news = {key: digest for key, digest in current.items() if standing.get(key) != digest}
    if not news:
        return []
    _append(root, {"leaves": news}, {**standing, **news})
    return list(news)


def append_tombstone(root: Path, keys: Iterable[str], why: dict[str, Any]) -> Path:
    """Append a checkpoint that says which records were removed on purpose, and why."""
    gone = sorted(keys)
    left = {k: d for k, d in covered_records(root).items() if k not in set(gone)}
    return _append(root, {"leaves": {}, "removed": gone, "why": why}, left)


def _append(root: Path, own: dict[str, Any], leaves: dict[str, str]) -> Path:
    previous = sorted((root / CHECKPOINTS).glob("*.json"))
    content = {
        "index": len(previous) + 1,
        "previous": file_digest(previous[-1]) if previous else None,
        "root": _root_of(leaves),
        **own,
    }
    path = root / CHECKPOINTS / f"{content['index']:06d}.json"
    write_atomically(path, json.dumps(content, sort_keys=True, indent=1) + "\n")
    return path


def _root_of(leaves: dict[str, str]) -> str:
    return merkle_root([f"{key}:{leaves[key]}" for key in sorted(leaves)])


def check_checkpoints(root: Path, *, deep: bool = True) -> list[tuple[Path, str]]:
    """Return every checkpoint that does not follow from its predecessor, with what is wrong.

    Parameters
    ----------
    root : Path
        The study's ``out``.
    deep : bool, optional
        Compute every root; else that of the newest only, which the chain of digests ties to all.
    """
    wrong: list[tuple[Path, str]] = []
    leaves: dict[str, str] = {}
    before: Path | None = None
    last = sum(1 for _ in (root / CHECKPOINTS).glob("*.json"))
    for number, (path, content) in enumerate(read_checkpoints(root), start=1):
        if content is None:
            wrong.append((path, "unreadable"))
        else:
            _apply(leaves, content)
            if path.stem != f"{number:06d}" or content["index"] != number:
                wrong.append((path, "an earlier checkpoint is missing"))
            elif content["previous"] != (file_digest(before) if before else None):
                wrong.append((path, "its predecessor was changed or removed"))
            elif (deep or number == last) and content["root"] != _root_of(leaves):
                wrong.append((path, "its root does not follow from its leaves"))
        before = path
    return wrong


def _apply(leaves: dict[str, str], content: dict[str, Any]) -> None:
    """Bring what is covered up to a checkpoint."""
    leaves.update(content["leaves"])
    for key in content.get("removed", ()):
        leaves.pop(key, None)
