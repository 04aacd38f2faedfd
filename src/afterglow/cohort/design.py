"""The lesions, features and labels a model may see, checked for leaks before anything is fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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
    harmonized : bool
        Centers were adjusted to each other already; then nothing may be split any more.
    part : bool
        Rows or columns of a design that was checked for duplicates as a whole.

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
    harmonized: bool = False
    part: bool = field(default=False, repr=False, compare=False)

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
        if not self.part:
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
        telling = self.x[:, _telling(self.x)]
        # Rounded, so that a value that went through a text file is still itself.
        rounded = np.nan_to_num(np.round(telling, 12), nan=np.inf, posinf=np.inf)
        seen: dict[bytes, int] = {}
        for i in np.flatnonzero(np.isfinite(telling).sum(axis=1) >= 3).tolist():
            first = seen.setdefault(rounded[i].tobytes(), i)
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
            part=True,
        )

    def columns(self, names: Sequence[str]) -> Design:
        """Return the named features only."""
        at = [self.names.index(name) for name in names]
        return replace(self, x=self.x[:, at], names=tuple(names), part=True)

    @property
    def n_patients(self) -> int:
        """Number of patients."""
        return len(set(self.patients.tolist()))


def _telling(x: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which features vary so finely that two lesions hardly share a value (doses do)."""
    found = np.zeros(x.shape[1], dtype=bool)
    for j, column in enumerate(x.T):
        known = column[np.isfinite(column)]
        found[j] = known.size > 0 and np.unique(known).size > 0.5 * known.size
    return found


def events_per_feature(design: Design) -> float:
    """Return lesions of the rarer class for each candidate feature."""
    rare = min(int(design.y.sum()), int((1 - design.y).sum()))
    return rare / max(len(design.names), 1)


def center_confounding(design: Design, *, samples: int = 1999, seed: int = 0) -> dict[str, Any]:
    """Tell whether the share of progressions differs between centers.

    Parameters
    ----------
    design : Design
        Lesions, patients and centers.
    samples, seed : int
        Random reassignments of whole patients to centers of the same sizes.

    Returns
    -------
    dict
        ``p`` of the permutation test of Pearson's statistic (lesions of one patient move
        together, so they are not counted as independent), ``flag`` where p < 0.05,
        ``prevalence`` (fraction of lesions) by center.
    """
    centers, place = np.unique(design.centers, return_inverse=True)
    patients, which = np.unique(design.patients, return_inverse=True)
    prevalence = {str(c): float(design.y[design.centers == c].mean()) for c in centers}
    overall = float(design.y.mean()) if design.y.size else 0.0
    if centers.size < 2 or not 0 < overall < 1:
        return {"p": 1.0, "flag": False, "prevalence": prevalence}
    counts = np.zeros((2, patients.size))
    np.add.at(counts[0], which, design.y)
    np.add.at(counts[1], which, 1.0)
    home = np.zeros(patients.size, dtype=np.intp)
    home[which] = place
    member = np.eye(centers.size)[home]
    rng = np.random.default_rng(seed)
    found = _pearson(counts @ member, overall)
    null = [_pearson(counts @ member[rng.permutation(home.size)], overall) for _ in range(samples)]
    p = (1 + sum(value >= found - 1e-12 for value in null)) / (1 + samples)
    return {"p": p, "flag": p < 0.05, "prevalence": prevalence}


def _pearson(counts: NDArray[np.float64], overall: float) -> float:
    """Return Pearson's statistic of events and lesions (2, k) against one shared prevalence."""
    up, n = counts
    return float(
        (((up - overall * n) ** 2) / np.maximum(n, 1e-9)).sum() / (overall * (1 - overall))
    )
