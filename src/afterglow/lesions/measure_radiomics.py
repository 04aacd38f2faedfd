"""Radiomics of all lesions of one session: in its anatomical images and, if asked, in its maps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from afterglow.lesions.measure import Cell, MapInput, RegionIndex, SpaceInput
from afterglow.lesions.radiomics import RadiomicsSettings, extract
from afterglow.lesions.radiomics_cells import Place, cells_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.config.features import RadiomicsConfig
    from afterglow.lesions.anatomy import Anatomy
    from afterglow.lesions.radiomics_cells import Engine
    from afterglow.lesions.regions import Piece

_LEAST_WHITE = 2000  # voxels
_WHITE = 0.95


def settings_of(config: RadiomicsConfig, families: Sequence[str]) -> RadiomicsSettings:
    """Return the settings for some families."""
    return RadiomicsSettings(
        families=tuple(families),  # type: ignore[arg-type]
        bins=config.bins,
        min_voxels=config.min_voxels,
        min_voxels_texture=config.min_voxels_texture,
        min_slices_texture=config.min_slices_texture,
        step=config.step,
    )


def engine_of(config: RadiomicsConfig) -> Engine:
    """Return what computes the features."""
    if config.engine == "mirp":
        from afterglow.lesions.radiomics_mirp import extract as by_mirp

        return by_mirp
    return extract


def anatomy_radiomics(
    pieces: dict[int, dict[str, Piece]],
    labels: NDArray[np.int32],
    images: Anatomy,
    config: RadiomicsConfig,
) -> Iterator[Cell]:
    """Yield radiomics of every lesion in T1w after contrast and FLAIR.

    Intensities are over the median of white matter outside of lesions, since those of MRI have no
    unit of their own.
    """
    settings, engine = settings_of(config, config.anatomy), engine_of(config)
    for name, image in (("T1w", images.t1w), ("FLAIR", images.flair)):
        over, reason = _white(image, labels, images)
        scaled = None if image is None or reason else image / np.float32(over)
        for label in pieces:
            place = Place(label, name, "ratio", "T1w", "whole_brain_nawm" if not reason else "none")
            yield from cells_of(
                place, scaled, labels == label, images.grid.spacing, settings, engine, reason
            )


def _white(
    image: NDArray[np.float32] | None, labels: NDArray[np.int32], images: Anatomy
) -> tuple[float, str]:
    """Return the median of white matter in an image, or why there is none."""
    if image is None:
        return 0.0, "no_image"
    if images.white_matter is None or images.brain is None:
        return 0.0, "no_anatomy"
    values = image[images.brain & (images.white_matter > _WHITE) & (labels == 0) & (image > 0)]
    if values.size < _LEAST_WHITE:
        return 0.0, "no_reference_tissue"
    return float(np.median(values)), ""


def perfusion_radiomics(
    space: SpaceInput, maps: Iterable[MapInput], index: RegionIndex, config: RadiomicsConfig
) -> Iterator[Cell]:
    """Yield radiomics of every lesion in perfusion maps, over the evaluable voxels of each."""
    if not config.perfusion:
        return
    settings, engine = settings_of(config, config.perfusion), engine_of(config)
    for image in maps:
        for label, own in index.items():
            voxels = own["lesion"]
            mask = np.zeros(space.grid.shape, dtype=bool)
            mask[tuple(voxels.index.T)] = True
            mask &= np.isfinite(image.image)
            if image.evaluable is not None:
                mask &= image.evaluable
            place = Place(label, image.name, image.units, space.name)
            reason = voxels.reason or image.reason
            yield from cells_of(
                place, image.image, mask, space.grid.spacing, settings, engine, reason
            )
