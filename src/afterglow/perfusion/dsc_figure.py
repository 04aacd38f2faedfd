"""The figure of the `dsc` stage: maps of one slice, and the curves with their windows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.perfusion.dsc_analysis import DSCResult

_UNITS = {"rCBV": "to NAWM", "CBV": "a.u.", "CBF": "a.u.", "MTT": "s", "Tmax": "s", "PSR": "%"}
_UNITS |= {"K2": "1/s", "PH": "% of S0"}
_PANELS = ("rCBV", "CBV", "CBF", "MTT", "Tmax", "PSR", "PH", "K2")
_COLORS = {"nawm": "#4d4d4d", "reference": "#2166ac", "lesions": "#b2182b", "brain": "#999999"}


def draw(
    path: Path, result: DSCResult, time: NDArray[np.float64], lesions: NDArray[np.bool_] | None
) -> None:
    """Write a PNG: up to six maps on one slice, curves by region, AIF, windows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [name for name in _PANELS if name in result.maps]
    if "rCBV" in names:
        names.remove("CBV")
    names = names[:6]
    z = _slice(result, lesions)
    figure = Figure(figsize=(13.0, 5.8), dpi=110)
    FigureCanvasAgg(figure)
    # A fixed layout: the automatic ones draw everything twice.
    place = {"left": 0.05, "right": 0.985, "bottom": 0.09, "top": 0.95}
    grid = figure.add_gridspec(2, 6, height_ratios=(3, 2.4), hspace=0.16, wspace=0.5, **place)
    for column, name in enumerate(names):
        axis = figure.add_subplot(grid[0, column])
        _panel(figure, axis, result, name, z, lesions)
    _signal(figure.add_subplot(grid[1, :2]), result, time)
    _rates(figure.add_subplot(grid[1, 2:4]), result, time)
    _aif(figure.add_subplot(grid[1, 4:]), result, time)
    figure.savefig(path, metadata={"Software": None})


def _slice(result: DSCResult, lesions: NDArray[np.bool_] | None) -> int:
    """Return the slice with most of the lesions, else with most of the brain."""
    weight = result.reasons == 0 if lesions is None or not lesions.any() else lesions
    inside = next(iter(result.evaluable_by.values()))
    return int(np.argmax((weight & inside).sum(axis=(0, 1))))


def _panel(
    figure: Any,
    axis: Any,
    result: DSCResult,
    name: str,
    z: int,
    lesions: NDArray[np.bool_] | None,
) -> None:
    """Draw one map on one slice, cropped to the brain, lesions outlined."""
    good = result.evaluable_by[name]
    rows, columns = (np.flatnonzero(good.any(axis=axes)) for axes in ((1, 2), (0, 2)))
    crop = (
        (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        if rows.size
        else (slice(None),) * 2
    )
    plane = np.where(good, result.maps[name], np.nan)[:, :, z][crop]
    low, high = _limits(name, result.maps[name][good])
    cmap = "RdBu_r" if name == "K2" else "viridis"
    image = axis.imshow(plane.T, origin="lower", cmap=cmap, vmin=low, vmax=high)
    if lesions is not None and lesions[:, :, z][crop].any():
        axis.contour(lesions[:, :, z][crop].T, levels=[0.5], colors="#e31a1c", linewidths=0.8)
    axis.set_title(name, fontsize=10)
    axis.set_axis_off()
    figure.colorbar(image, ax=axis, shrink=0.7, label=_UNITS.get(name, ""))


def _limits(name: str, values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the range of the colour scale."""
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, (2.0, 98.0))
    if name == "K2":
        bound = max(abs(float(low)), abs(float(high)), 1e-9)
        return -bound, bound
    if name == "Tmax":
        return float(low), float(high)
    return min(0.0, float(low)), max(float(high), 1e-9)


def _signal(axis: Any, result: DSCResult, time: NDArray[np.float64]) -> None:
    """Draw the mean signal and the windows."""
    windows = result.windows
    axis.plot(time, result.signal_curve, color="0.2", lw=1.2)
    for span, color, label in (
        (windows.baseline, "#a6cee3", "baseline"),
        (windows.first_pass, "#fdbf6f", "first pass"),
        (windows.tail, "#b2df8a", "tail"),
    ):
        if span is not None:
            axis.axvspan(
                time[span[0]], time[span[1] - 1], color=color, alpha=0.5, lw=0, label=label
            )
    axis.axvline(windows.arrival, color="#b2182b", lw=0.8, ls="--")
    axis.set(xlabel="time (s)", ylabel="signal (a.u.)", title="mean of the brain")
    axis.legend(fontsize=7, frameon=False, loc="lower right")
    axis.spines[["top", "right"]].set_visible(False)


def _rates(axis: Any, result: DSCResult, time: NDArray[np.float64]) -> None:
    """Draw delta R2* by region, raw and corrected."""
    for name in ("nawm", "reference", "lesions"):
        if name in result.curves:
            axis.plot(time, result.curves[name], color=_COLORS[name], lw=1.2, label=name)
    if "lesions_corrected" in result.curves:
        corrected = result.curves["lesions_corrected"]
        axis.plot(
            time, corrected, color=_COLORS["lesions"], lw=1, ls=":", label="lesions, corrected"
        )
    axis.axhline(0, color="0.8", lw=0.6)
    axis.set(xlabel="time (s)", ylabel="ΔR2* (1/s)", title="ΔR2* by region")
    axis.legend(fontsize=7, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)


def _aif(axis: Any, result: DSCResult, time: NDArray[np.float64]) -> None:
    """Draw the arterial input, or say why there is none."""
    if not result.aif.evaluable:
        axis.text(0.5, 0.5, f"no arterial input: {result.aif.reason}", ha="center", va="center")
        axis.set_axis_off()
        return
    axis.plot(time[result.windows.baseline[0] :], result.aif.curve, color="#b2182b", lw=1.2)
    count = result.aif.metrics.get("n_voxels")
    quality = result.aif.metrics.get("quality", float("nan"))
    axis.set(
        xlabel="time (s)",
        ylabel="ΔR2* (1/s)",
        title=f"arterial input: {count} voxels, quality {quality:.2f}",
    )
    axis.spines[["top", "right"]].set_visible(False)
