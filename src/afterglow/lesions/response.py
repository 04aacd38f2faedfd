"""Response of a lesion over time, and the limits of repeatability.

The thresholds are those of RANO-BM (Lin et al. 2015, as summarized in PMC6499019, table 4): partial
response is a decrease of at least 30 % from baseline, progression an increase of at least 20 %
over the nadir, and the nadir includes baseline. The absolute increase of 5 mm and the rule on
slices thicker than 5 mm are known from memory only: options, off by default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

VERSION = "lin2015-1"
Response = Literal["baseline", "CR", "PR", "SD", "PD", "not_evaluable"]


@dataclass(frozen=True)
class ResponseSettings:
    """Thresholds as fractions; optional clauses in mm or as a ratio, None where off."""

    increase: float = 0.2
    decrease: float = 0.3
    absolute_increase: float | None = None
    slice_factor: float | None = None
    immunotherapy: bool = False
    max_targets: int = 5

    def for_volume(self) -> ResponseSettings:
        """Return the same changes for volumes of spheres (+72.8 % and -65.7 %).

        Examples
        --------
        >>> volume = ResponseSettings().for_volume()
        >>> round(volume.increase, 3), round(volume.decrease, 3)
        (0.728, 0.657)
        """
        return ResponseSettings(
            increase=(1 + self.increase) ** 3 - 1, decrease=1 - (1 - self.decrease) ** 3
        )


@dataclass(frozen=True)
class Course:
    """Size of one lesion over its sessions, in order of time.

    ``sizes`` are NaN where the lesion could not be measured and 0 where it is gone.
    """

    sizes: tuple[float, ...]


@dataclass(frozen=True)
class Change:
    """Change of one lesion at one session, in percent, and its response."""

    from_baseline: float
    from_nadir: float
    response: Response


def lesion_response(course: Course, settings: ResponseSettings | None = None) -> list[Change]:
    """Return the response of one lesion at every session.

    The first measured size is the baseline; the nadir is the smallest size before the session,
    baseline included. A lesion that comes back after it was gone is progressing.

    Examples
    --------
    >>> [c.response for c in lesion_response(Course((10.0, 6.5, 9.0, 0.0, 5.0)))]
    ['baseline', 'PR', 'PD', 'CR', 'PD']
    """
    settings = settings or ResponseSettings()
    changes: list[Change] = []
    earlier: list[float] = []
    for size in course.sizes:
        if not np.isfinite(size):
            changes.append(Change(float("nan"), float("nan"), "not_evaluable"))
            continue
        changes.append(_change(size, earlier, settings))
        earlier.append(size)
    return changes


def _change(size: float, earlier: Sequence[float], settings: ResponseSettings) -> Change:
    if not earlier:
        return Change(float("nan"), float("nan"), "baseline")
    baseline, nadir = earlier[0], min(earlier)
    from_baseline = _percent(size, baseline)
    from_nadir = _percent(size, nadir)
    return Change(from_baseline, from_nadir, grade(size, baseline, nadir, settings))


def grade(size: float, baseline: float, nadir: float, settings: ResponseSettings) -> Response:
    """Return the response of one size or sum of sizes."""
    tiny = 1e-9
    if size <= 0:
        return "CR"
    grown = size >= nadir * (1 + settings.increase) - tiny and size > nadir
    if settings.absolute_increase is not None:
        grown = grown and size - nadir >= settings.absolute_increase - tiny
    if grown:
        return "PD"
    if size <= baseline * (1 - settings.decrease) + tiny:
        return "PR"
    return "SD"


def _percent(size: float, before: float) -> float:
    """Return the change in percent, NaN from nothing."""
    return 100 * (size / before - 1) if before > 0 else float("nan")


def measurable(
    longest: float,
    perpendicular: float,
    n_slices: int,
    slice_thickness: float = float("nan"),
    settings: ResponseSettings | None = None,
) -> bool:
    """Return whether a lesion is measurable: 10 mm or more, 5 mm across, on two slices or more.

    Parameters
    ----------
    longest, perpendicular : float
        Diameters, mm.
    n_slices : int
        Axial slices that show the lesion.
    slice_thickness : float, optional
        mm; only used where the optional clause is on.
    settings : ResponseSettings, optional
        Options.

    Examples
    --------
    >>> measurable(10.0, 5.0, 2), measurable(9.9, 5.0, 2), measurable(12.0, 4.9, 3)
    (True, False, False)
    """
    settings = settings or ResponseSettings()
    least = 10.0
    if settings.slice_factor is not None and slice_thickness > 5:
        least = max(least, settings.slice_factor * slice_thickness)
    return bool(longest >= least and perpendicular >= 5 and n_slices >= 2)


def exceeds_noise(before: float, after: float, within_cv: float) -> bool:
    """Return whether a change exceeds the 95 % limits of repeatability on the log scale.

    The limits are ``exp(+-2.77 sigma)`` with ``sigma^2 = ln(1 + wCV^2)``.

    Parameters
    ----------
    before, after : float
        Positive values.
    within_cv : float
        Within-subject coefficient of variation (fraction).

    Examples
    --------
    >>> low, high = repeatability_limits(0.31)
    >>> round(100 * (low - 1)), round(100 * (high - 1))
    (-57, 131)
    """
    low, high = repeatability_limits(within_cv)
    return not low <= after / before <= high


def repeatability_limits(within_cv: float) -> tuple[float, float]:
    """Return the ratios below and above which a change exceeds noise."""
    width = 2.77 * np.sqrt(np.log1p(within_cv**2))
    return float(np.exp(-width)), float(np.exp(width))
