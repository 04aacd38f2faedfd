"""Whole-file digests, taken where a file is read anyway: they tell a touched file from a new one.

One append-only file per session, so that jobs of different sessions never write to one file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from afterglow.dicom.archives import read_member
from afterglow.dicom.deidentify import Secret
from afterglow.dicom.manifest import file_hash

_BLOCK = 2**20


def append_digests(private: Path, session: str, entries: Iterable[Mapping[str, Any]]) -> None:
    """Add digests of files of one session (``file``, ``sha256``, ``size``, ``mtime_ns``)."""
    lines = [json.dumps(dict(entry), sort_keys=True) + "\n" for entry in entries]
    if not lines:
        return
    folder = private / "digests"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / f"{session}.jsonl").open("ab+") as stream:
        # What a killed writer left begun must not swallow the next line.
        stream.seek(max(stream.tell() - 1, 0))
        begun = stream.read() not in {b"", b"\n"}
        stream.write("".join(["\n"] * begun + lines).encode())


def load_digests(private: Path) -> dict[str, dict[str, Any]]:
    """Return, by file hash, the first digest of each file and the stamps under which it held."""
    known: dict[str, dict[str, Any]] = {}
    for path in sorted((private / "digests").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            first = known.setdefault(entry["file"], {"sha256": entry["sha256"], "stamps": set()})
            if first["sha256"] == entry["sha256"]:
                first["stamps"].add((entry["size"], entry["mtime_ns"]))
    return known


def replaced_content(
    private: Path, secret: Secret, center: str, rows: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, str], int]:
    """Find files whose pixels changed while their header did not.

    Only files that were converted once and whose size or time moved since are read again.

    Returns
    -------
    tuple
        File hash to the keyed hash of the new content, and their number.
    """
    known = load_digests(private)
    replaced: dict[str, str] = {}
    same: list[dict[str, Any]] = []
    for row in rows:
        name = file_hash(secret, row)
        first = known.get(name)
        stamp = (row["size"], row["mtime_ns"])
        if first is None or stamp in first["stamps"]:
            continue
        digest = whole_digest(row["path"], row["member"])
        if digest == first["sha256"]:
            size, moved = stamp
            same.append({"file": name, "sha256": digest, "size": size, "mtime_ns": moved})
        elif digest:
            replaced[name] = secret.hash("content", digest)
    append_digests(private, f"{center}-rescanned", same)
    return replaced, len(replaced)


def whole_digest(path: str, member: str = "") -> str:
    """Return the SHA-256 of a file or archive member; empty where it cannot be read."""
    digest = hashlib.sha256()
    try:
        if member:
            return hashlib.sha256(read_member(path, member)).hexdigest()
        with open(path, "rb") as stream:  # noqa: PTH123 (speed)
            while block := stream.read(_BLOCK):
                digest.update(block)
    except (OSError, KeyError):
        return ""
    return digest.hexdigest()
