"""The lesions, features and labels a model may see, checked for leaks before anything is fitted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afterglow.errors import AfterglowError


@dataclass(frozen=True)
class Design:
    """One row per lesion at its landmark.

    Parameters
    ----------
    x : (n, p) float array
        Features; NaN is missing.
    y : (n,) int array of {0, 1}
        1 is progression.
    patients, centers : (n,) str array
        The patient is the unit of every split.
    names : tuple of str
        Feature names.
    rows : tuple of str
        Identity of each row, such as ``sub-1/L001/ses-2``.
    feature_days, landmark_days : (n,) float array, optional
        Day of the newest scan a row uses and day up to which scans may be used; NaN is unknown.

    Raises
    ------
    AfterglowError
        Lengths differ, a patient has no name or two centers, a feature comes from after the
        landmark, or two patients share a lesion's features.
    """

    x: NDArray[np.float64]
    y: NDArray[np.int64]
    patients: NDArray[np.str_]
    centers: NDArray[np.str_]
    names: tuple[str, ...]
    rows: tuple[str, ...]
    feature_days: NDArray[np.float64] | None = None
    landmark_days: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        n = self.y.size
        if self.x.shape != (n, len(self.names)) or not (
            self.patients.size == self.centers.size == len(self.rows) == n
        ):
            raise AfterglowError("features, labels, patients and centers differ in length")
        if n and not all(str(p) for p in self.patients):
            raise AfterglowError(
                "a lesion has no patient", expected="a patient for every row: splits are grouped"
            )
        self._refuse_future()
        self._refuse_duplicates()

    def _refuse_future(self) -> None:
        if self.feature_days is None or self.landmark_days is None:
            return
        late = np.flatnonzero(self.feature_days > self.landmark_days)
        if late.size:
            raise AfterglowError(
                f"{late.size} rows use scans from after their landmark",
                where=self.rows[int(late[0])],
                expected="features from scans up to the landmark",
            )

    def _refuse_duplicates(self) -> None:
        seen: dict[bytes, int] = {}
        for i, row in enumerate(self.x):
            if np.isfinite(row).sum() < 3:
                continue
            key = np.nan_to_num(np.round(row, 12), nan=np.inf, posinf=np.inf).tobytes()
            first = seen.setdefault(key, i)
            if self.patients[first] != self.patients[i]:
                raise AfterglowError(
                    "two patients have the same features, so one patient may be counted twice",
                    where=f"{self.rows[first]} and {self.rows[i]}",
                    remedy="map both to one subject, or remove one",
                )

    def take(self, index: NDArray[np.intp]) -> Design:
        """Return the rows at ``index``."""
        return replace(
            self,
            x=self.x[index],
            y=self.y[index],
            patients=self.patients[index],
            centers=self.centers[index],
            rows=tuple(self.rows[i] for i in index),
            feature_days=None if self.feature_days is None else self.feature_days[index],
            landmark_days=None if self.landmark_days is None else self.landmark_days[index],
        )

    def columns(self, names: Sequence[str]) -> Design:
        """Return the named features only."""
        at = [self.names.index(name) for name in names]
        return replace(self, x=self.x[:, at], names=tuple(names))

    @property
    def n_patients(self) -> int:
        """Number of patients."""
        return len(set(self.patients.tolist()))


def events_per_feature(design: Design) -> float:
    """Return lesions of the rarer class for each candidate feature."""
    rare = min(int(design.y.sum()), int((1 - design.y).sum()))
    return rare / max(len(design.names), 1)


def center_confounding(design: Design) -> dict[str, Any]:
    """Tell whether the share of progressions differs between centers.

    Returns
    -------
    dict
        ``p`` of a chi-squared test in which each patient counts once, ``flag`` where p < 0.05,
        ``prevalence`` (fraction of lesions) by center.
    """
    from scipy.stats import chi2_contingency

    centers = sorted(set(design.centers.tolist()))
    prevalence = {c: float(design.y[design.centers == c].mean()) for c in centers}
    table = np.array([_patient_counts(design, c) for c in centers], dtype=float)
    table = table[:, table.sum(axis=0) > 0]
    p = 1.0
    if len(centers) > 1 and table.shape[1] > 1:
        p = float(chi2_contingency(table)[1])
    return {"p": p, "flag": p < 0.05, "prevalence": prevalence}


def _patient_counts(design: Design, center: str) -> tuple[float, float]:
    """Return patients of a center by share of progressing lesions, summed over both classes."""
    here = design.centers == center
    shares: Counter[str] = Counter()
    sizes = Counter(design.patients[here].tolist())
    for patient, label in zip(design.patients[here], design.y[here], strict=True):
        shares[str(patient)] += int(label)
    up = sum(shares[p] / sizes[p] for p in sizes)
    return up, len(sizes) - up
