"""Pictures that let a person check a brain mask, a registration and the motion at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.anat.transforms import resample, voxel_sizes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from afterglow.anat.grids import Volume
    from afterglow.anat.motion import Motion

_ACCENT = "#ff8c1a"


def brain(image: Volume, mask: Volume, path: Path) -> None:
    """Draw the outline of the mask on three slices of each plane."""
    figure, axes = _page(3, 3)
    values, inside = _upright(image), _upright(mask)
    for row, axis in enumerate((2, 1, 0)):
        for column, part in enumerate((0.35, 0.5, 0.65)):
            at = _middle(inside, axis, part)
            panel = axes[row][column]
            _show(panel, values, axis, at)
            outline = np.take(inside, at, axis=axis).T
            if outline.any() and not outline.all():
                panel.contour(outline, levels=[0.5], colors=[_ACCENT], linewidths=0.8)
    _save(figure, path)


def registration(fixed: Volume, moving: Volume, matrix: NDArray[np.float64], path: Path) -> None:
    """Draw a checkerboard, and the edges of the moved image on the fixed one, in three planes."""
    moved = resample(moving.values, moving.affine, fixed.shape, fixed.affine, matrix)
    figure, axes = _page(2, 3)
    still, other = _upright(fixed), _upright(fixed.like(moved))
    for column, axis in enumerate((2, 1, 0)):
        at = still.shape[axis] // 2
        a, b = _unit(np.take(still, at, axis=axis).T), _unit(np.take(other, at, axis=axis).T)
        tiles = (np.add.outer(np.arange(a.shape[0]) // 16, np.arange(a.shape[1]) // 16) % 2) == 0
        axes[0][column].imshow(np.where(tiles, a, b), cmap="gray", origin="lower", vmin=0, vmax=1)
        axes[1][column].imshow(a, cmap="gray", origin="lower", vmin=0, vmax=1)
        steep = np.hypot(*np.gradient(b))
        level = float(np.percentile(steep, 93))
        if level > 0:
            axes[1][column].contour(steep, levels=[level], colors=[_ACCENT], linewidths=0.5)
    _save(figure, path)


def motion(result: Motion, path: Path) -> None:
    """Draw translations, rotations and framewise displacement; censored frames are shaded."""
    figure, axes = _page(3, 1, size=(7.0, 5.0), image=False)
    frames = np.arange(len(result.displacement))
    labels = ("x", "y", "z")
    for row, (columns, unit) in enumerate(((slice(0, 3), "mm"), (slice(3, 6), "degrees"))):
        axes[row][0].plot(frames, result.parameters[:, columns], linewidth=1.0, label=labels)
        axes[row][0].set_ylabel(("translation" if row == 0 else "rotation") + f"\n({unit})")
        axes[row][0].legend(loc="upper left", ncol=3, fontsize=7, frameon=False)
    axes[2][0].plot(frames, result.displacement, color="black", linewidth=1.0)
    axes[2][0].set_ylabel("framewise\ndisplacement (mm)")
    axes[2][0].set_xlabel("frame")
    for panel in axes[:, 0]:
        for frame in np.flatnonzero(result.censored):
            panel.axvspan(frame - 0.5, frame + 0.5, color=_ACCENT, alpha=0.3, linewidth=0)
    _save(figure, path)


def _page(
    rows: int, columns: int, *, size: tuple[float, float] = (7.5, 7.5), image: bool = True
) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = size[1] if not image else 2.5 * rows
    figure = Figure(figsize=(size[0], height))
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    if not image:
        figure.subplots_adjust(left=0.12, right=0.98, bottom=0.1, top=0.97, hspace=0.25)
    else:
        figure.subplots_adjust(0.005, 0.005, 0.995, 0.995, wspace=0.02, hspace=0.02)
        figure.set_facecolor("black")
        for panel in axes.ravel():
            panel.set_axis_off()
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=110, format="png", metadata={"Software": None})


def _upright(volume: Volume) -> NDArray[np.float32]:
    """Return the voxels with axes right, anterior, superior and square pixels."""
    order = np.argmax(np.abs(volume.affine[:3, :3]), axis=1)
    if len(set(order.tolist())) < 3:
        order = np.arange(3)
    values = np.transpose(np.asarray(volume.values, dtype=np.float32), order)
    for axis in range(3):
        if volume.affine[axis, order[axis]] < 0:
            values = np.flip(values, axis)
    zooms = voxel_sizes(volume.affine)[order]
    count = [max(1, round(n * z / 1.5)) for n, z in zip(values.shape, zooms, strict=True)]
    grid = [
        np.minimum((np.arange(c) * 1.5 / z).astype(int), n - 1)
        for c, z, n in zip(count, zooms, values.shape, strict=True)
    ]
    return np.asarray(values[np.ix_(*grid)])


def _middle(inside: NDArray[np.float32], axis: int, part: float) -> int:
    others = tuple(k for k in range(3) if k != axis)
    found = np.flatnonzero((inside > 0.5).any(axis=others))
    if not len(found):
        return int(inside.shape[axis] * part)
    return int(found[0] + part * (found[-1] - found[0]))


def _unit(values: NDArray[Any]) -> NDArray[np.float64]:
    top = float(np.percentile(values, 99.5))
    return np.clip(np.asarray(values, dtype=np.float64) / max(top, 1e-9), 0.0, 1.0)


def _show(panel: Any, values: NDArray[np.float32], axis: int, at: int) -> None:
    panel.imshow(
        _unit(np.take(values, at, axis=axis).T), cmap="gray", origin="lower", vmin=0, vmax=1
    )
