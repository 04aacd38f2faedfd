"""Our own reading of Siemens mosaics: the slices of a volume tiled into one image.

How many slices there are and in which direction they are counted stands in the private image
header, the number in a private element as well.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterglow.dicom.pixels import LPS_TO_RAS, Plane, Source, read_dataset, read_plane, stacked
from afterglow.errors import AfterglowError

_SLICES = 0x0019100A


def read_mosaic(source: Source) -> list[Plane]:
    """Return the slices of one mosaic in the order in which they are tiled.

    Raises
    ------
    AfterglowError
        The header does not say how many slices there are, or how far apart.
    """
    whole, dataset = read_plane(source, None), read_dataset(source)
    header = _private_header(dataset)
    element = dataset.get(_SLICES)
    count = int(element.value if element is not None else _first(header, "NumberOfImagesInMosaic"))
    gap = float(dataset.get("SpacingBetweenSlices") or dataset.get("SliceThickness") or 0.0)
    tiles = math.ceil(math.sqrt(max(count, 0)))
    rows, columns = (n // tiles if tiles else 0 for n in whole.values.shape)
    if not gap or not rows or not columns:
        raise AfterglowError("a mosaic does not say how its slices lie", where=source.label)
    normal = np.cross(whole.column_step, whole.row_step)
    normal /= np.linalg.norm(normal)
    given = header.get("SliceNormalVector", {}).get("items") or []
    if len(given) >= 3 and float(LPS_TO_RAS @ np.array(given[:3], dtype=float) @ normal) < 0.0:
        normal = -normal
    # the position is that of the corner of an image as large as the mosaic, about the same centre
    corner = whole.corner + whole.column_step * (whole.values.shape[1] - columns) / 2.0
    corner = corner + whole.row_step * (whole.values.shape[0] - rows) / 2.0
    planes = []
    for k in range(count):
        down, right = divmod(k, tiles)
        tile = whole.values[down * rows :, right * columns :][:rows, :columns]
        planes.append(Plane(tile, corner + k * gap * normal, whole.column_step, whole.row_step))
    return planes


def read_mosaics(
    volumes: Sequence[Sequence[tuple[Source, int | None]]],
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Read a series of mosaics without the converter, as `pixels.read_series` reads others."""
    return stacked([read_mosaic(volume[0][0]) for volume in volumes])


def _private_header(dataset: Any) -> dict[str, Any]:
    """Return the named values of the private image header, empty where there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nibabel.nicom import csareader

        try:
            found = csareader.get_csa_header(dataset, "image")
        except Exception:  # noqa: BLE001 (a private header may hold anything)
            return {}
    return dict(found["tags"]) if found else {}


def _first(header: dict[str, Any], name: str) -> int:
    items = header.get(name, {}).get("items") or [0]
    return int(items[0])
