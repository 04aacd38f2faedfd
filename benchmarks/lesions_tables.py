"""Tables of a large cohort: time, memory and size of 100,000 lesion-timepoints x 400 features.

``python benchmarks/lesions_tables.py [ROWS] [FOLDER]`` writes the tables of an invented cohort and
prints what docs/lesions.md states.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from afterglow.tables.changes import ChangeSettings, change_columns
from afterglow.tables.models import FeatureRow, LesionRow, WideRow
from afterglow.tables.rows import arrow_schema
from afterglow.tables.wide import pivot, wide_table
from afterglow.tables.write import write_sorted, write_table

LESIONS, SESSIONS = 10, 5
MAPS = [f"map{k:02d}" for k in range(20)]
REGIONS = ["core", "lesion"]
STATISTICS = [
    "max", "mean", "median", "min", "p10", "p90", "ratio_max", "ratio_mean", "ratio_median", "sd"
]  # fmt: skip


def batches(rows: int) -> Iterator[pa.Table]:
    """Yield the feature rows of one session after another, as stage `tables` reads them."""
    schema = arrow_schema(FeatureRow)
    cells = [(m, r, s) for m in MAPS for r in REGIONS for s in STATISTICS]
    per, total = len(cells), len(cells) * LESIONS
    words = {
        "map": [c[0] for c in cells] * LESIONS,
        "region": [c[1] for c in cells] * LESIONS,
        "statistic": [c[2] for c in cells] * LESIONS,
    }
    labels = np.repeat(np.arange(1, LESIONS + 1), per)
    fixed: dict[str, Any] = {name: pa.array(values) for name, values in words.items()}
    fixed["lesion_id"] = pa.array([f"L{n:03d}" for n in labels])
    fixed["label"] = pa.array(labels)
    constants = {
        "center": "north", "unit": "1", "normalization": "none", "model": "none", "space": "dsc",
        "leakage_model": "none", "window": "whole series", "domain": "unknown",
    }  # fmt: skip
    for name, value in constants.items():
        fixed[name] = pa.repeat(pa.scalar(value), total)
    rng = np.random.default_rng(0)
    for number in range(rows // LESIONS):
        values = rng.lognormal(size=total)
        gone = rng.random(total) < 0.1
        own = {
            "subject": pa.repeat(pa.scalar(f"{number // SESSIONS:06d}"), total),
            "session": pa.repeat(pa.scalar(f"2019{number % SESSIONS + 1:02d}01"), total),
            "value": pa.array(values, mask=gone),
            "evaluable": pa.array(~gone),
            "reason": pa.array(np.where(gone, "too_small", "")),
            "n_voxels": pa.array(rng.integers(1, 500, total)),
            "record_id": pa.repeat(pa.scalar(f"{number:064d}"), total),
        }
        columns = {**fixed, **own}
        yield pa.table([columns[field.name] for field in schema], schema=schema)


def main(rows: int, folder: Path) -> None:
    """Write and query the tables."""
    clock, spent = [time.perf_counter()], time.process_time()
    idle = sum(1 for _ in batches(rows))
    made = time.perf_counter() - clock[0]
    idle_spent = time.process_time() - spent
    start, spent = time.perf_counter(), time.process_time()
    count = write_sorted(batches(rows), FeatureRow, folder / "features.parquet")
    wide = pivot(batches(rows))
    order = {(key[1], key[2]): k for k, key in enumerate(wide.keys)}
    settings = ChangeSettings(("mean", "median", "p90"), {"map00": 0.31})
    days = {moment: 90.0 * k for moment, k in order.items()}
    changes = change_columns(wide, order, days, settings)
    lesions = [dict(zip(LesionRow.KEYS, key, strict=True)) for key in wide.keys]
    write_table(lesions, LesionRow, folder / "lesions.parquet")
    table, fields = wide_table(wide, changes, {})
    write_table(table, WideRow, folder / "features_wide.parquet", more=fields)
    took = time.perf_counter() - start - 2 * made
    processor = time.process_time() - spent - 2 * idle_spent
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    sizes = {p.name: p.stat().st_size / 1e6 for p in sorted(folder.glob("*.parquet"))}
    print(f"{idle} sessions, {count} feature rows, {table.num_rows} x {table.num_columns} wide")
    print(
        f"written in {took:.1f} s, {processor:.1f} s of processor time (making the rows,"
        f" {made:.1f} s a pass, is not counted)"
    )
    print(f"peak memory {peak:.2f} GiB; " + ", ".join(f"{n} {s:.0f} MB" for n, s in sizes.items()))
    start = time.perf_counter()
    query = f"""select session, count(*), median("map03.lesion.mean"), avg("map07.lesion.p90")
        from '{folder}/features_wide.parquet' where "map00.lesion.mean" > 1 group by session"""
    answer = duckdb.sql(query).fetchall()
    print(f"cohort query in duckdb: {time.perf_counter() - start:.2f} s, {len(answer)} rows")


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    if len(sys.argv) > 2:
        Path(sys.argv[2]).mkdir(parents=True, exist_ok=True)
        main(wanted, Path(sys.argv[2]))
    else:
        with tempfile.TemporaryDirectory() as name:
            main(wanted, Path(name))
