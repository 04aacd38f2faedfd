"""All measurements of one session, from its files to cells and curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from afterglow.lesions import dynamics
from afterglow.lesions import edema as flair_edema
from afterglow.lesions.basis import with_basis
from afterglow.lesions.features import Value
from afterglow.lesions.inputs import Find, load_grid, load_maps, load_space
from afterglow.lesions.measure import (
    Cell,
    LesionInput,
    MeasureSettings,
    measure_maps,
    region_index,
)
from afterglow.lesions.regions import Plane, ReferenceSettings, lesion_regions
from afterglow.lesions.shape import Shape, describe

if TYPE_CHECKING:
    from afterglow.config.features import FeaturesConfig
    from afterglow.lesions.curves import Curve
    from afterglow.lesions.grids import Grid
    from afterglow.lesions.masks import Labels

SHAPE_UNITS = {
    "volume": "mL",
    "longest_diameter": "mm",
    "perpendicular_diameter": "mm",
    "sphericity": "ratio",
    "surface": "mm2",
}


@dataclass(frozen=True, eq=False)
class SessionLesions:
    """Lesions of one session with what the anatomy says about their surroundings."""

    labels: Labels
    grid: Grid
    lesions: LesionInput
    anat: Mapping[str, Any]
    config: FeaturesConfig
    find: Find

    @classmethod
    def load(
        cls,
        find: Find,
        labels: Labels,
        grid: Grid,
        anat: Mapping[str, Any],
        config: FeaturesConfig,
    ) -> SessionLesions:
        """Return the regions of every lesion; ``anat`` is empty where that stage has no result."""
        brain = None
        if anat:
            mask, own = load_grid(find(anat["brain"]))
            brain = mask > 0.5 if own.shape == grid.shape else None
        pieces = lesion_regions(labels.data, grid, brain, config.rim, config.shell)
        plane = Plane.of(anat["midsagittal"]) if anat.get("midsagittal") else None
        return cls(labels, grid, LesionInput(pieces, plane), anat, config, find)

    @property
    def tissue(self) -> ReferenceSettings:
        """Settings of the reference tissue."""
        c = self.config
        return ReferenceSettings(
            white_matter=c.white_matter,
            csf=c.csf,
            lesion_margin=c.lesion_margin,
            midline_margin=c.midline_margin,
            volume=c.reference_volume,
            minimum=c.reference_minimum,
            reach=c.reference_reach,
        )

    @property
    def perfusion(self) -> MeasureSettings:
        """Settings of measurements in perfusion maps."""
        c = self.config
        return MeasureSettings(
            c.coverage,
            c.evaluable_fraction,
            c.min_voxels_perfusion,
            c.hotspot_radius,
            c.tumor_burden,
        )


@dataclass(frozen=True)
class Measured:
    """Cells and curves of one perfusion series."""

    cells: list[Cell]
    curves: list[Curve]


def measure_shapes(
    session: SessionLesions,
) -> tuple[list[Cell], dict[int, Shape], dict[int, float]]:
    """Return shape cells, shapes and edema volumes (mL) by label."""
    shapes = {
        label: describe(pieces["lesion"].mask, pieces["lesion"].grid)
        for label, pieces in session.lesions.pieces.items()
    }
    edema = _edema(session)
    cells = []
    for label, shape in shapes.items():
        small = shape.n_voxels < session.config.min_voxels_anatomy
        for name, unit in SHAPE_UNITS.items():
            number = float(getattr(shape, name))
            reason = "too_small" if small and name in {"sphericity", "surface"} else ""
            value = Value(float("nan") if reason else number, reason, shape.n_voxels)
            cells.append(Cell(label, "lesion", "shape", name, value, unit, "none", "T1w"))
        cells.append(_edema_cell(label, edema.get(label), shape))
    return cells, shapes, edema


def _edema_cell(label: int, volume: float | None, shape: Shape) -> Cell:
    value = Value(float("nan"), "no_flair") if volume is None else Value(volume / shape.volume)
    return Cell(label, "lesion", "shape", "edema_ratio", value, "ratio", "none", "T1w")


def _edema(session: SessionLesions) -> dict[int, float]:
    """Return the edema volume by label, empty without a FLAIR series on the session's grid."""
    anat = session.anat
    if not (anat.get("flair") and anat.get("probseg") and session.labels.numbers):
        return {}
    flair, grid = load_grid(session.find(anat["flair"]))
    space = load_space(session.find, anat, "T1w")
    if space is None or grid.shape != session.grid.shape:
        return {}
    bright = flair_edema.hyperintensity(flair, space.white_matter, space.brain)
    if bright is None:
        return {}
    return flair_edema.edema_volumes(bright, session.labels.data, space.csf, session.grid)


def measure_perfusion(
    session: SessionLesions, find: Find, name: str, stage: Mapping[str, Any]
) -> Measured | None:
    """Return cells and curves of one perfusion series, None where it has no way to the anatomy."""
    space = load_space(find, session.anat, name)
    if space is None:
        return None
    index = region_index(space, session.lesions, session.perfusion, session.tissue)
    maps = [m for m in load_maps(find, stage, space.grid) if m.name != "rCBV"]
    cells = list(measure_maps(space, maps, index, session.perfusion))
    curves = dynamics.curves_of(find, name, stage, index)
    if name == "dsc" and curves:
        cells += dynamics.curve_cells(curves, index, stage, session.config.min_voxels_perfusion)
    return Measured(with_basis(cells, stage), curves + dynamics.arterial(find, name, stage))
