"""Figures of validated models: ROC, calibration, decision, learning, and area by center."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from afterglow.cohort.modelling import Analysis

# Okabe and Ito: distinct to colour-blind readers; dashes tell the lines apart without colour.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
Row = Mapping[str, Any]
Lines = dict[str, list[Row]]
Draw = Callable[[Any, Lines], None]


def validation_figures(found: Analysis, folder: Path) -> list[str]:
    """Write the figures of a validation; return their file names."""
    if not found.curves:
        return []
    import matplotlib as mpl

    mpl.use("Agg")
    nested = [row for row in found.curves if row["split"].startswith("nested")]
    drawn: dict[str, Draw] = {"roc": _roc, "calibration": _calibration, "decision": _decision}
    drawn["learning"] = _learning
    names = []
    for curve, draw in drawn.items():
        lines = _lines([row for row in nested if row["curve"] == curve])
        if lines:
            _save(draw, lines, folder / f"{curve}.png")
            names.append(f"{curve}.png")
    centers = _centers(found.performance)
    if centers:
        _save(_forest, centers, folder / "centers.png")
        names.append("centers.png")
    return names


def _lines(rows: Sequence[Row]) -> Lines:
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["model"]].append(row)
    return dict(found)


def _centers(performance: Sequence[Row]) -> Lines:
    """Return the areas by center of the first model, nested and with that center left out."""
    rows = [r for r in performance if str(r["metric"]).startswith("auc_center:")]
    first = rows[0]["model"] if rows else None
    own = [r for r in rows if r["model"] == first and math.isfinite(r["value"])]
    return {"centers": own} if own else {}


def _save(draw: Draw, lines: Lines, path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(4.6, 4.2), layout="constrained")
    draw(axes, lines)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside upper center", frameon=False, fontsize=8, ncols=2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, metadata={"Software": None})
    plt.close(figure)


def _styled(lines: Lines) -> list[tuple[str, list[float], list[float], dict[str, Any]]]:
    styles = zip(COLOURS, DASHES, strict=True)
    out = []
    for (name, rows), (colour, dash) in zip(lines.items(), styles, strict=False):
        style = {"color": colour, "ls": dash, "label": name.replace("_", " ")}
        out.append((name, [r["x"] for r in rows], [r["y"] for r in rows], style))
    return out


def _roc(axes: Any, lines: Lines) -> None:
    for _, x, y, style in _styled(lines):
        axes.plot(x, y, **style)
    axes.plot([0, 1], [0, 1], color="0.6", lw=0.8)
    axes.set(xlabel="1 - specificity (fraction)", ylabel="Sensitivity (fraction)")


def _calibration(axes: Any, lines: Lines) -> None:
    for _, x, y, style in _styled(lines):
        axes.plot(x, y, marker="o", ms=4, **style)
    axes.plot([0, 1], [0, 1], color="0.6", lw=0.8)
    axes.set(
        xlabel="Predicted probability (fraction)",
        ylabel="Observed progression (fraction)",
        xlim=(0, 1),
        ylim=(0, 1),
    )


def _decision(axes: Any, lines: Lines) -> None:
    for name, x, y, style in _styled(lines):
        if name == "treat all":
            style |= {"color": "0.4", "ls": "-"}
        axes.plot(x, y, **style)
    axes.axhline(0, color="0.7", lw=0.8, label="treat none")
    axes.set(
        xlabel="Threshold probability (fraction)",
        ylabel="Net benefit (fraction of lesions)",
        ylim=(-0.1, None),
    )


def _learning(axes: Any, lines: Lines) -> None:
    for name, x, y, style in _styled(lines):
        low = [a - b["low"] for a, b in zip(y, lines[name], strict=True)]
        high = [b["high"] - a for a, b in zip(y, lines[name], strict=True)]
        axes.errorbar(x, y, yerr=[low, high], marker="o", ms=4, capsize=3, **style)
    axes.axhline(0.5, color="0.6", lw=0.8)
    axes.set(xlabel="Training patients (count)", ylabel="Area within center (95 % interval)")


def _forest(axes: Any, lines: Lines) -> None:
    rows = lines["centers"]
    names = sorted({r["metric"].removeprefix("auc_center:") for r in rows})
    for k, split in enumerate(sorted({r["split"] for r in rows}, reverse=True)):
        own = [r for r in rows if r["split"] == split]
        at = [names.index(r["metric"].removeprefix("auc_center:")) + 0.24 * k - 0.12 for r in own]
        x = [r["value"] for r in own]
        error = [[r["value"] - r["low"] for r in own], [r["high"] - r["value"] for r in own]]
        label = split.replace("_", " ")
        marker, colour = "osD"[k % 3], COLOURS[k]
        axes.errorbar(x, at, xerr=error, fmt=marker, ms=5, capsize=3, color=colour, label=label)
    axes.axvline(0.5, color="0.6", lw=0.8)
    axes.set(xlabel="Area under the ROC curve (95 % interval)", yticks=range(len(names)))
    axes.set_yticklabels(names)
    axes.set_ylim(len(names) - 0.5, -0.5)
