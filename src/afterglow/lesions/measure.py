"""Every measurement of every lesion of one session, on the grids the maps were made on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from afterglow.lesions import regions
from afterglow.lesions.features import Samples, Value, absent, gather, measure, ratios
from afterglow.lesions.grids import Grid, coverage
from afterglow.lesions.relative import BURDEN, UNITS, burden, relative_values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.lesions.regions import Piece, Plane, ReferenceSettings

NO_REFERENCE = Value(float("nan"), "no_reference_tissue")


@dataclass(frozen=True, eq=False)
class MapInput:
    """One parameter map and where it may be believed."""

    name: str
    image: NDArray[np.generic]
    units: str
    model: str
    evaluable: NDArray[np.bool_] | None = None
    reason: str = ""
    """Why no voxel of the map is evaluable."""


@dataclass(frozen=True, eq=False)
class SpaceInput:
    """One native grid: its way to the session's world, its tissues and brain."""

    name: str
    grid: Grid
    to_session: NDArray[np.float64]
    white_matter: NDArray[np.float32]
    csf: NDArray[np.float32]
    brain: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class LesionInput:
    """Lesions of one session: regions by label, and the midsagittal plane where known."""

    pieces: dict[int, dict[str, Piece]]
    plane: Plane | None

    @property
    def points(self) -> NDArray[np.float64]:
        """All voxels of all lesions, world points of the session (mm)."""
        clouds = [piece["lesion"].points for piece in self.pieces.values()]
        return np.concatenate(clouds) if clouds else np.zeros((0, 3))


@dataclass(frozen=True)
class MeasureSettings:
    """Sizes below which, and shares below which, a region is not evaluable."""

    coverage: float = 0.5
    evaluable_fraction: float = 0.5
    min_voxels: int = 5
    hotspot_radius: float = 3.0
    burden: tuple[float, float] = (1.0, 1.75)


@dataclass(frozen=True)
class Cell:
    """One row of the feature table without keys of the session.

    ``leakage_model``, ``window`` and ``domain`` say what a perfusion value rests on.
    """

    label: int
    region: str
    map: str
    statistic: str
    value: Value
    unit: str
    model: str
    space: str
    normalization: str = "none"
    leakage_model: str = "none"
    window: str = "none"
    domain: str = "none"


@dataclass(frozen=True, eq=False)
class Voxels:
    """Voxels (n, 3) of one region on a native grid; ``reason`` says why there are none."""

    index: NDArray[np.int64]
    reason: str = ""


RegionIndex = dict[int, dict[str, Voxels]]


def region_index(
    space: SpaceInput, lesions: LesionInput, settings: MeasureSettings, tissue: ReferenceSettings
) -> RegionIndex:
    """Return the voxels (n, 3) of every region of every lesion on one native grid.

    Lesion regions hold the voxels that are covered by at least ``settings.coverage``;
    reference tissue is chosen on the native grid itself.
    """
    found = regions.candidates(
        space.grid,
        space.to_session,
        space.white_matter,
        space.csf,
        space.brain,
        lesions.points,
        tissue,
    )
    everywhere = _reference_voxels(regions.whole_brain(found, tissue))
    index: RegionIndex = {}
    for label, pieces in lesions.pieces.items():
        own = {name: _cover(piece, space, settings.coverage) for name, piece in pieces.items()}
        opposite = found.index[:0]
        if lesions.plane is not None:
            opposite = regions.contralateral(found, pieces["lesion"].points, lesions.plane, tissue)
        own[regions.CONTRALATERAL] = _reference_voxels(opposite)
        own[regions.WHOLE_BRAIN] = everywhere
        index[label] = own
    return index


def _cover(piece: Piece, space: SpaceInput, least: float) -> Voxels:
    """Return the native voxels that a region covers, or that it is too small or outside."""
    nothing = np.zeros((0, 3), dtype=np.int64)
    if piece.reason or not piece.mask.any():
        return Voxels(nothing, piece.reason or "empty_region")
    found = coverage(piece.mask, piece.grid, space.grid, space.to_session)
    index = found.index(least)
    if len(index):
        return Voxels(index)
    volume = piece.mask.sum() * piece.grid.voxel_volume
    inside = float(found.fraction.sum()) * space.grid.voxel_volume
    return Voxels(index, "outside_of_map" if volume > 2 * inside else "too_small")


def _reference_voxels(index: NDArray[np.int64]) -> Voxels:
    return Voxels(index, "" if len(index) else "no_reference_tissue")


def measure_maps(
    space: SpaceInput, maps: Sequence[MapInput], index: RegionIndex, settings: MeasureSettings
) -> Iterator[Cell]:
    """Yield every cell of all maps of one space."""
    for image in maps:
        # all lesions share the whole-brain reference, which is by far the largest region
        known: dict[int, tuple[Samples, dict[str, Value]]] = {}
        for label, own in index.items():
            for voxels in own.values():
                if id(voxels) not in known:
                    cloud = _cloud(space, image, voxels)
                    known[id(voxels)] = cloud, _measure(cloud, image, voxels, settings)
            measured = {name: known[id(voxels)] for name, voxels in own.items()}
            yield from _lesion_cells(space, image, label, measured, settings)


def _lesion_cells(
    space: SpaceInput,
    image: MapInput,
    label: int,
    measured: dict[str, tuple[Samples, dict[str, Value]]],
    settings: MeasureSettings,
) -> Iterator[Cell]:
    """Yield the cells of one lesion in one map."""
    clouds = {name: cloud for name, (cloud, _) in measured.items()}
    values = {name: found for name, (_, found) in measured.items()}
    reference, normalization = _reference(values)
    for name, found in values.items():
        place = (label, name, image.name)
        for statistic, value in found.items():
            yield Cell(*place, statistic, value, image.units, image.model, space.name)
        over = ratios(found, reference)
        made = [(image.name, statistic, value) for statistic, value in over.items()]
        made += relative_values(image.name, over)
        if image.name == "CBV":
            shares = burden(clouds[name], found["median"], reference, settings.burden)
            made += [(BURDEN, statistic, value) for statistic, value in shares.items()]
        for title, statistic, value in made:
            unit = UNITS.get(title, "ratio")
            here = (label, name, title, statistic, value, unit, image.model, space.name)
            yield Cell(*here, normalization)


def _cloud(space: SpaceInput, image: MapInput, voxels: Voxels) -> Samples:
    """Return the evaluable voxels of one region in one map."""
    points = space.grid.world(voxels.index)
    return gather(image.image, voxels.index, points, image.evaluable)


def _measure(
    samples: Samples, image: MapInput, voxels: Voxels, settings: MeasureSettings
) -> dict[str, Value]:
    """Return the statistics of one region in one map."""
    if voxels.reason or image.reason:
        return absent(voxels.reason or image.reason)
    return measure(
        samples, settings.min_voxels, settings.evaluable_fraction, settings.hotspot_radius
    )


def _reference(values: dict[str, dict[str, Value]]) -> tuple[Value, str]:
    """Return the reference median and the name of the tissue: contralateral, else whole brain."""
    for name in (regions.CONTRALATERAL, regions.WHOLE_BRAIN):
        median = values[name]["median"]
        if median.evaluable:
            return median, name
    return NO_REFERENCE, "none"
