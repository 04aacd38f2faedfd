"""Curves of a session's dynamic series, and signal recovery and peak height of their means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.errors import AfterglowError, NotEvaluable
from afterglow.lesions.curves import Curve, curve_value, derived, mean_curves
from afterglow.lesions.features import Value, ratios
from afterglow.lesions.inputs import Find, load_grid
from afterglow.lesions.measure import NO_REFERENCE, Cell, RegionIndex
from afterglow.lesions.regions import CONTRALATERAL

if TYPE_CHECKING:
    from numpy.typing import NDArray

CURVE_REGIONS = ("lesion", "shell", CONTRALATERAL)
_METRICS = ("PSR", "PH")
_AIF_UNITS = {"dsc": ("aif", "1/s"), "dce": ("plasma", "mM")}


def curves_of(find: Find, name: str, stage: Mapping[str, Any], index: RegionIndex) -> list[Curve]:
    """Return the mean signal of lesions and reference tissue, and what follows from it.

    Parameters
    ----------
    find : callable
        Gives the file of a path relative to the study.
    name : str
        ``dsc`` or ``dce``.
    stage : mapping
        Summary of that stage.
    index : RegionIndex
        Voxels of the regions on the series' grid.
    """
    if not stage.get("moco") or stage.get("time") is None:
        return []
    series, _ = load_grid(find(stage["moco"]))
    time = np.asarray(stage["time"], dtype=np.float64)
    curves = mean_curves(series, time, index, f"{name}_signal", "a.u.", CURVE_REGIONS)
    baseline = baseline_frames(stage)
    if baseline is None:
        return curves
    if name == "dce":
        return curves + _concentration(curves, find, stage, index, baseline)
    return curves + _relaxation(curves, stage, baseline)


def _relaxation(
    curves: list[Curve], stage: Mapping[str, Any], baseline: tuple[int, int]
) -> list[Curve]:
    from afterglow.perfusion.signal import delta_r2star

    echoes = stage.get("domain", {}).get("echo_times") or []
    if len(echoes) != 1:
        return []
    return [
        derived(c, "dsc_dr2s", "1/s", delta_r2star(c.values, echoes[0], baseline)) for c in curves
    ]


def _concentration(
    curves: list[Curve],
    find: Find,
    stage: Mapping[str, Any],
    index: RegionIndex,
    baseline: tuple[int, int],
) -> list[Curve]:
    """Return concentrations, with the median T1 of each region before contrast."""
    from afterglow.perfusion.signal import spgr_concentration

    domain, entry = stage.get("domain", {}), stage.get("maps", {}).get("T1")
    if entry is None or not {"tr", "flip_angle", "relaxivity"} <= domain.keys():
        return []
    tr, angle, r1 = (float(domain[key]) for key in ("tr", "flip_angle", "relaxivity"))
    t1, _ = load_grid(find(entry["path"]))
    found = []
    for curve in curves:
        own = t1[tuple(index[curve.label][curve.region].index.T)]
        own = own[np.isfinite(own) & (own > 0)]
        if own.size:
            t10 = float(np.median(own))
            values = spgr_concentration(curve.values, t10, tr, angle, r1, baseline)
            found.append(derived(curve, "dce_concentration", "mM", values))
    return found


def baseline_frames(stage: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return first frame and stop of the baseline, None where the stage names none."""
    found = stage.get("windows", {}).get("baseline")
    if isinstance(found, Mapping):
        found = found.get("frames")
    return None if found is None else (int(found[0]), int(found[1]))


def arterial(find: Find, name: str, stage: Mapping[str, Any]) -> list[Curve]:
    """Return the arterial input that the stage used; none where it used none.

    Raises
    ------
    AfterglowError
        The table does not have a row for every frame.
    """
    path = (stage.get("aif") or {}).get("path")
    if not path:
        return []
    lines = find(path).read_text(encoding="utf-8").splitlines()
    columns, n_frames = lines[0].split("\t"), len(stage["time"])
    if {len(line.split("\t")) for line in lines} != {len(columns)} or len(lines) - 1 != n_frames:
        raise AfterglowError(
            f"the arterial input has {len(lines) - 1} rows",
            where=path,
            expected=f"a row of {len(columns)} columns for each of {n_frames} frames",
            remedy=f"delete it and run again: stage {name} makes it",
        )
    table = np.array(
        [[_number(text) for text in line.split("\t")] for line in lines[1:]], dtype=np.float64
    )
    wanted, unit = _AIF_UNITS[name]
    if wanted not in columns:
        return []
    time, values = table[:, columns.index("time")], table[:, columns.index(wanted)]
    return [Curve(0, "aif", f"{name}_aif", time, values, unit, 0)]


def _number(text: str) -> float:
    return float("nan") if text == "n/a" else float(text)


def curve_cells(
    curves: list[Curve], index: RegionIndex, stage: Mapping[str, Any], least_voxels: int
) -> list[Cell]:
    """Return PSR and peak height of mean curves (``curve``), raw and over reference tissue."""
    signals = {(c.label, c.region): c for c in curves if c.kind == "dsc_signal"}
    cells = []
    for label in index:
        for name in _METRICS:
            values = {
                region: _evaluate(signals.get((label, region)), name, stage, least_voxels)
                for region in CURVE_REGIONS
            }
            reference = values[CONTRALATERAL]
            normalization = CONTRALATERAL if reference.evaluable else "none"
            reference = reference if reference.evaluable else NO_REFERENCE
            for region, value in values.items():
                ratio = ratios({"curve": value}, reference)["ratio_curve"]
                place = (label, region, name)
                cells += [
                    Cell(*place, "curve", value, "%", "none", "dsc"),
                    Cell(*place, "ratio_curve", ratio, "ratio", "none", "dsc", normalization),
                ]
    return cells


def _evaluate(curve: Curve | None, name: str, stage: Mapping[str, Any], least_voxels: int) -> Value:
    """Return PSR or peak height of one curve, with the windows of the stage."""
    try:
        return curve_value(curve, _metric(name, stage), least_voxels)
    except NotEvaluable as reason:
        return Value(float("nan"), reason.reason, curve.n_voxels if curve else 0)


def _metric(name: str, stage: Mapping[str, Any]) -> Callable[[Curve], float]:
    from afterglow.perfusion import dsc

    windows = stage.get("windows", {})
    baseline, arrival = baseline_frames(stage), windows.get("arrival")
    first, last = windows.get("tail_after_arrival") or (50.0, 60.0)

    def psr(values: NDArray[np.float64], time: NDArray[np.float64]) -> Any:
        return dsc.psr(values, time, arrival=arrival, baseline=baseline, tail=(first, last))

    def height(values: NDArray[np.float64], time: NDArray[np.float64]) -> Any:
        return dsc.peak_height(values, time, kind="signal", arrival=arrival, baseline=baseline)

    chosen = psr if name == "PSR" else height
    return lambda curve: float(chosen(curve.values, curve.time))
