"""IBSI texture features of the matrices of a region."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from afterglow.lesions import radiomics_matrices as matrices

if TYPE_CHECKING:
    from numpy.typing import NDArray

Features = dict[str, float]


def texture(levels: NDArray[np.int64]) -> Features:
    """Return all texture features; those with directions both averaged and merged.

    Names end in ``_averaged`` or ``_merged`` where a matrix has directions.
    """
    count = float((levels > 0).sum())
    pairs, runs = matrices.cooccurrence(levels), matrices.run_lengths(levels)
    by_size, by_distance = matrices.zones(levels)
    n, s, dependence = matrices.neighbourhood(levels)
    found = _both(pairs, cooccurrence)
    found |= _both(
        runs, lambda m: emphasis(m, count, _RUNS), lambda m: emphasis(m, 13 * count, _RUNS)
    )
    found |= emphasis(by_size, count, _ZONES)
    found |= emphasis(by_distance, count, _DISTANCES)
    found |= emphasis(dependence, count, _DEPENDENCE)
    return found | tone_difference(n, s)


def _both(
    parts: Sequence[NDArray[np.float64]],
    features: Callable[[NDArray[np.float64]], Features],
    merged: Callable[[NDArray[np.float64]], Features] | None = None,
) -> Features:
    """Return features averaged over directions, and of the sum over directions."""
    each = [features(part) for part in parts if part.sum() > 0]
    if not each:
        return {}
    whole = (merged or features)(np.sum(parts, axis=0))
    found = {f"{k}_averaged": float(np.mean([one[k] for one in each])) for k in whole}
    return found | {f"{k}_merged": value for k, value in whole.items()}


def _entropy(p: NDArray[np.float64]) -> float:
    positive = p[p > 0]
    return float(-(positive * np.log2(positive)).sum())


def cooccurrence(counts: NDArray[np.float64]) -> Features:
    """Return the features of a grey level co-occurrence matrix."""
    p = counts / counts.sum()
    top = len(p)
    i, j = np.meshgrid(np.arange(1, top + 1), np.arange(1, top + 1), indexing="ij")
    apart, margin = np.abs(i - j), p.sum(axis=1)
    difference = _folded(apart, p, top)
    total = _folded(i + j, p, 2 * top + 1)
    k, t = np.arange(top), np.arange(2 * top + 1)
    mean = float((margin * np.arange(1, top + 1)).sum())
    variance = float((margin * (np.arange(1, top + 1) - mean) ** 2).sum())
    away = np.where(apart > 0, apart, 1)
    found = {
        "joint_maximum": p.max(),
        "joint_average": (i * p).sum(),
        "joint_variance": ((i - mean) ** 2 * p).sum(),
        "joint_entropy": _entropy(p),
        "difference_average": (k * difference).sum(),
        "difference_variance": ((k - (k * difference).sum()) ** 2 * difference).sum(),
        "difference_entropy": _entropy(difference),
        "sum_average": (t * total).sum(),
        "sum_variance": ((t - (t * total).sum()) ** 2 * total).sum(),
        "sum_entropy": _entropy(total),
        "uniformity": (p**2).sum(),
        "contrast": (apart**2 * p).sum(),
        "dissimilarity": (apart * p).sum(),
        "inverse_difference": (p / (1 + apart)).sum(),
        "inverse_difference_normalised": (p / (1 + apart / top)).sum(),
        "inverse_difference_moment": (p / (1 + apart**2)).sum(),
        "inverse_difference_moment_normalised": (p / (1 + (apart / top) ** 2)).sum(),
        "inverse_variance": np.where(apart > 0, p / away**2, 0).sum(),
        "correlation": ((i * j * p).sum() - mean**2) / variance if variance else 1.0,
        "autocorrelation": (i * j * p).sum(),
        "cluster_tendency": ((i + j - 2 * mean) ** 2 * p).sum(),
        "cluster_shade": ((i + j - 2 * mean) ** 3 * p).sum(),
        "cluster_prominence": ((i + j - 2 * mean) ** 4 * p).sum(),
    }
    found |= _information(p, margin)
    return {f"cm_{name}": float(value) for name, value in found.items()}


def _folded(places: NDArray[np.int64], p: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Return the sums of ``p`` by place."""
    sums = np.bincount(places.ravel(), weights=p.ravel(), minlength=size)
    return np.asarray(sums, dtype=np.float64)


def _information(p: NDArray[np.float64], margin: NDArray[np.float64]) -> Features:
    """Return the two measures of information correlation."""
    product = np.outer(margin, margin)
    log = np.log2(product, out=np.zeros_like(product), where=product > 0)
    joint, single = _entropy(p), _entropy(margin)
    first, second = float(-(p * log).sum()), float(-(product * log).sum())
    return {
        "information_corr_1": (joint - first) / single if single else 0.0,
        "information_corr_2": float(np.sqrt(max(0.0, 1 - np.exp(-2 * (second - joint))))),
    }


