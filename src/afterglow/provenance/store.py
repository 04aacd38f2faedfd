"""Finished outputs by stage key: published whole, linked again without recomputing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from afterglow.provenance.digest import file_digest
from afterglow.provenance.job import State
from afterglow.provenance.records import dump_state, parse_state, record_path, write_atomically

STORE = Path(".store")
_RECORD = ".record.json"


def entry(root: Path, key: str) -> Path:
    """Return the folder that holds the outputs made under ``key``."""
    return root / STORE / key[:2] / key


def digest_tree(scratch: Path) -> dict[str, str]:
    """Return the sha256 of every file below ``scratch`` by relative path, in sorted order."""
    files = sorted(path for path in scratch.rglob("*") if path.is_file())
    return {path.relative_to(scratch).as_posix(): file_digest(path) for path in files}


def publish(root: Path, scratch: Path, state: State) -> None:
    """Move a finished scratch folder into the store and link its files into place.

    The state goes into the store last: an entry without one is unfinished and never trusted.
    """
    home = entry(root, state.key)
    if home.exists():
        shutil.rmtree(home)
    home.parent.mkdir(parents=True, exist_ok=True)
    scratch.replace(home)
    write_atomically(home / ".state.json", dump_state(state))
    link_outputs(root, state)


def stored_state(root: Path, key: str) -> State | None:
    """Return the state stored under ``key`` if every output is there with its digest, else None."""
    home = entry(root, key)
    try:
        state = parse_state((home / ".state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    for relative, digest in state.outputs.items():
        path = home / relative
        if not path.is_file() or file_digest(path) != digest:
            return None
    return state


def keep_record(root: Path, key: str) -> None:
    """Keep a copy of a record with the outputs it describes."""
    text = record_path(root, key).read_text(encoding="utf-8")
    write_atomically(entry(root, key) / _RECORD, text)


def restore_record(root: Path, key: str) -> bool:
    """Put a lost record back as it was; False where there is neither record nor copy."""
    path, copy = record_path(root, key), entry(root, key) / _RECORD
    if not path.exists() and copy.exists():
        write_atomically(path, copy.read_text(encoding="utf-8"))
    return path.exists()


def link_outputs(root: Path, state: State) -> None:
    """Hard-link every output of a stored state to its place in the study."""
    home = entry(root, state.key)
    for relative in state.outputs:
        target = root / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        temporary.unlink(missing_ok=True)
        try:
            os.link(home / relative, temporary)
        except OSError:
            # File systems without hard links get a copy.
            shutil.copyfile(home / relative, temporary)
        temporary.replace(target)
        # Renaming one link of a file over another link of it does nothing and leaves both.
        temporary.unlink(missing_ok=True)


def withdraw(root: Path, old: State, new: State | None) -> None:
    """Remove the outputs of a superseded state that its successor does not make again."""
    kept = set(new.outputs) if new is not None else set()
    for relative in set(old.outputs) - kept:
        (root / relative).unlink(missing_ok=True)
