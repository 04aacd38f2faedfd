"""Checkpoints: what the ledger held after each run, chained so that no record changes unseen."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from afterglow.provenance.digest import file_digest
from afterglow.provenance.records import RECORDS, write_atomically

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


def read_checkpoints(root: Path) -> list[tuple[Path, dict[str, Any] | None]]:
    """Return every checkpoint in order, None in place of one that cannot be read."""
    found: list[tuple[Path, dict[str, Any] | None]] = []
    for path in sorted((root / CHECKPOINTS).glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            content = None
        found.append((path, content))
    return found


def covered_records(root: Path) -> dict[str, str]:
    """Return the digest of every record that the checkpoints vouch for, by key."""
    leaves: dict[str, str] = {}
    for _, content in read_checkpoints(root):
        leaves.update(content["leaves"] if content else {})
    return leaves


def append_checkpoint(root: Path) -> Path | None:
    """Append a checkpoint over all records; None where nothing was recorded since the last."""
    standing = covered_records(root)
    current = {path.stem: file_digest(path) for path in sorted((root / RECORDS).glob("*.json"))}
    news = {key: digest for key, digest in current.items() if standing.get(key) != digest}
    if not news:
        return None
    previous = read_checkpoints(root)
    everything = {**standing, **news}
    content = {
        "index": len(previous) + 1,
        "previous": file_digest(previous[-1][0]) if previous else None,
        "leaves": news,
        "root": merkle_root([f"{key}:{everything[key]}" for key in sorted(everything)]),
    }
    path = root / CHECKPOINTS / f"{content['index']:06d}.json"
    write_atomically(path, json.dumps(content, sort_keys=True, indent=1) + "\n")
    return path


def check_checkpoints(root: Path) -> list[tuple[Path, str]]:
    """Return every checkpoint that does not follow from its predecessor, with what is wrong."""
    wrong: list[tuple[Path, str]] = []
    leaves: dict[str, str] = {}
    before: Path | None = None
    for number, (path, content) in enumerate(read_checkpoints(root), start=1):
        if content is None:
            wrong.append((path, "unreadable"))
        else:
            leaves.update(content["leaves"])
            expected = merkle_root([f"{key}:{leaves[key]}" for key in sorted(leaves)])
            if path.stem != f"{number:06d}" or content["index"] != number:
                wrong.append((path, "an earlier checkpoint is missing"))
            elif content["previous"] != (file_digest(before) if before else None):
                wrong.append((path, "its predecessor was changed or removed"))
            elif content["root"] != expected:
                wrong.append((path, "its root does not follow from its leaves"))
        before = path
    return wrong
