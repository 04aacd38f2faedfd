"""Draw the reference cohort: a mid slice of every series of every center, and contrast over time.

Run with ``python benchmarks/phantom_look.py docs/images``; writes ``phantom_<center>.png`` (noisy
images as stored, radiological convention) and ``phantom_curves.png`` (noise-free).
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from afterglow.phantom.plan import full_plan
from afterglow.phantom.protocol import series_of
from afterglow.phantom.scan import Scan, Session, acquire, open_session
from afterglow.phantom.signals import course_of, tissue_signal

SEED = 20190304
SHOWN = ("wm", "gm", "artery", "vein")


def main(folder: Path) -> None:
    """Write the figures."""
    folder.mkdir(parents=True, exist_ok=True)
    plan = full_plan(SEED)
    sessions = [open_session(plan, f"{name}-0001", 1) for name in ("NORTH", "SOUTH", "WEST")]
    for session in sessions:
        _images(session, folder / f"phantom_{session.center.name}.png")
    _curves(sessions, folder / "phantom_curves.png")


def _images(session: Session, path: Path) -> None:
    """Show every series at the height of the largest lesion, dynamic ones at three frames."""
    panels = []
    for series in series_of(session.center):
        scan = acquire(session, series.name)
        if series.frames == 1:
            panels.append((series.name, _axial(session, scan, 0)))
            continue
        mean = scan.data.reshape(-1, series.frames).mean(axis=0)
        peak = int(mean.argmin() if series.method == "epi" else mean.argmax())
        for frame, word in ((4, "baseline"), (peak, "bolus"), (series.frames - 1, "end")):
            panels.append((f"{series.name}, {word}", _axial(session, scan, frame)))
    figure, axes = plt.subplots(2, (len(panels) + 1) // 2, figsize=(16, 6.4), facecolor="black")
    for axis in axes.ravel():
        axis.axis("off")
    for axis, (title, image) in zip(axes.ravel(), panels, strict=False):
        axis.imshow(image, cmap="gray", vmax=np.percentile(image, 99.7), aspect="equal")
        axis.set_title(title, color="white", fontsize=9)
    center = session.center
    figure.suptitle(f"{center.name}: {center.vendor} {center.field:g} T", color="white")
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)


def _axial(session: Session, scan: Scan, frame: int) -> np.ndarray:
    """Return an axial image (patient's right on the left) through the largest lesion."""
    from scipy import ndimage

    largest = max(session.solids, key=lambda solid: solid.state.diameter)
    z = float((session.pose.matrix() @ [*largest.centroid, 1.0])[2])
    x, y = np.meshgrid(np.arange(100.0, -100.0, -1.0), np.arange(95.0, -135.0, -1.0))
    world = np.stack([-x[:, ::-1] * -1.0, y, np.full_like(x, z), np.ones_like(x)])
    index = np.tensordot(np.linalg.inv(scan.grid.affine), world, axes=1)[:3]
    values = scan.data[..., frame].astype(np.float32)
    order = 1 if min(scan.grid.spacing) > 1.0 else 0
    return np.asarray(ndimage.map_coordinates(values, index, order=order))


def _curves(sessions: list[Session], path: Path) -> None:
    """Plot concentration, DCE enhancement and the DSC signal of tissues and lesions."""
    figure, axes = plt.subplots(3, 3, figsize=(15, 10))
    for row, session in zip(axes, sessions, strict=True):
        center = session.center
        names = [*SHOWN, *session.lesion_parts]
        for name in names:
            tissue = session.tissues[name]
            course = course_of(center, tissue)
            shown = course.time > 600.0
            axis = row[0]
            if name not in ("artery", "vein"):
                axis.plot(course.time[shown], course.concentration[shown], label=name)
            for panel, key in ((row[1], "dce"), (row[2], "dsc")):
                series = session.series(key)
                signal = tissue_signal(center, series, tissue, np.zeros(1))[0]
                panel.plot(series.frame_starts(), signal / signal[4], label=name)
        row[0].set_title(f"{center.name}: concentration, mM")
        row[1].set_title("DCE signal over baseline")
        row[2].set_title("DSC signal over baseline")
        row[2].legend(fontsize=7, ncol=2)
    for axis in axes[-1]:
        axis.set_xlabel("s")
    figure.tight_layout()
    figure.savefig(path, dpi=70)
    plt.close(figure)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images"))
