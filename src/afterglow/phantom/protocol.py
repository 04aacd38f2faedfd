"""Which series a session has, and how each is acquired."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    before = Series(
        name="T1w",
        number=2,
        description="Ax 3D T1 FSPGR",
        method="spgr",
        shape=(132, 160, 124),
        spacing=(1.4, 1.4, 1.4),
        tr=0.008,
        te=0.003,
        flip=14.0,
        start=60.0,
        scale=20000.0,
        noise=16.0,
    )
    after = replace(
        before,
        name="T1w_ce",
        number=14,
        description="Ax 3D T1 FSPGR +C",
        start=1300.0,
        contrast=True,
    )
    return (before, _flair(), *_flip_angles(), _dynamic_t1(), _dynamic_epi(), after)


def _flair() -> Series:
    return Series(
        name="FLAIR",
        number=3,
        description="Ax T2 FLAIR FS",
        method="flair",
        shape=(160, 160, 32),
        spacing=(1.4, 1.4, 4.5),
        tr=9.0,
        te=0.12,
        flip=160.0,
        ti=2.5,
        start=360.0,
        scale=6000.0,
        noise=12.0,
        factors=(1, 1, 3),
    )


def _flip_angles() -> tuple[Series, ...]:
    return tuple(
        replace(
            _dynamic_t1(),
            name=f"vfa-{flip:02d}",
            number=4 + k,
            description=f"Ax 3D T1 map FA {flip}",
            flip=float(flip),
            start=700.0 + 18.0 * k,
            noise=8.0,
            frames=1,
            frame_time=0.0,
            contrast=False,
        )
        for k, flip in enumerate((2, 5, 10, 15, 20))
    )


def _dynamic_t1() -> Series:
    return Series(
        name="dce",
        number=11,
        description="Ax 3D DCE Perfusion",
        method="spgr",
        shape=(96, 96, 22),
        spacing=(2.3, 2.3, 4.5),
        tr=0.005,
        te=0.0014,
        flip=15.0,
        start=DCE_START,
        scale=24000.0,
        noise=10.0,
        tilt=-8.0,
        center_z=22.0,
        frames=60,
        frame_time=5.0,
        factors=(2, 2, 4),
        contrast=True,
    )


def _dynamic_epi() -> Series:
    return Series(
        name="dsc",
        number=12,
        description="Ax DSC Perfusion GRE EPI",
        method="epi",
        shape=(96, 96, 20),
        spacing=(2.3, 2.3, 5.0),
        tr=1.5,
        te=0.03,
        flip=60.0,
        start=DSC_START,
        scale=3000.0,
        noise=11.0,
        tilt=-10.0,
        center_z=22.0,
        frames=60,
        frame_time=1.5,
        factors=(2, 2, 4),
        contrast=True,
    )
