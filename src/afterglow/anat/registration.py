"""Registrations by ANTs: linear ones as world matrices, deformable ones as displacement fields."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from afterglow.anat.engine import ants_module, to_ants, workspace
from afterglow.anat.grids import Volume, coarse
from afterglow.anat.sampling import distance, point_sample
from afterglow.anat.transforms import (
    apply,
    block_mean,
    invert,
    read_itk,
    resample,
    subdivided,
    voxel_sizes,
    write_itk,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from afterglow.config.anat import AnatConfig

Kind = Literal["Rigid", "Affine"]
_SCHEDULE = {
    "iterations": "aff_iterations",
    "shrink": "aff_shrink_factors",
    "smoothing": "aff_smoothing_sigmas",
    "sampling": "aff_random_sampling_rate",
}


@dataclass(frozen=True)
class Side:
    """One side of a registration.

    Attributes
    ----------
    image : Volume
        Image, native grid.
    use : Volume, optional
        Where it is above one half, the metric looks; everywhere where absent.
    """

    image: Volume
    use: Volume | None = None


@dataclass(frozen=True)
class Deformation:
    """A displacement on top of a linear map: ``x -> linear(x + field(x))``.

    Attributes
    ----------
    field : ndarray, shape (x, y, z, 3)
        Displacement in world RAS mm on a coarse grid.
    affine : ndarray, shape (4, 4)
        Grid of ``field``.
    linear : ndarray, shape (4, 4)
        World matrix that follows the displacement.
    """

    field: NDArray[np.float32]
    affine: NDArray[np.float64]
    linear: NDArray[np.float64]

    def pull(self, sources: Sequence[Volume], target: Volume) -> list[NDArray[np.float32]]:
        """Sample volumes of one grid on that of ``target`` through displacement and matrix, once.

        Linear interpolation; a point outside the sources takes the value at their border.
        """
        parts = [
            resample(self.field[..., k], self.affine, target.shape, target.affine) for k in range(3)
        ]
        a = np.asarray(target.affine)
        axes = np.meshgrid(*(np.arange(n) for n in target.shape), indexing="ij", sparse=True)
        world = [
            a[k, 0] * axes[0] + a[k, 1] * axes[1] + a[k, 2] * axes[2] + a[k, 3] + parts[k]
            for k in range(3)
        ]
        m = invert(sources[0].affine) @ self.linear
        index = np.stack([m[k, :3] @ np.stack(world).reshape(3, -1) + m[k, 3] for k in range(3)])
        return [
            point_sample(np.ascontiguousarray(s.values, np.float32), index, 1)
            .reshape(target.shape)
            .astype(np.float32)
            for s in sources
        ]

    def average(self, source: Volume, target: Volume) -> NDArray[np.float32]:
        """Return the mean of a volume within every voxel of ``target``, carried through both.

        As `afterglow.anat.transforms.average`.
        """
        shape, fine, steps = subdivided(target.shape, target.affine, source.affine)
        empty = np.empty(shape, dtype=np.float32)
        sampled = self.pull([source], Volume(empty, fine))[0]
        return block_mean(sampled, steps)


def linear(
    fixed: Side,
    moving: Side,
    settings: AnatConfig,
    *,
    kind: Kind = "Rigid",
    start: NDArray[np.float64] | None = None,
    threads: int = 1,
) -> NDArray[np.float64]:
    """Register ``moving`` to ``fixed``; return the world matrix from fixed to moving points.

    Mattes mutual information on coarse grids; a fixed seed and one thread give the same matrix
    every time.

    Parameters
    ----------
    fixed, moving : Side
        Images, with the regions the metric may use (lesions left out).
    settings : AnatConfig
        Working grid, levels and sampling.
    kind : str
        ``Rigid`` (6 parameters) or ``Affine`` (12).
    start : ndarray, shape (4, 4), optional
        First guess, fixed to moving world; the scanner's own coordinates where absent.
    threads : int
        ITK threads.
    """
    ants = ants_module(threads)
    with workspace() as folder:
        initial = folder / "start.mat"
        write_itk(np.eye(4) if start is None else start, initial)
        result = ants.registration(
            fixed=to_ants(*_working(fixed.image, settings), ants),
            moving=to_ants(*_working(moving.image, settings), ants),
            mask=_mask(fixed, settings, ants),
            moving_mask=_mask(moving, settings, ants),
            mask_all_stages=True,
            type_of_transform=kind,
            initial_transform=str(initial),
            outprefix=str(folder / "linear"),
            random_seed=settings.seed,
            **_schedule(kind, settings),
        )
        return read_itk(Path(result["fwdtransforms"][0]))


def _schedule(kind: Kind, settings: AnatConfig) -> dict[str, Any]:
    """Return the levels of a linear registration; `refine` takes a rigid one to its end."""
    part = "affine" if kind == "Affine" else "registration"
    chosen = settings.model_dump(include={f"{part}_{k}" for k in _SCHEDULE})
    names = {f"{part}_{k}": name for k, name in _SCHEDULE.items()}
    return {names[k]: tuple(v) if isinstance(v, list) else v for k, v in chosen.items()}


def deformable(
    fixed: Side,
    moving: Side,
    start: NDArray[np.float64],
    settings: AnatConfig,
    *,
    mm: float | None = None,
    threads: int = 1,
) -> Deformation:
    """Register by SyN on a coarse grid after a linear map that is given.

    Returns
    -------
    Deformation
        From fixed to moving points.
    """
    ants = ants_module(threads)
    size = settings.deformable_mm if mm is None else mm
    grid = coarse(fixed.image, size)
    with workspace() as folder:
        initial = folder / "start.mat"
        write_itk(start, initial)
        result = ants.registration(
            fixed=to_ants(_scaled(grid.values), grid.affine, ants),
            moving=to_ants(*_working(moving.image, settings, size), ants),
            mask=_mask(fixed, settings, ants, size),
            type_of_transform="SyNOnly",
            initial_transform=str(initial),
            outprefix=str(folder / "syn"),
            random_seed=settings.seed,
            syn_metric=settings.deformable_metric,
            syn_sampling=32 if settings.deformable_metric == "mattes" else 2,
            reg_iterations=tuple(settings.deformable_iterations),
            grad_step=0.2,
            flow_sigma=settings.deformable_smoothing,
            total_sigma=0.0,
        )
        warp = next(name for name in result["fwdtransforms"] if name.endswith("Warp.nii.gz"))
        field = ants.image_read(warp).numpy() * np.array([-1.0, -1.0, 1.0], dtype=np.float32)
    return Deformation(field.astype(np.float32), grid.affine, np.asarray(start))


def centroid_start(fixed: Volume, moving: Volume) -> NDArray[np.float64]:
    """Return the translation that brings the centre of one mask onto that of another."""
    matrix = np.eye(4)
    matrix[:3, 3] = _centroid(moving) - _centroid(fixed)
    return matrix


def displacement(
    a: NDArray[np.float64], b: NDArray[np.float64], points: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how far two matrices move the same points apart (mm), one value per point."""
    return np.asarray(np.linalg.norm(apply(a, points) - apply(b, points), axis=-1))


