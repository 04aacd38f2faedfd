"""Measured against known truth, where a digital phantom provides it."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from afterglow.errors import AfterglowError
from afterglow.report.crosswalk import Locate

Row = Mapping[str, Any]
NAMES = {"patient", "study_date", "study_uid", "lesion"}
NEEDED = ("patient", "study_date", "lesion", "centroid_x", "centroid_y", "centroid_z")


@dataclass(frozen=True)
class Quantity:
    """What is compared: truth columns (the first there is), table entry, unit, target (percent).

    A median over the lesion is that of enhancing tissue while the core is the smaller part, so
    the truth of enhancing tissue comes first. T1 is compared with its value when the flip angles
    were acquired, which contrast given before has shortened. No target: nothing was promised.
    """

    name: str
    truth: tuple[str, ...]
    map: str
    statistic: str
    unit: str
    target: float | None = None
    per_session: bool = False


QUANTITIES = (
    Quantity("Lesion volume", ("volume_ml",), "volume", "", "mL", 5.0),
    Quantity("rCBV", ("rcbv_enhancing", "rcbv"), "rCBV", "median", "ratio", 15.0),
    Quantity("PSR", ("psr",), "PSR", "median", "%"),
    Quantity("Ktrans", ("ktrans_enhancing", "ktrans"), "Ktrans", "median", "1/min", 20.0),
    Quantity("ve", ("ve_enhancing", "ve"), "ve", "median", "fraction"),
    Quantity("vp", ("vp_enhancing", "vp"), "vp", "median", "fraction"),
    Quantity("Lesion T1", ("t1_vfa",), "T1", "median", "s"),
    Quantity("White-matter T1", ("t1_wm_vfa", "t1_wm"), "T1", "median", "s", 5.0, per_session=True),
)
REFERENCE_REGIONS = ("whole_brain_nawm", "contralateral_nawm")


@dataclass(frozen=True)
class Agreement:
    """Agreement of one quantity with truth.

    Errors in percent of truth; ``bias`` and ``limits`` (Bland and Altman 1986) in ``unit``.
    ``n_missing`` counts truths without a measured value; ``centers`` names the center of each
    pair.
    """

    quantity: Quantity
    truth: tuple[float, ...]
    measured: tuple[float, ...]
    n_missing: int
    centers: tuple[str, ...] = ()

    def by_center(self) -> dict[str, Agreement]:
        """Return the agreement within each center, in order of name."""
        found = {}
        for center in sorted(set(self.centers)):
            here = [k for k, name in enumerate(self.centers) if name == center]
            found[center] = Agreement(
                self.quantity,
                tuple(self.truth[k] for k in here),
                tuple(self.measured[k] for k in here),
                0,
                (center,) * len(here),
            )
        return found

    @property
    def median_error(self) -> float:
        """Median absolute error (percent), NaN without pairs."""
        if not self.truth:
            return math.nan
        t, m = np.array(self.truth), np.array(self.measured)
        return float(np.median(np.abs(m / t - 1)) * 100)

    @property
    def bias(self) -> float:
        """Mean of measured less true value, in the unit of the quantity."""
        return float(np.mean(self._differences)) if self.truth else math.nan

    @property
    def limits(self) -> tuple[float, float]:
        """Limits of agreement (bias ± 1.96 SD); NaN with fewer than two pairs."""
        if len(self.truth) < 2:
            return math.nan, math.nan
        half = 1.96 * float(np.std(self._differences, ddof=1))
        return self.bias - half, self.bias + half

    @property
    def verdict(self) -> str:
        """``met``, ``missed``, ``none`` without pairs, or ``open`` without a target."""
        if not self.truth:
            return "none"
        if self.quantity.target is None:
            return "open"
        return "met" if self.median_error <= self.quantity.target else "missed"

    @property
    def _differences(self) -> list[float]:
        return [m - t for t, m in zip(self.truth, self.measured, strict=True)]

    def as_dict(self) -> dict[str, Any]:
        """Return the figures for JSON; NaN becomes null."""
        low, high = self.limits
        numbers = {
            "median_absolute_error_percent": self.median_error,
            "bias": self.bias,
            "limit_low": low,
            "limit_high": high,
        }
        return {
            "quantity": self.quantity.name,
            "unit": self.quantity.unit,
            "target_percent": self.quantity.target,
            "verdict": self.verdict,
            "n": len(self.truth),
            "n_missing": self.n_missing,
            **{k: None if math.isnan(v) else v for k, v in numbers.items()},
            **({"by_center": self._centers()} if len(set(self.centers)) > 1 else {}),
        }

    def _centers(self) -> dict[str, dict[str, Any]]:
        kept = ("median_absolute_error_percent", "bias", "limit_low", "limit_high", "n")
        found = self.by_center().items()
        return {center: {k: a.as_dict()[k] for k in kept} for center, a in found}


def read_truth(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a truth file; what reads as a number is one.

    Raises
    ------
    AfterglowError
        A needed column is missing.
    """
    with path.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        missing = [name for name in NEEDED if name not in (reader.fieldnames or [])]
        if missing:
            raise AfterglowError(
                f"the truth file has no column {', '.join(missing)}", where=path.name
            )
        return [{k: v if k in NAMES else _number(v) for k, v in r.items()} for r in reader]


