"""Measurements of a perfusion series that a session does not have: absent, with the reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from afterglow.lesions import dynamics, regions
from afterglow.lesions.features import Value
from afterglow.lesions.grids import Grid
from afterglow.lesions.measure import (
    Cell,
    MapInput,
    MeasureSettings,
    RegionIndex,
    SpaceInput,
    Voxels,
    measure_maps,
)

# Maps that each stage makes with its default settings, and their units.
MAPS = {
    "dsc": {
        "CBV": "1 (relative: area under delta R2*)",
        "CBVraw": "1 (relative: area under delta R2*)",
        "CBF": "mL/100 mL/min (relative: from delta R2*)",
        "MTT": "s",
        "Tmax": "s",
        "PSR": "percent",
        "PH": "percent of S0",
        "PHdR2s": "1/s",
        "K1": "1",
        "K2": "1/s",
        "TTP": "s",
        "delay": "s",
        "sRCBV": "1 (standard scale)",
    },
    "dce": {
        "Ktrans": "1/min",
        "kep": "1/min",
        "ve": "1",
        "vp": "1",
        "IAUC": "mM s",
        "T1": "s",
    },
}


def absent_cells(
    name: str, labels: Iterable[int], reason: str, there: Iterable[Cell] = ()
) -> list[Cell]:
    """Return every cell of the usual maps of a stage as absent.

    Parameters
    ----------
    name : str
        ``dsc`` or ``dce``.
    labels : iterable of int
        Lesions of the session.
    reason : str
        Why there is no map.
    there : iterable of Cell
        What the session has.
    """
    there = list(there)
    present = {cell.map for cell in there}
    wanted = {image: unit for image, unit in MAPS[name].items() if image not in present}
    names = (*regions.LESION_REGIONS, regions.CONTRALATERAL, regions.WHOLE_BRAIN)
    none = np.zeros((0, 3), dtype=np.int64)
    index: RegionIndex = {
        label: {region: Voxels(none, reason) for region in names} for label in labels
    }
    empty = np.zeros((1, 1, 1), dtype=np.float32)
    space = SpaceInput(name, Grid((1, 1, 1), np.eye(4)), np.eye(4), empty, empty, empty > 0)
    maps = [MapInput(image, empty, unit, "none", None, reason) for image, unit in wanted.items()]
    cells = list(measure_maps(space, maps, index, MeasureSettings()))
    if name == "dsc" and not any(cell.statistic == "curve" for cell in there):
        cells += _curve_cells(index)
    nothing = Value(float("nan"), reason)
    return [replace(cell, value=nothing, normalization="none") for cell in cells]


def _curve_cells(index: RegionIndex) -> list[Cell]:
    stage: dict[str, Any] = {}
    return list(dynamics.curve_cells([], index, stage, 1))
