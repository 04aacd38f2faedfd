"""Structures of a radiotherapy structure set: names, types and closed contours in millimetres."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.errors import AfterglowError

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLOSED = frozenset({"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"})


@dataclass(frozen=True, eq=False)
class Structure:
    """One region of interest.

    ``kind`` is the interpreted type (GTV, PTV, EXTERNAL, ...; empty where not given), ``contours``
    the closed ones as (n, 3) arrays in DICOM millimetres (LPS), ``ignored`` the others as (number,
    reason).
    """

    number: int
    name: str
    kind: str
    contours: tuple[NDArray[np.float64], ...]
    ignored: tuple[tuple[int, str], ...] = ()


def structures_of(facts: Mapping[str, Any]) -> tuple[Structure, ...]:
    """Return the structures of ``afterglow.bids.structures.structures``, in order of number.

    A structure without contours is kept, empty; contours that are not closed planar ones (points,
    open curves) are left out and recorded.
    """
    found = []
    for item in facts["Structures"]:
        closed, ignored = [], []
        for number, contour in enumerate(item["Contours"]):
            points = np.asarray(contour["Points"], dtype=np.float64).reshape(-1, 3)
            if contour["Type"] not in CLOSED:
                ignored.append((number, f"type_{contour['Type'].lower() or 'missing'}"))
            elif not np.isfinite(points).all():
                ignored.append((number, "unreadable_points"))
            else:
                closed.append(points)
        ignored += [(-1, "unreadable_points")] * int(item.get("Unreadable", 0))
        found.append(
            Structure(
                int(item["Number"]), item["Name"], item["Type"], tuple(closed), tuple(ignored)
            )
        )
    return tuple(sorted(found, key=lambda structure: structure.number))


def read_structures(path: Path | str) -> tuple[Structure, ...]:
    """Read the structures of an RTSTRUCT file.

    Raises
    ------
    AfterglowError
        Not a structure set.
    """
    import pydicom

    from afterglow.bids.structures import structures

    dataset = pydicom.dcmread(path)
    if dataset.get("Modality") != "RTSTRUCT":
        raise AfterglowError("a DICOM file is no structure set", expected="modality RTSTRUCT")
    return structures_of(structures(dataset))
