"""One look at each file of whole folders: size, time and inode, a million at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

Texts = NDArray[np.bytes_]
Tokens = NDArray[np.int64]
TOKEN = ("size", "mtime", "inode")

# Names of records: as many bytes each, so that a million need no object of their own.
_DIGEST = np.dtype([("key", "S64"), ("end", "S6")])
# Needs nothing but Python itself, and so starts in hundredths of a second.
_LOOK = """
import os, sys
from array import array
os.chdir(os.fsencode(sys.argv[1]))
names, found = bytearray(), array("q")
with os.scandir(b".") as entries:
    for entry in entries:
        name = entry.name
        if name.endswith(b".json") and name[:1] != b".":
            try:
                status = entry.stat()
            except OSError:
                continue
            names += name + b"/"
            found.extend((status.st_size, status.st_mtime_ns, status.st_ino))
sys.stdout.buffer.write(b"%d\\n" % (len(found) // 3))
sys.stdout.buffer.write(found)
sys.stdout.buffer.write(names)
"""


class LookAside:
    """A look at a folder's JSON files by another process, while this one works on.

    Parameters
    ----------
    folder : Path
        A folder; one that is absent holds nothing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _LOOK, str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
            self._process.communicate()

    def result(self) -> tuple[Texts, Tokens]:
        """Return the names without ``.json``, in the file system's bytes, and the tokens."""
        told, _ = self._process.communicate()
        if self._process.returncode == 0:
            start = told.index(b"\n") + 1
            # Copied, so that the rest need not stay.
            numbers = np.frombuffer(told, np.int64, 3 * int(told[:start]), start).copy()
            names = told[start + numbers.nbytes :]
            del told
            return _stems(names), numbers.reshape(-1, 3)
        # The folder is absent or cannot be read, or the other process was killed: look from here.
        there, found = json_files(self._folder)
        return _stems(b"".join(os.fsencode(name) + b"/" for name in there)), found


def _stems(names: bytes) -> Texts:
    """Return what stands before ``.json/`` in names one after the other."""
    count, rest = divmod(len(names), _DIGEST.itemsize)
    if not rest and names.count(b"/") == count:
        rows = np.frombuffer(names, _DIGEST)
        if (rows["end"] == b".json/").all():
            return rows["key"]
    return np.array([name[: -len(".json")] for name in names.split(b"/")[:-1]], dtype=np.bytes_)


def json_files(folder: Path) -> tuple[list[str], Tokens]:
    """Return the names of a folder's JSON files, hidden ones left out, and their tokens.

    What is gone when its turn comes, as a link to nothing is, is left out.

    Parameters
    ----------
    folder : Path
        A folder; one that is absent holds nothing.

    Returns
    -------
    names : list of str
        In no order.
    tokens : ndarray, shape (n, 3)
        Size, modification time (ns) and inode of each.
    """
    names: list[str] = []
    found = array("q")
    try:
        # Read through its descriptor, so that its path is not walked again for each file.
        at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return names, as_tokens(found)
    try:
        with os.scandir(at) as entries:
            for entry in entries:
                name = entry.name
                if name.endswith(".json") and name[0] != ".":
                    try:
                        status = entry.stat()
                    except OSError:
                        continue
                    names.append(name)
                    found.extend((status.st_size, status.st_mtime_ns, status.st_ino))
    finally:
        os.close(at)
    return names, as_tokens(found)


def files_below(root: Path, folders: Iterable[str]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield every file below some folders, its path relative to ``root``; links are not followed.

    A link to a folder is neither file nor folder here, as for :func:`os.walk`.
    """
    waiting = list(folders)
    while waiting:
        folder = waiting.pop()
        try:
            entries = os.scandir(root / folder)
        except OSError:
            continue
        with entries:
            for entry in entries:
                path = f"{folder}/{entry.name}"
                if not entry.is_dir():
                    yield path, entry
                elif not entry.is_symlink():
                    waiting.append(path)


def as_tokens(found: array[int]) -> Tokens:
    """Return numbers in a row as rows of size, time and inode."""
    return np.array(found, dtype=np.int64).reshape(-1, 3)
