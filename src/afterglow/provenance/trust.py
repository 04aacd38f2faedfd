"""Whether a file still has the content that was recorded, hashing only what moved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from afterglow.provenance.digest import file_digest, stat_token
from afterglow.provenance.records import write_atomically

CACHE = Path("ledger/digests.json")

Verdict = Literal["intact", "missing", "tampered"]


class Digests:
    """Digests of output files, kept by size, time and inode.

    Parameters
    ----------
    root : Path
        The study's ``out``.
    deep : bool, optional
        Hash every file whatever its date says.
    """

    def __init__(self, root: Path, *, deep: bool = False) -> None:
        self._root, self._deep = root, deep
        self._moved = False
        try:
            self._known: dict[str, Any] = json.loads((root / CACHE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._known = {}

    def check(self, relative: str, digest: str, recorded: list[int] | None) -> Verdict:
        """Compare a file with its recorded digest.

        Parameters
        ----------
        relative : str
            Path below the study's ``out``.
        digest : str
            Recorded sha256.
        recorded : list of int or None
            Size, time and inode at the time of recording.
        """
        path = self._root / relative
        try:
            token = stat_token(path)
        except OSError:
            return "missing"
        if not self._deep:
            if recorded == token:
                return "intact"
            known = self._known.get(relative)
            if known is not None and known[0] == token:
                return "intact" if known[1] == digest else "tampered"
        try:
            found = file_digest(path)
        except IsADirectoryError:
            return "missing"
        if recorded != token:
            self._known[relative] = [token, found]
            self._moved = True
        return "intact" if found == digest else "tampered"

    def save(self) -> None:
        """Keep what was hashed for the next command."""
        if self._moved:
            write_atomically(self._root / CACHE, json.dumps(self._known, sort_keys=True))
            self._moved = False
