"""Brain extraction: one interface, several back ends, and a mask that never cuts a known lesion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.anat.grids import Volume, bounding_box, coarse
from afterglow.anat.registration import Deformation, Side, centroid_start, deformable, linear
from afterglow.anat.sampling import distance
from afterglow.anat.template import Template, load
from afterglow.anat.transforms import resample, voxel_sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.config.anat import AnatConfig


@dataclass(frozen=True)
class Brain:
    """A brain mask and what made it.

    Attributes
    ----------
    mask : Volume
        Boolean, on the grid of the image.
    to_template : ndarray, shape (4, 4)
        World matrix from the image to MNI152.
    warp : Deformation
        Image to MNI152 with the deformable part, for masks and priors.
    backend : str
        Name of the back end.
    facts : dict
        Version and model of an outside program; lesion voxels that were added.
    """

    mask: Volume
    to_template: NDArray[np.float64]
    warp: Deformation
    backend: str
    facts: dict[str, Any] = field(default_factory=dict)


Rough = Callable[[Volume], Volume]


def extract(
    image: Volume, settings: AnatConfig, *, lesions: Volume | None = None, threads: int = 1
) -> Brain:
    """Find the brain in a T1w image, with or without contrast agent.

    Parameters
    ----------
    image : Volume
        Bias-corrected whole-head image.
    settings : AnatConfig
        Back end and its settings.
    lesions : Volume, optional
        Labels on the same grid; every labelled voxel is inside the result.
    threads : int
        ITK threads.
    """
    from afterglow.anat import external

    backend = external.choose(settings.brain_backend)
    template = load()
    if backend == "bet":
        rough = rough_bet(image, settings)
        facts: dict[str, Any] = {"program": "brainextractor"}
    else:
        rough, facts = external.run(backend, image, settings)
    to_template = _to_template(image, rough, template, settings, threads)
    warp = _deform(image, template, to_template, settings, threads)
    mask = rough.values > 0.5
    if backend == "bet":
        hull = warp.pull([template.mask], image)[0]
        mask = refine(image, hull, settings)
    if lesions is not None:
        inside = np.asarray(lesions.values) > 0
        facts["lesion_voxels_added"] = int((inside & ~mask).sum())
        mask = mask | inside
    return Brain(image.like(mask), to_template, warp, backend, facts)


def rough_bet(image: Volume, settings: AnatConfig) -> Volume:
    """Deform a balloon onto the brain's surface (Smith 2002, in brainextractor), coarsely."""
    import contextlib
    import io

    import nibabel as nib

    from afterglow.anat.balloon import Balloon

    small = isotropic(image, settings.bet_mm)
    with contextlib.redirect_stdout(io.StringIO()):
        extractor = Balloon(
            nib.Nifti1Image(np.asarray(small.values, dtype=np.float64), small.affine),
            settings.bet_threshold,
        )
        extractor.run(iterations=settings.bet_iterations)
        mask = extractor.compute_mask()
    values = resample(mask, small.affine, image.shape, image.affine)
    return image.like(values > 0.5)


def isotropic(image: Volume, mm: float) -> Volume:
    """Return the image on a grid of cubes along its own axes."""
    small = coarse(image, mm)
    zooms = voxel_sizes(small.affine)
    count = [max(8, round(n * z / mm)) for n, z in zip(small.shape, zooms, strict=True)]
    factor = mm / zooms
    affine = small.affine.copy()
    affine[:3, :3] = affine[:3, :3] * factor
    corner = (np.array(small.shape) - 1) / 2 - factor * (np.array(count) - 1) / 2
    affine[:3, 3] = (small.affine @ [*corner, 1.0])[:3]
    return Volume(resample(small.values, small.affine, count, affine), affine)


def refine(image: Volume, hull: NDArray[np.float32], settings: AnatConfig) -> NDArray[np.bool_]:
    """Move the outline of the warped template onto the image's own border of brain and skull.

    Inside, the template decides; within ``brain_margin_mm`` of its outline, a voxel is brain if it
    is as bright as grey or white matter and hangs together with the inside through more than a
    thin bridge (dura, vessels and nerves are thin).
    """
    from scipy import ndimage

    zooms = voxel_sizes(image.affine)
    margin = np.ceil((settings.brain_margin_mm + 6.0) / zooms).astype(int).tolist()
    box = bounding_box(hull > 0.5, margin)
    values = np.asarray(image.values, dtype=np.float32)[box]
    values = ndimage.gaussian_filter(values, 0.5 / zooms, truncate=3.0)
    inside = hull[box] > 0.5
    depth, away = distance(~inside, zooms), distance(inside, zooms)
    low, high = _tissue_window(values[depth > 10.0])
    bright = (values > low) & (values < high) & (away <= settings.brain_margin_mm)
    certain = depth > 6.0
    solid = _opened(bright | certain, zooms, 2.0)
    solid = _largest(solid | certain)
    solid = _opened(~solid, zooms, 4.0)
    mask = np.zeros(image.shape, dtype=bool)
    mask[box] = ndimage.binary_fill_holes(~solid) & (away <= settings.brain_margin_mm)
    return mask


def _tissue_window(core: NDArray[np.float32]) -> tuple[float, float]:
    """Return the darkest and brightest signal of grey and white matter, from deep brain."""
    low, middle, high = np.percentile(core, [2, 50, 98])
    return float(low + 0.45 * (middle - low)), float(middle + 2.5 * (high - middle))


def _opened(mask: NDArray[np.bool_], zooms: NDArray[np.float64], mm: float) -> NDArray[np.bool_]:
    """Open with a ball of ``mm``, by distances: a structuring element of that size is slow."""
    core = distance(~mask, zooms) > mm
    return np.asarray(distance(core, zooms) <= mm)


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy import ndimage

    labels, count = ndimage.label(mask)
    if count <= 1:
        return mask
    return np.asarray(labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:])))


def _to_template(
    image: Volume, rough: Volume, template: Template, settings: AnatConfig, threads: int
) -> NDArray[np.float64]:
    """Affine from image to template, of the roughly extracted brain."""
    brain = image.like(np.where(np.asarray(rough.values) > 0.5, image.values, 0.0))
    start = centroid_start(rough, template.mask)
    return linear(
        Side(brain), Side(template.t1), settings, kind="Affine", start=start, threads=threads
    )


def _deform(
    image: Volume,
    template: Template,
    to_template: NDArray[np.float64],
    settings: AnatConfig,
    threads: int,
) -> Deformation:
    """SyN within reach of the template's outline: scalp and neck have no counterpart there."""
    small = coarse(image, settings.registration_mm)
    hull = resample(
        template.mask.values, template.mask.affine, small.shape, small.affine, to_template
    )
    away = distance(hull >= 0.5, voxel_sizes(small.affine))
    near = small.like(away <= settings.brain_margin_mm)
    cut = small.like(np.where(near.values, small.values, 0.0))
    return deformable(Side(cut, near), Side(template.t1), to_template, settings, threads=threads)
