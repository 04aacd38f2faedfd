"""A session's series as arrays of stored values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from afterglow.phantom import physics
from afterglow.phantom.anatomy import Head, build_head
from afterglow.phantom.geometry import Floats, Grid, Pose, resample
from afterglow.phantom.lesions import Solid, core_tissue, enhancing_tissue, solids
from afterglow.phantom.physics import Tissue
from afterglow.phantom.plan import CenterPlan, CohortPlan, SubjectPlan
from afterglow.phantom.protocol import center_of, injections, series_of
from afterglow.phantom.seeds import generator
from afterglow.phantom.series import Series

_SESSION_END = 1600.0


@dataclass(frozen=True)
class Session:
    """Everything that the series of one session share.

    Attributes
    ----------
    plan, subject, center
        What was planned.
    visit : int
        From 0.
    pose : Pose
        How the head was laid down.
    solids : list of Solid
        Lesions present.
    tissues : dict of str to Tissue
        Normal tissues and ``lesion-N``, ``core-N``.
    time, blood : ndarray
        Session clock (s) and concentration in arterial blood (mM).
    """

    plan: CohortPlan
    subject: SubjectPlan
    center: CenterPlan
    visit: int
    head: Head
    pose: Pose
    solids: list[Solid]
    tissues: dict[str, Tissue]
    time: physics.Curve
    blood: physics.Curve

    def series(self, name: str) -> Series:
        """Return the planned series of that name."""
        return next(series for series in series_of(self.center) if series.name == name)

    def pose_of(self, series: Series) -> Pose:
        """Return the head's pose during a series: it moves a little between series."""
        anchor = series.name.split("-")[0].replace("vfa", "dce")
        rng = generator(self.plan.seed, self.subject.patient, self.visit, "pose", anchor)
        turn, shift = rng.uniform(-0.8, 0.8, 3), rng.uniform(-1.2, 1.2, 3)
        return self.pose.moved(Pose(_triple(turn), _triple(shift)))

    def grid_of(self, series: Series) -> Grid:
        """Return the grid of a series, centred where the operator saw the head."""
        x, y, z = self.pose.translation
        return series.grid((round(x, 1), round(y, 1) - 18.0, round(z, 1)))


@dataclass(frozen=True)
class Scan:
    """One series as acquired.

    Attributes
    ----------
    series : Series
        How it was acquired.
    grid : Grid
        Where.
    data : ndarray of int16, shape (columns, rows, slices, frames)
        Stored values.
    first_instance : int
        InstanceNumber of the first image.
    """

    series: Series
    grid: Grid
    data: NDArray[np.int16]
    first_instance: int = 1


def open_session(plan: CohortPlan, patient: str, visit: int) -> Session:
    """Prepare a session: head, lesions, tissues and the course of contrast in blood."""
    subject = plan.subject(patient)
    center = center_of(plan, patient, visit)
    head = build_head(plan.seed, patient)
    rng = generator(plan.seed, patient, visit, "pose")
    pose = Pose(_triple(rng.uniform(-3.0, 3.0, 3)), _triple(rng.uniform(-5.0, 5.0, 3)))
    present = solids(plan.seed, subject, visit, head)
    table = physics.tissues(center.field, center.hematocrit)
    for solid in present:
        table[f"lesion-{solid.number}"] = enhancing_tissue(solid.state)
        table[f"core-{solid.number}"] = core_tissue(solid.state)
    time = physics.clock(_SESSION_END)
    blood = physics.arterial_blood(time, injections(center))
    return Session(plan, subject, center, visit, head, pose, present, table, time, blood)


def acquire(session: Session, name: str) -> Scan:
    """Acquire one series: tissue signals, receive field, Rician noise, stored as integers."""
    series = session.series(name)
    grid = session.grid_of(series)
    return Scan(series, grid, render(session, series, grid))


def render(session: Session, series: Series, grid: Grid) -> NDArray[np.int16]:
    """Return the stored values of a series on a grid, shape (columns, rows, slices, frames).

    A voxel holds the sum of its tissues' signals, so tissues without contrast are summed once, in
    head space, before they are sampled.
    """
    pose = session.pose_of(series)
    offsets = sorted(set(series.slice_offsets()))
    signals = {
        name: np.stack([_signal(session, series, tissue, offset) for offset in offsets])
        for name, tissue in session.tissues.items()
    }
    parts = _components(session, series, grid, pose, signals)
    receive = _receive_field(session, grid) * np.float32(series.scale)
    rng = generator(session.plan.seed, session.subject.patient, session.visit, "noise", series.name)
    data = np.empty((*grid.shape, series.frames), dtype=np.int16)
    stack = np.stack([weight for weight, _ in parts])
    curves = np.stack([np.broadcast_to(c, (len(offsets), series.frames)) for _, c in parts])
    for k, offset in enumerate(series.slice_offsets()):
        here = curves[:, offsets.index(offset)].astype(np.float32)
        clean = np.tensordot(stack[:, :, :, k], here, axes=(0, 0))
        data[:, :, k] = _stored(clean * receive[:, :, k, None], series.noise, rng)
    return data


