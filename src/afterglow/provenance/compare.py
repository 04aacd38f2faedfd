"""Whether two files hold the same values, and how far apart they are where they do not."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from afterglow.provenance.digest import file_digest

TOLERANCE = 1e-5

Sameness = Literal["identical", "within_tolerance", "different"]


@dataclass(frozen=True)
class Comparison:
    """How two files compare.

    Attributes
    ----------
    same : {"identical", "within_tolerance", "different"}
        Identical means byte for byte.
    difference : float
        Largest difference of two numbers over the largest magnitude in that array, column or value.
    detail : str
        Where it is, or why the files cannot be compared by value.
    """

    same: Sameness
    difference: float = 0.0
    detail: str = ""


def compare_files(first: Path, second: Path, *, tolerance: float = TOLERANCE) -> Comparison:
    """Compare two files by bytes, then by value where the format is known.

    Parameters
    ----------
    first, second : Path
        NIfTI, Parquet and JSON are compared by value.
    tolerance : float, optional
        Largest relative difference that still counts as equal.
    """
    if not first.exists() or not second.exists():
        return Comparison("different", math.inf, "one of the files is absent")
    if file_digest(first) == file_digest(second):
        return Comparison("identical")
    try:
        gaps = list(_gaps(first, second))
    except ValueError as error:
        return Comparison("different", math.inf, str(error))
    worst, where = max(gaps, default=(0.0, "layout only"))
    return Comparison("within_tolerance" if worst <= tolerance else "different", worst, where)


def _gaps(first: Path, second: Path) -> Iterator[tuple[float, str]]:
    if first.name.endswith((".nii", ".nii.gz")):
        return _image_gaps(first, second)
    if first.suffix == ".parquet":
        return _table_gaps(first, second)
    if first.suffix == ".json":
        return _json_gaps(
            json.loads(first.read_text(encoding="utf-8")),
            json.loads(second.read_text(encoding="utf-8")),
            "$",
        )
    raise ValueError("bytes differ, and the format is not compared by value")


def _image_gaps(first: Path, second: Path) -> Iterator[tuple[float, str]]:
    import nibabel
    import numpy as np

    one, two = nibabel.load(first), nibabel.load(second)
    if one.shape != two.shape:
        raise ValueError(f"shapes {one.shape} and {two.shape}")
    yield _array_gap(np.asarray(one.affine), np.asarray(two.affine)), "affine"
    yield _array_gap(np.asanyarray(one.dataobj), np.asanyarray(two.dataobj)), "voxels"


def _array_gap(one: Any, two: Any) -> float:
    """Return the largest difference over the largest magnitude; NaN must stand in both alike."""
    import numpy as np

    one, two = np.asarray(one, dtype=float), np.asarray(two, dtype=float)
    if not np.array_equal(np.isnan(one), np.isnan(two)):
        return math.inf
    gap = float(np.nanmax(np.abs(one - two), initial=0.0))
    scale = float(np.nanmax(np.abs(one), initial=0.0))
    return gap / scale if scale else gap


def _table_gaps(first: Path, second: Path) -> Iterator[tuple[float, str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    one, two = pq.read_table(first), pq.read_table(second)
    if one.column_names != two.column_names or one.num_rows != two.num_rows:
        raise ValueError(f"{one.shape} and {two.shape} rows by columns, or other columns")
    for name in one.column_names:
        left, right = one.column(name), two.column(name)
        if left.equals(right):
            continue
        if not pa.types.is_floating(left.type):
            raise ValueError(f"column {name} differs")
        nones = left.is_null().equals(right.is_null())
        values = (left.to_numpy(), right.to_numpy())
        yield (_array_gap(*values) if nones else math.inf), f"column {name}"


def _json_gaps(one: Any, two: Any, where: str) -> Iterator[tuple[float, str]]:
    numbers = (int, float)
    if isinstance(one, dict) and isinstance(two, dict) and one.keys() == two.keys():
        for name in one:
            yield from _json_gaps(one[name], two[name], f"{where}.{name}")
    elif isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        for number, (left, right) in enumerate(zip(one, two, strict=True)):
            yield from _json_gaps(left, right, f"{where}[{number}]")
    elif isinstance(one, numbers) and isinstance(two, numbers) and type(one) is type(two):
        yield abs(one - two) / (abs(one) or 1.0), where
    elif one != two:
        yield math.inf, where
