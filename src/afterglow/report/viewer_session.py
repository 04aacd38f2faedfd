"""What the viewer shows of one session, read from what its stages wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.bids.images import load_nifti
from afterglow.bids.sidecars import read_json
from afterglow.report.render import unit
from afterglow.report.viewer import RANGES, Layer, View, chosen
from afterglow.report.volumes import anatomy_volume, crop, map_volume, outline_volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.provenance.job import State

Find = Callable[[str], Path]
_ANATOMY = {"t1w": ("T1w", "T1w after contrast"), "flair": ("FLAIR", "FLAIR")}


def session_view(
    states: Mapping[str, State],
    find: Find,
    *,
    title: str,
    voxels: int,
    most: int,
    to_reference: bool = False,
) -> View | None:
    """Return the images of a session for the viewer, None where there is no anatomy.

    Parameters
    ----------
    states : mapping
        States of the session by stage.
    find : callable
        Path of a finished file.
    title : str
        Name of the timepoint.
    voxels : int
        Most voxels of an anatomical image; finer ones are averaged.
    most : int
        Most bytes of all images together.
    to_reference : bool
        Whether to place the images in the space of the subject's reference session.
    """
    anat = states.get("anat")
    if anat is None or not anat.done or not anat.summary.get("transforms"):
        return None
    transforms = read_json(find(anat.summary["transforms"]))
    base = _matrix(transforms, "T1w_to_reference") if to_reference else np.eye(4)
    if base is None:
        return None
    layers = []
    brain = load_nifti(find(anat.summary["brain"]))[0] > 0.5
    for key, (name, text) in _ANATOMY.items():
        if anat.summary.get(key):
            values, affine = load_nifti(find(anat.summary[key]))
            box, at = crop(values, brain, affine)
            content = anatomy_volume(box, base @ at, voxels)
            layers.append(Layer(name, text, "anatomy", content=content))
    points: dict[str, Any] = {}
    mask = _mask(states)
    if mask:
        labels, affine = load_nifti(find(mask))
        box, at = crop(labels, brain, affine) if labels.shape == brain.shape else (labels, affine)
        content = outline_volume(box, base @ at, voxels)
        layers.append(Layer("lesions", "Outlines of lesions", "outline", content=content))
        points = _points(labels, base @ affine)
    for stage in ("dsc", "dce"):
        way = _matrix(transforms, f"{stage}_to_T1w")
        if way is not None:
            layers += _maps(states.get(stage), find, base @ way)
    kept, left = chosen(layers, most)
    return View(title, kept, points, left)


def _matrix(transforms: Mapping[str, Any], name: str) -> NDArray[np.float64] | None:
    found = transforms.get(name)
    return None if found is None else np.asarray(found, dtype=np.float64)


def _mask(states: Mapping[str, State]) -> str | None:
    for stage in ("features", "bids"):
        state = states.get(stage)
        if state is not None and state.summary.get("mask"):
            return str(state.summary["mask"])
    return None


def _points(labels: NDArray[Any], affine: NDArray[np.float64]) -> dict[str, list[float]]:
    """Return the centroid of each label (mm)."""
    rounded = np.rint(labels).astype(np.int32)
    found = {}
    for label in np.unique(rounded[rounded > 0]).tolist():
        index = np.argwhere(rounded == label).mean(axis=0)
        found[f"lesion {label}"] = (affine[:3, :3] @ index + affine[:3, 3]).tolist()
    return found


def _maps(state: State | None, find: Find, matrix: NDArray[np.float64]) -> list[Layer]:
    if state is None or not state.done:
        return []
    layers = []
    for name, entry in sorted((state.summary.get("maps") or {}).items()):
        if entry.get("kind", "map") != "map" or entry.get("reason"):
            continue
        values, affine = load_nifti(find(entry["path"]))
        if values.ndim != 3:
            continue
        good = np.isfinite(values)
        if entry.get("evaluable"):
            good &= load_nifti(find(entry["evaluable"]))[0] > 0.5
        span = RANGES.get(name) or _span(values[good])
        content = map_volume(values, good, matrix @ affine, span[0])
        layers.append(Layer(name, name, "map", unit(entry.get("units")), span, content))
    return layers


def _span(values: NDArray[Any]) -> tuple[float, float]:
    if not values.size:
        return 0.0, 1.0
    low, high = (float(x) for x in np.percentile(values, (2.0, 98.0)))
    return low, max(high, low + 1e-6)
