"""Our own reading of pixels: what the converter's result is checked against, and a fallback."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterglow.dicom.archives import read_member
from afterglow.errors import AfterglowError

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
_PHILIPS_GROUP, _PHILIPS_SLOPE, _PHILIPS_INTERCEPT = 0x2005140F, 0x2005100E, 0x2005100D


@dataclass(frozen=True)
class Plane:
    """One slice: scaled values (rows, columns) and where it lies.

    ``corner`` is the centre of the first voxel, ``column_step`` and ``row_step`` lead to the next
    column and the next row; all RAS millimetres.
    """

    values: NDArray[np.float32]
    corner: NDArray[np.float64]
    column_step: NDArray[np.float64]
    row_step: NDArray[np.float64]


@dataclass(frozen=True)
class Source:
    """Where a DICOM file is, and under which name messages speak of it."""

    path: Path
    member: str
    label: str


@lru_cache(maxsize=4)
def _open(source: Source) -> Any:
    import pydicom

    content = read_member(str(source.path), source.member) if source.member else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(source.path if content is None else BytesIO(content), force=True)


def read_dataset(source: Source) -> Any:
    """Return a whole DICOM object, nested parts and pixels included."""
    return _open(source)


def read_plane(source: Source, frame: int | None) -> Plane:
    """Read one slice of a file, or one frame of an enhanced object.

    Raises
    ------
    AfterglowError
        The pixels cannot be decoded, or the slice does not say where it lies.
    """
    dataset = _open(source)
    pixels = _pixels(dataset, source)
    values = pixels if frame is None or pixels.ndim == 2 else pixels[frame]
    slope, intercept = _scaling(dataset, frame)
    scaled = (
        values.astype(np.float32)
        if (slope, intercept) == (1.0, 0.0)
        else ((values * slope + intercept).astype(np.float32))
    )
    position = _numbers(dataset, frame, "PlanePositionSequence", "ImagePositionPatient")
    cosines = _numbers(dataset, frame, "PlaneOrientationSequence", "ImageOrientationPatient")
    spacing = _numbers(dataset, frame, "PixelMeasuresSequence", "PixelSpacing")
    if position is None or cosines is None or spacing is None:
        raise AfterglowError("a slice does not say where it lies", where=source.label)
    return Plane(
        scaled,
        LPS_TO_RAS @ position,
        LPS_TO_RAS @ cosines[:3] * spacing[1],
        LPS_TO_RAS @ cosines[3:] * spacing[0],
    )


def _pixels(dataset: Any, source: Source) -> NDArray[Any]:
    try:
        values = dataset.pixel_array
    except Exception as error:
        syntax = getattr(dataset.file_meta, "TransferSyntaxUID", "")
        raise AfterglowError(
            f"pixels cannot be decoded ({getattr(syntax, 'name', syntax)})",
            where=source.label,
            remedy="ask the center to send the series uncompressed",
        ) from error
    return np.asarray(values)


def _group(dataset: Any, frame: int | None, sequence: str) -> Any:
    if frame is None:
        return dataset
    own = dataset.PerFrameFunctionalGroupsSequence[frame].get(sequence)
    if not own:
        shared = dataset.get("SharedFunctionalGroupsSequence") or [{}]
        own = shared[0].get(sequence)
    return own[0] if own else {}


def _numbers(
    dataset: Any, frame: int | None, sequence: str, keyword: str
) -> NDArray[np.float64] | None:
    value = _group(dataset, frame, sequence).get(keyword)
    return None if value is None else np.array([float(v) for v in value])


def _scaling(dataset: Any, frame: int | None) -> tuple[float, float]:
    """Return slope and intercept; for Philips those of the quantitative (precise) scale."""
    group = _group(dataset, frame, "PixelValueTransformationSequence")
    slope = float(group.get("RescaleSlope") or 1.0)
    intercept = float(group.get("RescaleIntercept") or 0.0)
    scale = _philips_scale(dataset, frame)
    if scale:
        # displayed = stored * slope + intercept; precise = displayed / (slope * scale)
        return 1.0 / scale, intercept / (slope * scale)
    return slope, intercept


def _philips_scale(dataset: Any, frame: int | None) -> float | None:
    """Return the private scale of a slice; 0 where Philips does not tell it, None for others."""
    if "philips" not in str(dataset.get("Manufacturer", "")).lower():
        return None
    private = dataset
    if frame is not None:
        element = dataset.PerFrameFunctionalGroupsSequence[frame].get(_PHILIPS_GROUP)
        private = element.value[0] if element is not None else {}
    element = private.get(_PHILIPS_SLOPE)
    return max(float(element.value), 0.0) if element is not None and element.value else 0.0


def intensity_scale(places: Iterable[tuple[Source, int | None]]) -> str | None:
    """Return on which scale the values of some slices are, None where there is but one.

    Philips scales what it displays series by series. Values of two series compare only where the
    private scale undoes that: ``precise``, else ``displayed``.
    """
    scales = [_philips_scale(_open(source), frame) for source, frame in places]
    if None in scales or not scales:
        return None
    return "precise" if all(scales) else "displayed"


def read_series(
    volumes: Sequence[Sequence[tuple[Source, int | None]]],
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Read a whole series without the converter.

    Parameters
    ----------
    volumes : sequence of sequence of (Source, frame)
        Slices of every volume by rising position along the slice normal.

    Returns
    -------
    tuple
        Array of shape (columns, rows, slices[, volumes]) and its affine to RAS millimetres.
    """
    planes = [[read_plane(source, frame) for source, frame in volume] for volume in volumes]
    return stacked(planes, _thickness(volumes[0][0]))


def stacked(
    planes: Sequence[Sequence[Plane]], thickness: float = 1.0
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the planes of all volumes as one array, and its affine to RAS millimetres.

    ``thickness`` (mm) counts where a volume has one plane only.
    """
    array = np.stack(
        [np.stack([plane.values.T for plane in volume], axis=2) for volume in planes], axis=3
    )
    first, last = planes[0][0], planes[0][-1]
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 3] = first.column_step, first.row_step, first.corner
    if len(planes[0]) > 1:
        affine[:3, 2] = (last.corner - first.corner) / (len(planes[0]) - 1)
    else:
        affine[:3, 2] = _normal(first) * thickness
    # rows upwards, as the converter writes them
    array = array[:, ::-1]
    affine[:3, 3] += affine[:3, 1] * (array.shape[1] - 1)
    affine[:3, 1] *= -1
    return (array[..., 0] if array.shape[3] == 1 else array), affine


def _normal(plane: Plane) -> NDArray[np.float64]:
    # cross product of RAS vectors: the flip of two axes leaves its handedness
    normal = np.cross(plane.column_step, plane.row_step)
    return np.asarray(normal / np.linalg.norm(normal))


def _thickness(place: tuple[Source, int | None]) -> float:
    dataset = _open(place[0])
    group = _group(dataset, place[1], "PixelMeasuresSequence")
    return float(group.get("SpacingBetweenSlices") or group.get("SliceThickness") or 1.0)
