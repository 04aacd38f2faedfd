"""IBSI intensity statistics, intensity histogram and local intensity of a region."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PEAK_RADIUS = (3 / (4 * np.pi)) ** (1 / 3) * 10  # mm, sphere of 1 mL


def statistics(values: NDArray[np.float64]) -> dict[str, float]:
    """Return the intensity-based statistics (variance and kurtosis of the population, excess)."""
    energy = float((values**2).sum())
    found = _moments(values, "stat")
    found["stat_energy"] = energy
    found["stat_root_mean_square"] = float(np.sqrt(energy / values.size))
    return found


def _moments(values: NDArray[np.float64], family: str) -> dict[str, float]:
    """Return what intensities and discretised intensities have in common."""
    mean, middle = float(values.mean()), float(np.median(values))
    spread = values - mean
    variance = float((spread**2).mean())
    p10, p25, p75, p90 = (float(p) for p in np.percentile(values, (10, 25, 75, 90)))
    robust = values[(values >= p10) & (values <= p90)]
    found = {
        "mean": mean,
        "variance": variance,
        "skewness": _ratio(float((spread**3).mean()), variance**1.5),
        "kurtosis": _ratio(float((spread**4).mean()), variance**2) - 3 if variance else 0.0,
        "median": middle,
        "minimum": float(values.min()),
        "p10": p10,
        "p90": p90,
        "maximum": float(values.max()),
        "iqr": p75 - p25,
        "range": float(np.ptp(values)),
        "mean_absolute_dev": float(np.abs(spread).mean()),
        "robust_mean_absolute_dev": float(np.abs(robust - robust.mean()).mean()),
        "median_absolute_dev": float(np.abs(values - middle).mean()),
        "coef_of_variation": _ratio(np.sqrt(variance), mean),
        "quartile_coef_dispersion": _ratio(p75 - p25, p75 + p25),
    }
    return {f"{family}_{name}": float(value) for name, value in found.items()}


def _ratio(above: float, below: float) -> float:
    """Return a ratio, 0 where nothing varies (as the IBSI defines skewness then)."""
    return above / below if below else 0.0


def histogram(levels: NDArray[np.int64]) -> dict[str, float]:
    """Return the intensity histogram features of discretised levels (1, 2, ...)."""
    found = _moments(levels.astype(np.float64), "int_hist")
    low = int(levels.min())
    counts = np.bincount(levels - low).astype(np.float64)
    share = counts[counts > 0] / levels.size
    modes = low + np.flatnonzero(counts == counts.max())
    # of several modes the one nearest to the mean counts
    found["int_hist_mode"] = float(modes[np.abs(modes - levels.mean()).argmin()])
    found["int_hist_entropy"] = float(-(share * np.log2(share)).sum())
    found["int_hist_uniformity"] = float((share**2).sum())
    if counts.size > 1:
        slope = np.gradient(counts)
        for name, place in (("max", int(slope.argmax())), ("min", int(slope.argmin()))):
            found[f"int_hist_{name}_gradient"] = float(slope[place])
            found[f"int_hist_{name}_gradient_intensity"] = float(low + place)
    return found


def volume_histogram(levels: NDArray[np.int64]) -> dict[str, float]:
    """Return the intensity-volume histogram features of discretised levels, at 10 and 90 %."""
    low, high = int(levels.min()), int(levels.max())
    if low == high:
        return {}
    steps = np.arange(low, high + 2)
    share = np.array([(levels >= step).mean() for step in steps])
    fraction = (steps - low) / (high - low)
    v10, v90 = (float(share[fraction >= g - 1e-12].max()) for g in (0.1, 0.9))
    i10, i90 = (float(steps[share <= g + 1e-12].min()) for g in (0.1, 0.9))
    return {
        "ivh_volume_at_intensity_10": v10,
        "ivh_volume_at_intensity_90": v90,
        "ivh_volume_at_intensity_difference": v10 - v90,
        "ivh_intensity_at_volume_10": i10,
        "ivh_intensity_at_volume_90": i90,
        "ivh_intensity_at_volume_difference": i10 - i90,
    }


def local_intensity(
    image: NDArray[np.float64], mask: NDArray[np.bool_], spacing: NDArray[np.float64]
) -> dict[str, float]:
    """Return local and global intensity peak: means over spheres of 1 mL, image included.

    Voxels around the region take part, so the image must reach 6.2 mm beyond it where it can.
    """
    from scipy.signal import fftconvolve

    reach = np.floor(_PEAK_RADIUS / spacing).astype(int)
    axes = [np.arange(-r, r + 1) * h for r, h in zip(reach, spacing, strict=True)]
    apart = np.sqrt(sum(x**2 for x in np.meshgrid(*axes, indexing="ij")))
    ball = (apart <= _PEAK_RADIUS).astype(np.float64)
    total = fftconvolve(image, ball, mode="same")
    count = np.rint(fftconvolve(np.ones(image.shape), ball, mode="same"))
    means = (total / count)[mask]
    values = image[mask]
    return {
        "loc_int_local_peak": float(means[values == values.max()].max()),
        "loc_int_global_peak": float(means.max()),
    }
