"""Lesions as irregular solids in head space."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from afterglow.phantom.anatomy import Head
from afterglow.phantom.geometry import Floats, Grid, Matrix, Pose, box_around
from afterglow.phantom.interpolate import star
from afterglow.phantom.physics import WM_CBV, Tissue
from afterglow.phantom.plan import LesionSpec, LesionState, SubjectPlan
from afterglow.phantom.seeds import generator

_EDGE_MM = 0.5


@dataclass(frozen=True)
class Solid:
    """A lesion at one visit: a star-shaped solid with an optional core and an oedema.

    Attributes
    ----------
    number : int
        Label of the lesion.
    center : ndarray
        Head-space mm.
    bumps : ndarray, shape (n, 4)
        Direction and strength of the modulations of the radius.
    state : LesionState
        Size and physiology.
    """

    number: int
    kind: str
    center: Matrix
    bumps: Matrix = field(repr=False)
    state: LesionState

    def profile(self, directions: Matrix) -> Matrix:
        """Return the radius over the mean radius for unit vectors, shape (3, ...)."""
        total = np.ones(directions.shape[1:])
        for bump in self.bumps:
            along = np.tensordot(bump[:3], directions, axes=1)
            total = total + bump[3] * (1.5 * along**2 - 0.5 + 0.5 * along**3)
        return np.asarray(total)

    @cached_property
    def radius(self) -> float:
        """Mean radius in mm at which the solid has the volume of the state's sphere."""
        cubed = self.profile(_sphere(4000)) ** 3
        return float(self.state.diameter / 2.0 / np.cbrt(cubed.mean()))

    @cached_property
    def centroid(self) -> Matrix:
        """Centre of mass in head space, mm."""
        directions = _sphere(4000)
        r = self.radius * self.profile(directions)
        offset = (directions * r**4 / 4.0).mean(axis=1) / (r**3 / 3.0).mean()
        return np.asarray(self.center + offset)

    @property
    def volume_ml(self) -> float:
        """Volume with the core, mL."""
        return float(np.pi / 6.0 * self.state.diameter**3 / 1000.0)

    def fractions(
        self, grid: Grid, pose: Pose, factors: tuple[int, int, int], shift: Floats | None = None
    ) -> tuple[tuple[slice, slice, slice], dict[str, Floats]]:
        """Return an index box and, in it, the fractions of ``whole``, ``core`` and ``edema``.

        ``shift`` is how many rows away the content of each voxel of the grid comes from.
        """
        reach = self.state.diameter * 0.8 + self.state.edema + 2.0
        if shift is not None:
            reach += grid.spacing[1] * float(np.abs(shift).max())
        box = box_around(grid, pose, self.center, reach)
        shape = tuple(part.stop - part.start for part in box)
        near = np.zeros(shape, np.float32) if shift is None else np.ascontiguousarray(shift[box])
        middle = np.eye(4)
        middle[:3, 3] = -self.center
        state = self.state
        parts = star(
            middle @ np.linalg.inv(pose.matrix()) @ grid.affine,
            near,
            (box[0].start, box[1].start, box[2].start),
            factors,
            self.bumps,
            (self.radius, state.core, state.edema),
            _EDGE_MM,
        )
        return box, dict(zip(("whole", "core", "edema"), parts, strict=True))


def solids(seed: int, subject: SubjectPlan, visit: int, head: Head) -> list[Solid]:
    """Return the lesions of a subject that are there at a visit."""
    return [
        _solid(seed, subject, spec, state, head)
        for spec in subject.lesions
        if (state := spec.states[visit]) is not None
    ]


def enhancing_tissue(state: LesionState) -> Tissue:
    """Return the tissue of a lesion's living part."""
    return Tissue(
        pd=0.85,
        t1=state.t1,
        t2=0.105,
        t2s=0.06,
        cbv=state.rcbv * WM_CBV,
        mtt=state.mtt,
        ktrans=state.ktrans,
        ve=state.ve,
        r2s_ees=state.r2s_ees,
        delay=state.delay,
        dispersion=state.dispersion,
    )


def core_tissue(state: LesionState) -> Tissue:
    """Return the tissue of a necrotic core: wet, without vessels."""
    return replace(enhancing_tissue(state), pd=0.95, t1=2.4, t2=0.25, t2s=0.12, cbv=0.0, ktrans=0.0)


def _solid(
    seed: int, subject: SubjectPlan, spec: LesionSpec, state: LesionState, head: Head
) -> Solid:
    rng = generator(seed, subject.patient, "lesion", spec.number)
    directions = rng.standard_normal((4, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    bumps = np.column_stack([directions, rng.uniform(-0.12, 0.12, 4)])
    return Solid(spec.number, spec.kind, head.warp.to_head(spec.site), bumps, state)


def _sphere(count: int) -> Matrix:
    """Return unit vectors spread evenly over the sphere (Fibonacci lattice), shape (3, count)."""
    index = np.arange(count) + 0.5
    z = 1.0 - 2.0 * index / count
    turn = np.pi * (1.0 + np.sqrt(5.0)) * index
    return np.stack([np.sqrt(1.0 - z**2) * np.cos(turn), np.sqrt(1.0 - z**2) * np.sin(turn), z])
