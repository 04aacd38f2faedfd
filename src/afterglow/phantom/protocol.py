"""Which series a session has, and how each is acquired."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from afterglow.phantom.geometry import Grid, axial_grid
from afterglow.phantom.physics import Injection
from afterglow.phantom.plan import CenterPlan

Method = Literal["spgr", "flair", "epi"]
DCE_START = 800.0
DSC_START = 1180.0


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

    @property
    def is_3d(self) -> bool:
        """True for a 3D acquisition, whose partitions share one time."""
        return self.method == "spgr"

    def grid(self, center: tuple[float, float, float]) -> Grid:
        """Return the grid, placed about the position the operator chose in scanner space."""
        x, y, z = center
        return axial_grid(self.shape, self.spacing, (x, y, z + self.center_z), self.tilt)

    def slice_offsets(self) -> tuple[float, ...]:
        """Return when each slice is excited within a frame, s; odd slices come first."""
        count = self.shape[2]
        if self.is_3d:
            return (0.0,) * count
        order = [*range(0, count, 2), *range(1, count, 2)]
        offsets = [0.0] * count
        for rank, index in enumerate(order):
            offsets[index] = rank * self.tr / count
        return tuple(offsets)

    def frame_starts(self) -> tuple[float, ...]:
        """Return when each frame starts, s after the series' start."""
        return tuple(k * self.frame_time for k in range(self.frames))


def injections(center: CenterPlan) -> tuple[Injection, ...]:
    """Return the boluses of a session: the one of DCE, which preloads, and the one of DSC."""
    return (
        Injection(DCE_START + 32.0, center.dose, 2.8),
        Injection(DSC_START + 18.0, center.dose, 2.2),
    )


def series_of(center: CenterPlan) -> tuple[Series, ...]:
    """Return the series of a session in order of acquisition."""
    del center
    return (
        Series(
            "T1w",
            2,
            "Ax 3D T1 FSPGR",
            "spgr",
            _T1[0],
            _T1[1],
            0.008,
            0.003,
            14.0,
            60.0,
            20000.0,
            16.0,
        ),
        _flair(),
        *_flip_angles(),
        _dynamic_t1(),
        _dynamic_epi(),
        Series(
            "T1w_ce",
            14,
            "Ax 3D T1 FSPGR +C",
            "spgr",
            _T1[0],
            _T1[1],
            0.008,
            0.003,
            14.0,
            1300.0,
            20000.0,
            16.0,
            contrast=True,
        ),
    )


_T1: tuple[tuple[int, int, int], tuple[float, float, float]] = ((132, 160, 124), (1.4, 1.4, 1.4))
_DCE: tuple[tuple[int, int, int], tuple[float, float, float]] = ((96, 96, 22), (2.3, 2.3, 4.5))


def _flair() -> Series:
    return Series(
        "FLAIR",
        3,
        "Ax T2 FLAIR FS",
        "flair",
        (160, 160, 32),
        (1.4, 1.4, 4.5),
        9.0,
        0.12,
        160.0,
        360.0,
        6000.0,
        12.0,
        ti=2.5,
        factors=(1, 1, 3),
    )


def _flip_angles() -> tuple[Series, ...]:
    return tuple(
        Series(
            f"vfa-{flip:02d}",
            4 + k,
            f"Ax 3D T1 map FA {flip}",
            "spgr",
            *_DCE,
            0.005,
            0.0014,
            float(flip),
            700.0 + 18.0 * k,
            24000.0,
            8.0,
            tilt=-8.0,
            center_z=22.0,
            factors=(2, 2, 4),
        )
        for k, flip in enumerate((2, 5, 10, 15, 20))
    )


def _dynamic_t1() -> Series:
    return Series(
        "dce",
        11,
        "Ax 3D DCE Perfusion",
        "spgr",
        *_DCE,
        0.005,
        0.0014,
        15.0,
        DCE_START,
        24000.0,
        10.0,
        tilt=-8.0,
        center_z=22.0,
        frames=60,
        frame_time=5.0,
        factors=(2, 2, 4),
        contrast=True,
    )


def _dynamic_epi() -> Series:
    return Series(
        "dsc",
        12,
        "Ax DSC Perfusion GRE EPI",
        "epi",
        (96, 96, 20),
        (2.3, 2.3, 5.0),
        1.5,
        0.03,
        60.0,
        DSC_START,
        3000.0,
        11.0,
        tilt=-10.0,
        center_z=22.0,
        frames=60,
        frame_time=1.5,
        factors=(2, 2, 4),
        contrast=True,
    )
