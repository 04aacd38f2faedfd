"""Bias field correction by N4, estimated coarsely: the field is smooth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.anat.engine import ants_module, to_ants, workspace
from afterglow.anat.grids import Volume, coarse
from afterglow.anat.transforms import resample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.config.anat import AnatConfig


def correct(
    image: Volume, settings: AnatConfig, *, mask: Volume | None = None, threads: int = 1
) -> tuple[Volume, NDArray[np.float32]]:
    """Divide out the smooth intensity field of an image (N4, Tustison 2010).

    Parameters
    ----------
    image : Volume
        Magnitude image.
    settings : AnatConfig
        Working voxel size, iterations, control points.
    mask : Volume, optional
        Where the field is estimated (brain, on the image's grid); the head where absent.
    threads : int
        ITK threads.

    Returns
    -------
    corrected : Volume
        Image with the median inside the mask unchanged.
    field : ndarray
        The field divided out, on the image's grid, without unit.
    """
    ants = ants_module(threads)
    small = coarse(image, settings.bias_mm)
    inside = head(small.values) if mask is None else coarse(mask, settings.bias_mm).values > 0.5
    floor = np.maximum(small.values, 1e-3 * float(np.percentile(small.values, 99)))
    with workspace():
        result = ants.n4_bias_field_correction(
            to_ants(floor, small.affine, ants),
            mask=to_ants(inside.astype(np.float32), small.affine, ants),
            shrink_factor=1,
            convergence={"iters": list(settings.bias_iterations), "tol": 1e-5},
            spline_param=settings.bias_spline_mm,
            return_bias_field=True,
        )
    log_field = np.log(np.maximum(result.numpy(), 1e-3))
    log_field = _extend(log_field - np.median(log_field[inside]), inside)
    field = np.exp(_smooth_onto(log_field, small, image))
    return image.like((np.asarray(image.values) / field).astype(np.float32)), field


def head(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the head of an image: above Otsu's threshold of the log-free histogram, solid.

    Examples
    --------
    >>> image = np.zeros((9, 9, 9)); image[2:7, 2:7, 2:7] = 5.0; image[4, 4, 4] = 0.0
    >>> int(head(image).sum())
    125
    """
    from scipy import ndimage

    values = np.asarray(values, dtype=np.float32)
    top = float(np.percentile(values, 99.0))
    bright = values > 0.5 * otsu(np.clip(values, 0.0, top))
    labels, count = ndimage.label(bright)
    if count > 1:
        sizes = np.bincount(labels.ravel())[1:]
        bright = labels == 1 + int(np.argmax(sizes))
    return np.asarray(ndimage.binary_fill_holes(bright))


def otsu(values: NDArray[Any]) -> float:
    """Return Otsu's threshold (largest variance between the two sides)."""
    counts, edges = np.histogram(np.asarray(values).ravel(), bins=256)
    middle = (edges[1:] + edges[:-1]) / 2
    weight = np.cumsum(counts)
    total = np.cumsum(counts * middle)
    rest = weight[-1] - weight
    with np.errstate(divide="ignore", invalid="ignore"):
        between = weight * rest * (total / weight - (total[-1] - total) / rest) ** 2
    return float(middle[int(np.nanargmax(np.nan_to_num(between)))])


def _extend(field: NDArray[Any], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Carry the field outward from the mask: N4's spline is free, and wild, where no data is."""
    from scipy import ndimage

    nearest = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    spread = np.asarray(field, dtype=np.float32)[tuple(nearest)]
    return np.asarray(np.where(inside, field, ndimage.gaussian_filter(spread, 3.0)), np.float32)


def _smooth_onto(field: NDArray[np.float32], small: Volume, image: Volume) -> NDArray[np.float32]:
    """Interpolate a coarse field; the border repeats, so that no edge drops to zero."""
    padded = np.pad(field, 2, mode="edge")
    affine = small.affine.copy()
    affine[:3, 3] = (small.affine @ [-2.0, -2.0, -2.0, 1.0])[:3]
    return resample(padded, affine, image.shape, image.affine)
