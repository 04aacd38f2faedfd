"""The last gate: no known identifier of the study may stand in anything it wrote.

Looks into every file and file name below ``out``, through gzip, tables with their metadata and
the text of images; of NIfTI files into the headers, since voxels hold no text. What cannot be
looked into is not clean: the gate fails closed.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afterglow.dicom.deidentify import write_private
from afterglow.dicom.identifiers import PACKED, Known, known_identifiers, lowered
from afterglow.errors import AfterglowError, ExitCode

if TYPE_CHECKING:
    from afterglow.config import Study

PNG = b"\x89PNG\r\n\x1a\n"
GZIP = b"\x1f\x8b"
_MAX_INFLATED = 2**29
_HEADER = 65536
# Of a packed file, in base64: whole groups of four letters.
_BEGIN = 4096
_SHOWN = 10
_CACHE = "gate.json"


@dataclass(frozen=True)
class Leak:
    """An identifier found where none may be; the identifier itself is not repeated."""

    path: str
    kind: str
    place: str


def check_outputs(study: Study) -> None:
    """Look through everything a study wrote; files seen clean before are not read again.

    Raises
    ------
    AfterglowError
        An identifier stands in an output, or an output cannot be looked into.
    """
    identifiers = known_identifiers(study)
    cache = study.private_dir / _CACHE
    state = hashlib.sha256("\0".join(sorted(identifiers)).encode()).hexdigest()
    clean = _load(cache, state)
    leaks = scan_outputs(study.out, identifiers, clean)
    write_private(cache, {"identifiers": state, "clean": sorted(clean)})
    if not leaks:
        return
    shown = [f"  {leak.path}: {leak.kind} in {leak.place}" for leak in leaks[:_SHOWN]]
    more = [f"  and {len(leaks) - _SHOWN} more"] if len(leaks) > _SHOWN else []
    raise AfterglowError(
        "\n".join([f"{len(leaks)} identifiers stand in outputs", *shown, *more]),
        where="out",
        expected="none; nothing of this folder may leave the site",
        remedy="remove what put them there, or report it, and run again",
        exit_code=ExitCode.FINDINGS,
    )


def _load(cache: Path, state: str) -> set[str]:
    try:
        content = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    return set(content["clean"]) if content.get("identifiers") == state else set()


def scan_outputs(
    out: Path, identifiers: Iterable[str] | Mapping[str, str], clean: set[str] | None = None
) -> list[Leak]:
    """Find known identifiers in everything below a folder.

    Parameters
    ----------
    out : Path
        The study's output folder.
    identifiers : mapping or iterable of str
        Identifiers, with their kind where it is a mapping.
    clean : set of str, optional
        Stamps (inode, size, time) of files found clean before, whose content is not read again;
        brought up to date.

    Returns
    -------
    list of Leak
        Empty where the folder is clean. Files that cannot be read count as leaks.
    """
    kinds = lowered(identifiers)
    before = set() if clean is None else clean
    now: set[str] = set()
    leaks: list[Leak] = []
    known = Known(kinds)
    for path in _files(out) if kinds else ():
        relative = path.relative_to(out).as_posix()
        leaks += [Leak(relative, kinds[t], "name") for t in sorted(known.named(relative.encode()))]
        if path.is_symlink() or not path.is_file():
            continue
        info = path.stat()
        # a link of the store shares the inode of what it keeps
        stamp = f"{info.st_ino} {info.st_size} {info.st_mtime_ns} {_kind(path)}"
        if stamp in before or stamp in now:
            now.add(stamp)
            continue
        found = _look(path, relative, known, kinds)
        leaks += found
        if not found:
            now.add(stamp)
    if clean is not None:
        clean.clear()
        clean.update(now)
    return leaks


def _files(out: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(out):
        names.sort()
        for name in sorted([*names, *files]):
            yield Path(folder, name)


def _kind(path: Path) -> str:
    return "nii" if path.name.lower().endswith((".nii.gz", ".nii")) else path.suffix.lower()


def _look(path: Path, relative: str, known: Known, kinds: Mapping[str, str]) -> list[Leak]:
    try:
        found = {(place, text) for place, texts in _found(path, known) for text in texts}
    except Exception as error:  # noqa: BLE001 (what cannot be looked into is not clean)
        return [Leak(relative, f"unreadable: {type(error).__name__}", "content")]
    return [Leak(relative, kinds[text], place) for place, text in sorted(found)]


def _found(path: Path, known: Known) -> Iterator[tuple[str, set[str]]]:
    """Yield the parts of a file in which text can stand, with the identifiers they hold."""
    name = path.name.lower()
    if name.endswith(".parquet"):
        yield from _table(path, known)
        return
    if name.endswith(".nii.gz"):
        with path.open("rb") as stream:
            yield "gzip header", known.hits(_text_of_gzip(stream.read(1024)))
        with gzip.open(path) as unpacked:
            yield "image header", known.hits(unpacked.read(_HEADER)[: _voxels(path)])
        return
    raw = path.read_bytes()
    if name.endswith(".html"):
        yield from _page(raw, known)
        return
    if raw[:8] == PNG:
        for text in _png(raw):
            yield "image text", known.hits(text) | known.hits(text.replace(b"\0", b""))
        return
    yield "content", known.hits(raw)
    if b"\0" in raw[:4096]:
        yield "wide text", known.hits(raw.replace(b"\0", b""))
    if raw[:2] == GZIP:
        yield "gzip", known.hits(_unpacked(raw, _MAX_INFLATED))
    if known.values and name.endswith(".json"):
        for value in _strings(json.loads(raw)):
            yield "content", known.whole(value)


def _page(raw: bytes, known: Known) -> Iterator[tuple[str, set[str]]]:
    """Look through a page: its text, and the pictures and images packed into it as base64.

    Letters of base64 are no words: read as text, millions of them hold any short name by chance.
    """
    parts = PACKED.split(raw)
    yield "content", known.hits(b" ".join(parts[::2]))
    for run in parts[1::2]:
        try:
            inner = base64.b64decode(run[:_BEGIN], validate=True)
            head = _unpacked(inner, 352) if inner[:2] == GZIP else b""
            inner = inner if _is_nifti(head) else base64.b64decode(run, validate=True)
        except ValueError:
            yield "content", known.hits(run)
            continue
        if inner[:2] == GZIP:
            yield "gzip header", known.hits(_text_of_gzip(inner[:1024]))
        if _is_nifti(head):
            yield "image header", known.hits(head)
        elif inner[:2] == GZIP:
            yield "gzip", known.hits(_unpacked(inner, _MAX_INFLATED))
        elif inner[:8] == PNG:
            for text in _png(inner):
                yield "image text", known.hits(text)
        else:
            yield "packed", known.hits(inner)


def _unpacked(content: bytes, most: int) -> bytes:
    return zlib.decompressobj(31).decompress(content, most)


def _is_nifti(head: bytes) -> bool:
    """Return whether this is a header without extensions: voxels follow, which hold no text."""
    offset = int(struct.unpack_from("<f", head, 108)[0]) if len(head) == 352 else 0
    return head[:4] == b"\x5c\x01\0\0" and offset == 352 and head[348:352] == bytes(4)


def _text_of_gzip(head: bytes) -> bytes:
    """Return the name and comment of a gzip header, whose other bytes are compressed."""
    if len(head) < 10 or not head[3] & 0b11100:
        return b""
    return head[10:]


def _voxels(path: Path) -> int:
    """Return where the voxels of a compressed NIfTI begin."""
    with gzip.open(path) as stream:
        head = stream.read(352)
    little = head[:4] == b"\x5c\x01\0\0"
    (offset,) = struct.unpack_from("<f" if little else ">f", head, 108)
    return max(int(offset), 348)


def _strings(value: Any) -> Iterator[bytes]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key).encode()
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
    elif isinstance(value, str):
        yield value.encode()


def _table(path: Path, known: Known) -> Iterator[tuple[str, set[str]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    schema: Any = table.schema
    for key, value in (schema.metadata or {}).items():
        yield "metadata", known.hits(key + b" " + value)
    for field in schema:
        place = f"column {field.name}"
        metadata = b" ".join(k + b" " + v for k, v in (field.metadata or {}).items())
        yield place, known.hits(field.name.encode() + b" " + metadata)
        if pa.types.is_floating(field.type) or pa.types.is_boolean(field.type):
            continue
        nested = pa.types.is_nested(field.type)
        values = table[field.name] if nested else table[field.name].unique()
        texts = [str(value).encode() for value in values.to_pylist()]
        yield place, known.hits(b"\n".join(texts))
        if known.values and not nested and not pa.types.is_integer(field.type):
            yield place, set().union(*(known.whole(text) for text in texts))


def _png(raw: bytes) -> Iterator[bytes]:
    """Yield all of a picture but its packed pixels, and what follows its end."""
    at, kind = 8, b""
    while at + 8 <= len(raw) and kind != b"IEND":
        length, kind = int.from_bytes(raw[at : at + 4], "big"), raw[at + 4 : at + 8]
        body = raw[at + 8 : at + 8 + length]
        if kind in {b"zTXt", b"iTXt"}:
            start = body.find(b"\0") + 2
            try:
                yield zlib.decompress(body[start:])
            except zlib.error:
                yield body
        elif kind != b"IDAT":
            yield body
        at += 12 + length
    yield raw[at:]


__all__ = ["Leak", "check_outputs", "known_identifiers", "scan_outputs"]
