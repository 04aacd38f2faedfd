"""Radiomics of lesions as cells of `features`: every feature asked for, or why it is absent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from afterglow.errors import NotEvaluable
from afterglow.lesions.features import Value
from afterglow.lesions.measure import Cell
from afterglow.lesions.radiomics import Radiomics, RadiomicsSettings, crop
from afterglow.lesions.radiomics_ids import family_of, names_of
from afterglow.lesions.resampling import isotropic

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Engine = Callable[
        [NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64], RadiomicsSettings], Radiomics
    ]

MODEL = "ibsi"
REACH = 7.0  # mm around the region: local intensity looks 6.2 mm beyond it
_LENGTHS = ("max_3d_diam", "pca_major", "pca_minor", "pca_least", "centre_of_mass_shift")
_UNITLESS = ("skewness", "kurtosis", "coef_of_variation", "quartile_coef_dispersion")


@dataclass(frozen=True)
class Place:
    """Whose cells are made: lesion, image with its unit, grid, and what it was divided by."""

    label: int
    image: str
    unit: str
    space: str
    normalization: str = "none"
    region: str = "lesion"


def cells_of(
    place: Place,
    image: NDArray[np.generic] | None,
    mask: NDArray[np.bool_],
    spacing: NDArray[np.float64],
    settings: RadiomicsSettings,
    engine: Engine,
    reason: str = "",
) -> Iterator[Cell]:
    """Yield one cell per feature of the families of ``settings``.

    Parameters
    ----------
    place : Place
        What the cells are of.
    image, mask : (x, y, z) arrays
        Image and region; the image may be None where ``reason`` says why.
    spacing : (3,) array
        Voxel size, mm.
    settings : RadiomicsSettings
        Families and their minimum sizes; ``step`` is the voxel size that both are brought to.
    engine : callable
        What computes the features.
    reason : str
        Why there is no image.
    """
    names = [name for family in settings.families for name in names_of(family)]
    found = Radiomics({}, {})
    count = int(np.count_nonzero(mask))
    if image is None or reason:
        reason = reason or "no_image"
    else:
        try:
            found = _extract(np.asarray(image), mask, spacing, settings, engine)
        except NotEvaluable as error:
            reason = error.reason
    for name in names:
        value = _value(found, name, reason, count)
        yield Cell(
            place.label,
            place.region,
            place.image,
            name,
            value,
            unit_of(name, place.unit),
            MODEL,
            place.space,
            place.normalization,
        )


def _extract(
    image: NDArray[np.generic],
    mask: NDArray[np.bool_],
    spacing: NDArray[np.float64],
    settings: RadiomicsSettings,
    engine: Engine,
) -> Radiomics:
    """Return the features of a region, on voxels of one size where any family asks for it."""
    if not mask.any():
        raise NotEvaluable("empty_region", "the region holds no voxel")
    box = crop(mask, np.ceil(REACH / spacing).astype(int))
    values, inside = np.asarray(image[box], dtype=np.float64), np.asarray(mask[box])
    if settings.step is not None:
        values, inside, spacing = isotropic(values, inside, spacing, settings.step)
    return engine(values, inside, spacing, settings)


def _value(found: Radiomics, name: str, reason: str, count: int) -> Value:
    why = reason or found.left_out.get(family_of(name), "")
    number = found.values.get(name, float("nan"))
    if not why and not np.isfinite(number):
        why = "undefined"
    return Value(float("nan"), why, count) if why else Value(float(number), "", count)


def unit_of(name: str, unit: str) -> str:
    """Return the unit of a feature of an image in ``unit``.

    Examples
    --------
    >>> unit_of("stat_mean", "s"), unit_of("stat_variance", "s"), unit_of("morph_volume", "s")
    ('s', '(s)^2', 'mm3')
    >>> unit_of("int_hist_median", "s"), unit_of("cm_contrast_merged", "s")
    ('bins', '1')
    """
    family, _, rest = name.partition("_")
    if family == "morph":
        return _morphological(rest, unit)
    if name.endswith(_UNITLESS):
        return "1"
    if family in {"stat", "loc"}:
        squared = rest in {"variance", "energy"}
        return f"({unit})^2" if squared else unit
    if name.startswith(("int_hist_", "ivh_intensity")):
        counts = ("entropy", "uniformity", "max_gradient", "min_gradient")
        if name.endswith("variance"):
            return "bins^2"
        return "1" if name.endswith(counts) else "bins"
    return "1"


def _morphological(rest: str, unit: str) -> str:
    if rest in _LENGTHS:
        return "mm"
    if rest == "integrated_intensity":
        return f"({unit}) mm3"
    exact = {"volume": "mm3", "approx_volume": "mm3", "area": "mm2", "surface_volume_ratio": "1/mm"}
    return exact.get(rest, "1")
