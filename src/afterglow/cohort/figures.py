"""Figures of validated models: ROC, calibration, decision curve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from afterglow.cohort.analysis import Analysis
from afterglow.cohort.statistics import net_benefit

# Okabe and Ito: distinct to colour-blind readers; dashes tell the lines apart without colour.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))


def validation_figures(found: Analysis, folder: Path) -> list[str]:
    """Write ROC, calibration and decision curves; return their file names."""
    if not found.predictions:
        return []
    import matplotlib as mpl

    mpl.use("Agg")
    series = _series(found)
    drawn = {"roc.png": _roc, "calibration.png": _calibration, "decision.png": _decision}
    for name, draw in drawn.items():
        _save(draw, series, folder / name)
    return list(drawn)


Series = dict[str, tuple[Any, Any]]


def _series(found: Analysis) -> Series:
    """Return truth and probability of each model, by nested cross-validation."""
    out: dict[str, tuple[list[int], list[float]]] = {}
    for row in found.predictions:
        if row["split"].startswith("nested") and np.isfinite(row["probability"]):
            y, p = out.setdefault(row["model"], ([], []))
            y.append(int(row["outcome"] == "progression"))
            p.append(row["probability"])
    return {name: (np.array(y), np.array(p)) for name, (y, p) in out.items()}


def _save(draw: Any, series: Series, path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(4.6, 4.2), layout="constrained")
    draw(axes, series)
    axes.legend(frameon=False, fontsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, metadata={"Software": None})
    plt.close(figure)


def _roc(axes: Any, series: Series) -> None:
    from sklearn.metrics import roc_curve

    for (name, (y, p)), colour, dash in zip(series.items(), COLOURS, DASHES, strict=False):
        false, true, _ = roc_curve(y, p)
        axes.plot(false, true, color=colour, ls=dash, label=name.replace("_", " "))
    axes.plot([0, 1], [0, 1], color="0.6", lw=0.8)
    axes.set(xlabel="1 - specificity (fraction)", ylabel="Sensitivity (fraction)")


def _calibration(axes: Any, series: Series) -> None:
    for (name, (y, p)), colour, dash in zip(series.items(), COLOURS, DASHES, strict=False):
        groups = np.array_split(np.argsort(p, kind="stable"), 5)
        x = [float(p[g].mean()) for g in groups if g.size]
        seen = [float(y[g].mean()) for g in groups if g.size]
        axes.plot(x, seen, color=colour, ls=dash, marker="o", ms=4, label=name.replace("_", " "))
    axes.plot([0, 1], [0, 1], color="0.6", lw=0.8)
    axes.set(
        xlabel="Predicted probability (fraction)",
        ylabel="Observed progression (fraction)",
        xlim=(0, 1),
        ylim=(0, 1),
    )


def _decision(axes: Any, series: Series) -> None:
    thresholds = np.linspace(0.05, 0.8, 60)
    for (name, (y, p)), colour, dash in zip(series.items(), COLOURS, DASHES, strict=False):
        gain = net_benefit(y, p, thresholds)
        axes.plot(thresholds, gain, color=colour, ls=dash, label=name.replace("_", " "))
    y = next(iter(series.values()))[0]
    axes.plot(thresholds, net_benefit(y, np.ones(y.size), thresholds), color="0.4", label="all")
    axes.axhline(0, color="0.7", lw=0.8, label="none")
    axes.set(
        xlabel="Threshold probability (fraction)",
        ylabel="Net benefit (fraction of lesions)",
        ylim=(-0.1, None),
    )
