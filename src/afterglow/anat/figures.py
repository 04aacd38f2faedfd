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
_GAP = 2


def brain(image: Volume, mask: Volume, path: Path) -> None:
    """Draw the outline of the mask on three slices of each plane."""
    values, inside = _upright(image), _upright(mask)
    slices, outlines = [], []
    for axis in (2, 1, 0):
        for part in (0.35, 0.5, 0.65):
            at = _middle(inside, axis, part)
            slices.append(_unit(np.take(values, at, axis=axis).T))
            outlines.append(np.take(inside, at, axis=axis).T)
    _draw(slices, [(outline, 0.5) for outline in outlines], 0.8, path)


def registration(fixed: Volume, moving: Volume, matrix: NDArray[np.float64], path: Path) -> None:
    """Draw a checkerboard, and the edges of the moved image on the fixed one, in three planes."""
    moved = resample(moving.values, moving.affine, fixed.shape, fixed.affine, matrix)
    still, other = _upright(fixed), _upright(fixed.like(moved))
    boards, plain, edges = [], [], []
    for axis in (2, 1, 0):
        at = still.shape[axis] // 2
        a, b = _unit(np.take(still, at, axis=axis).T), _unit(np.take(other, at, axis=axis).T)
        tiles = (np.add.outer(np.arange(a.shape[0]) // 16, np.arange(a.shape[1]) // 16) % 2) == 0
        boards.append(np.where(tiles, a, b))
        plain.append(a)
        steep = np.hypot(*np.gradient(b))
        edges.append((steep, float(np.percentile(steep, 93))))
    none = [(np.zeros_like(a), 0.5) for a in boards]
    _draw([*boards, *plain], [*none, *edges], 0.5, path)


def _draw(
    slices: list[NDArray[Any]],
    outlines: list[tuple[NDArray[Any], float]],
    width: float,
    path: Path,
) -> None:
    """Draw slices in rows of three on one black page, each with the contour of a map at a level."""
    high, wide = (max(s.shape[k] for s in slices) + _GAP for k in (0, 1))
    rows = len(slices) // 3
    canvas = np.zeros((rows * high, 3 * wide))
    corners = []
    for number, values in enumerate(slices):
        row, column = divmod(number, 3)
        y = (rows - 1 - row) * high + (high - values.shape[0]) // 2
        x = column * wide + (wide - values.shape[1]) // 2
        canvas[y : y + values.shape[0], x : x + values.shape[1]] = values
        corners.append((y, x))
    figure = _figure((7.5, 7.5 * canvas.shape[0] / canvas.shape[1]))
    figure.set_facecolor("black")
    page = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    page.set_axis_off()
    page.imshow(canvas, cmap="gray", origin="lower", vmin=0, vmax=1, aspect="auto")
    for (y, x), (values, level) in zip(corners, outlines, strict=True):
        if float(values.min()) < level < float(values.max()):
            across, up = x + np.arange(values.shape[1]), y + np.arange(values.shape[0])
            page.contour(across, up, values, levels=[level], colors=[_ACCENT], linewidths=width)
    _save(figure, path)


def motion(result: Motion, path: Path) -> None:
    """Draw translations, rotations and framewise displacement; censored frames are shaded."""
    figure = _figure((7.0, 5.0))
    axes = figure.subplots(3, 1, squeeze=False)
    figure.subplots_adjust(left=0.12, right=0.98, bottom=0.1, top=0.97, hspace=0.25)
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


def _figure(size: tuple[float, float]) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size)
    FigureCanvasAgg(figure)
    return figure


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
