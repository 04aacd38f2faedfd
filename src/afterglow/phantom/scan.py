"""A session's series as arrays of stored values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from afterglow.phantom import physics
from afterglow.phantom.anatomy import FULL, TISSUES, Head, build_head
from afterglow.phantom.compiled import kernel
from afterglow.phantom.fields import Coil, distortion, draw_coil, transmit
from afterglow.phantom.geometry import Floats, Grid, Pose, to_indices
from afterglow.phantom.interpolate import sample
from afterglow.phantom.lesions import Solid, core_tissue, enhancing_tissue, solids
from afterglow.phantom.motion import Motion, draw_motion
from afterglow.phantom.physics import Tissue
from afterglow.phantom.plan import CenterPlan, CohortPlan, SubjectPlan
from afterglow.phantom.protocol import center_of, series_of
from afterglow.phantom.seeds import generator
from afterglow.phantom.series import Series
from afterglow.phantom.signals import blood_of, signal_terms

# Slices are rendered in slabs of about so many voxels, to stay within the processor's caches.
_SLAB = 300_000
# Poses of one dynamic series, and the one it shares with flip angles.
_KEPT = 3


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
    coil : Coil
        Sensitivity of the receive coil.
    weights : dict
        Tissue fractions on grids that several series share.
    """

    plan: CohortPlan
    subject: SubjectPlan
    center: CenterPlan
    visit: int
    head: Head
    pose: Pose
    solids: list[Solid]
    tissues: dict[str, Tissue]
    coil: Coil
    weights: dict[tuple[bytes, Pose], Floats] = field(default_factory=dict, repr=False)

    @property
    def time(self) -> physics.Curve:
        """Session clock, s."""
        return blood_of(self.center)[0]

    @property
    def blood(self) -> physics.Curve:
        """Concentration in arterial blood, mM."""
        return blood_of(self.center)[1]

    @property
    def components(self) -> dict[str, Tissue]:
        """What adds up to an image, in the order of `fractions`."""
        return {name: self.tissues[name] for name in (*TISSUES, "edema", *self.lesion_parts)}

    @property
    def lesion_parts(self) -> list[str]:
        """Names of the living and dead parts of the lesions."""
        return [name for name in self.tissues if name.startswith(("lesion-", "core-"))]

    def series(self, name: str) -> Series:
        """Return the planned series of that name."""
        return next(series for series in series_of(self.center) if series.name == name)

    def pose_of(self, series: Series) -> Pose:
        """Return the head's pose during a series: it moves a little between series."""
        anchor = series.name.split("-")[0].replace("vfa", "dce")
        rng = generator(self.plan.seed, self.subject.patient, self.visit, "pose", anchor)
        turn, shift = rng.uniform(-0.8, 0.8, 3), rng.uniform(-1.2, 1.2, 3)
        return self.pose.moved(Pose(_triple(turn), _triple(shift)))

    def motion_of(self, series: Series) -> Motion:
        """Return how the head moves during a dynamic series."""
        names = self.plan.seed, self.subject.patient, self.visit, series.name
        return draw_motion(*names, self.pose_of(series), series.frames)

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
    """Prepare a session: head, lesions, tissues and the coil."""
    subject = plan.subject(patient)
    center = center_of(plan, patient, visit)
    head = build_head(plan.seed, patient)
    rng = generator(plan.seed, patient, visit, "pose")
    pose = Pose(_triple(rng.uniform(-3.0, 3.0, 3)), _triple(rng.uniform(-5.0, 5.0, 3)))
    present = solids(plan.seed, subject, visit, head)
    table = physics.tissues(center.field, center.hematocrit)
    for solid in present:
        table[f"lesion-{solid.number}"] = enhancing_tissue(solid.state)
        if solid.state.core:
            table[f"core-{solid.number}"] = core_tissue(solid.state)
    coil = draw_coil(plan.seed, patient, visit)
    return Session(plan, subject, center, visit, head, pose, present, table, coil)


def acquire(session: Session, name: str) -> Scan:
    """Acquire one series: signals, fields, motion, Rician noise, stored as integers."""
    series = session.series(name)
    grid = session.grid_of(series)
    return Scan(series, grid, render(session, series, grid))


def render(session: Session, series: Series, grid: Grid) -> NDArray[np.int16]:
    """Return the stored values of a series on a grid, shape (columns, rows, slices, frames).

    A voxel holds the sum of its tissues' signals, each at the flip angle that prevails there.
    """
    names = session.plan.seed, session.subject.patient, session.visit
    rng = generator(*names, "noise", series.name)
    data = np.empty((*grid.shape, series.frames), dtype=np.int16)
    for part, clean in noise_free(session, series, grid):
        data[:, :, part] = _stored(clean, series.noise, rng)
    return data


def noise_free(session: Session, series: Series, grid: Grid) -> Iterator[tuple[slice, Floats]]:
    """Yield slabs of slices with their signals before noise, in stored units."""
    offsets = np.unique(series.slice_offsets())
    terms = signal_terms(session.center, series, session.components, offsets).astype(np.float32)
    which = np.searchsorted(offsets, series.slice_offsets())
    still = session.pose_of(series)
    moves = session.motion_of(series) if series.frames > 1 else None
    poses = moves.poses if moves else (still,)
    shares = moves.weights if moves else np.ones((1, 1))
    for part in slabs(grid):
        slab = grid.slab(part.start, part.stop)
        gain = session.coil.sensitivity(slab) * np.float32(series.scale)
        clean = np.zeros((*slab.shape, series.frames), np.float32)
        for pose, share in zip(poses, shares, strict=True):
            frames = slice(None) if 2 * np.count_nonzero(share) > share.size else share > 0.0
            weighted = terms[..., frames] * share[frames].astype(np.float32)
            clean[..., frames] += _summed(session, series, slab, pose, weighted[:, which[part]])
        clean *= gain[..., None]
        yield part, clean


