"""The part tables that stage `features` writes for one session."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afterglow.tables.write import nulls_for_nan, write_arrow

if TYPE_CHECKING:
    from afterglow.lesions.curves import Curve
    from afterglow.lesions.features import Value
    from afterglow.lesions.measure import Cell
    from afterglow.lesions.shape import Shape

PART = {"afterglow_part": "1"}
FEATURE_KEYS = ("label", "region", "map", "statistic")


def write_features(cells: Iterable[Cell], record_id: str, path: Path) -> int:
    """Write measured cells in order of label, region, map, statistic; return their number.

    Text columns are dictionary encoded: a part holds tens of thousands of rows of few words.
    """
    import pyarrow as pa

    cells = list(cells)
    text = pa.dictionary(pa.int32(), pa.string())
    words = {
        "region": [c.region for c in cells],
        "map": [c.map for c in cells],
        "statistic": [c.statistic for c in cells],
        "unit": [c.unit for c in cells],
        "reason": [c.value.reason for c in cells],
        "normalization": [c.normalization for c in cells],
        "model": [c.model for c in cells],
        "space": [c.space for c in cells],
        "leakage_model": [c.leakage_model for c in cells],
        "window": [c.window for c in cells],
        "domain": [c.domain for c in cells],
        "record_id": [record_id] * len(cells),
    }
    columns: dict[str, Any] = {
        "label": pa.array([c.label for c in cells], pa.int64()),
        "value": pa.array([c.value.value for c in cells], pa.float64()),
        "evaluable": pa.array([c.value.evaluable for c in cells], pa.bool_()),
        "n_voxels": pa.array([c.value.n_voxels for c in cells], pa.int64()),
    }
    columns |= {name: pa.array(values, pa.string()).cast(text) for name, values in words.items()}
    table = nulls_for_nan(pa.table(columns))
    plain = table.select(FEATURE_KEYS)
    for place, name in enumerate(FEATURE_KEYS[1:], start=1):
        plain = plain.set_column(place, name, plain.column(name).cast(pa.string()))
    order = pa.compute.sort_indices(plain, sort_keys=[(k, "ascending") for k in FEATURE_KEYS])
    write_arrow(table.take(order), path, PART)
    return len(cells)


def write_curves(curves: Iterable[Curve], record_id: str, path: Path) -> None:
    """Write mean curves in order of label, region and kind."""
    import pyarrow as pa

    ordered = sorted(curves, key=lambda c: (c.label, c.region, c.kind))
    schema = pa.schema(
        [
            ("label", pa.int64()),
            ("region", pa.string()),
            ("kind", pa.string()),
            ("time", pa.list_(pa.float64())),
            ("value", pa.list_(pa.float64())),
            ("unit", pa.string()),
            ("n_voxels", pa.int64()),
            ("record_id", pa.string()),
        ]
    )
    rows = [
        {
            "label": c.label,
            "region": c.region,
            "kind": c.kind,
            "time": c.time.tolist(),
            "value": [x if x == x else None for x in c.values.tolist()],  # noqa: PLR0124  NaN
            "unit": c.unit,
            "n_voxels": c.n_voxels,
            "record_id": record_id,
        }
        for c in ordered
    ]
    write_arrow(pa.Table.from_pylist(rows, schema=schema), path, PART)


def write_lesions(
    shapes: dict[int, Shape], edema: dict[int, Value], record_id: str, path: Path
) -> None:
    """Write size and shape of every lesion; ``edema`` is its volume in mL by label."""
    import pyarrow as pa

    names = ["volume", "longest_diameter", "perpendicular_diameter", "sphericity", "surface"]
    counts = ["n_slices", "n_voxels"]
    rows = []
    for label, shape in sorted(shapes.items()):
        row: dict[str, Any] = {"label": label, "record_id": record_id}
        row |= {name: getattr(shape, name) for name in (*names, *counts)}
        row |= dict(zip(("centroid_x", "centroid_y", "centroid_z"), shape.centroid, strict=True))
        row["edema_volume"] = edema[label].value
        row["edema_reason"] = edema[label].reason
        rows.append(row)
    floats = [*names, "centroid_x", "centroid_y", "centroid_z", "edema_volume"]
    fields = [("label", pa.int64()), *((name, pa.float64()) for name in floats)]
    fields += [(name, pa.int64()) for name in counts]
    fields += [("edema_reason", pa.string()), ("record_id", pa.string())]
    table = nulls_for_nan(pa.Table.from_pylist(rows, schema=pa.schema(fields)))
    write_arrow(table, path, PART)
