"""The sequences of the three scanners: what a center would find in its protocol book."""

from __future__ import annotations

from dataclasses import dataclass, replace

from afterglow.phantom.series import Series

FLIP_ANGLES = (2, 5, 10, 15, 20)


@dataclass(frozen=True)
class Scanner:
    """What one center acquires; `gains` are those of the flip angles over that of DCE."""

    t1w: Series
    after: str
    last: int
    flair: Series
    vfa: tuple[int, int, str]
    dce: Series
    dsc: Series
    gains: tuple[float, ...] = (1.0,) * len(FLIP_ANGLES)


def _ge() -> Scanner:
    t1w = Series(
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
    flair = Series(
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
    dce = Series(
        name="dce",
        number=11,
        description="Ax 3D DCE Perfusion",
        method="spgr",
        shape=(96, 96, 22),
        spacing=(2.3, 2.3, 4.5),
        tr=0.005,
        te=0.0014,
        flip=15.0,
        start=0.0,
        scale=24000.0,
        noise=10.0,
        tilt=-8.0,
        center_z=22.0,
        frames=60,
        frame_time=5.0,
        factors=(2, 2, 3),
        contrast=True,
    )
    dsc = Series(
        name="dsc",
        number=12,
        description="Ax DSC Perfusion GRE EPI",
        method="epi",
        shape=(96, 96, 20),
        spacing=(2.3, 2.3, 5.0),
        tr=1.5,
        te=0.03,
        flip=60.0,
        start=0.0,
        scale=3000.0,
        noise=11.0,
        tilt=-10.0,
        center_z=22.0,
        frames=60,
        frame_time=1.5,
        factors=(2, 2, 3),
        contrast=True,
        pause=0.15,
    )
    vfa = (4, 1, "Ax 3D T1 map FA {}")
    return Scanner(t1w, "Ax 3D T1 FSPGR +C", 14, flair, vfa, dce, dsc)


def _siemens() -> Scanner:
    """Return the protocol at 1.5 T: sagittal 3D FLASH, VIBE, and EPI with a longer echo."""
    base = _ge()
    t1w = replace(
        base.t1w,
        description="t1_fl3d_sag_iso",
        shape=(160, 128, 124),
        spacing=(1.4, 1.4, 1.5),
        tr=0.011,
        te=0.0046,
        flip=18.0,
        plane="sagittal",
        scale=12000.0,
        noise=14.0,
    )
    flair = replace(
        base.flair, description="t2_tirm_tra_dark-fluid", te=0.108, scale=4000.0, noise=10.0
    )
    dce = replace(
        base.dce,
        number=10,
        description="t1_vibe_tra_dynamic",
        tr=0.0046,
        te=0.0018,
        scale=12000.0,
        noise=6.0,
        tilt=-12.0,
        frames=56,
        frame_time=5.4,
    )
    dsc = replace(
        base.dsc,
        number=11,
        description="ep2d_perf",
        tr=1.6,
        te=0.04,
        frame_time=1.6,
        scale=2400.0,
        noise=10.0,
        tilt=-14.0,
        slice_order="even",
        pause=0.0,
    )
    vfa = (4, 1, "t1_vibe_tra_fa{}")
    return Scanner(t1w, "t1_fl3d_sag_iso_km", 13, flair, vfa, dce, dsc)


def _philips() -> Scanner:
    """Return the protocol at 3 T: DSC with a low flip angle, an oblique coronal 3D T1-TFE.

    Philips fits the stored values of every series to 12 bits; the private scale slope leads back.
    """
    base = _ge()
    t1w = replace(
        base.t1w,
        number=201,
        description="T1W_3D_FFE",
        shape=(132, 128, 144),
        spacing=(1.4, 1.4, 1.5),
        tr=0.009,
        te=0.004,
        flip=13.0,
        plane="coronal",
        tilt=9.0,
        scale=10000.0,
        noise=10.0,
    )
    flair = replace(base.flair, number=301, description="T2W_FLAIR", te=0.125, scale=4000.0)
    dce = replace(
        base.dce,
        number=1001,
        description="T1_DYN DCE",
        tr=0.0052,
        te=0.0022,
        scale=12000.0,
        noise=5.0,
        tilt=-5.0,
        frames=62,
        frame_time=4.8,
    )
    dsc = replace(
        base.dsc,
        number=401,
        description="DSC PERFUSION",
        tr=1.4,
        te=0.03,
        flip=30.0,
        frame_time=1.4,
        frames=66,
        scale=4000.0,
        noise=11.0,
        slice_order="rising",
        pause=0.0,
    )
    vfa = (501, 100, "T1_FFE FA{}")
    gains = (2.0, 1.4, 1.1, 1.2, 1.5)
    return Scanner(t1w, "T1W_3D_FFE GD", 1101, flair, vfa, dce, dsc, gains)


SCANNERS = {"GE": _ge(), "Siemens": _siemens(), "Philips": _philips()}
