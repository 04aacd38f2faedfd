"""Members of zip and tar archives, read in memory and within bounds, never extracted."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import IO

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
MAX_MEMBER = 2 * 2**30
MAX_MEMBERS = 1_000_000

Member = tuple[str, int, IO[bytes] | None, str]


def members(path: str) -> Iterator[Member]:
    """Yield name, size, stream (None where refused) and reason of every file in an archive."""
    try:
        reader = _zip if path.lower().endswith(".zip") else _tar
        yield from reader(path)
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error) as error:
        yield "", 0, None, f"archive_broken_{type(error).__name__.lower()}"


def read_member(path: str, name: str) -> bytes:
    """Return the bytes of one member.

    Raises
    ------
    KeyError
        The archive has no such member.
    """
    if path.lower().endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            return archive.read(name)
    with tarfile.open(path) as archive:
        stream = archive.extractfile(name)
        if stream is None:
            raise KeyError(name)
        return stream.read()


def _zip(path: str) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist()[:MAX_MEMBERS]:
            if info.is_dir():
                continue
            if info.flag_bits & 1:
                yield info.filename, info.file_size, None, "archive_encrypted"
            elif info.file_size > MAX_MEMBER:
                yield info.filename, info.file_size, None, "archive_member_too_large"
            else:
                try:
                    content = archive.read(info)
                except (zipfile.BadZipFile, zlib.error, OSError, NotImplementedError, EOFError):
                    yield info.filename, info.file_size, None, "archive_member_broken"
                    continue
                yield info.filename, len(content), BytesIO(content), ""


def _tar(path: str) -> Iterator[Member]:
    with tarfile.open(path) as archive:
        for count, info in enumerate(archive):
            if count >= MAX_MEMBERS:
                return
            if not info.isfile():
                continue
            stream = archive.extractfile(info) if info.size <= MAX_MEMBER else None
            if stream is None:
                yield info.name, info.size, None, "archive_member_too_large"
                continue
            content = stream.read()
            yield info.name, len(content), BytesIO(content), ""
