"""What stage `features` reads of a session, as arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.bids.images import load_nifti
from afterglow.bids.sidecars import read_json
from afterglow.errors import AfterglowError
from afterglow.lesions.grids import Grid
from afterglow.lesions.masks import Labels, read_labels
from afterglow.lesions.measure import MapInput, SpaceInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

Find = Callable[[str], Path]


def load_grid(path: Path) -> tuple[NDArray[np.float32], Grid]:
    """Read an image and its grid."""
    data, affine = load_nifti(path)
    shape = data.shape[:3]
    return data, Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def load_labels(find: Find, relative: str) -> tuple[Labels, Grid]:
    """Read the given lesion mask of a session."""
    data, grid = load_grid(find(relative))
    return read_labels(data, relative), grid


def transform(find: Find, summary: Mapping[str, Any], name: str) -> NDArray[np.float64] | None:
    """Return one matrix of the session's transforms, None where it is absent."""
    if not summary.get("transforms"):
        return None
    content = read_json(find(summary["transforms"])).get(name)
    return None if content is None else np.asarray(content, dtype=np.float64)


def load_space(find: Find, anat: Mapping[str, Any], name: str) -> SpaceInput | None:
    """Read brain and tissues of one native grid (``T1w``, ``dsc`` or ``dce``), None if absent."""
    part = anat if name == "T1w" else anat.get(name)
    if not part:
        return None
    to_session = np.eye(4) if name == "T1w" else transform(find, anat, f"{name}_to_T1w")
    if to_session is None:
        return None
    brain, grid = load_grid(find(part["brain"]))
    white, _ = load_grid(find(part["probseg"]["WM"]))
    csf, _ = load_grid(find(part["probseg"]["CSF"]))
    return SpaceInput(name, grid, to_session, white, csf, brain > 0.5)


def load_maps(find: Find, stage: Mapping[str, Any], grid: Grid) -> list[MapInput]:
    """Read the parameter maps of a perfusion stage, without standard errors.

    Raises
    ------
    AfterglowError
        A map that is not on the grid of its series.
    """
    found = []
    for name, entry in sorted(stage.get("maps", {}).items()):
        if entry.get("kind", "map") != "map":
            continue
        image, own = load_grid(find(entry["path"]))
        if own.shape != grid.shape or not np.allclose(own.affine, grid.affine, atol=1e-3):
            raise AfterglowError(
                f"map {name} is not on the grid of its series", where=entry["path"]
            )
        evaluable = entry.get("evaluable")
        good = load_grid(find(evaluable))[0] > 0.5 if evaluable else None
        found.append(
            MapInput(
                name, image, entry["units"], str(entry["model"]), good, entry.get("reason", "")
            )
        )
    return found
