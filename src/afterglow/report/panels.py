"""Pictures of a session page: outlines in three planes, registrations that flicker, mosaics."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.bids.images import load_nifti
from afterglow.bids.sidecars import read_json
from afterglow.report.planes import Plane, bright_range, outline, sample
from afterglow.report.png import grey_png, levels, map_png, palette
from afterglow.report.render import unit
from afterglow.report.viewer import RANGES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.provenance.job import State

    Matrix = NDArray[np.float64]

Find = Callable[[str], Path]
PLANES = ("sagittal", "coronal", "axial")
EXTENT, PIXELS = 230.0, 184
MOSAIC = {"rCBV": "dsc", "PSR": "dsc", "Ktrans": "dce", "ve": "dce", "vp": "dce", "T1": "dce"}
_SLICES, _SMALL = 5, 116
_MOST = 8


@dataclass(frozen=True, eq=False)
class Head:
    """The anatomical reference of a session, its brain, and its lesions where there are any."""

    values: NDArray[np.float32]
    affine: Matrix
    brain: NDArray[np.bool_]
    labels: NDArray[np.int32] | None
    labels_affine: Matrix
    transforms: Mapping[str, Any]

    @property
    def middle(self) -> Matrix:
        """World point (mm) in the middle of the brain."""
        return self._world(self.brain)

    def lesions(self) -> list[tuple[int, Matrix]]:
        """Return label and centroid (mm) of the lesions, the largest first."""
        if self.labels is None:
            return []
        found = []
        for label in np.unique(self.labels[self.labels > 0]).tolist():
            index = np.argwhere(self.labels == label)
            center = index.mean(axis=0)
            world = self.labels_affine[:3, :3] @ center + self.labels_affine[:3, 3]
            found.append((len(index), int(label), world))
        found.sort(key=lambda one: (-one[0], one[1]))
        return [(label, world) for _, label, world in found]

    def _world(self, inside: NDArray[np.bool_]) -> Matrix:
        spans = [np.flatnonzero(inside.any(axis=o)) for o in ((1, 2), (0, 2), (0, 1))]
        center = [(s[0] + s[-1]) / 2 if s.size else 0.0 for s in spans]
        return np.asarray(self.affine[:3, :3] @ center + self.affine[:3, 3])


def read_head(states: Mapping[str, State], find: Find) -> Head | None:
    """Return the anatomy of a session, None where there is none."""
    anat = states.get("anat")
    if anat is None or not anat.done or not anat.summary.get("transforms"):
        return None
    values, affine = load_nifti(find(anat.summary["t1w"]))
    brain = load_nifti(find(anat.summary["brain"]))[0] > 0.5
    labels, labels_affine = None, affine
    for stage in ("features", "bids"):
        state = states.get(stage)
        if state is not None and state.summary.get("mask"):
            data, labels_affine = load_nifti(find(state.summary["mask"]))
            labels = np.rint(data).astype(np.int32)
            break
    transforms = read_json(find(anat.summary["transforms"]))
    return Head(values, affine, brain, labels, labels_affine, transforms)


def outline_panels(head: Head) -> list[dict[str, Any]]:
    """Return three planes through the middle of the brain and through the largest lesions.

    Each is a grey picture (``src``) with the paths of brain and lesions (SVG, in pixels).
    """
    low, high = bright_range(head.values, head.brain)
    places: list[tuple[str, Matrix]] = [("middle of the brain", head.middle)]
    places += [(f"lesion {label}", at) for label, at in head.lesions()[:_MOST]]
    panels = []
    for name, center in places:
        for axis in (2, 1, 0):
            plane = Plane(_within(center, head.middle, axis), EXTENT, PIXELS, axis)
            inside = sample(head.brain, head.affine, np.eye(4), plane) >= 0.5
            panels.append(
                {
                    "src": _uri(_grey(head.values, head.affine, np.eye(4), plane, low, high)),
                    "brain": outline(inside),
                    "lesions": _lesions(head, plane),
                    "pixels": PIXELS,
                    "alt": f"{PLANES[axis]} plane through the {name} with outlines of the brain"
                    " mask and of lesions",
                    "caption": f"{name}, {PLANES[axis]}",
                }
            )
    return panels


def _within(center: Matrix, middle: Matrix, axis: int) -> Matrix:
    """Return a point in the plane of ``center`` around which the whole head is seen."""
    point = np.array(middle, dtype=np.float64)
    point[axis] = center[axis]
    return point


def _lesions(head: Head, plane: Plane) -> str:
    if head.labels is None:
        return ""
    return outline(sample(head.labels > 0, head.labels_affine, np.eye(4), plane) >= 0.5)


def flicker_panels(head: Head, states: Mapping[str, State], find: Find) -> list[dict[str, Any]]:
    """Return pairs of pictures of one plane: the anatomical reference, and an image moved to it."""
    low, high = bright_range(head.values, head.brain)
    rows = []
    for name, values, affine, matrix in _moving(head, states["anat"].summary, find):
        span = _range(values)
        tiles = []
        for axis in (2, 1, 0):
            plane = Plane(head.middle, EXTENT, PIXELS, axis)
            tiles.append(
                {
                    "fixed": _uri(_grey(head.values, head.affine, np.eye(4), plane, low, high)),
                    "moved": _uri(_grey(values, affine, matrix, plane, *span)),
                    "caption": PLANES[axis],
                }
            )
        rows.append({"name": name, "tiles": tiles, "pixels": PIXELS})
    return rows


def _moving(
    head: Head, anat: Mapping[str, Any], find: Find
) -> list[tuple[str, NDArray[np.float32], Matrix, Matrix]]:
    """Return the images that were registered to the anatomy, with their way to it."""
    found = []
    for key, name in (("pre", "T1w before contrast"), ("flair", "FLAIR")):
        if anat.get(key):
            values, affine = load_nifti(find(anat[key]))
            found.append((name, values, affine, np.eye(4)))
    for key, name in (("dsc", "DSC, first frame"), ("dce", "DCE, first frame")):
        matrix = head.transforms.get(f"{key}_to_T1w")
        if anat.get(key) and matrix is not None:
            values, affine = first_frame(find(anat[key]["moco"]))
            found.append((name, values, affine, np.asarray(matrix, dtype=np.float64)))
    return found


def first_frame(path: Path) -> tuple[NDArray[np.float32], Matrix]:
    """Return the first volume of a series without reading the others."""
    import nibabel as nib

    image = nib.load(path)
    values = np.asarray(image.dataobj[..., 0], dtype=np.float32)
    return values, np.asarray(image.affine, dtype=np.float64)


def mosaics(head: Head, states: Mapping[str, State], find: Find) -> list[dict[str, Any]]:
    """Return a row of axial slices of each main map, in colours of a fixed range."""
    rows = []
    for stage in dict.fromkeys(MOSAIC.values()):
        shown = _shown(head, stage, states.get(stage), find)
        if not shown:
            continue
        # The map with the fewest voxels decides, and all of the series show the same slices.
        fewest = min((one.heights for one in shown), key=len)
        low, high = (float(np.quantile(fewest, share)) for share in (0.1, 0.9))
        wanted = np.linspace(low, high, _SLICES).tolist()
        for one in shown:
            strip = [one.slice_at(head.middle, height) for height in wanted]
            pixels = levels(np.hstack(strip), *RANGES[one.name])
            rows.append(
                {
                    "name": one.name,
                    "units": one.units,
                    "span": RANGES[one.name],
                    "src": _uri(map_png(pixels, palette())),
                    "alt": f"{one.name} on {_SLICES} axial slices from below to above",
                }
            )
    return rows


@dataclass(frozen=True, eq=False)
class _Shown:
    """A map of a mosaic, NaN where not evaluable, and the heights (mm) at which it has values."""

    name: str
    units: str
    values: NDArray[np.floating]
    affine: Matrix
    matrix: Matrix
    heights: Matrix

    def slice_at(self, middle: Matrix, height: float) -> Matrix:
        """Return the axial slice nearest to a height that goes through a voxel with a value."""
        nearest = self.heights[np.argmin(np.abs(self.heights - height))]
        plane = Plane(np.array([middle[0], middle[1], nearest]), 190.0, _SMALL)
        return sample(self.values, self.affine, self.matrix, plane, order=0)


def _shown(head: Head, stage: str, state: State | None, find: Find) -> list[_Shown]:
    """Return the main maps of a stage that have a value anywhere."""
    matrix = head.transforms.get(f"{stage}_to_T1w")
    if state is None or not state.done or matrix is None:
        return []
    found = []
    maps = state.summary.get("maps") or {}
    for name in (name for name, own in MOSAIC.items() if own == stage):
        entry = maps.get(name)
        if entry is None or entry.get("reason"):
            continue
        values, affine = load_nifti(find(entry["path"]))
        if entry.get("evaluable"):
            good = load_nifti(find(entry["evaluable"]))[0] > 0.5
            values = np.where(good, values, np.nan)
        way = np.asarray(matrix, dtype=np.float64)
        third = (way @ affine)[2]
        heights = np.argwhere(np.isfinite(values)) @ third[:3] + third[3]
        if heights.size:
            found.append(_Shown(name, unit(entry.get("units")), values, affine, way, heights))
    return found


def _grey(
    values: NDArray[Any], affine: Matrix, matrix: Matrix, plane: Plane, low: float, high: float
) -> bytes:
    pixels = np.nan_to_num(sample(values, affine, matrix, plane), nan=low)
    share = np.clip((pixels - low) / (high - low), 0.0, 1.0)
    return grey_png(np.asarray(np.rint(255 * share), dtype=np.uint8))


def _range(values: NDArray[Any]) -> tuple[float, float]:
    top = float(np.percentile(values[::2, ::2, ::2], 99.5))
    return 0.0, max(top, 1e-6)


def _uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
