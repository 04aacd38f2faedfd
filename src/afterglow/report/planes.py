"""One plane through images of different sessions, at the same place in the reference space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Plane:
    """A square of a plane of a space, patient's left on the left.

    Parameters
    ----------
    center : ndarray, shape (3,)
        World point (RAS, mm) in the middle.
    extent : float
        Side (mm).
    pixels : int
        Pixels along a side.
    axis : int
        0 sagittal (front on the right), 1 coronal, 2 axial (front on top).
    """

    center: NDArray[np.float64]
    extent: float
    pixels: int
    axis: int = 2

    @property
    def points(self) -> NDArray[np.float64]:
        """World points (mm) of the pixels, shape (rows, columns, 3), first row on top."""
        step = self.extent / self.pixels
        offset = (np.arange(self.pixels) - (self.pixels - 1) / 2) * step
        across, up = (axis for axis in range(3) if axis != self.axis)
        shift = np.zeros((self.pixels, self.pixels, 3))
        shift[..., across], shift[..., up] = np.meshgrid(offset, offset[::-1])
        return np.asarray(self.center + shift)


def sample(
    values: NDArray[Any],
    affine: NDArray[np.float64],
    to_reference: NDArray[np.float64],
    plane: Plane,
    *,
    order: int = 1,
) -> NDArray[np.float64]:
    """Sample an image on a plane of the reference space.

    Parameters
    ----------
    values : ndarray, shape (x, y, z)
        Image.
    affine : ndarray, shape (4, 4)
        Voxel indices to the image's world (RAS mm).
    to_reference : ndarray, shape (4, 4)
        The image's world to that of the reference.
    plane : Plane
        Where.
    order : int
        1 linear, 0 nearest, for maps with gaps and for labels.

    Returns
    -------
    ndarray, shape (rows, columns)
        NaN beyond the image.

    Examples
    --------
    >>> ramp = np.broadcast_to(np.arange(5.0)[:, None, None], (5, 5, 5))
    >>> sample(ramp, np.eye(4), np.eye(4), Plane(np.array([2.0, 2.0, 2.0]), 2.0, 2))[0].tolist()
    [1.5, 2.5]
    """
    from scipy import ndimage

    index_of = np.linalg.inv(to_reference @ affine)
    index = plane.points @ index_of[:3, :3].T + index_of[:3, 3]
    image = np.asarray(values)
    # Only the box that the plane crosses takes part, so that a large image costs nothing.
    low = np.maximum(np.floor(index.reshape(-1, 3).min(axis=0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(index.reshape(-1, 3).max(axis=0)).astype(int) + 2, image.shape)
    if np.any(high <= low):
        return np.full(index.shape[:2], np.nan)
    spans = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    box = np.asarray(image[spans], dtype=np.float64)
    moved = np.moveaxis(index - low, -1, 0)
    return np.asarray(
        ndimage.map_coordinates(box, moved, order=order, mode="constant", cval=np.nan)
    )


def outline(inside: NDArray[np.bool_]) -> str:
    """Return the border of a region of a picture as an SVG path, in pixels.

    Parameters
    ----------
    inside : ndarray of bool, shape (rows, columns)
        Region.

    Examples
    --------
    >>> dot = np.zeros((5, 5), dtype=bool); dot[2, 2] = True
    >>> outline(dot)
    'M2.0 2.5L2.5 2.0L3.0 2.5L2.5 3.0Z'
    >>> outline(np.zeros((5, 5), dtype=bool))
    ''
    """
    if not inside.any():
        return ""
    import contourpy

    framed = np.pad(inside.astype(np.float64), 1)
    generator = contourpy.contour_generator(z=framed, line_type=contourpy.LineType.Separate)
    lines = cast("list[NDArray[np.float64]]", generator.lines(0.5))
    parts = []
    for line in lines:
        # The frame shifts by one pixel, and the middle of a pixel lies at a half.
        points = np.round(line[:-1] - 0.5, 1)
        parts.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z")
    return "".join(parts)


def bright_range(values: NDArray[Any], inside: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the limits of a grey window: 1st and 99.5th percentile of the brain."""
    thin = (slice(None, None, 2),) * 3
    found = np.asarray(values)[thin][inside[thin]]
    if not found.size:
        return 0.0, 1.0
    low, high = np.percentile(found, (1.0, 99.5))
    return float(low), float(max(high, low + 1e-6))
