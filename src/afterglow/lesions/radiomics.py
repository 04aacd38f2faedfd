"""IBSI radiomics of one lesion in one image: crop, discretise, and the families it is fit for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from afterglow.errors import NotEvaluable
from afterglow.lesions import radiomics_intensity as intensity
from afterglow.lesions.radiomics_ids import FAMILIES, Family
from afterglow.lesions.radiomics_shape import morphology
from afterglow.lesions.radiomics_texture import texture

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class RadiomicsSettings:
    """How intensities are discretised, and below which size a family is left out.

    ``bins`` is the fixed number of bins over the range of the region, unless ``bin_width`` (in
    the image's unit, starting at ``lowest``) is given. ``step`` is the voxel size (mm) that image
    and region are brought to before; None leaves them as they are.
    """

    families: tuple[Family, ...] = FAMILIES
    bins: int = 32
    bin_width: float | None = None
    lowest: float = 0.0
    min_voxels: int = 10
    min_voxels_texture: int = 64
    min_slices_texture: int = 3
    step: float | None = None


@dataclass(frozen=True)
class Radiomics:
    """Features by name, and families that were left out with the reason."""

    values: dict[str, float]
    left_out: dict[str, str]


def extract(
    image: NDArray[np.generic],
    mask: NDArray[np.bool_],
    spacing: NDArray[np.float64],
    settings: RadiomicsSettings | None = None,
) -> Radiomics:
    """Return the radiomics of one region.

    Parameters
    ----------
    image, mask : (x, y, z) arrays
        Image and region; they are cropped to the region first.
    spacing : (3,) array
        Voxel size, mm. Texture supposes voxels of one size in all directions.
    settings : RadiomicsSettings, optional
        Settings.

    Raises
    ------
    NotEvaluable
        Empty region, too few voxels, or values in it that are not finite.
    """
    settings = settings or RadiomicsSettings()
    check(image, mask, settings)
    margin = np.ceil(6.3 / spacing).astype(int)
    box = crop(mask, margin)
    values, inside = np.asarray(image[box], dtype=np.float64), np.asarray(mask[box])
    values = np.where(np.isfinite(values), values, 0.0)
    levels = discretise(values, inside, settings)
    found: dict[str, float] = {}
    left_out: dict[str, str] = {}
    tight = crop(inside, np.zeros(3, dtype=int))
    for family in settings.families:
        reason = unfit(inside, family, settings)
        if reason:
            left_out[family] = reason
        elif family == "loc":
            found |= intensity.local_intensity(values, inside, spacing)
        else:
            found |= _family(family, values[tight], inside[tight], levels[tight], spacing)
    return Radiomics(found, left_out)


def check(image: NDArray[np.generic], mask: NDArray[np.bool_], settings: RadiomicsSettings) -> None:
    """Refuse a region that no family is fit for.

    Raises
    ------
    NotEvaluable
        Empty region, too few voxels, or values in it that are not finite.
    """
    count = int(np.count_nonzero(mask))
    if count < max(settings.min_voxels, 4):
        raise NotEvaluable("too_small", f"{count} voxels, {settings.min_voxels} needed")
    if not np.isfinite(image[mask]).all():
        raise NotEvaluable("not_finite", "the region holds values that are not finite")


def crop(mask: NDArray[np.bool_], margin: NDArray[np.int64]) -> tuple[slice, ...]:
    """Return the bounding box of a mask with a margin in voxels, cut at the image."""
    found = []
    for axis in range(3):
        others = tuple(k for k in range(3) if k != axis)
        hit = np.flatnonzero(mask.any(axis=others))
        grow = int(margin[axis])
        found.append(slice(max(0, hit[0] - grow), int(hit[-1]) + grow + 1))
    return tuple(found)


def _family(
    family: Family,
    values: NDArray[np.float64],
    inside: NDArray[np.bool_],
    levels: NDArray[np.int64],
    spacing: NDArray[np.float64],
) -> dict[str, float]:
    if family == "morph":
        return morphology(values, inside, spacing)
    if family == "stat":
        return intensity.statistics(values[inside])
    if family == "int_hist":
        return intensity.histogram(levels[inside])
    if family == "ivh":
        return intensity.volume_histogram(levels[inside])
    return texture(levels)


def unfit(inside: NDArray[np.bool_], family: Family, settings: RadiomicsSettings) -> str:
    """Return why a family is not fit for the region, empty where it is."""
    if family == "morph" and min(np.ptp(part) for part in np.nonzero(inside)) == 0:
        return "single_slice"
    if family != "texture":
        return ""
    if int(inside.sum()) < settings.min_voxels_texture:
        return "too_small"
    extent = min(int(np.ptp(part)) + 1 for part in np.nonzero(inside))
    return "" if extent >= settings.min_slices_texture else "too_few_slices"


def discretise(
    values: NDArray[np.float64], mask: NDArray[np.bool_], settings: RadiomicsSettings
) -> NDArray[np.int64]:
    """Return levels from 1 inside the region and 0 outside.

    Fixed bin number: ``floor(N (x - min) / (max - min)) + 1``, the maximum in the last bin.
    Fixed bin width: ``floor((x - lowest) / width) + 1``.

    Examples
    --------
    >>> x = np.array([[[0.0, 1.0, 9.0, 10.0]]])
    >>> discretise(x, x > -1, RadiomicsSettings(bins=2)).tolist()
    [[[1, 1, 2, 2]]]
    """
    own = values[mask]
    if settings.bin_width is not None:
        raw = np.floor((values - settings.lowest) / settings.bin_width) + 1
        raw = np.maximum(raw, 1)
    else:
        low, high = float(own.min()), float(own.max())
        scale = settings.bins / (high - low) if high > low else 0.0
        raw = np.clip(np.floor((values - low) * scale) + 1, 1, settings.bins)
    return np.where(mask, raw, 0).astype(np.int64)
