"""How two studies differ: jobs by what their keys are made of, outputs and tables by content."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from afterglow.provenance.compare import compare_files
from afterglow.provenance.plan import Reason, part_changes
from afterglow.provenance.records import read_record, read_states, unit_name

_SHOWN_CELLS = 20


@dataclass(frozen=True)
class JobDifference:
    """One job that both studies have, made otherwise or with other outputs."""

    stage: str
    unit: str
    reasons: list[Reason]
    outputs: dict[str, str]


@dataclass(frozen=True)
class TableDifference:
    """One table whose cells differ.

    Attributes
    ----------
    only_a, only_b : int
        Rows that only one study has.
    cells : list of dict
        The first changed cells: the row's place, the column, both values.
    changed : int
        How many cells changed in all.
    """

    table: str
    only_a: int
    only_b: int
    changed: int
    cells: list[dict[str, Any]]


@dataclass(frozen=True)
class StudyDifference:
    """All that differs between two studies."""

    only_a: list[str] = field(default_factory=list)
    only_b: list[str] = field(default_factory=list)
    jobs: list[JobDifference] = field(default_factory=list)
    tables: list[TableDifference] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """True where nothing differs."""
        return not (self.only_a or self.only_b or self.jobs or self.tables)

    def as_json(self) -> dict[str, Any]:
        """Return the difference as JSON values."""
        return {"same": self.same, **asdict(self)}


def diff_studies(a: Path, b: Path) -> StudyDifference:
    """Compare two studies by their ``out`` folders.

    Jobs are matched by stage, subject and session; where their keys differ, the parts that differ
    are named as `plan --explain` names them; where outputs differ, how far apart they are.
    """
    first, second = _states(a), _states(b)
    jobs = []
    for place in sorted(first.keys() & second.keys()):
        one, two = first[place], second[place]
        outputs = dict(_output_differences(a, b, one.outputs, two.outputs))
        reasons = _reasons(a, b, one.key, two.key) if one.key != two.key else []
        if one.status != two.status:
            reasons.append(Reason("status", one.status, two.status))
        if outputs or reasons:
            jobs.append(JobDifference(*place, reasons, outputs))
    return StudyDifference(
        ["/".join(place) for place in sorted(first.keys() - second.keys())],
        ["/".join(place) for place in sorted(second.keys() - first.keys())],
        jobs,
        list(_table_differences(a, b)),
    )


def _states(root: Path) -> dict[tuple[str, str], Any]:
    return {(s.stage, unit_name(s.subject, s.session)): s for s in read_states(root)}


def _reasons(a: Path, b: Path, one: str, two: str) -> list[Reason]:
    before, after = read_record(a, one), read_record(b, two)
    if before is None or after is None:
        return [Reason("record missing")]
    return part_changes(before["parts"], after["parts"])


def _output_differences(
    a: Path, b: Path, one: dict[str, str], two: dict[str, str]
) -> Iterator[tuple[str, str]]:
    for path in sorted({*one, *two}):
        if path not in two:
            yield path, "only in the first"
        elif path not in one:
            yield path, "only in the second"
        elif one[path] != two[path]:
            found = compare_files(a / path, b / path)
            yield path, f"{found.same} (largest relative difference {found.difference:.3g})"


def _table_differences(a: Path, b: Path) -> Iterator[TableDifference]:
    names = {p.stem for root in (a, b) for p in (root / "tables").glob("*.parquet")}
    for name in sorted(names):
        one, two = (_rows(root / "tables" / f"{name}.parquet") for root in (a, b))
        cells = [
            {"row": place, "column": column, "a": one[place][column], "b": value}
            for place in sorted(one.keys() & two.keys())
            for column, value in two[place].items()
            if column in one[place] and not _equal(one[place][column], value)
        ]
        only_a, only_b = len(one.keys() - two.keys()), len(two.keys() - one.keys())
        if cells or only_a or only_b:
            yield TableDifference(name, only_a, only_b, len(cells), cells[:_SHOWN_CELLS])


def _rows(path: Path) -> dict[str, dict[str, Any]]:
    """Return the rows of a table by their place: the text columns that say what a row is about."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.exists():
        return {}
    table = pq.read_table(path)
    if "record_id" in table.column_names:
        table = table.drop_columns(["record_id"])
    kinds = {f.name: f.type for f in table.schema}
    told = ("value", "reason", "reasons", "call", "cause", "detail", "qc_reasons")
    naming = [n for n in kinds if pa.types.is_string(kinds[n]) and n not in told][:8]
    found: dict[str, dict[str, Any]] = {}
    seen: dict[str, int] = {}
    for row in table.to_pylist():
        place = " ".join(f"{n}={row[n]}" for n in naming if row[n] is not None)
        seen[place] = seen.get(place, 0) + 1
        found[place if seen[place] == 1 else f"{place} #{seen[place]}"] = row
    return found


def _equal(one: Any, two: Any) -> bool:
    both_nan = one != one and two != two  # noqa: PLR0124  NaN alone differs from itself
    return bool(one == two or both_nan)
