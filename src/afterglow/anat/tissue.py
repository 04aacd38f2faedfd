"""Grey matter, white matter and cerebrospinal fluid, and the plane between the hemispheres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from afterglow.anat.grids import Volume, bounding_box, coarse
from afterglow.anat.transforms import apply, resample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.config.anat import AnatConfig

CLASSES = ("GM", "WM", "CSF")


@dataclass(frozen=True)
class Plane:
    """Plane ``normal . x = offset`` in world mm; the normal has unit length and points right."""

    normal: NDArray[np.float64]
    offset: float

    def mirror(self) -> NDArray[np.float64]:
        """Return the 4x4 world matrix of the reflection in the plane.

        Examples
        --------
        >>> apply(Plane(np.array([1.0, 0, 0]), 2.0).mirror(), np.array([5.0, 1, 1])).tolist()
        [-1.0, 1.0, 1.0]
        """
        matrix = np.eye(4)
        matrix[:3, :3] -= 2 * np.outer(self.normal, self.normal)
        matrix[:3, 3] = 2 * self.offset * self.normal
        return matrix


def segment(
    image: Volume,
    brain: Volume,
    priors: dict[str, NDArray[np.float32]],
    settings: AnatConfig,
    *,
    lesions: Volume | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Estimate tissue posteriors by a Gaussian mixture with spatial priors and neighbours.

    Expectation-maximization after Ashburner and Friston 2005 (one Gaussian per tissue, warped
    template priors, no bias term: N4 came before), with a Potts-like term from the six neighbours
    (mean field). Enhancing vessels and whatever fits no tissue go to a uniform class.

    Parameters
    ----------
    image : Volume
        Bias-corrected T1w, before or after contrast agent.
    brain : Volume
        Boolean mask on the same grid.
    priors : dict
        ``GM``, ``WM``, ``CSF`` priors on the same grid.
    settings : AnatConfig
        Iterations and neighbour weight.
    lesions : Volume, optional
        Labels; zero in every posterior, and not used to learn the intensities.

    Returns
    -------
    dict of str to ndarray
        Posterior of each tissue on the image's grid, zero outside the brain and inside lesions.
    """
    from scipy import ndimage

    mask = np.asarray(brain.values) > 0.5
    if lesions is not None:
        mask = mask & (np.asarray(lesions.values) == 0)
    box = bounding_box(mask)
    inside = mask[box]
    values = np.asarray(image.values, dtype=np.float32)[box][inside]
    prior = np.stack([np.asarray(priors[c], np.float32)[box][inside] for c in CLASSES], axis=1)
    prior = np.maximum(prior, 0.01)
    prior = prior / prior.sum(axis=1, keepdims=True)
    posterior = prior.copy()
    field = np.zeros((*inside.shape,), dtype=np.float32)
    cross = ndimage.generate_binary_structure(3, 1).astype(np.float32)
    cross[1, 1, 1] = 0.0
    for step in range(settings.tissue_iterations):
        likelihood = _likelihood(values, posterior)
        around = np.zeros_like(posterior)
        if step >= settings.tissue_iterations - 3:
            for k in range(len(CLASSES)):
                field[inside] = posterior[:, k]
                around[:, k] = ndimage.convolve(field, cross, mode="constant")[inside]
        joint = prior * likelihood * np.exp(settings.tissue_neighbours * around)
        posterior = joint / np.maximum(joint.sum(axis=1, keepdims=True), 1e-12)
    return {c: _placed(posterior[:, k], mask, box) for k, c in enumerate(CLASSES)}


def midsagittal(
    image: Volume, brain: Volume, to_template: NDArray[np.float64], settings: AnatConfig
) -> Plane:
    """Find the plane of symmetry: MNI152's x = 0, refined by the image's own symmetry.

    The normal is turned and the plane shifted until the coarse brain is most like its mirror image
    (correlation); asymmetric lesions weigh little in the whole brain.
    """
    from scipy import optimize

    start = template_plane(to_template)
    small = coarse(image.like(np.where(brain.values, image.values, 0.0)), settings.symmetry_mm)
    inside = np.asarray(small.values) > 0
    world = apply(small.affine, np.argwhere(inside))
    center = world.mean(axis=0)
    across = np.linalg.svd(start.normal[None])[2][1:]

    def plane(p: NDArray[np.float64]) -> Plane:
        normal = start.normal + p[0] * across[0] + p[1] * across[1]
        normal = normal / np.linalg.norm(normal)
        base = center + (start.offset - start.normal @ center) * start.normal
        return Plane(normal, float(normal @ base + 10.0 * p[2]))

    def cost(p: NDArray[np.float64]) -> float:
        mirrored = resample(
            small.values, small.affine, small.shape, small.affine, plane(p).mirror()
        )
        return -float(np.corrcoef(small.values[inside], mirrored[inside])[0, 1])

    simplex = np.vstack([np.zeros(3), np.diag([0.05, 0.05, 0.2])])
    options = {"initial_simplex": simplex, "xatol": 1e-3, "fatol": 1e-5, "maxfev": 80}
    found = optimize.minimize(cost, np.zeros(3), method="Nelder-Mead", options=options)
    return plane(found.x)


def template_plane(to_template: NDArray[np.float64]) -> Plane:
    """Return the plane that a world matrix carries onto x = 0."""
    row = np.asarray(to_template)[0]
    length = float(np.linalg.norm(row[:3]))
    return Plane(row[:3] / length, float(-row[3] / length))


def _likelihood(values: NDArray[np.float32], posterior: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gaussian density of every class, with a floor that a uniform class sets."""
    result = np.empty_like(posterior)
    span = float(np.percentile(values, 99) - np.percentile(values, 1)) + 1e-6
    for k in range(posterior.shape[1]):
        weight = posterior[:, k]
        total = float(weight.sum()) + 1e-6
        mean = float((weight * values).sum() / total)
        width = float(np.sqrt((weight * (values - mean) ** 2).sum() / total))
        width = max(width, 0.01 * span)
        result[:, k] = np.exp(-0.5 * ((values - mean) / width) ** 2) / width
    return np.asarray(result + 1e-3 / span, dtype=np.float32)


def _placed(
    values: NDArray[np.float32], mask: NDArray[np.bool_], box: tuple[slice, ...]
) -> NDArray[np.float32]:
    result = np.zeros(mask.shape, dtype=np.float32)
    part = np.zeros(mask[box].shape, dtype=np.float32)
    part[mask[box]] = values
    result[box] = part
    return result
