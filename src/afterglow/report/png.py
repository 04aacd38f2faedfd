"""Small pictures as PNG, byte for byte the same from the same pixels."""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.errors import AfterglowError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, PALETTE = 0, 3
_LEVEL = 6


def grey_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a grey picture, shape (rows, columns), first row on top.

    Examples
    --------
    >>> grey_png(np.zeros((2, 3), dtype=np.uint8))[:8] == SIGNATURE
    True
    """
    return _png(pixels, GREY, b"")


def map_png(pixels: NDArray[np.uint8], colors: NDArray[np.uint8]) -> bytes:
    """Return a coloured picture; pixels of value 0 are transparent.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (rows, columns)
        Entry of the palette, as `levels` gives it.
    colors : ndarray of uint8, shape (256, 3)
        Red, green and blue.
    """
    return _png(pixels, PALETTE, _chunk(b"PLTE", colors.tobytes()) + _chunk(b"tRNS", b"\x00"))


def levels(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Return values as entries 1 to 255 of a palette between two limits; NaN becomes 0.

    Examples
    --------
    >>> levels(np.array([np.nan, -1.0, 0.0, 1.0, 2.0, 9.0]), 0.0, 2.0).tolist()
    [0, 1, 1, 128, 255, 255]
    """
    share = np.clip((np.asarray(values, dtype=np.float64) - low) / (high - low), 0.0, 1.0)
    steps = np.where(np.isnan(share), 0, 1 + np.rint(254 * np.nan_to_num(share)))
    return np.asarray(steps, dtype=np.uint8)


@lru_cache(maxsize=4)
def palette(name: str = "viridis") -> NDArray[np.uint8]:
    """Return the 256 colours of a perceptually uniform map, shape (256, 3); entry 0 repeats 1."""
    from matplotlib import colormaps

    colors = colormaps[name](np.linspace(0.0, 1.0, 255))[:, :3]
    table = np.asarray(np.rint(255 * np.vstack([colors[:1], colors])), dtype=np.uint8)
    table.setflags(write=False)
    return table


def _png(pixels: NDArray[np.uint8], kind: int, extra: bytes) -> bytes:
    if pixels.ndim != 2 or pixels.dtype != np.uint8:
        raise AfterglowError("a picture needs rows and columns of bytes", expected="uint8, 2D")
    rows, columns = pixels.shape
    head = struct.pack(">IIBBBBB", columns, rows, 8, kind, 0, 0, 0)
    plain = np.hstack([np.zeros((rows, 1), dtype=np.uint8), pixels]).tobytes()
    data = _chunk(b"IDAT", zlib.compress(plain, _LEVEL))
    return SIGNATURE + _chunk(b"IHDR", head) + extra + data + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    check = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)
