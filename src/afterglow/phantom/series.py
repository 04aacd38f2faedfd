"""One series as the scanner is told to acquire it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from afterglow.phantom.geometry import Grid, oriented_grid

Method = Literal["spgr", "flair", "epi"]
Plane = Literal["axial", "coronal", "sagittal"]
# Directions (RAS) in which columns, rows and slices are counted.
PLANES = {
    "axial": np.diag([-1.0, -1.0, 1.0]),
    "coronal": np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]),
    "sagittal": np.array([[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]),
}


@dataclass(frozen=True)
class Series:
    """One series as the scanner is told to acquire it.

    Attributes
    ----------
    name : str
        Name within the phantom: T1w, FLAIR, vfa-02, dce, dsc, T1w_ce.
    number : int
        DICOM series number.
    description, protocol : str
        As an operator would name them.
    method : str
        Signal equation.
    shape, spacing, tilt, center_z
        Grid; mm and degrees.
    tr, te, ti, flip : float
        s and degrees.
    start : float
        Session clock at the first sample, s.
    frames : int
        1 for a static series.
    frame_time : float
        Spacing of frames, s.
    scale, noise : float
        Stored units per unit signal, and the standard deviation of the noise in stored units.
    factors : tuple of int
        Sub-voxels over which tissue is averaged.
    contrast : bool
        True where the header names a contrast agent.
    plane : str
        How columns, rows and slices lie before the tilt.
    slice_order : str
        Which slices of a 2D frame are excited first: every second from the first (odd) or from
        the second (even), or one after the other (rising).
    pause : float
        Part of ``tr`` in which the scanner waits after the slices of a 2D frame, s; the header's
        repetition time leaves it out.
    stated : tuple of (keyword, value)
        What the header says instead of what is true or usual.
    """

    name: str
    number: int
    description: str
    method: Method
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    tr: float
    te: float
    flip: float
    start: float
    scale: float
    noise: float
    ti: float = 0.0
    tilt: float = 0.0
    center_z: float = 12.0
    frames: int = 1
    frame_time: float = 0.0
    factors: tuple[int, int, int] = (1, 1, 1)
    contrast: bool = False
    protocol: str = "Brain Mets SRS follow-up"
    plane: Plane = "axial"
    slice_order: Literal["odd", "even", "rising"] = "odd"
    pause: float = 0.0
    stated: tuple[tuple[str, Any], ...] = ()

    @property
    def is_3d(self) -> bool:
        """True for a 3D acquisition, whose partitions share one time."""
        return self.method == "spgr"

    @property
    def repetition_time(self) -> str:
        """What the header says, ms."""
        return str(dict(self.stated).get("RepetitionTime", f"{(self.tr - self.pause) * 1000:g}"))

    def grid(self, center: tuple[float, float, float]) -> Grid:
        """Return the grid, placed about the position the operator chose in scanner space."""
        x, y, z = center
        middle = (x, y, z + self.center_z)
        return oriented_grid(self.shape, self.spacing, middle, PLANES[self.plane], self.tilt)

    def slice_offsets(self) -> tuple[float, ...]:
        """Return when each slice is excited within a frame, s."""
        count = self.shape[2]
        if self.is_3d:
            return (0.0,) * count
        odd, even = [*range(0, count, 2)], [*range(1, count, 2)]
        order = {"odd": odd + even, "even": even + odd, "rising": [*range(count)]}
        offsets = [0.0] * count
        for rank, index in enumerate(order[self.slice_order]):
            offsets[index] = rank * (self.tr - self.pause) / count
        return tuple(offsets)

    def frame_starts(self) -> tuple[float, ...]:
        """Return when each frame starts, s after the series' start."""
        return tuple(k * self.frame_time for k in range(self.frames))