# Names of the emphasis features of each matrix, in the order in which they are computed.
_RUNS = (
    "rlm_short_runs_emphasis",
    "rlm_long_runs_emphasis",
    "rlm_low_grey_level_run_emphasis",
    "rlm_high_grey_level_run_emphasis",
    "rlm_short_run_low_grey_level_emphasis",
    "rlm_short_run_high_grey_level_emphasis",
    "rlm_long_run_low_grey_level_emphasis",
    "rlm_long_run_high_grey_level_emphasis",
    "rlm_grey_level_non_uniformity",
    "rlm_grey_level_non_uniformity_normalised",
    "rlm_run_length_non_uniformity",
    "rlm_run_length_non_uniformity_normalised",
    "rlm_run_percentage",
    "rlm_grey_level_variance",
    "rlm_run_length_variance",
    "rlm_run_entropy",
)
_ZONES = (
    "szm_small_zone_emphasis",
    "szm_large_zone_emphasis",
    "szm_low_grey_level_zone_emphasis",
    "szm_high_grey_level_zone_emphasis",
    "szm_small_zone_low_grey_level_emphasis",
    "szm_small_zone_high_grey_level_emphasis",
    "szm_large_zone_low_grey_level_emphasis",
    "szm_large_zone_high_grey_level_emphasis",
    "szm_grey_level_non_uniformity",
    "szm_grey_level_non_uniformity_normalised",
    "szm_zone_size_non_uniformity",
    "szm_zone_size_non_uniformity_normalised",
    "szm_zone_percentage",
    "szm_grey_level_variance",
    "szm_zone_size_variance",
    "szm_zone_size_entropy",
)
_DISTANCES = (
    "dzm_small_distance_emphasis",
    "dzm_large_distance_emphasis",
    "dzm_low_grey_level_zone_emphasis",
    "dzm_high_grey_level_zone_emphasis",
    "dzm_small_distance_low_grey_level_emphasis",
    "dzm_small_distance_high_grey_level_emphasis",
    "dzm_large_distance_low_grey_level_emphasis",
    "dzm_large_distance_high_grey_level_emphasis",
    "dzm_grey_level_non_uniformity",
    "dzm_grey_level_non_uniformity_normalised",
    "dzm_zone_distance_non_uniformity",
    "dzm_zone_distance_non_uniformity_normalised",
    "dzm_zone_percentage",
    "dzm_grey_level_variance",
    "dzm_zone_distance_variance",
    "dzm_zone_distance_entropy",
)
_DEPENDENCE = (
    "ngldm_low_dependence_emphasis",
    "ngldm_high_dependence_emphasis",
    "ngldm_low_grey_level_count_emphasis",
    "ngldm_high_grey_level_count_emphasis",
    "ngldm_low_dependence_low_grey_level_emphasis",
    "ngldm_low_dependence_high_grey_level_emphasis",
    "ngldm_high_dependence_low_grey_level_emphasis",
    "ngldm_high_dependence_high_grey_level_emphasis",
    "ngldm_grey_level_non_uniformity",
    "ngldm_grey_level_non_uniformity_normalised",
    "ngldm_dependence_count_non_uniformity",
    "ngldm_normalised_dependence_count_non_uniformity",
    "ngldm_dependence_count_percentage",
    "ngldm_grey_level_variance",
    "ngldm_dependence_count_variance",
    "ngldm_dependence_count_entropy",
    "ngldm_dependence_count_energy",
)


def emphasis(counts: NDArray[np.float64], n_voxels: float, names: Sequence[str]) -> Features:
    """Return what runs, zones, distances and dependences have in common.

    Parameters
    ----------
    counts : (levels, seconds) array
        How often each level occurs with each second value (length, size, distance, dependence).
    n_voxels : float
        Voxels of the region (times directions for merged runs).
    names : sequence of str
        Names, in order of computation; a seventeenth is the energy.
    """
    whole = float(counts.sum())
    p = counts / whole
    i = np.arange(1, counts.shape[0] + 1)[:, None].astype(np.float64)
    j = np.arange(1, counts.shape[1] + 1)[None, :].astype(np.float64)
    by_level, by_second = counts.sum(axis=1), counts.sum(axis=0)
    mean_i, mean_j = float((i * p).sum()), float((j * p).sum())
    values = (
        (p / j**2).sum(),
        (p * j**2).sum(),
        (p / i**2).sum(),
        (p * i**2).sum(),
        (p / (i * j) ** 2).sum(),
        (p * i**2 / j**2).sum(),
        (p * j**2 / i**2).sum(),
        (p * (i * j) ** 2).sum(),
        (by_level**2).sum() / whole,
        (by_level**2).sum() / whole**2,
        (by_second**2).sum() / whole,
        (by_second**2).sum() / whole**2,
        whole / n_voxels,
        ((i - mean_i) ** 2 * p).sum(),
        ((j - mean_j) ** 2 * p).sum(),
        _entropy(p),
        (p**2).sum(),
    )
    return {name: float(value) for name, value in zip(names, values, strict=False)}


def tone_difference(n: NDArray[np.float64], s: NDArray[np.float64]) -> Features:
    """Return the features of the neighbourhood grey tone difference matrix."""
    level = np.arange(1, len(n) + 1).astype(np.float64)
    good = n > 0
    i, p, s = level[good], n[good] / n.sum(), s[good]
    many, weighted = len(i), float((p * s).sum())
    apart, both = i[:, None] - i[None], p[:, None] + p[None]
    found = {"coarseness": 1 / weighted if weighted else 1e6}
    spread = float((p[:, None] * p[None] * apart**2).sum())
    found["contrast"] = spread / (many * (many - 1)) * s.sum() / n.sum() if many > 1 else 0.0
    rough = np.abs((i * p)[:, None] - (i * p)[None]).sum()
    found["busyness"] = weighted / float(rough) if many > 1 and rough else 0.0
    mixed = (p * s)[:, None] + (p * s)[None]
    found["complexity"] = float((np.abs(apart) * mixed / both).sum() / n.sum())
    found["strength"] = float((both * apart**2).sum() / s.sum()) if s.sum() else 0.0
    return {f"ngtdm_{name}": float(value) for name, value in found.items()}
