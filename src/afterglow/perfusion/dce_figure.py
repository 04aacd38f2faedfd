"""The figure of the `dce` stage: maps on one slice, and the curves behind them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.perfusion.dce_analysis import DCEResult

_RANGES = {"T1": (0.5, 2.5), "Ktrans": (0.0, 0.3), "ve": (0.0, 0.6), "vp": (0.0, 0.1)}
_UNITS = {"T1": "s", "Ktrans": "1/min", "ve": "", "vp": "", "Fp": "mL/100 mL/min", "PS": "1/min"}


def draw(
    path: Path,
    result: DCEResult,
    time: NDArray[np.float64],
    t1: NDArray[np.floating],
    mask: NDArray[np.bool_],
) -> None:
    """Write a PNG: T1 and up to three parameters on the most permeable slice, and the curves."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [name for name in ("Ktrans", "ve", "vp", "Fp", "PS") if name in result.maps][:3]
    z = _slice(result, mask)
    figure = Figure(figsize=(3.0 * (len(names) + 1), 5.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, len(names) + 1, height_ratios=(3, 2))
    for column, name in enumerate(["T1", *names]):
        axis = figure.add_subplot(grid[0, column])
        volume = t1 if name == "T1" else result.maps[name]
        good = mask if name == "T1" else result.evaluable_by[name] & mask
        _panel(figure, axis, np.where(good, volume, np.nan)[:, :, z], name)
    left = figure.add_subplot(grid[1, : max(1, len(names) // 2 + 1)])
    left.plot(time, result.choice.blood, color="#b2182b", lw=1.2)
    left.set(xlabel="time (s)", ylabel="blood (mM)", title=f"input: {result.choice.source}")
    right = figure.add_subplot(grid[1, max(1, len(names) // 2 + 1) :])
    right.plot(time, result.mean_curve, color="#2166ac", lw=1.2)
    right.set(xlabel="time (s)", ylabel="mean tissue (mM)", title="mean concentration")
    for axis in (left, right):
        axis.axvline(result.arrival.seconds, color="0.5", lw=0.8, ls="--")
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Software": None})


def _slice(result: DCEResult, mask: NDArray[np.bool_]) -> int:
    """Return the slice with the most evaluable permeability inside the brain, else the middle one.

    The border of the mask holds vessels and skull base, which always leak most.
    """
    from scipy.ndimage import binary_erosion

    inside = result.evaluable_by["Ktrans"] & binary_erosion(mask, iterations=3)
    weight = np.where(inside, result.maps["Ktrans"], 0.0)
    total = np.nan_to_num(weight).sum(axis=(0, 1))
    if total.max() > 0:
        return int(total.argmax())
    filled = np.flatnonzero(mask.any(axis=(0, 1)))
    return int(filled[filled.size // 2]) if filled.size else mask.shape[2] // 2


def _panel(figure: Any, axis: Any, plane: NDArray[np.floating], name: str) -> None:
    """Draw one slice of one map with its scale."""
    top = float(np.nanpercentile(plane, 98)) if np.isfinite(plane).any() else 1.0
    low, high = _RANGES.get(name, (0.0, max(top, 1e-6)))
    image = axis.imshow(plane.T, origin="lower", cmap="viridis", vmin=low, vmax=high)
    axis.set_title(name)
    axis.set_axis_off()
    figure.colorbar(image, ax=axis, shrink=0.75, label=_UNITS.get(name, ""))
