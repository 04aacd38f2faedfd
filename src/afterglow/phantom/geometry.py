"""Grids and head poses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Pose:
    """Rigid pose of the head in the scanner.

    Attributes
    ----------
    rotation : tuple of float
        Angles about x, y, z in degrees, applied in this order about the origin of head space.
    translation : tuple of float
        Shift in mm, RAS.
    """

    rotation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    translation: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def matrix(self) -> Matrix:
        """Return the 4x4 matrix from head space to scanner space.

        Examples
        --------
        >>> Pose(translation=(1.0, 2.0, 3.0)).matrix()[:3, 3]
        array([1., 2., 3.])
        """
        matrix = np.eye(4)
        for axis, angle in enumerate(np.deg2rad(self.rotation)):
            matrix[:3, :3] = _about(axis, float(angle)) @ matrix[:3, :3]
        matrix[:3, 3] = self.translation
        return matrix

    def moved(self, other: Pose) -> Pose:
        """Return this pose with the small movement ``other`` added to its parameters."""
        return Pose(
            _added(self.rotation, other.rotation), _added(self.translation, other.translation)
        )


@dataclass(frozen=True)
class Grid:
    """A voxel grid in scanner space.

    Attributes
    ----------
    shape : tuple of int
        Columns, rows, slices.
    affine : ndarray
        4x4 matrix from the centre of voxel (column, row, slice) to RAS mm.
    """

    shape: tuple[int, int, int]
    affine: Matrix

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxel centres in mm."""
        sizes = np.linalg.norm(self.affine[:3, :3], axis=0)
        return (float(sizes[0]), float(sizes[1]), float(sizes[2]))

    def location(self, index: int) -> float:
        """Return the position of a slice along the normal, in mm."""
        normal = self.affine[:3, 2] / self.spacing[2]
        return float(normal @ (self.affine @ [0.0, 0.0, index, 1.0])[:3])

    def slab(self, start: int, stop: int) -> Grid:
        """Return the grid of some of the slices."""
        affine = self.affine.copy()
        affine[:3, 3] += affine[:3, 2] * start
        return Grid((*self.shape[:2], stop - start), affine)


def axial_grid(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    center: tuple[float, float, float],
    tilt: float = 0.0,
) -> Grid:
    """Return an axial grid as scanners store it: columns to the left, rows to the back.

    Parameters
    ----------
    shape, spacing : tuple
        Columns, rows, slices and their distances in mm.
    center : tuple of float
        RAS mm of the middle of the volume.
    tilt : float
        Rotation about the left-right axis in degrees.

    Examples
    --------
    >>> axial_grid((3, 3, 1), (2.0, 2.0, 5.0), (0.0, 0.0, 0.0)).affine[:3, 3]
    array([2., 2., 0.])
    """
    return oriented_grid(shape, spacing, center, np.diag([-1.0, -1.0, 1.0]), tilt)


def oriented_grid(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    center: tuple[float, float, float],
    axes: Matrix,
    tilt: float = 0.0,
) -> Grid:
    """Return a grid whose columns, rows and slices run along the columns of ``axes`` (RAS)."""
    affine = np.eye(4)
    affine[:3, :3] = _about(0, float(np.deg2rad(tilt))) @ axes @ np.diag(spacing)
    middle = (np.asarray(shape, dtype=float) - 1.0) / 2.0
    affine[:3, 3] = np.asarray(center) - affine[:3, :3] @ middle
    return Grid(shape, affine)


def to_indices(field_affine: Matrix, grid: Grid, pose: Pose) -> Matrix:
    """Return the 4x4 matrix from indices of a grid to those of a field of head space."""
    return np.asarray(np.linalg.inv(field_affine) @ np.linalg.inv(pose.matrix()) @ grid.affine)


def points(grid: Grid, pose: Pose, box: tuple[slice, slice, slice]) -> Floats:
    """Return the head-space coordinates of the voxel centres in a box, shape (3, x, y, z)."""
    matrix = np.linalg.inv(pose.matrix()) @ grid.affine
    axes = [np.arange(part.start, part.stop, dtype=np.float32) for part in box]
    index = np.stack(np.meshgrid(*axes, indexing="ij"))
    world = np.tensordot(matrix[:3, :3], index, axes=1) + matrix[:3, 3].reshape(3, 1, 1, 1)
    return world.astype(np.float32)


def box_around(grid: Grid, pose: Pose, center: Matrix, radius: float) -> tuple[slice, slice, slice]:
    """Return the index box that holds a sphere of head space, clipped to the grid."""
    matrix = np.linalg.inv(grid.affine) @ pose.matrix()
    middle = matrix[:3, :3] @ center + matrix[:3, 3]
    reach = radius / np.asarray(grid.spacing) + 1.0
    low = np.clip(np.floor(middle - reach).astype(int), 0, grid.shape)
    high = np.clip(np.ceil(middle + reach).astype(int) + 1, 0, grid.shape)
    x, y, z = (slice(int(a), int(max(a, b))) for a, b in zip(low, high, strict=True))
    return (x, y, z)


def _about(axis: int, angle: float) -> Matrix:
    """Return the rotation matrix about one axis, angle in radians."""
    c, s = np.cos(angle), np.sin(angle)
    a, b = [(1, 2), (2, 0), (0, 1)][axis]
    matrix = np.eye(3)
    matrix[a, a] = matrix[b, b] = c
    matrix[a, b], matrix[b, a] = -s, s
    return matrix


def _added(
    a: tuple[float, float, float], b: tuple[float, float, float]
) -> tuple[float, float, float]:
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2])
