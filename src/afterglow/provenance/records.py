"""States and records: how each job ended, and everything its result follows from."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from afterglow.provenance.job import Problem, State

RECORDS = Path("ledger/records")
STATES = Path("ledger/states")


def unit_name(subject: str | None, session: str | None) -> str:
    """Return the name of what one job covers.

    Examples
    --------
    >>> unit_name("ab12", "20190304"), unit_name("ab12", None), unit_name(None, None)
    ('sub-ab12_ses-20190304', 'sub-ab12', 'study')
    """
    if subject is None:
        return "study"
    return f"sub-{subject}" if session is None else f"sub-{subject}_ses-{session}"


def state_path(stage: str, subject: str | None, session: str | None) -> str:
    """Return where the state of one job stands, relative to ``out``."""
    return f"{STATES}/{stage}/{unit_name(subject, session)}.json"


def _temporary(path: Path) -> Path:
    """Return a name beside ``path`` that no other writer uses."""
    return path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")


def write_atomically(path: Path, text: str, *, durable: bool = True) -> None:
    """Write a small text file so that no reader ever sees half of it.

    Without ``durable`` it may be lost with the power: for what the next run would write again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        with temporary.open("w", encoding="utf-8") as stream:
            stream.write(text)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        # A full disk must not fill up with halves.
        temporary.unlink(missing_ok=True)
        raise


def dump_state(state: State) -> str:
    """Return a state as JSON: no times, so equal results give equal bytes."""
    return json.dumps(dataclasses.asdict(state), sort_keys=True, indent=1) + "\n"


def parse_state(text: str) -> State:
    """Return the state that :func:`dump_state` wrote."""
    values = json.loads(text)
    values["problems"] = [Problem(**problem) for problem in values["problems"]]
    return State(**values)


def read_state(path: Path) -> State | None:
    """Return the state at ``path``, or None where it is absent or unreadable."""
    try:
        return parse_state(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def read_states(root: Path) -> Iterator[State]:
    """Yield every readable state of a study."""
    for path in sorted((root / STATES).glob("*/*.json")):
        state = read_state(path)
        if state is not None:
            yield state


def superseded_states(root: Path) -> Iterator[State]:
    """Yield the states that a run set aside and could not replace yet."""
    for path in sorted((root / STATES).glob("*/*.superseded")):
        state = read_state(path)
        if state is not None:
            yield state


def record_path(root: Path, key: str) -> Path:
    """Return where the record of a key stands."""
    return root / RECORDS / f"{key}.json"


def read_record(root: Path, key: str) -> dict[str, Any] | None:
    """Return a record, or None where it is absent or unreadable."""
    try:
        record = json.loads(record_path(root, key).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def dump_record(record: dict[str, Any]) -> str:
    """Return a record as JSON."""
    return json.dumps(record, sort_keys=True, indent=1) + "\n"


def _write_first(path: Path, text: str) -> None:
    """Write a file whole unless another writer came first."""
    temporary = _temporary(path)
    try:
        temporary.write_text(text, encoding="utf-8")
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        except OSError:
            # Without hard links a later writer wins, with the same result.
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_record(root: Path, record: dict[str, Any]) -> None:
    """Write a record once; an equal result under the same key leaves the first one standing.

    Concurrent writers need no lock: the file appears whole or not at all, and the first wins unless
    its result differs (a retried failure, or a stage that is not reproducible).
    """
    path = record_path(root, record["key"])
    path.parent.mkdir(parents=True, exist_ok=True)
    standing = read_record(root, record["key"])
    if standing is not None and _same_result(standing, record):
        return
    text = dump_record(record)
    if standing is None and not path.exists():
        _write_first(path, text)
        return
    write_atomically(path, text)


def _same_result(standing: dict[str, Any], record: dict[str, Any]) -> bool:
    """Return whether two records tell of one result; earlier releases kept no digest of it."""
    both = "result" in standing and "result" in record
    same = not both or standing["result"] == record["result"]
    return same and _result(standing) == _result(record)


def _result(record: dict[str, Any]) -> tuple[Any, ...]:
    names = ("status", "outputs", "reason", "problems")
    return *(record.get(name) for name in names), input_results(record)


def result_digest(state: State) -> str:
    """Return 16 hex digits over what later jobs can see of a state."""
    problems = [{"what": p.what, "cause": p.cause, "remedy": p.remedy} for p in state.problems]
    seen = [state.status, state.reason, state.outputs, state.summary, problems]
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()[:16]


def input_results(record: dict[str, Any]) -> dict[str, str]:
    """Return the digest of every upstream result as a job read it, by key.

    A failure that passed (a full disk) is mended under the same key, so the key alone does not tell
    that what was made without its result has to be made again.
    """
    found = record.get("inputs", {}).get("records", [])
    return {entry["record_id"]: entry["result"] for entry in found if "result" in entry}
