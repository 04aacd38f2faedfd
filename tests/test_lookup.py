"""Rows of a Parquet file by value: as a filter over all rows would find them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from afterglow.provenance import lookup
from afterglow.provenance.lookup import rows_among, rows_where

ROWS = [
    {"id": 2**63 + n, "name": None if n % 7 == 0 else f"s{n // 10}", "kind": "ab"[n % 2], "é": "é"}
    for n in range(100)
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    kinds = [("id", pa.uint64()), *((name, pa.string()) for name in ("name", "kind", "é"))]
    table = pa.Table.from_pylist(ROWS, schema=pa.schema(kinds))
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=16)
    return tmp_path / "rows.parquet"


@pytest.mark.parametrize(
    "where",
    [{}, {"name": "s3"}, {"name": "s3", "kind": "b"}, {"é": "é"}, {"name": "s99"}, {"kind": ""}],
)
@pytest.mark.parametrize("few", [1000, 0])
def test_rows_by_text(
    path: Path, where: dict[str, str], few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "_FEW", few)
    expected = [row for row in ROWS if all(row[name] == value for name, value in where.items())]
    assert rows_where(path, where) == expected
    ids = [{"id": row["id"]} for row in expected]
    assert rows_where(path, where, ["id"]) == ids


def test_rows_by_number(path: Path) -> None:
    wanted = np.array([2**63 + 5, 2**63 + 17, 2**63 + 99, 3], dtype=np.uint64)
    found = rows_among(path, "id", wanted, ["id", "name"])
    assert found == [{"id": ROWS[n]["id"], "name": ROWS[n]["name"]} for n in (5, 17, 99)]


def test_no_question_imports_pandas(path: Path) -> None:
    code = (
        "import sys, pathlib, numpy as np; from afterglow.provenance.lookup import *;"
        f"path = pathlib.Path({str(path)!r});"
        "assert rows_where(path, {'name': 's3'});"
        "assert rows_among(path, 'id', np.array([2**63], np.uint64), ['kind']);"
        "assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