def _centroid(mask: Volume) -> NDArray[np.float64]:
    inside = np.argwhere(np.asarray(mask.values) > 0.5)
    middle = inside.mean(axis=0) if len(inside) else (np.array(mask.shape) - 1) / 2
    return apply(mask.affine, middle)


def _scaled(values: NDArray[Any]) -> NDArray[np.float32]:
    """Clip to the 99.5th percentile and scale to 0..1: bright vessels would eat the histogram."""
    values = np.asarray(values, dtype=np.float32)
    top = float(np.percentile(values, 99.5))
    low = float(np.percentile(values, 0.5))
    return np.clip((values - low) / max(top - low, 1e-6), 0.0, 1.0)


def _working(
    image: Volume, settings: AnatConfig, mm: float | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    small = coarse(image, settings.registration_mm if mm is None else mm)
    return _scaled(small.values), small.affine


def _mask(side: Side, settings: AnatConfig, ants: Any, mm: float | None = None) -> Any:
    if side.use is None:
        return None
    size = settings.registration_mm if mm is None else mm
    grid = coarse(side.image, size)
    small = coarse(side.use, size)
    values = small.values
    if small.shape != grid.shape or not np.allclose(small.affine, grid.affine):
        values = resample(values, small.affine, grid.shape, grid.affine)
    return to_ants((values > 0.5).astype(np.float32), grid.affine, ants)


def lesion_free(mask: Volume, lesions: Volume | None, margin_mm: float) -> Volume:
    """Return the part of a mask that is at least ``margin_mm`` away from every lesion."""
    if lesions is None or not np.any(lesions.values):
        return mask
    away = distance(np.asarray(lesions.values) != 0, voxel_sizes(lesions.affine))
    return mask.like((np.asarray(mask.values) > 0.5) & (away >= margin_mm))
