"""All measurements of one session, from its files to cells and curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.lesions import edema as flair_edema
from afterglow.lesions.curves import Curve, curve_value, derived, mean_curves
from afterglow.lesions.features import Value, ratios
from afterglow.lesions.inputs import Find, load_grid, load_maps, load_space
from afterglow.lesions.measure import (
    NO_REFERENCE,
    Cell,
    LesionInput,
    MeasureSettings,
    RegionIndex,
    measure_maps,
    region_index,
)
from afterglow.lesions.regions import (
    CONTRALATERAL,
    Plane,
    ReferenceSettings,
    lesion_regions,
)
from afterglow.lesions.shape import Shape, describe

if TYPE_CHECKING:
    from afterglow.config.features import FeaturesConfig
    from afterglow.lesions.grids import Grid
    from afterglow.lesions.masks import Labels

CURVE_REGIONS = ("lesion", CONTRALATERAL)
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
            c.coverage, c.evaluable_fraction, c.min_voxels_perfusion, c.hotspot_radius
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
    curves = _curves(find, name, stage, index)
    if name == "dsc" and curves:
        cells += _curve_cells(curves, index, stage, session.config.min_voxels_perfusion)
    return Measured(cells, curves)


def _curves(find: Find, name: str, stage: Mapping[str, Any], index: RegionIndex) -> list[Curve]:
    """Return the mean signal of lesions and reference tissue, and what follows from it."""
    if not stage.get("moco") or stage.get("time") is None:
        return []
    series, _ = load_grid(find(stage["moco"]))
    time = np.asarray(stage["time"], dtype=np.float64)
    curves = mean_curves(series, time, index, f"{name}_signal", "a.u.", CURVE_REGIONS)
    te = stage.get("domain", {}).get("echo_time")
    baseline = _baseline(stage)
    if name == "dsc" and te and baseline is not None:
        from afterglow.perfusion.signal import delta_r2star

        curves += [
            derived(c, "dsc_dr2s", "1/s", delta_r2star(c.values, te, baseline))
            for c in list(curves)
        ]
    return curves


def _baseline(stage: Mapping[str, Any]) -> Any:
    """Return the baseline frames of a series as the perfusion functions take them."""
    frames = stage.get("windows", {}).get("baseline")
    if frames is None:
        return None
    return slice(int(frames[0]), int(frames[1])) if not isinstance(frames, int) else frames


def _curve_cells(
    curves: list[Curve], index: RegionIndex, stage: Mapping[str, Any], least: int
) -> list[Cell]:
    """Return PSR and peak height of the mean curve of every lesion, raw and over reference."""
    signals = {(c.label, c.region): c for c in curves if c.kind == "dsc_signal"}
    cells = []
    for label in index:
        for name, unit in (("PSR", "%"), ("PH", "%")):
            metric = _metric(name, stage)
            values = {
                region: curve_value(signals.get((label, region)), metric, least)
                for region in CURVE_REGIONS
            }
            reference = values[CONTRALATERAL]
            normalization = CONTRALATERAL if reference.evaluable else "none"
            reference = reference if reference.evaluable else NO_REFERENCE
            for region, value in values.items():
                ratio = ratios({"curve": value}, reference)["ratio_curve"]
                place = (label, region, name)
                cells.append(Cell(*place, "curve", value, unit, "none", "dsc"))
                cells.append(
                    Cell(*place, "ratio_curve", ratio, "ratio", "none", "dsc", normalization)
                )
    return cells


def _metric(name: str, stage: Mapping[str, Any]) -> Any:
    """Return the function from a curve to PSR or peak height, with the windows of the stage."""
    from afterglow.perfusion import dsc

    windows = stage.get("windows", {})
    baseline, arrival = _baseline(stage), windows.get("arrival")

    def psr(curve: Curve) -> float:
        tail = tuple(windows.get("tail", (50.0, 60.0)))
        return float(
            dsc.psr(curve.values, curve.time, arrival=arrival, baseline=baseline, tail=tail)
        )

    def height(curve: Curve) -> float:
        return float(
            dsc.peak_height(
                curve.values, curve.time, kind="signal", arrival=arrival, baseline=baseline
            )
        )

    return psr if name == "PSR" else height
