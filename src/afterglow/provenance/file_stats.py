"""One look at each file of whole folders: size, time and inode, a million at a time."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int64]
TOKEN = ("size", "mtime", "inode")


def json_files(folder: Path) -> tuple[list[str], Tokens]:
    """Return the names of a folder's JSON files, hidden ones left out, and their tokens.

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
                    status = entry.stat()
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
