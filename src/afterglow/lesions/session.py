"""All measurements of one session, from its files to cells and curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from afterglow.lesions import anatomy, dynamics
from afterglow.lesions.anatomy import Anatomy
from afterglow.lesions.basis import with_basis
from afterglow.lesions.features import Value
from afterglow.lesions.inputs import Find, load_maps, load_space
from afterglow.lesions.measure import (
    Cell,
    LesionInput,
    MeasureSettings,
    measure_maps,
    region_index,
)
from afterglow.lesions.measure_radiomics import anatomy_radiomics, perfusion_radiomics
from afterglow.lesions.nodule import UNITS as NODULE_UNITS
from afterglow.lesions.nodule import nodule_values
from afterglow.lesions.regions import Plane, ReferenceSettings, lesion_regions
from afterglow.lesions.shape import Shape, describe
from afterglow.lesions.treated import treated_volumes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from afterglow.config.features import FeaturesConfig
    from afterglow.lesions.curves import Curve
    from afterglow.lesions.dose import Dose
    from afterglow.lesions.grids import Grid
    from afterglow.lesions.masks import Labels

SHAPE_UNITS = {
    "volume": "mL",
    "longest_diameter": "mm",
    "perpendicular_diameter": "mm",
    "sphericity": "ratio",
    "surface": "mm2",
}
PART_REGIONS = ("enhancing", "necrosis", "flair", "treated")
"""Regions whose volume is a measurement of its own."""


@dataclass(frozen=True, eq=False)
class SessionLesions:
    """Lesions of one session with what the anatomy says about their surroundings."""

    labels: Labels
    grid: Grid
    lesions: LesionInput
    anat: Mapping[str, Any]
    anatomy: Anatomy
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
        drawn: Mapping[str, str | None] | None = None,
        doses: Sequence[tuple[Dose, NDArray[np.float64]]] = (),
    ) -> SessionLesions:
        """Return the regions of every lesion; ``anat`` is empty where that stage has no result.

        ``drawn`` holds the paths of the given masks of ``parts`` and ``nodules``; ``doses`` are the
        subject's plans, each with the way from this session's world to that of the dose, the
        earliest first.
        """
        images = Anatomy.load(find, anat, grid, drawn)
        pieces = lesion_regions(labels.data, grid, images.brain, config.rim, config.shell)
        anatomy.add_parts(pieces, labels.data, images, config.min_voxels_necrosis)
        anatomy.add_edema(pieces, labels.data, images)
        treated: dict[int, Any] = {}
        masks = {label: own["lesion"] for label, own in pieces.items()}
        for dose, move in doses:
            treated = treated_volumes(dose, move, masks, config.treated_share) | treated
        anatomy.add_treated(pieces, treated, grid, "" if doses else "no_dose")
        plane = Plane.of(anat["midsagittal"]) if anat.get("midsagittal") else None
        return cls(labels, grid, LesionInput(pieces, plane), anat, images, config, find)

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
) -> tuple[list[Cell], dict[int, Shape], dict[int, Value]]:
    """Return cells of size, shape and radiomics; shapes and edema volumes (mL) by label."""
    cells: list[Cell] = []
    shapes: dict[int, Shape] = {}
    edema: dict[int, Value] = {}
    for label, pieces in session.lesions.pieces.items():
        shape = describe(pieces["lesion"].mask, pieces["lesion"].grid)
        shapes[label] = shape
        small = shape.n_voxels < session.config.min_voxels_anatomy
        for name, unit in SHAPE_UNITS.items():
            number = float(getattr(shape, name))
            reason = "too_small" if small and name in {"sphericity", "surface"} else ""
            value = Value(float("nan") if reason else number, reason, shape.n_voxels)
            cells.append(_shape_cell(label, "lesion", name, value, unit))
        volumes = dict(_volumes(pieces))
        for name, value in volumes.items():
            cells.append(_shape_cell(label, name, "volume", value, "mL"))
        for region, name in (("flair", "edema_ratio"), ("necrosis", "necrosis_share")):
            cells.append(_shape_cell(label, "lesion", name, _over(volumes[region], shape), "ratio"))
        edema[label] = volumes["flair"]
        own = session.labels.data == label
        for name, value in nodule_values(own, session.anatomy.nodules, session.grid).items():
            cells.append(_shape_cell(label, "lesion", name, value, NODULE_UNITS[name]))
    cells += anatomy_radiomics(
        session.lesions.pieces, session.labels.data, session.anatomy, session.config.radiomics
    )
    return cells, shapes, edema


def _volumes(pieces: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    """Yield the volume (mL) of every part, or why it is unknown."""
    for name in PART_REGIONS:
        piece = pieces[name]
        if piece.reason:
            yield name, Value(float("nan"), piece.reason)
        else:
            yield name, Value(piece.volume, "", int(piece.mask.sum()))


def _over(volume: Value, shape: Shape) -> Value:
    return Value(volume.value / shape.volume, volume.reason, volume.n_voxels)


def _shape_cell(label: int, region: str, name: str, value: Value, unit: str) -> Cell:
    return Cell(label, region, "shape", name, value, unit, "none", "T1w")


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
    cells += perfusion_radiomics(space, maps, index, session.config.radiomics)
    curves = dynamics.curves_of(find, name, stage, index)
    if name == "dsc" and curves:
        cells += dynamics.curve_cells(curves, index, stage, session.config.min_voxels_perfusion)
    return Measured(with_basis(cells, stage), curves + dynamics.arterial(find, name, stage))
