"""IBSI morphology of a region."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.lesions.radiomics_mesh import area, mesh, volume

if TYPE_CHECKING:
    from numpy.typing import NDArray


def morphology(
    image: NDArray[np.float64], mask: NDArray[np.bool_], spacing: NDArray[np.float64]
) -> dict[str, float]:
    """Return the IBSI morphological features by name.

    Parameters
    ----------
    image, mask : (x, y, z) arrays
        Image and region, cropped.
    spacing : (3,) array
        Voxel size, mm.
    """
    surface = mesh(mask, spacing)
    v, a = volume(surface), area(surface)
    points = np.argwhere(mask) * spacing
    values = image[mask]
    found = {
        "morph_volume": v,
        "morph_approx_volume": float(mask.sum() * spacing.prod()),
        "morph_area": a,
        "morph_surface_volume_ratio": a / v,
        "morph_comp_1": v / (np.sqrt(np.pi) * a**1.5),
        "morph_comp_2": 36 * np.pi * v**2 / a**3,
        "morph_sph_dispr": a / (36 * np.pi * v**2) ** (1 / 3),
        "morph_sphericity": (36 * np.pi * v**2) ** (1 / 3) / a,
        "morph_asphericity": (a**3 / (36 * np.pi * v**2)) ** (1 / 3) - 1,
        "morph_centre_of_mass_shift": _center_shift(points, values),
        "morph_integrated_intensity": float(values.mean() * v),
    }
    found |= _axes(points, v, a)
    found |= _enclosing(surface, v, a)
    return found | _autocorrelation(image, mask, spacing)


def _center_shift(points: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    if values.sum() == 0:
        return float("nan")
    weighted = (points * values[:, None]).sum(axis=0) / values.sum()
    return float(np.linalg.norm(points.mean(axis=0) - weighted))


def _axes(points: NDArray[np.float64], v: float, a: float) -> dict[str, float]:
    """Return principal axes and densities of the approximating ellipsoid."""
    if len(points) < 4:
        return {}
    spread = np.linalg.eigvalsh(np.cov(points.T))
    least, minor, major = 4 * np.sqrt(np.maximum(spread, 0))
    found = {
        "morph_pca_major": float(major),
        "morph_pca_minor": float(minor),
        "morph_pca_least": float(least),
        "morph_pca_elongation": float(minor / major) if major else float("nan"),
        "morph_pca_flatness": float(least / major) if major else float("nan"),
    }
    if least > 0:
        found["morph_vol_dens_aee"] = float(v / (np.pi / 6 * major * minor * least))
        found["morph_area_dens_aee"] = a / _ellipsoid_area(major / 2, minor / 2, least / 2)
    return found


def _ellipsoid_area(a: float, b: float, c: float, degree: int = 20) -> float:
    """Return the area of an ellipsoid by the Legendre series of the IBSI."""
    from scipy.special import eval_legendre

    alpha, beta = np.sqrt(1 - (b / a) ** 2), np.sqrt(1 - (c / a) ** 2)
    if alpha * beta == 0:
        alpha, beta = max(alpha, 1e-9), max(beta, 1e-9)
    order = np.arange(degree + 1)
    argument = (alpha**2 + beta**2) / (2 * alpha * beta)
    terms = (alpha * beta) ** order / (1 - 4.0 * order**2) * eval_legendre(order, argument)
    return float(4 * np.pi * a * b * terms.sum())


def _enclosing(surface: NDArray[np.float64], v: float, a: float) -> dict[str, float]:
    """Return the largest diameter and the densities of bounding box and convex hull."""
    from scipy.spatial import ConvexHull
    from scipy.spatial.distance import pdist

    corners = surface.reshape(-1, 3)
    sides = np.ptp(corners, axis=0)
    x, y, z = sides
    hull = ConvexHull(corners)
    return {
        "morph_max_3d_diam": float(pdist(corners[hull.vertices]).max()),
        "morph_vol_dens_aabb": float(v / sides.prod()),
        "morph_area_dens_aabb": float(a / (2 * (x * y + y * z + z * x))),
        "morph_vol_dens_conv_hull": float(v / hull.volume),
        "morph_area_dens_conv_hull": float(a / hull.area),
    }


def _autocorrelation(
    image: NDArray[np.float64], mask: NDArray[np.bool_], spacing: NDArray[np.float64]
) -> dict[str, float]:
    """Return Moran's I and Geary's C with weights of inverse distance.

    The double sums over pairs of voxels are correlations over displacements, which the Fourier
    transform gives exactly and fast.
    """
    from scipy.fft import next_fast_len, rfftn

    count = int(mask.sum())
    spread = image[mask] - image[mask].mean()
    total = float((spread**2).sum())
    if count < 2 or total == 0:
        return {}
    shape = [next_fast_len(2 * n - 1, real=True) for n in mask.shape]
    offsets = np.meshgrid(*[np.fft.fftfreq(n, 1 / n) for n in shape], indexing="ij", sparse=True)
    apart = np.sqrt(sum((o * h) ** 2 for o, h in zip(offsets, spacing, strict=True)))
    weight = rfftn(np.divide(1.0, apart, out=np.zeros(shape), where=apart > 0)).real
    centered = np.zeros(mask.shape)
    centered[mask] = spread
    one, first, second = (rfftn(x, shape) for x in (mask.astype(float), centered, centered**2))
    sum_weight = _inner(one, one, weight, shape[-1])
    products = _inner(first, first, weight, shape[-1])
    squares = 2 * _inner(second, one, weight, shape[-1])
    moran = count / sum_weight * products / total
    geary = (count - 1) / (2 * sum_weight) * (squares - 2 * products) / total
    return {"morph_moran_i": moran, "morph_geary_c": geary}


def _inner(
    first: NDArray[np.complex128], second: NDArray[np.complex128], weight: Any, last: int
) -> float:
    """Return the weighted sum over all pairs of voxels, from half spectra (Parseval)."""
    terms = (np.conj(first) * second).real * weight
    half = terms[..., 1 : (last + 1) // 2].sum()
    whole = first.shape[0] * first.shape[1] * last
    return float((terms.sum() + half) / whole)