def lesion_fractions(
    session: Session, grid: Grid, pose: Pose, factors: tuple[int, int, int]
) -> tuple[dict[str, Floats], Floats, Floats]:
    """Return each lesion's living and dead fraction, all lesions together, and the oedema."""
    fine = (max(factors[0], 2), max(factors[1], 2), max(factors[2], 2))
    each: dict[str, Floats] = {}
    whole, edema = np.zeros(grid.shape, np.float32), np.zeros(grid.shape, np.float32)
    for solid in session.solids:
        box, parts = solid.fractions(grid, pose, fine)
        living, core = np.zeros(grid.shape, np.float32), np.zeros(grid.shape, np.float32)
        living[box], core[box] = parts["whole"] - parts["core"], parts["core"]
        each[f"lesion-{solid.number}"] = living
        if solid.state.core:
            each[f"core-{solid.number}"] = core
        whole[box] = np.minimum(whole[box] + parts["whole"], 1.0)
        edema[box] = np.maximum(edema[box], parts["edema"])
    return each, whole, edema * (1.0 - whole)


def _components(
    session: Session, series: Series, grid: Grid, pose: Pose, signals: dict[str, physics.Curve]
) -> list[tuple[Floats, physics.Curve]]:
    """Return what adds up to the image: weights (grid) with signals (offsets, frames)."""
    head = session.head
    each, whole, edema = lesion_fractions(session, grid, pose, series.factors)
    steady = [name for name in head.fractions if np.ptp(signals[name]) == 0.0]
    varying = [name for name in head.fractions if name not in steady]
    base = np.zeros(head.fractions["wm"].shape, np.float32)
    for name in steady:
        base += head.fractions[name] * np.float32(signals[name].flat[0])
    fields = [base, head.fractions["wm"], *(head.fractions[n] for n in varying if n != "wm")]
    constant, white, *rest = resample(fields, head.affine, grid, pose, series.factors)
    left = 1.0 - whole
    parts = [(constant * left, np.ones((1, 1))), (white * edema, signals["edema"] - signals["wm"])]
    if "wm" in varying:
        parts.append((white * left, signals["wm"]))
    names = [name for name in varying if name != "wm"]
    parts += [(w * left, signals[name]) for name, w in zip(names, rest, strict=True)]
    parts += [(weight, signals[name]) for name, weight in each.items()]
    return parts


def _signal(session: Session, series: Series, tissue: Tissue, offset: float) -> physics.Curve:
    """Return the signal of one tissue at every frame of a series, for one slice offset."""
    contrast = _course(session.center, tissue, session.time.size)
    times = series.start + np.asarray(series.frame_starts()) + offset
    seen = contrast.leaked if series.method == "epi" else contrast.concentration
    concentration = _sampled(contrast, seen, times, series)
    relaxivity = physics.RELAXIVITY[session.center.agent][int(session.center.field > 2.0)]
    r1 = 1.0 / tissue.t1 + relaxivity * concentration
    if series.method == "spgr":
        return physics.spgr(tissue, r1, series.tr, series.te, series.flip)
    if series.method == "epi":
        r2s = np.interp(times, contrast.time, contrast.r2s)
        return physics.gradient_epi(tissue, r1, r2s, series.tr, series.te, series.flip)
    return np.array([physics.flair(tissue, float(r1[0]), series.tr, series.te, series.ti)])


def _sampled(
    contrast: physics.Course, curve: physics.Curve, times: physics.Curve, series: Series
) -> physics.Curve:
    """Return a curve at the given times; a 3D frame sees the mean about its centre of k-space."""
    if series.method != "spgr" or series.frames == 1:
        return np.asarray(np.interp(times, contrast.time, curve))
    window = np.linspace(0.35, 0.65, 16) * series.frame_time
    return np.asarray(np.interp(times[:, None] + window, contrast.time, curve).mean(axis=1))


@lru_cache(maxsize=64)
def _course(center: CenterPlan, tissue: Tissue, samples: int) -> physics.Course:
    time = physics.clock((samples - 1) * physics.STEP)[:samples]
    blood = physics.arterial_blood(time, injections(center))
    return physics.course(tissue, time, blood, center.hematocrit)


def _receive_field(session: Session, grid: Grid) -> Floats:
    """Return the smooth sensitivity of the coil, about 1, fixed to the scanner."""
    rng = generator(session.plan.seed, session.subject.patient, session.visit, "coil")
    c = rng.uniform(-0.10, 0.10, 6)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"))
    world = np.tensordot(grid.affine[:3, :3], index, axes=1)
    x, y, z = (world + grid.affine[:3, 3].reshape(3, 1, 1, 1)) / 90.0
    exponent = c[0] * x + c[1] * y + c[2] * z + c[3] * x * y + c[4] * y * z
    exponent += 0.12 * (x**2 + y**2 + z**2 - 1.0) + 0.3 * c[5] * z**2
    return np.asarray(np.exp(exponent), dtype=np.float32)


def _stored(clean: Floats, noise: float, rng: np.random.Generator) -> NDArray[np.int16]:
    """Return the magnitude of the signal in complex noise, rounded to stored integers."""
    real = clean + noise * rng.standard_normal(clean.shape, dtype=np.float32)
    imaginary = noise * rng.standard_normal(clean.shape, dtype=np.float32)
    return np.asarray(np.clip(np.rint(np.hypot(real, imaginary)), 0, 32767), dtype=np.int16)


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    return (float(values[0]), float(values[1]), float(values[2]))
