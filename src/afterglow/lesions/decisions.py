"""A person's decision, added to the study's decisions file as a row of its own."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from afterglow.errors import AfterglowError
from afterglow.lesions.corrections import read_corrections
from afterglow.provenance.records import write_atomically

COLUMNS = ("subject", "session", "target", "decision", "file", "rater", "date", "reason")


def append_decision(path: Path, row: Mapping[str, str]) -> None:
    """Add a row to the decisions file; what stands there stays byte for byte.

    Parameters
    ----------
    path : Path
        The file; made with the columns of :data:`COLUMNS` where it is absent.
    row : mapping
        A value per column.

    Raises
    ------
    AfterglowError
        The file lacks a column that the row fills, or no stage would understand the row: a
        decision that nothing follows from is refused; or an earlier row decides the opposite. The
        file is left as it was.
    """
    before = path.read_bytes().decode("utf-8") if path.exists() else ""
    columns = _columns(before) or COLUMNS
    missing = [name for name, value in row.items() if value and name not in columns]
    if missing:
        raise AfterglowError(
            f"the decisions file has no column {', '.join(missing)}",
            where=path.name,
            expected=", ".join(COLUMNS),
        )
    text = before if before.endswith(("\n", "\r")) or not before else f"{before}\n"
    text += _line(columns) if not before else ""
    text += _line([row.get(name, "") for name in columns])
    draft = path.with_name(f".{path.name}.draft")
    try:
        write_atomically(draft, text)
        _understood(draft, path, row)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _columns(text: str) -> list[str]:
    return next(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")), [])


def _line(values: list[str] | tuple[str, ...]) -> str:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerow(values)
    return stream.getvalue()


def _understood(draft: Path, path: Path, row: Mapping[str, str]) -> None:
    """Refuse a row that is no correction of its subject's lesions, or contradicts one."""
    before = read_corrections(path, row["subject"]) if path.exists() else []
    now = read_corrections(draft, row["subject"])
    if len(now) != len(before) + 1:
        raise AfterglowError(
            f"no stage understands a decision on `{row['target']}`",
            expected="lesion/LABEL, the lesion's number in its session",
        )
    for earlier in before:
        if now[-1].contradicts(earlier):
            other = " {}/{}".format(*earlier.other) if earlier.other else ""
            raise AfterglowError(
                f"row {earlier.row} below the header already decides the opposite: "
                f"ses-{earlier.node[0]} lesion/{earlier.node[1]} {earlier.verdict}{other}",
                where=path.name,
                expected="rows that can all be true",
                remedy=f"to withdraw row {earlier.row}, delete its line, then decide again",
            )