def assess(
    truth: Sequence[Row],
    locate: Locate,
    lesions: Iterable[Row],
    features: Iterable[Row],
    distance: float,
) -> list[Agreement]:
    """Return the agreement of every quantity.

    Parameters
    ----------
    truth : sequence of mapping
        Rows of the truth file.
    locate : callable
        Subject and session of a row of the truth; None where the study has none.
    lesions, features : iterable of mapping
        Rows of the tables.
    distance : float
        Farthest centroid that is the same lesion (mm).
    """
    shown = [row for row in lesions if row["label"] != 0 and _known(row.get("centroid_x"))]
    values = _values(features)
    matched = [(row, _match(row, locate, shown, distance)) for row in truth]
    return [_agreement(q, matched, values) for q in QUANTITIES]


def _match(
    row: Row,
    locate: Locate,
    lesions: Sequence[Row],
    distance: float,
) -> Row | None:
    place = locate(row)
    near = [
        (math.dist(_point(row), _point(lesion)), str(lesion["lesion_id"]), lesion)
        for lesion in lesions
        if (lesion["subject"], lesion["session"]) == place
    ]
    near = [entry for entry in near if entry[0] <= distance]
    return min(near, key=lambda entry: entry[:2])[2] if near else None


def _agreement(
    quantity: Quantity,
    matched: Sequence[tuple[Row, Row | None]],
    values: Mapping[tuple[Any, ...], float],
) -> Agreement:
    true, found, centers, missing, seen = [], [], [], 0, set()
    for row, lesion in matched:
        known = next((row[name] for name in quantity.truth if _known(row.get(name))), None)
        if not known:
            continue
        visit = (row["patient"], row["study_date"])
        if quantity.per_session and visit in seen:
            continue
        number = None if lesion is None else _measured(quantity, lesion, values)
        if number is None:
            missing += not quantity.per_session
            continue
        seen.add(visit)
        true.append(float(known))
        found.append(number)
        centers.append(str((lesion or {}).get("center") or ""))
    if quantity.per_session:
        missing = len({(r["patient"], r["study_date"]) for r, _ in matched} - seen)
    return Agreement(quantity, tuple(true), tuple(found), missing, tuple(centers))


def _measured(
    quantity: Quantity, lesion: Row, values: Mapping[tuple[Any, ...], float]
) -> float | None:
    if quantity.map == "volume":
        return float(lesion["volume"]) if _known(lesion.get("volume")) else None
    own = (lesion["subject"], lesion["session"], lesion["label"])
    regions = REFERENCE_REGIONS if quantity.per_session else ("lesion",)
    for region in regions:
        number = values.get((*own, region, quantity.map, quantity.statistic))
        if number is not None:
            return number
    return None


def _values(features: Iterable[Row]) -> dict[tuple[Any, ...], float]:
    wanted = {(q.map, q.statistic) for q in QUANTITIES}
    return {
        (r["subject"], r["session"], r["label"], r["region"], r["map"], r["statistic"]): r["value"]
        for r in features
        if (r["map"], r["statistic"]) in wanted and r["evaluable"] and _known(r["value"])
    }


def _point(row: Row) -> tuple[float, float, float]:
    return float(row["centroid_x"]), float(row["centroid_y"]), float(row["centroid_z"])


def _known(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan
