"""Images of a session small enough for a page: what the viewer shows, as NIfTI."""

from __future__ import annotations

import gzip
import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

# Level 2 costs a third of the time of level 6 and a tenth more bytes.
_LEVEL = 2
BLANK = -32768


def anatomy_volume(values: NDArray[Any], affine: Matrix, most: int) -> bytes:
    """Return an anatomical image in 256 grey values with at most so many voxels.

    Parameters
    ----------
    values : ndarray, shape (x, y, z)
        Image.
    affine : ndarray, shape (4, 4)
        Voxel indices to world (RAS mm).
    most : int
        Largest number of voxels; finer images are averaged.
    """
    small, matrix = shrink(values, affine, most)
    top = float(np.percentile(small[::2, ::2, ::2], 99.8)) or 1.0
    pixels = np.rint(np.clip(small / top, 0.0, 1.0) * 255).astype(np.uint8)
    return _nifti(pixels, matrix, slope=top / 255)


def map_volume(
    values: NDArray[Any], good: NDArray[np.bool_], affine: Matrix, floor: float = 0.0
) -> bytes:
    """Return a map in 32 000 steps on its own grid; voxels that are not evaluable are blank.

    Parameters
    ----------
    values : ndarray, shape (x, y, z)
        Map.
    good : ndarray of bool, shape (x, y, z)
        Evaluable voxels.
    affine : ndarray, shape (4, 4)
        Voxel indices to world (RAS mm).
    floor : float
        Lower limit of the colours; blank voxels read lower, so that they have none.
    """
    keep = good & np.isfinite(values)
    if not keep.any():
        return _nifti(np.full(values.shape[:3], BLANK, np.int16), affine, slope=1.0, inter=floor)
    low, high = (float(x) for x in np.percentile(values[keep], (0.2, 99.8)))
    slope = max(high - low, 1.1 * (low - floor), 1e-6) / 32_000
    steps = np.rint(np.clip((np.where(keep, values, low) - low) / slope, -500, 32_500))
    pixels = np.where(keep, steps, BLANK).astype(np.int16)
    return _nifti(pixels, affine, slope=slope, inter=low)


def outline_volume(labels: NDArray[Any], affine: Matrix, most: int) -> bytes:
    """Return the shell of all lesions, 1 at their border and 0 elsewhere."""
    from scipy import ndimage

    step = _step(labels.shape, most)
    inside = np.asarray(labels)[::step, ::step, ::step] > 0
    shell = inside & ~ndimage.binary_erosion(inside)
    matrix = np.array(affine, dtype=np.float64)
    matrix[:3, :3] *= step
    return _nifti(shell.astype(np.uint8), matrix, slope=1.0)


def crop(
    values: NDArray[Any], inside: NDArray[np.bool_], affine: Matrix, margin: float = 10.0
) -> tuple[NDArray[Any], Matrix]:
    """Return the box around a region with a margin (mm), and its affine.

    Examples
    --------
    >>> dot = np.zeros((9, 9, 9), dtype=bool); dot[4, 4, 4] = True
    >>> box, matrix = crop(np.zeros((9, 9, 9)), dot, np.eye(4), margin=1.0)
    >>> box.shape, matrix[:3, 3].tolist()
    ((3, 3, 3), [3.0, 3.0, 3.0])
    """
    if not inside.any():
        return values, affine
    reach = np.ceil(margin / np.linalg.norm(affine[:3, :3], axis=0)).astype(int)
    spans = [np.flatnonzero(inside.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    low = [max(0, int(span[0]) - r) for span, r in zip(spans, reach, strict=True)]
    high = [int(span[-1]) + r + 1 for span, r in zip(spans, reach, strict=True)]
    matrix = np.array(affine, dtype=np.float64)
    matrix[:3, 3] += matrix[:3, :3] @ low
    return values[tuple(slice(a, b) for a, b in zip(low, high, strict=True))], matrix


def shrink(values: NDArray[Any], affine: Matrix, most: int) -> tuple[NDArray[np.float32], Matrix]:
    """Return an image averaged over blocks until it has at most so many voxels, and its affine.

    Examples
    --------
    >>> small, matrix = shrink(np.arange(64.0).reshape(4, 4, 4), np.eye(4), 8)
    >>> small.shape, float(small[0, 0, 0]), matrix[0, 3].item()
    ((2, 2, 2), 10.5, 0.5)
    """
    step = _step(values.shape, most)
    image = np.asarray(values, dtype=np.float32)
    if step == 1:
        return image, np.asarray(affine, dtype=np.float64)
    whole = [n // step for n in image.shape[:3]]
    cut = image[tuple(slice(0, n * step) for n in whole)]
    blocks = cut.reshape(whole[0], step, whole[1], step, whole[2], step)
    matrix = np.array(affine, dtype=np.float64)
    matrix[:3, 3] += matrix[:3, :3].sum(axis=1) * (step - 1) / 2
    matrix[:3, :3] *= step
    return blocks.mean(axis=(1, 3, 5), dtype=np.float32), matrix


def _step(shape: tuple[int, ...], most: int) -> int:
    excess: float = math.prod(shape[:3]) / most
    return max(1, math.ceil(math.cbrt(excess) - 1e-9))


def _nifti(pixels: NDArray[Any], affine: Matrix, *, slope: float, inter: float = 0.0) -> bytes:
    import nibabel as nib

    image = nib.Nifti1Image(pixels, affine)
    image.header.set_xyzt_units("mm")
    image.header.set_slope_inter(slope, inter)
    return gzip.compress(image.to_bytes(), _LEVEL, mtime=0)