def fractions(
    session: Session,
    grid: Grid,
    pose: Pose,
    factors: tuple[int, int, int],
    shift: Floats | None = None,
) -> Floats:
    """Return the share of every component in every voxel, shape (columns, rows, slices, parts).

    Oedema takes the place of white matter, lesions that of everything. Dynamic series and flip
    angles share grids, so that the last few results are kept.
    """
    key = (grid.affine.tobytes() + bytes(grid.shape) + bytes(factors), pose)
    if key in session.weights:
        return session.weights[key]
    rows = np.zeros(grid.shape, np.float32) if shift is None else shift
    matrix = to_indices(session.head.affine, grid, pose)
    normal = sample(session.head.stack, session.head.occupied, matrix, rows, factors)
    each, whole, edema = lesion_fractions(session, grid, pose, factors, shift)
    left = (1.0 - whole) * np.float32(1.0 / FULL)
    parts = np.empty((*grid.shape, len(session.components)), np.float32)
    count = len(TISSUES)
    np.multiply(normal, left[..., None], out=parts[..., :count])
    white = TISSUES.index("wm")
    parts[..., count] = parts[..., white] * edema
    parts[..., white] -= parts[..., count]
    for k, name in enumerate(session.lesion_parts, start=count + 1):
        parts[..., k] = each[name]
    if len(session.weights) >= _KEPT:
        session.weights.pop(next(iter(session.weights)))
    if np.prod(grid.shape) <= _SLAB:
        session.weights[key] = parts
    return parts


def lesion_fractions(
    session: Session,
    grid: Grid,
    pose: Pose,
    factors: tuple[int, int, int],
    shift: Floats | None = None,
) -> tuple[dict[str, Floats], Floats, Floats]:
    """Return each lesion's living and dead fraction, all lesions together, and the oedema.

    Where lesions overlap, the first takes what there is.
    """
    fine = (max(factors[0], 2), max(factors[1], 2), max(factors[2], 2))
    each: dict[str, Floats] = {}
    whole, edema = np.zeros(grid.shape, np.float32), np.zeros(grid.shape, np.float32)
    for solid in session.solids:
        box, parts = solid.fractions(grid, pose, fine, shift)
        taken = np.minimum(parts["whole"], 1.0 - whole[box])
        dead = np.minimum(parts["core"], taken)
        each[f"lesion-{solid.number}"] = living = np.zeros(grid.shape, np.float32)
        living[box] = taken - dead
        if solid.state.core:
            each[f"core-{solid.number}"] = core = np.zeros(grid.shape, np.float32)
            core[box] = dead
        whole[box] += taken
        edema[box] = np.maximum(edema[box], parts["edema"])
    return each, whole, edema * (1.0 - whole)


def _summed(
    session: Session, series: Series, slab: Grid, pose: Pose, terms: NDArray[np.float32]
) -> Floats:
    """Return the signals of a slab at one pose, shape (columns, rows, slices, frames).

    ``terms`` holds, for every slice of the slab, the coefficients of the tissues' signals.
    """
    shift = None
    if series.method == "epi":
        shift, rate = distortion(session.center.field, slab, pose)
    parts = fractions(session, slab, pose, series.factors, shift)
    angle = transmit(session.center.field, slab, pose)
    if series.is_3d:
        out = _combined(parts, terms[:, 0], angle)
    else:
        out = np.empty((*slab.shape, terms.shape[-1]), np.float32)
        for k in range(slab.shape[2]):
            out[:, :, k] = _combined(parts[:, :, k], terms[:, k], angle[:, :, k])
    if shift is not None:
        squeezed = 1.0 + np.gradient(shift, axis=1)
        out *= (squeezed * np.exp(-series.te * rate))[..., None]
    return out


def _combined(parts: Floats, terms: Floats, angle: Floats) -> Floats:
    """Return the sum of parts times signals, each a polynomial in the deviation of the angle."""
    here, deviation = parts.reshape(-1, parts.shape[-1]), angle.reshape(-1, 1)
    total = here @ terms[-1]
    for coefficients in terms[-2::-1]:
        total *= deviation
        total += here @ coefficients
    return np.asarray(total.reshape(*angle.shape, -1))


def slabs(grid: Grid) -> Iterator[slice]:
    """Return slices in groups of about `_SLAB` voxels."""
    columns, rows, slices = grid.shape
    step = max(1, _SLAB // (columns * rows))
    for start in range(0, slices, step):
        yield slice(start, min(start + step, slices))


def _stored(clean: Floats, noise: float, rng: np.random.Generator) -> NDArray[np.int16]:
    """Return the magnitude of the signal in complex noise, rounded to stored integers."""
    real = rng.standard_normal(clean.shape, dtype=np.float32)
    imaginary = rng.standard_normal(clean.shape, dtype=np.float32)
    out = np.empty(clean.shape, dtype=np.int16)
    _magnitude(clean.ravel(), real.ravel(), imaginary.ravel(), noise, out.ravel())
    return out


@kernel
def _magnitude(
    clean: Floats, real: Floats, imaginary: Floats, noise: float, out: NDArray[np.int16]
) -> None:
    for n in range(clean.size):
        a = clean[n] + noise * real[n]
        b = noise * imaginary[n]
        out[n] = min(int(np.sqrt(a * a + b * b) + 0.5), 32767)


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    return (float(values[0]), float(values[1]), float(values[2]))
