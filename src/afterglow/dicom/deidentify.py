"""Secret key, keyed hashes, labels and shifted dates; nothing here reveals an identifier.

Everything that can turn a label back into a patient lies in the study's private folder.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afterglow.dicom.clock import ordinal
from afterglow.errors import AfterglowError

if TYPE_CHECKING:
    from afterglow.config import Study

_KEY_FILE = "key"
_MIN_SHIFT, _SHIFT_RANGE = 365, 3650


@dataclass(frozen=True)
class Secret:
    """The study's secret key and what is derived from it."""

    key: bytes

    def hash(self, kind: str, value: str, length: int = 12) -> str:
        """Return a keyed hash (HMAC-SHA256) of a value, as hexadecimal digits.

        Examples
        --------
        >>> Secret(b"k").hash("sop", "1.2.3") == Secret(b"other").hash("sop", "1.2.3")
        False
        """
        message = f"{kind}\0{value}".encode()
        return hmac.new(self.key, message, hashlib.sha256).hexdigest()[:length]

    def shift_days(self, center: str, patient: str) -> int:
        """Return by how many days the dates of a patient move; always into the past."""
        number = int(self.hash("shift", f"{center}\0{patient}", 16), 16)
        return -(_MIN_SHIFT + number % _SHIFT_RANGE)

    def shifted(self, center: str, patient: str, date: str | None) -> str | None:
        """Return a DICOM date moved by the patient's offset, as YYYYMMDD."""
        day = ordinal(date)
        if day is None:
            return None
        moved = max(day + self.shift_days(center, patient), 1)
        return dt.date.fromordinal(moved).strftime("%Y%m%d")


def private_folder(study: Study) -> Path:
    """Return the private folder, made with mode 0700 where it is not there."""
    folder = study.private_dir
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    # a second look at the mode: the folder may come from elsewhere, and umask widens nothing
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def load_secret(study: Study) -> Secret:
    """Return the study's secret, made at first use.

    Raises
    ------
    AfterglowError
        The key is gone although labels were given with it.
    """
    path = private_folder(study) / _KEY_FILE
    if not path.exists():
        if (study.out / "index" / "plan.parquet").exists():
            raise AfterglowError(
                "the secret key of the study is missing, so no label can be given again",
                where=_KEY_FILE,
                remedy="restore the private folder from its backup",
            )
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(32) + "\n")
    return Secret(bytes.fromhex(path.read_text(encoding="ascii").strip()))


def session_file(study: Study, subject: str, session: str) -> Path:
    """Return the private file that maps the hashes of one session to paths."""
    return study.private_dir / "sessions" / f"sub-{subject}_ses-{session}.json"


def read_sources(study: Study, subject: str, session: str) -> dict[str, Any]:
    """Return where the instances and masks of a session are.

    Returns
    -------
    dict
        ``instances`` maps a file hash to ``path`` and ``member`` and what else conversion needs;
        ``masks`` maps a mask's hash to its path.

    Raises
    ------
    AfterglowError
        The private folder does not know the session.
    """
    path = session_file(study, subject, session)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise AfterglowError(
            "the private folder does not know this session",
            where=f"sub-{subject}_ses-{session}",
            remedy="run `afterglow index STUDY`, or restore the private folder",
        ) from error
    return dict(content)


def whereis(study: Study, name: str) -> Path:
    """Return the path of the file that messages call ``center:hash``.

    Raises
    ------
    AfterglowError
        No indexed file has this hash.
    """
    wanted = name.rpartition(":")[2].strip().lower()
    places = sorted((study.private_dir / "sessions").glob("*.json"))
    for path in (*places, study.private_dir / "rejected.json"):
        if not path.exists():
            continue
        content = json.loads(path.read_text(encoding="utf-8"))
        entry = content.get("instances", {}).get(wanted) or content.get("masks", {}).get(wanted)
        if entry:
            member = f"!{entry['member']}" if entry.get("member") else ""
            return Path(f"{entry['path']}{member}")
    raise AfterglowError(
        "no indexed file has this hash",
        where=wanted,
        expected="the 12 digits after the center's name",
        remedy="run `afterglow index STUDY` if the file is new",
    )


def write_private(path: Path, content: Any) -> None:
    """Write a private JSON file, only where its content changes."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.chmod(0o600)
    draft.replace(path)
