"""Change of the lesion region over time, as columns of the modelling matrix.

``change_baseline`` and ``change_nadir`` are in percent of the first positive and of the smallest
earlier value, ``change_month`` is the compounded percentage per month since the last value, and
``change_real`` says whether the change from baseline exceeds the limits of repeatability: -1 below,
1 above, 0 within.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from afterglow.lesions.growth import MONTH
from afterglow.lesions.response import repeatability_limits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.tables.wide import Wide

KINDS = {
    "change_baseline": ("%", "change from baseline of "),
    "change_nadir": ("%", "change from nadir of "),
    "change_month": ("%", "change per month since the last session of "),
    "change_real": ("", "change from baseline beyond the limits of repeatability (-1, 0, 1) of "),
}
Moment = tuple[str, str]  # subject and session


@dataclass(frozen=True, eq=False)
class Changes:
    """Columns of change: names, units and definitions follow from ``KINDS``."""

    names: list[str]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class ChangeSettings:
    """Statistics whose change is wanted, and coefficients of variation by map or by size."""

    statistics: tuple[str, ...]
    repeatability: Mapping[str, float]

    def noise(self, name: str) -> float | None:
        """Return the coefficient of variation of a column, None where nobody gave one."""
        image, _, statistic = name.split(".")
        return self.repeatability.get(statistic if image == "shape" else image)


def change_columns(
    wide: Wide,
    order: Mapping[Moment, int],
    days: Mapping[Moment, float],
    settings: ChangeSettings,
) -> Changes:
    """Return the changes of the lesion region.

    Parameters
    ----------
    wide : Wide
        The matrix.
    order : mapping
        Place in time of every (subject, session).
    days : mapping
        Days of (subject, session) since any day of the subject, where known.
    settings : ChangeSettings
        What is wanted.
    """
    chosen = [
        (k, name)
        for k, name in enumerate(wide.names)
        if name.split(".")[1] == "lesion" and name.split(".")[2] in settings.statistics
    ]
    moments = [(key[1], key[2]) for key in wide.keys]
    courses: dict[tuple[str, str], list[int]] = {}
    for row, key in enumerate(wide.keys):
        courses.setdefault((key[1], key[3]), []).append(row)
    for rows in courses.values():
        rows.sort(key=lambda r: (order[moments[r]], wide.keys[r][4]))
    when = np.array([days.get(moment, np.nan) for moment in moments])
    block = wide.values[:, [k for k, _ in chosen]]
    made = _changes(block, when, list(courses.values()))
    names: list[str] = []
    columns: list[NDArray[np.float64]] = []
    for place, (_, name) in enumerate(chosen):
        for kind, values in made.items():
            names.append(f"{name}.{kind}")
            columns.append(values[:, place])
        noise = settings.noise(name)
        if noise is not None:
            names.append(f"{name}.change_real")
            columns.append(_real(made["change_baseline"][:, place], noise))
    stacked = np.stack(columns, axis=1) if columns else np.zeros((len(wide.keys), 0))
    return Changes(names, stacked)


def _real(change: NDArray[np.float64], within_cv: float) -> NDArray[np.float64]:
    """Return where a change (%) leaves the 95 % limits of repeatability on the log scale."""
    low, high = repeatability_limits(within_cv)
    ratio = 1 + change / 100
    found = np.where(ratio > high, 1.0, np.where(ratio < low, -1.0, 0.0))
    return np.where(np.isfinite(change), found, np.nan)


def _changes(
    values: NDArray[np.float64], when: NDArray[np.float64], courses: Sequence[Sequence[int]]
) -> dict[str, NDArray[np.float64]]:
    """Return the changes (%) of every cell by kind.

    All lesions advance together, one session at a time. Only positive values are compared with.
    """
    found = {kind: np.full(values.shape, np.nan) for kind in list(KINDS)[:3]}
    first = np.full((len(courses), values.shape[1]), np.nan)
    lowest, last, day = first.copy(), first.copy(), first.copy()
    for step in range(max((len(rows) for rows in courses), default=0)):
        there = np.array([k for k, rows in enumerate(courses) if len(rows) > step])
        rows = np.array([courses[k][step] for k in there])
        now, today = values[rows], when[rows][:, None]
        found["change_baseline"][rows] = 100 * (now / first[there] - 1)
        found["change_nadir"][rows] = 100 * (now / lowest[there] - 1)
        usable = np.where(now > 0, now, np.nan)
        months = (today - day[there]) / MONTH
        months = np.where(months > 0, months, np.nan)
        found["change_month"][rows] = 100 * np.expm1(np.log(usable / last[there]) / months)
        seen = np.isfinite(usable)
        first[there] = np.where(np.isnan(first[there]), usable, first[there])
        lowest[there] = np.fmin(lowest[there], usable)
        last[there] = np.where(seen, usable, last[there])
        day[there] = np.where(seen, today, day[there])
    return found


def described(name: str) -> tuple[str, str, str]:
    """Return the column that a change is of, its unit and what it is.

    Examples
    --------
    >>> described("rCBV.lesion.median.change_nadir")
    ('rCBV.lesion.median', '%', 'change from nadir of ')
    """
    base, _, kind = name.rpartition(".")
    return (base, *KINDS[kind])
