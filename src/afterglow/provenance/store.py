"""Finished outputs by stage key: published whole, linked again without recomputing."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from afterglow.provenance.digest import file_digest
from afterglow.provenance.job import State
from afterglow.provenance.records import (
    dump_record,
    dump_state,
    parse_state,
    record_path,
    write_atomically,
    write_record,
)

STORE = Path(".store")
_RECORD = ".record.json"
_STATE = ".state.json"


def entry(root: Path, key: str) -> Path:
    """Return the folder that holds the outputs made under ``key``."""
    return root / STORE / key[:2] / key


def digest_tree(scratch: Path) -> dict[str, str]:
    """Return the sha256 of every file below ``scratch`` by relative path, in sorted order."""
    files = sorted(path for path in scratch.rglob("*") if path.is_file())
    return {path.relative_to(scratch).as_posix(): file_digest(path) for path in files}


def bring_near(root: Path, scratch: Path, key: str) -> Path:
    """Return a finished scratch folder on the store's file system: itself, or a copy there."""
    parent = entry(root, key).parent
    parent.mkdir(parents=True, exist_ok=True)
    if scratch.stat().st_dev == parent.stat().st_dev:
        return scratch
    near = parent / f".{key}.{os.getpid()}"
    shutil.rmtree(near, ignore_errors=True)
    try:
        shutil.copytree(scratch, near)
    except BaseException:
        shutil.rmtree(near, ignore_errors=True)
        raise
    shutil.rmtree(scratch)
    return near


def publish(root: Path, near: Path, state: State, record: dict[str, Any]) -> None:
    """Put a finished folder into the store with its state and record, then link its files.

    One rename makes all of it appear, so that a process killed here leaves a whole result or none;
    whoever comes next only links it.
    """
    write_atomically(near / _RECORD, dump_record(record))
    write_atomically(near / _STATE, dump_state(state))
    home = entry(root, state.key)
    home.parent.mkdir(parents=True, exist_ok=True)
    if home.exists():
        shutil.rmtree(home)
    near.replace(home)
    restore_record(root, state.key)
    link_outputs(root, state)


def stored_state(root: Path, key: str) -> State | None:
    """Return the state stored under ``key`` if every output is there with its digest, else None."""
    home = entry(root, key)
    try:
        state = parse_state((home / _STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    for relative, digest in state.outputs.items():
        path = home / relative
        if not path.is_file() or file_digest(path) != digest:
            return None
    return state


def stored_record(root: Path, key: str) -> dict[str, Any] | None:
    """Return the record that stands in the store beside the outputs of a key, or None."""
    try:
        record = json.loads((entry(root, key) / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def restore_record(root: Path, key: str) -> bool:
    """Write the stored record down where the ledger lacks it or has one of another result.

    Returns False where there is neither record nor copy.
    """
    record = stored_record(root, key)
    if record is not None:
        write_record(root, record)
    return record_path(root, key).exists()


def link_outputs(root: Path, state: State) -> None:
    """Hard-link every output of a stored state to its place in the study.

    What a process killed here leaves behind lies in ``.work``, never among the results.
    """
    home = entry(root, state.key)
    temporary = root / ".work/links" / f"{state.key}.{os.getpid()}"
    temporary.parent.mkdir(parents=True, exist_ok=True)
    temporary.unlink(missing_ok=True)
    for relative in state.outputs:
        target = root / relative
        target.parent.mkdir(parents=True, exist_ok=True)
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
