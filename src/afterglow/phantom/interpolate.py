"""The loops that bring a head, and its lesions, onto the voxels of a scanner."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterglow.phantom.compiled import kernel

Floats = NDArray[np.float32]
Matrix = NDArray[np.float64]
Bytes = NDArray[np.uint8]
Factors = tuple[int, int, int]
# Fields sampled at once; a constant, so that the innermost loop is unrolled.
CHANNELS = 10
EDEMA_EDGE = 3.0


def sample(
    fields: Bytes, occupied: Bytes, matrix: Matrix, shift: Floats, factors: Factors
) -> Floats:
    """Sample fields at the voxels of a grid, each the mean over its sub-voxels.

    Parameters
    ----------
    fields : ndarray of uint8, shape (x, y, z, CHANNELS)
        What to sample, trilinearly; zero beyond its edges.
    occupied : ndarray of uint8, shape (x, y, z)
        Zero where the eight voxels from here on are zero.
    matrix : ndarray
        4x4 matrix from the grid's indices to those of the fields.
    shift : ndarray, shape (columns, rows, slices)
        Row, relative to the voxel's own, from which its content comes.
    factors : tuple of int
        Sub-voxels per voxel along columns, rows and slices.

    Returns
    -------
    ndarray, shape (columns, rows, slices, CHANNELS)

    Examples
    --------
    >>> ramp = np.arange(8 * CHANNELS, dtype=np.uint8).reshape(2, 2, 2, CHANNELS)
    >>> middle = np.eye(4)
    >>> middle[:3, 3] = 0.5
    >>> here = np.zeros((1, 1, 1), np.float32)
    >>> sample(ramp, occupancy(ramp), middle, here, (1, 1, 1))[0, 0, 0, :3]
    array([35., 36., 37.], dtype=float32)
    """
    out = np.zeros((*shift.shape, CHANNELS), np.float32)
    _sample(fields.reshape(-1), occupied, matrix, shift, *factors, out)
    return out


def occupancy(fields: Bytes) -> Bytes:
    """Return where any of the eight voxels from an index on holds something."""
    filled = fields.any(axis=-1)
    for axis in range(3):
        filled = filled | np.roll(filled, -1, axis)
    return np.asarray(filled, dtype=np.uint8)


@kernel
def trilinear(fields: NDArray[Any], x: float, y: float, z: float, total: Floats) -> None:
    """Add the values at fractional indices, interpolated, to ``total``; nothing beyond the edge."""
    sx, sy, sz, channels = fields.shape
    if x < 0 or y < 0 or z < 0 or x > sx - 1 or y > sy - 1 or z > sz - 1:
        return
    a, b, d = min(int(x), sx - 2), min(int(y), sy - 2), min(int(z), sz - 2)
    u, v, w = x - a, y - b, z - d
    for corner in range(8):
        da, db, dd = corner & 1, (corner >> 1) & 1, corner >> 2
        weight = np.float32((u if da else 1 - u) * (v if db else 1 - v) * (w if dd else 1 - w))
        for c in range(channels):
            total[c] += weight * np.float32(fields[a + da, b + db, d + dd, c])


@kernel
def _sample(
    flat: Bytes,
    occupied: Bytes,
    m: Matrix,
    shift: Floats,
    fx: int,
    fy: int,
    fz: int,
    out: Floats,
) -> None:
    sx, sy, sz = occupied.shape
    right, down = sy * sz * CHANNELS, sz * CHANNELS
    total = np.empty(CHANNELS, np.float32)
    share = np.float32(1.0 / (fx * fy * fz))
    one = np.float32(1.0)
    for i in range(shift.shape[0]):
        for j in range(shift.shape[1]):
            for k in range(shift.shape[2]):
                total[:] = 0.0
                hit = False
                for n in range(fx * fy * fz):
                    p = i + (n // (fy * fz) + 0.5) / fx - 0.5
                    q = j + ((n // fz) % fy + 0.5) / fy - 0.5 + shift[i, j, k]
                    r = k + (n % fz + 0.5) / fz - 0.5
                    x = m[0, 0] * p + m[0, 1] * q + m[0, 2] * r + m[0, 3]
                    y = m[1, 0] * p + m[1, 1] * q + m[1, 2] * r + m[1, 3]
                    z = m[2, 0] * p + m[2, 1] * q + m[2, 2] * r + m[2, 3]
                    if x < 0 or y < 0 or z < 0 or x > sx - 1 or y > sy - 1 or z > sz - 1:
                        continue
                    a, b, d = min(int(x), sx - 2), min(int(y), sy - 2), min(int(z), sz - 2)
                    if occupied[a, b, d] == 0:
                        continue
                    hit = True
                    u, v, w = np.float32(x - a), np.float32(y - b), np.float32(z - d)
                    # Written out, and with a constant number of channels, for the compiler.
                    near, far = (one - u) * (one - v), (one - u) * v
                    near_x, far_x = u * (one - v), u * v
                    e = ((a * sy + b) * sz + d) * CHANNELS
                    for c in range(CHANNELS):
                        here = e + c
                        low = (
                            near * flat[here]
                            + far * flat[here + down]
                            + near_x * flat[here + right]
                            + far_x * flat[here + right + down]
                        )
                        here += CHANNELS
                        high = (
                            near * flat[here]
                            + far * flat[here + down]
                            + near_x * flat[here + right]
                            + far_x * flat[here + right + down]
                        )
                        total[c] += (one - w) * low + w * high
                if hit:
                    for c in range(CHANNELS):
                        out[i, j, k, c] = total[c] * share


def star(
    matrix: Matrix,
    shift: Floats,
    start: tuple[int, int, int],
    factors: Factors,
    bumps: Matrix,
    radii: tuple[float, float, float],
    edge: float,
) -> Floats:
    """Return the fractions of voxels inside a star-shaped solid, its core and its oedema.

    Parameters
    ----------
    matrix : ndarray
        4x4 matrix from the grid's indices to mm from the centre of the solid.
    shift, factors
        As of `sample`, within the box of voxels wanted.
    start : tuple of int
        First voxel of the box.
    bumps : ndarray, shape (n, 4)
        Direction and strength of the modulations of the radius.
    radii : tuple of float
        Mean radius, mm; radius of the core over it; width of the oedema, mm.
    edge : float
        Width of the transition at surface and core, mm; oedema fades over `EDEMA_EDGE`.

    Returns
    -------
    ndarray, shape (3, columns, rows, slices)
    """
    out = np.zeros((3, *shift.shape), np.float32)
    _star(matrix, shift, *start, *factors, bumps, *radii, edge, out)
    return out


@kernel
def _star(
    matrix: Matrix,
    shift: Floats,
    i0: int,
    j0: int,
    k0: int,
    fx: int,
    fy: int,
    fz: int,
    bumps: Matrix,
    radius: float,
    core: float,
    edema: float,
    edge: float,
    out: Floats,
) -> None:
    columns, rows, slices = shift.shape
    reach = 1.6 * (radius + edema) + edge
    share = 1.0 / (fx * fy * fz)
    m = matrix
    for i in range(columns):
        for j in range(rows):
            for k in range(slices):
                for n in range(fx * fy * fz):
                    p = i0 + i + (n // (fy * fz) + 0.5) / fx - 0.5
                    q = j0 + j + ((n // fz) % fy + 0.5) / fy - 0.5 + shift[i, j, k]
                    r = k0 + k + (n % fz + 0.5) / fz - 0.5
                    x = m[0, 0] * p + m[0, 1] * q + m[0, 2] * r + m[0, 3]
                    y = m[1, 0] * p + m[1, 1] * q + m[1, 2] * r + m[1, 3]
                    z = m[2, 0] * p + m[2, 1] * q + m[2, 2] * r + m[2, 3]
                    distance = np.sqrt(x * x + y * y + z * z)
                    if distance > reach:
                        continue
                    profile = 1.0
                    for b in bumps:
                        along = (b[0] * x + b[1] * y + b[2] * z) / max(distance, 1e-3)
                        profile += b[3] * (1.5 * along**2 - 0.5 + 0.5 * along**3)
                    surface = radius * profile
                    out[0, i, j, k] += share * _inside(distance - surface, edge)
                    if core > 0.0:
                        out[1, i, j, k] += share * _inside(distance - core * surface, edge)
                    out[2, i, j, k] += share * _inside(
                        distance - surface - edema * profile, EDEMA_EDGE
                    )


@kernel
def _inside(distance: float, edge: float) -> float:
    """Return the fraction inside a surface from the signed distance of a sub-voxel's centre."""
    return min(max(0.5 - distance / edge, 0.0), 1.0)
