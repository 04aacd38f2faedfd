"""Checks before and after conversion: whole files in, the right volumes in the right order out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterglow.dicom.archives import read_member
from afterglow.dicom.conflicts import is_short
from afterglow.dicom.mosaic import read_mosaic
from afterglow.dicom.pixels import Plane, Source, read_plane
from afterglow.errors import AfterglowError

_BLOCK = 2**20
_SAMPLED = 24
_OFF_GRID = 0.05


@dataclass(frozen=True)
class Intake:
    """One file of a series, read once: its digest and the stamp under which it was read."""

    file: str
    sha256: str
    size: int
    mtime_ns: int


def intake(name: str, center: str, source: Mapping[str, Any]) -> Intake:
    """Read one file through and check that it is whole.

    Parameters
    ----------
    name : str
        Keyed hash of the file.
    center : str
        Center, for messages.
    source : mapping
        The file's entry in the private session file.

    Raises
    ------
    AfterglowError
        Missing, unreadable, changed since the index, or shorter than its header says.
    """
    where = f"{center}:{name}"
    path = Path(source["path"])
    try:
        info = path.stat()
        digest, size = _digest(path, source["member"])
    except (OSError, KeyError) as error:
        raise AfterglowError(
            "a DICOM file cannot be read",
            where=where,
            remedy="restore it and run `afterglow run STUDY` again",
            transient=isinstance(error, PermissionError),
        ) from error
    if size != source["bytes"]:
        raise AfterglowError(
            f"a DICOM file has {size} bytes",
            where=where,
            expected=f"{source['bytes']} bytes, as when it was indexed",
            remedy="run `afterglow index STUDY` again once the transfer is complete",
        )
    if is_short(source):
        wanted = source["pixel_length"]
        seen = max(size - source["pixel_offset"], 0)
        raise AfterglowError(
            f"a DICOM file is cut off: {seen} bytes of pixels",
            where=where,
            expected=f"{wanted} bytes",
            remedy="send the series again; `afterglow whereis` shows the path",
        )
    return Intake(name, digest, info.st_size, info.st_mtime_ns)


def _digest(path: Path, member: str) -> tuple[str, int]:
    if member:
        content = read_member(str(path), member)
        return hashlib.sha256(content).hexdigest(), len(content)
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return digest.hexdigest(), size


def mismatch(
    array: NDArray[Any],
    affine: NDArray[np.float64],
    volumes: Sequence[Sequence[tuple[Source, int | None]]],
    *,
    mosaic: bool,
) -> str:
    """Compare a converted image with the pixels of the files it came from.

    A slice of every volume (of at most 24, evenly spread) must be found at its place in the
    image, with its values.

    Returns
    -------
    str
        Empty where all agree, else what differs.

    Raises
    ------
    AfterglowError
        The pixels cannot be decoded here.
    """
    data = array if array.ndim == 4 else array[..., np.newaxis]
    if data.shape[3] != len(volumes):
        return f"{data.shape[3]} volumes, expected {len(volumes)}"
    chosen = np.unique(np.linspace(0, len(volumes) - 1, min(len(volumes), _SAMPLED)).astype(int))
    for number in chosen:
        volume = data[..., number]
        slices = read_mosaic(volumes[number][0][0]) if mosaic else volumes[number]
        middle = len(slices) // 2
        plane = slices[middle] if mosaic else read_plane(*volumes[number][middle])
        # the converter may turn a sagittal or coronal volume, so only the voxels are counted
        if sorted(volume.shape) != sorted((*plane.values.shape, len(slices))):
            return f"{'x'.join(map(str, volume.shape))} voxels, expected {len(slices)} slices"
        found = _differs(volume, affine, plane)
        if found:
            return f"volume {number}: {found}"
    return ""


def true_order(
    array: NDArray[Any],
    affine: NDArray[np.float64],
    volumes: Sequence[Sequence[tuple[Source, int | None]]],
) -> list[int] | None:
    """Return which volume of an image is which of the series, None where one is not found.

    Used where the converter has the right volumes in another order than the headers.
    """
    left = list(range(array.shape[3]))
    order: list[int] = []
    for volume in volumes:
        plane = read_plane(*volume[len(volume) // 2])
        found = next((n for n in left if not _differs(array[..., n], affine, plane)), None)
        if found is None:
            return None
        left.remove(found)
        order.append(found)
    return order


def _differs(volume: NDArray[Any], affine: NDArray[np.float64], plane: Plane) -> str:
    inverse = np.linalg.inv(affine)
    start = inverse[:3, :3] @ plane.corner + inverse[:3, 3]
    along_columns = inverse[:3, :3] @ plane.column_step
    along_rows = inverse[:3, :3] @ plane.row_step
    rows, columns = plane.values.shape
    row, column = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    places = (
        start[:, None, None]
        + along_columns[:, None, None] * column
        + along_rows[:, None, None] * row
    )
    index = np.rint(places).astype(int)
    if float(np.max(np.abs(places - index))) > _OFF_GRID:
        return "a slice lies between the voxels of the image"
    if np.any(index < 0) or np.any(index >= np.array(volume.shape)[:, None, None]):
        return "a slice lies outside the image"
    values = volume[index[0], index[1], index[2]]
    tolerance = 1e-4 * max(float(np.max(np.abs(plane.values))), 1e-6)
    if not np.allclose(values, plane.values, rtol=1e-4, atol=tolerance):
        return "a slice has other values than its file"
    return ""
