"""What one lesion looks like at each session, always on the same slice of the reference space."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.bids.images import load_nifti
from afterglow.config.report import StoryConfig
from afterglow.lesions.inputs import Find, transform
from afterglow.lesions.lesion_dose import Placed
from afterglow.report.planes import Plane, bright_range, outline, sample
from afterglow.report.png import grey_png, levels, map_png, palette

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.provenance.job import State

    Matrix = NDArray[np.float64]

ANATOMY = ("T1w", "FLAIR")
STAGE_OF = {"rCBV": "dsc", "PSR": "dsc", "Ktrans": "dce"}


@dataclass(frozen=True)
class Scan:
    """One session of a subject: its lesions, and the way of its images to the reference.

    ``from_space`` holds the matrices of the native spaces of the maps to the session's ``T1w``.
    """

    placed: Placed
    anat: Mapping[str, Any]
    maps: Mapping[str, Mapping[str, Any]]
    from_space: Mapping[str, NDArray[np.float64]]

    @property
    def session(self) -> str:
        """Label of the session."""
        return self.placed.session


def scans_of(
    find: Find, placed: Sequence[Placed], upstream: Mapping[str, Sequence[State]]
) -> list[Scan]:
    """Return the sessions of a subject that have lesions and a place in the reference space.

    Parameters
    ----------
    find : callable
        Path of a finished file.
    placed : sequence of Placed
        Sessions with a mask, in order of date; one with a reason has no place.
    upstream : mapping
        States of the subject's sessions by stage.
    """
    done = {
        (name, state.session): state.summary
        for name, states in upstream.items()
        for state in states
        if state.done
    }
    found = []
    for one in placed:
        anat = done.get(("anat", one.session))
        if one.reason or anat is None:
            continue
        ways = {space: transform(find, anat, f"{space}_to_T1w") for space in ("dsc", "dce")}
        maps = {
            name: entry
            for name, stage in STAGE_OF.items()
            if (entry := _map(done.get((stage, one.session)), name)) is not None
        }
        known = {space: way for space, way in ways.items() if way is not None}
        found.append(Scan(one, anat, maps, known))
    return found


def _map(summary: Mapping[str, Any] | None, name: str) -> Mapping[str, Any] | None:
    entry: Mapping[str, Any] | None = ((summary or {}).get("maps") or {}).get(name)
    return None if entry is None or entry.get("reason") else entry


def lesion_slices(
    scans: Sequence[Scan],
    assignments: Sequence[Mapping[str, Any]],
    find: Find,
    settings: StoryConfig,
    write: Callable[[str, bytes], str],
) -> dict[str, Any]:
    """Write a picture of each lesion, session and image, and return where they are.

    Parameters
    ----------
    scans : sequence of Scan
        Sessions of the subject.
    assignments : sequence of mapping
        Which label of which session is which lesion.
    find : callable
        Path of a finished file.
    settings : StoryConfig
        Size of the pictures and ranges of the maps.
    write : callable
        Takes a name and the bytes of a PNG, returns its path.

    Returns
    -------
    dict
        By lesion id: ``center`` (mm, reference space), ``extent`` (mm) and ``sessions``, each with
        ``tiles`` (path by image), ``outline`` (SVG path in pixels) and ``label``.
    """
    owners = _owners(assignments)
    planes = {
        lesion: plane
        for lesion in sorted(owners)
        if (plane := _plane(owners[lesion], scans, settings)) is not None
    }
    found: dict[str, Any] = {
        lesion: {
            "center": np.round(plane.center, 2).tolist(),
            "extent": round(plane.extent, 2),
            "sessions": {},
        }
        for lesion, plane in planes.items()
    }
    for scan in scans:
        images = _images(scan, find, settings)
        for lesion, plane in planes.items():
            label = owners[lesion].get(scan.session)
            stem = f"lesion-{lesion}_ses-{scan.session}"
            found[lesion]["sessions"][scan.session] = {
                "tiles": {
                    name: write(f"{stem}_desc-{name}_slice.png", picture(plane))
                    for name, picture in images.items()
                },
                "outline": "" if label is None else _outline(scan.placed, label, plane),
                "label": label,
            }
    return found


def _owners(assignments: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    owners: dict[str, dict[str, int]] = {}
    for row in assignments:
        if row["label"]:
            owners.setdefault(row["lesion_id"], {})[row["session"]] = int(row["label"])
    return owners


def _outline(placed: Placed, label: int, plane: Plane) -> str:
    inside = (placed.labels == label).astype(np.float32)
    return outline(sample(inside, placed.grid.affine, placed.to_reference, plane) >= 0.5)


def _plane(labels: Mapping[str, int], scans: Sequence[Scan], settings: StoryConfig) -> Plane | None:
    """Return the plane through the lesion where it is largest, wide enough to hold it."""
    best: tuple[float, NDArray[np.float64], float] | None = None
    for scan in scans:
        placed = scan.placed
        index = np.argwhere(placed.labels == labels.get(scan.session, -1))
        if not len(index):
            continue
        world = placed.grid.world(index, placed.to_reference)
        volume = len(index) * placed.grid.voxel_volume
        if best is None or volume > best[0]:
            best = volume, world.mean(axis=0), float(np.ptp(world, axis=0).max())
    if best is None:
        return None
    return Plane(best[1], max(settings.extent, 1.6 * best[2]), settings.pixels)


def _images(scan: Scan, find: Find, settings: StoryConfig) -> dict[str, Callable[[Plane], bytes]]:
    """Return, by name, what draws each image of a session on a plane."""
    brain, _ = load_nifti(find(scan.anat["brain"]))
    drawers: dict[str, Callable[[Plane], bytes]] = {}
    for name, path in zip(ANATOMY, (scan.anat["t1w"], scan.anat.get("flair")), strict=True):
        if path:
            values, affine = load_nifti(find(path))
            low, high = bright_range(values, brain > 0.5)
            drawers[name] = _grey(values, affine, scan.placed.to_reference, low, high)
    for name, entry in scan.maps.items():
        to_session = scan.from_space.get(STAGE_OF[name])
        if to_session is None:
            continue
        values, affine = load_nifti(find(entry["path"]))
        if entry.get("evaluable"):
            good, _ = load_nifti(find(entry["evaluable"]))
            values = np.where(good > 0.5, values, np.nan)
        span = settings.ranges[name]
        drawers[name] = _colored(values, affine, scan.placed.to_reference @ to_session, span)
    return drawers


def _grey(
    values: NDArray[Any], affine: Matrix, matrix: Matrix, low: float, high: float
) -> Callable[[Plane], bytes]:
    def draw(plane: Plane) -> bytes:
        pixels = sample(values, affine, matrix, plane)
        share = np.clip((np.nan_to_num(pixels, nan=low) - low) / (high - low), 0.0, 1.0)
        return grey_png(np.rint(255 * share).astype(np.uint8))

    return draw


def _colored(
    values: NDArray[Any], affine: Matrix, matrix: Matrix, span: tuple[float, float]
) -> Callable[[Plane], bytes]:
    def draw(plane: Plane) -> bytes:
        pixels = sample(values, affine, matrix, plane, order=0)
        return map_png(levels(pixels, *span), palette())

    return draw
