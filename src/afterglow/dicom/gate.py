"""The last gate: no known identifier of the study may stand in anything it wrote.

Looks into every file and file name below ``out``, through gzip, tables with their metadata and
the text of images; of NIfTI files into the headers, since voxels hold no text.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afterglow.dicom.clock import ordinal

if TYPE_CHECKING:
    from afterglow.config import Study

_SHORTEST = 4
_MAX_INFLATED = 2**29
_HEADER = 65536
# unique identifiers of DICOM, which are many: looked up as they are
_DOTTED = re.compile(rb"[0-9]+(?:\.[0-9]+){3,}")
_WORD = re.compile(rb"[0-9a-z\x80-\xff]+")
_WORD_OR_FRACTION = re.compile(rb"\.?[0-9a-z\x80-\xff]+")
_COLUMNS = {
    "patient_id": "patient identifier",
    "patient_name": "patient name",
    "birth_date": "birth date",
    "accession_number": "accession number",
    "other_patient_ids": "patient identifier",
    "institution": "institution",
    "referring_physician": "physician",
    "operators": "operator",
    "station_name": "station name",
    "device_serial": "device serial number",
    "sop_uid": "instance UID",
    "series_uid": "series UID",
    "study_uid": "study UID",
}
# words that scanners and anonymizers write in place of an identity
_NO_IDENTITY = frozenset(
    [
        "none",
        "null",
        "unknown",
        "anonymous",
        "anonymized",
        "anon",
        "phantom",
        "test",
        "name",
        "patient",
        "brain",
        "head",
        "hospital",
        "center",
        "centre",
        "medical",
        "university",
        "clinic",
        "institute",
        "operator",
        "service",
    ]
)


@dataclass(frozen=True)
class Leak:
    """An identifier found where none may be; the identifier itself is not repeated."""

    path: str
    kind: str
    place: str


def known_identifiers(study: Study) -> dict[str, str]:
    """Return every identifier the inventory of a study holds, with its kind.

    Names are split into words; short words and those that name nobody are left out.
    """
    import pyarrow.parquet as pq

    found: dict[str, str] = {}
    for path in sorted(study.private_dir.glob("inventory-*.parquet")):
        table = pq.read_table(path, columns=list(_COLUMNS))
        for column, kind in _COLUMNS.items():
            for value in (
                table[column].unique().to_pylist()
                if column != "other_patient_ids"
                else (item for values in table[column].to_pylist() for item in values or ())
            ):
                for text in _forms(value, kind):
                    found.setdefault(text, kind)
    return found


def _forms(value: str | None, kind: str) -> Iterator[str]:
    """Yield the ways in which an identifier may be written."""
    text = (value or "").strip()
    if kind in {"patient name", "physician", "operator"}:
        for word in re.split(r"[\W_]+", text):
            if len(word) >= _SHORTEST and word.lower() not in _NO_IDENTITY:
                yield word.lower()
        return
    if kind == "birth date":
        if ordinal(text) is not None:
            digits = re.sub(r"\D", "", text)
            yield digits
            yield f"{digits[:4]}-{digits[4:6]}-{digits[6:]}"
        return
    if len(text) >= _SHORTEST and text.lower() not in _NO_IDENTITY:
        yield text.lower()


def scan_outputs(out: Path, identifiers: Iterable[str] | dict[str, str]) -> list[Leak]:
    """Find known identifiers in everything below a folder.

    Parameters
    ----------
    out : Path
        The study's output folder.
    identifiers : mapping or iterable of str
        Identifiers, with their kind where it is a mapping.

    Returns
    -------
    list of Leak
        Empty where the folder is clean. Files that cannot be read count as leaks: the gate
        fails closed.
    """
    kinds = identifiers if isinstance(identifiers, dict) else dict.fromkeys(identifiers, "")
    lowered = {text.lower(): kind for text, kind in kinds.items() if text}
    if not lowered:
        return []
    known = _Known(lowered)
    leaks: list[Leak] = []
    for path in sorted(out.rglob("*")):
        relative = path.relative_to(out).as_posix()
        leaks += [Leak(relative, lowered[t], "name") for t in known.hits(relative.encode())]
        if path.is_symlink() or not path.is_file():
            continue
        try:
            for place, content in _contents(path):
                leaks += [Leak(relative, lowered[t], place) for t in known.hits(content)]
        except Exception as error:  # noqa: BLE001 (what cannot be looked into is not clean)
            leaks.append(Leak(relative, f"unreadable: {type(error).__name__}", "content"))
    return leaks


class _Known:
    """Identifiers in a form in which long texts can be looked through in one pass."""

    def __init__(self, identifiers: Iterable[str]) -> None:
        self.dotted: dict[bytes, str] = {}
        self.words: dict[bytes, list[tuple[tuple[bytes, ...], str]]] = {}
        for text in identifiers:
            encoded = text.lower().encode()
            if _DOTTED.fullmatch(encoded):
                self.dotted[encoded] = text
                continue
            words = tuple(_WORD.findall(encoded))
            if words:
                self.words.setdefault(words[0], []).append((words, text))

    def hits(self, content: bytes) -> list[str]:
        """Return the identifiers that stand in a text as whole words."""
        lowered = content.lower()
        found = {self.dotted[t] for t in set(_DOTTED.findall(lowered)) & self.dotted.keys()}
        # a run of digits behind a point is the fraction of a number
        words = [w.lstrip(b".") for w in _WORD_OR_FRACTION.findall(lowered) if not _fraction(w)]
        for at, word in enumerate(words):
            for wanted, text in self.words.get(word, ()):
                if tuple(words[at : at + len(wanted)]) == wanted:
                    found.add(text)
        return sorted(found)


def _fraction(word: bytes) -> bool:
    return word.startswith(b".") and word[1:].isdigit()


def _contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the parts of a file in which text can stand."""
    name = path.name.lower()
    if name.endswith(".parquet"):
        yield from _table(path)
        return
    if name.endswith(".nii.gz"):
        with path.open("rb") as stream:
            yield "gzip header", stream.read(1024)
        with gzip.open(path) as unpacked:
            yield "image header", unpacked.read(_HEADER)
        return
    raw = path.read_bytes()
    yield "content", raw
    if b"\0" in raw[:4096]:
        yield "wide text", raw.replace(b"\0", b"")
    if raw[:2] == b"\x1f\x8b":
        yield "gzip", gzip.decompress(raw)[:_MAX_INFLATED]
    if raw[:8] == b"\x89PNG\r\n\x1a\n":
        yield from _png(raw)


def _table(path: Path) -> Iterator[tuple[str, bytes]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    schema: Any = table.schema
    for key, value in (schema.metadata or {}).items():
        yield "metadata", key + b" " + value
    for field in schema:
        metadata = b" ".join(k + b" " + v for k, v in (field.metadata or {}).items())
        yield f"column {field.name}", field.name.encode() + b" " + metadata
        numeric = pa.types.is_floating(field.type) or pa.types.is_boolean(field.type)
        if not numeric:
            values = (
                table[field.name].unique()
                if not pa.types.is_nested(field.type)
                else (table[field.name])
            )
            yield f"column {field.name}", "\n".join(map(str, values.to_pylist())).encode()


def _png(raw: bytes) -> Iterator[tuple[str, bytes]]:
    at = 8
    while at + 8 <= len(raw):
        length, kind = int.from_bytes(raw[at : at + 4], "big"), raw[at + 4 : at + 8]
        body = raw[at + 8 : at + 8 + length]
        if kind in {b"zTXt", b"iTXt"}:
            start = body.find(b"\0") + 2
            try:
                yield "image text", zlib.decompress(body[start:])
            except zlib.error:
                yield "image text", body
        at += 12 + length
