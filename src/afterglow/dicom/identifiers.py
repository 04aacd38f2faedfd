"""The identifiers of a study, and how a long text is looked through for all of them at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from afterglow.config.resources import resource
from afterglow.dicom.clock import ordinal
from afterglow.dicom.crosswalk import read_csv

if TYPE_CHECKING:
    from afterglow.config import Study

_SHORTEST = 4
# shorter runs of digits are also counts, sizes and times: only whole values and names can tell
_SHORTEST_NUMBER = 7
_UID = re.compile(rb"[0-9]+(?:\.[0-9]+){3,}")
_WORD = re.compile(rb"[0-9a-z\x80-\xff]+")
_WORD_OR_FRACTION = re.compile(rb"\.?[0-9a-z\x80-\xff]+")
_WORD_BYTES = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyz") | frozenset(range(128, 256))
_TO_WORDS = bytes(b if b in _WORD_BYTES else 32 for b in range(256))
_TO_UIDS = bytes(b if b in b"0123456789." else 32 for b in range(256))
_ROOT = 6
# what is packed as base64 is no text
PACKED = re.compile(rb"([A-Za-z0-9+/]{256,}={0,2})")
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
    """
    none null unknown anonymous anonymized anon phantom test name patient brain head hospital center
    centre medical university clinic institute operator service admin tech user siemens philips
    """.split()  # noqa: SIM905
)


def known_identifiers(study: Study) -> dict[str, str]:
    """Return every identifier the inventory of a study holds, with its kind.

    Names count whole and word by word. A single word that Afterglow itself writes ("white", as in
    white matter) or that the study file gives (a center's name) says nothing and is left out; so
    are labels the site chose. Folders of incoming data count with their whole path, since people
    name folders after patients.
    """
    import pyarrow.parquet as pq

    ordinary = own_words() | _given_words(study)
    found: dict[str, str] = {}
    for path in sorted(study.private_dir.glob("inventory-*.parquet")):
        table = pq.read_table(path, columns=[*_COLUMNS, "path"])
        for column, kind in _COLUMNS.items():
            for value in (
                table[column].unique().to_pylist()
                if column != "other_patient_ids"
                else (item for values in table[column].to_pylist() for item in values or ())
            ):
                for text in _forms(value, kind):
                    found.setdefault(text, kind)
        for folder in {str(Path(path).parent) for path in table["path"].to_pylist()}:
            found.setdefault(folder.lower(), "incoming folder")
    return {text: kind for text, kind in found.items() if text not in ordinary}


@cache
def own_words() -> frozenset[str]:
    """Return the words of Afterglow's own text: code, templates, settings, scripts."""
    found: set[bytes] = set()
    for name in ("config", "rules", "scripts", "workflow"):
        folder = resource(name)
        for path in folder.rglob("*"):
            found |= _words_of(path)
    for path in Path(__file__).parents[1].rglob("*"):
        found |= _words_of(path)
    return frozenset(word.decode("utf-8", "replace") for word in found if word.isalpha())


def _words_of(path: Path) -> set[bytes]:
    if not path.is_file() or path.suffix in {".pyc", ".nbc", ".nbi", ".gz", ".png"}:
        return set()
    return set(PACKED.sub(b" ", path.read_bytes()).lower().translate(_TO_WORDS).split())


def _given_words(study: Study) -> set[str]:
    """Return the words a site chose itself: names of study and centers, labels of its mappings."""
    found = {study.study.lower(), *(center.name.lower() for center in study.centers)}
    for center in study.centers:
        for path, key in ((center.subjects, "patient"), (center.visits, "patient")):
            found |= {r["label"].strip().lower() for r in read_csv(path, (key, "label"))}
    return found | {label.removeprefix("sub-").removeprefix("ses-") for label in found}


def _forms(value: str | None, kind: str) -> Iterator[str]:
    """Yield the ways in which an identifier may be written."""
    text = (value or "").strip()
    if kind in {"patient name", "physician", "operator"}:
        words = [word.lower() for word in re.split(r"[\W_]+", text) if word]
        yield from (w for w in words if len(w) >= _SHORTEST and w not in _NO_IDENTITY)
        if len(words) > 1 and not _NO_IDENTITY.issuperset(words):
            yield " ".join(words)
            yield " ".join(reversed(words))
        return
    if kind == "birth date":
        if ordinal(text) is not None:
            digits = re.sub(r"\D", "", text)
            yield digits
            yield f"{digits[:4]}-{digits[4:6]}-{digits[6:]}"
        return
    if len(text) >= _SHORTEST and text.lower() not in _NO_IDENTITY:
        yield text.lower()


class Known:
    """Identifiers in a form in which long texts can be looked through in one pass."""

    def __init__(self, identifiers: Iterable[str]) -> None:
        self.uids: dict[bytes, str] = {}
        self.words: dict[bytes, list[tuple[tuple[bytes, ...], str]]] = {}
        self.values: dict[bytes, str] = {}
        for text in identifiers:
            encoded = text.lower().encode()
            words = tuple(_WORD.findall(encoded))
            if _UID.fullmatch(encoded):
                self.uids[encoded] = text
            elif encoded.isdigit() and len(encoded) < _SHORTEST_NUMBER:
                self.values[encoded] = text
            elif words:
                self.words.setdefault(max(words, key=len), []).append((words, text))
        self.roots = sorted({uid[:_ROOT] for uid in self.uids})

    def hits(self, content: bytes) -> set[str]:
        """Return the identifiers that stand in a text as whole words."""
        lowered = content.lower()
        found: set[str] = set()
        if any(root in lowered for root in self.roots):
            tokens = {t.strip(b".") for t in lowered.translate(_TO_UIDS).split()}
            found |= {self.uids[t] for t in tokens & self.uids.keys()}
        words = set(lowered.translate(_TO_WORDS).split())
        likely = [
            phrase
            for word in words & self.words.keys()
            for phrase in self.words[word]
            if words.issuperset(phrase[0])
        ]
        return found | _phrases(lowered, likely) if likely else found

    def whole(self, value: bytes) -> set[str]:
        """Return the short number that a single value or name is, in addition to :meth:`hits`."""
        text = self.values.get(value.strip().lower())
        return set() if text is None else {text}

    def named(self, name: bytes) -> set[str]:
        """Return the identifiers in a file name, short numbers between separators included."""
        parts = re.split(rb"[/_\-.]+", name)
        return self.hits(name).union(*(self.whole(part) for part in parts))


def _phrases(lowered: bytes, likely: list[tuple[tuple[bytes, ...], str]]) -> set[str]:
    """Return those of some phrases whose words follow each other in a text."""
    # a run of digits behind a point is the fraction of a number
    words = [w.lstrip(b".") for w in _WORD_OR_FRACTION.findall(lowered) if not _fraction(w)]
    line = b" " + b" ".join(words) + b" "
    return {text for wanted, text in likely if b" " + b" ".join(wanted) + b" " in line}


def _fraction(word: bytes) -> bool:
    return word.startswith(b".") and word[1:].isdigit()


def lowered(identifiers: Iterable[str] | Mapping[str, str]) -> dict[str, str]:
    """Return identifiers in lower case with their kinds."""
    kinds = identifiers if isinstance(identifiers, Mapping) else dict.fromkeys(identifiers, "")
    return {text.lower(): kind for text, kind in kinds.items() if text}
