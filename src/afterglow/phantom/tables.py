"""Feature tables of cohorts that never were, with a signal of known size.

`generate` returns rows in the schema of ``tables/features_wide`` (keys, ``days_from_srs``,
``outcome``, ``record_id``, then one column per ``map.region.statistic``), for the cohort stage and
for tests of scale. What makes real tables hard is in them and can be dialled: lesions of one
patient resemble each other in features and in outcome, centers shift features and differ in the
share of progressions, and perfusion is missing a whole modality at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from afterglow.phantom.seeds import generator

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

# Median and standard deviation of the logarithm over lesions.
_MAPS: dict[str, dict[str, tuple[float, float]]] = {
    "dsc": {
        "rCBV": (1.7, 0.45),
        "PSR": (75.0, 0.20),
        "PH": (28.0, 0.30),
        "CBF": (35.0, 0.45),
        "MTT": (6.0, 0.25),
        "Tmax": (1.5, 0.40),
    },
    "dce": {
        "Ktrans": (0.10, 0.50),
        "ve": (0.30, 0.35),
        "vp": (0.025, 0.45),
        "kep": (0.35, 0.40),
        "IAUC": (25.0, 0.40),
    },
    "other": {"T1": (1.4, 0.12), "FLAIR": (1.6, 0.20)},
}
_STATISTICS = (
    *("median", "p90", "hotspot", "ratio_median", "ratio_p90"),
    *("mean", "sd", "p10", "p25", "p75", "p95", "max"),
)
_REGIONS = ("lesion", "shell", "rim", "core")
DEFAULT_SIGNAL = {
    "rCBV.lesion.median": 1.0,
    "Ktrans.lesion.median": 0.7,
    "PSR.lesion.median": -0.7,
}


def feature_names(count: int) -> tuple[str, ...]:
    """Return the first ``count`` names, all maps of one region and statistic after the other.

    Examples
    --------
    >>> feature_names(3)
    ('rCBV.lesion.median', 'Ktrans.lesion.median', 'T1.lesion.median')
    >>> len(set(feature_names(600)))
    600
    """
    families = [list(maps) for maps in _MAPS.values()]
    longest = max(len(family) for family in families)
    turn = [f[k] for k in range(longest) for f in families if k < len(f)]
    names = [f"{m}.{region}.{s}" for region in _REGIONS for s in _STATISTICS for m in turn]
    names += [f"{m}.lesion.q{k:04d}" for k in range(count) for m in turn]
    return tuple(names[:count])


def generate(
    *,
    patients: int = 60,
    lesions_per_patient: int | tuple[int, int] = (1, 5),
    centers: int | Sequence[str] = 3,
    features: int | Sequence[str] = 24,
    signal: float | Mapping[str, float] = 1.0,
    prevalence: float | Sequence[float] = 0.5,
    missing: float | Sequence[float] = 0.0,
    seed: int = 0,
    shift: float = 0.3,
    likeness: float = 0.5,
    patient_sd: float = 1.0,
    sessions: int = 1,
) -> pd.DataFrame:
    """Return the wide table of a synthetic cohort.

    Every feature of every lesion has a standard score z: normal over lesions, of which
    ``likeness`` is shared by the patient. The log odds of progression are linear in z, so the best
    possible discrimination is known. Stored values are positive: median times exp(spread (z +
    shift of the center)), with the medians and spreads of perfusion maps.

    Parameters
    ----------
    patients : int
        Number of patients, dealt to the centers in turn.
    lesions_per_patient : int or tuple of int
        A fixed number, or the lowest and highest of a uniform draw.
    centers : int or sequence of str
        Number of centers (``c1``, ``c2``, ...) or their names.
    features : int or sequence of str
        Number of columns (see `feature_names`) or their names, ``map.region.statistic``.
    signal : float or mapping of str to float
        Log odds ratio per standard deviation of each feature; a number scales what of
        `DEFAULT_SIGNAL` is among the features, and 0 makes outcomes independent of all features.
    prevalence : float or sequence of float
        Share of progressions, of all centers or of each.
    missing : float or sequence of float
        Share of lesion x session rows whose DSC columns are all empty, and independently of those
        whose DCE columns are; of all centers or of each.
    seed : int
        Everything random follows from it; the same arguments give the same bytes.
    shift : float
        Standard deviation of the centers' shifts, in standard deviations of a feature.
    likeness : float
        Correlation of a feature between two lesions of one patient, 0 to 1.
    patient_sd : float
        Standard deviation of the patient's own log odds, which no feature shows.
    sessions : int
        Sessions per lesion; z differs between them by a tenth of its variance.

    Returns
    -------
    DataFrame
        Rows ordered by center, subject, session, lesion. ``outcome`` is ``progression`` or
        ``treatment_effect``; NaN is what was not measured.

    Raises
    ------
    ValueError
        A probability outside 0 to 1, a list that does not fit the centers, or a signal that names
        no feature.

    Examples
    --------
    >>> table = generate(patients=4, lesions_per_patient=2, centers=2, features=3, seed=1)
    >>> table.shape, list(table.columns[5:9])
    ((8, 11), ['days_from_srs', 'outcome', 'record_id', 'rCBV.lesion.median'])
    """
    rng = generator(seed, "tables", patients, sessions)
    names = feature_names(features) if isinstance(features, int) else tuple(features)
    sites = _names(centers)
    weights = _weights(signal, names)
    low, high = _bounds(lesions_per_patient)
    patient = np.repeat(np.arange(patients), rng.integers(low, high + 1, patients))
    site = patient % len(sites)
    z = _scores(rng, patient, patients, len(names), _share(likeness, "likeness"))
    log_odds = z @ weights + patient_sd * rng.standard_normal(patients)[patient]
    progression = _outcomes(rng, log_odds, site, _per_center(prevalence, sites, "prevalence"))
    shifts = shift * rng.standard_normal((len(sites), len(names)))
    gaps = _per_center(missing, sites, "missing")
    visits = []
    for _ in range(sessions):
        seen = z if sessions == 1 else np.sqrt(0.9) * z + np.sqrt(0.1) * _normal(rng, z.shape)
        values = _values(seen + shifts[site], names)
        visits.append(_with_gaps(rng, values, names, gaps[site]))
    days = rng.uniform(60.0, 150.0, patients).round()
    return _frame(sites, patient, progression, days, names, visits)


def _frame(
    sites: Sequence[str],
    patient: NDArray[np.int64],
    progression: NDArray[np.bool_],
    days: Floats,
    names: Sequence[str],
    visits: Sequence[Floats],
) -> pd.DataFrame:
    """Return keys and values of all visits, in order of center, subject, session, lesion."""
    import pandas as pd

    number = np.arange(patient.size) - np.searchsorted(patient, patient) + 1
    parts = []
    for visit, values in enumerate(visits):
        session = f"s{visit + 1:02d}"
        keys = {
            "center": [sites[p % len(sites)] for p in patient],
            "subject": [f"p{p + 1:05d}" for p in patient],
            "session": session,
            "lesion_id": [f"L{n:03d}" for n in number],
            "label": number.astype(np.int64),
            "days_from_srs": days[patient] + 90.0 * visit,
            "outcome": np.where(progression, "progression", "treatment_effect"),
            "record_id": [
                hashlib.sha256(f"{p}/{session}".encode()).hexdigest() for p in patient.tolist()
            ],
        }
        columns = pd.DataFrame(values, columns=list(names))
        parts.append(pd.concat([pd.DataFrame(keys), columns], axis=1))
    table = pd.concat(parts, ignore_index=True)
    order = ["center", "subject", "session", "lesion_id"]
    return table.sort_values(order, kind="stable", ignore_index=True)


def _scores(
    rng: np.random.Generator, patient: NDArray[np.int64], patients: int, count: int, likeness: float
) -> Floats:
    """Return standard scores (lesions, features) with the correlation wanted within patients."""
    shared = _normal(rng, (patients, count))[patient]
    own = _normal(rng, (patient.size, count))
    return np.asarray(np.sqrt(likeness) * shared + np.sqrt(1.0 - likeness) * own)


def _outcomes(
    rng: np.random.Generator, log_odds: Floats, site: NDArray[np.int64], prevalence: Floats
) -> NDArray[np.bool_]:
    """Draw outcomes; each center's intercept gives it the prevalence wanted, on average."""
    chance = np.empty_like(log_odds)
    for k, wanted in enumerate(prevalence):
        here = site == k
        chance[here] = _logistic(log_odds[here] + _intercept(log_odds[here], wanted))
    return np.asarray(rng.random(log_odds.size) < chance)


def _intercept(log_odds: Floats, wanted: float) -> float:
    """Return what to add to log odds so that the mean probability is the one wanted."""
    low, high = -60.0, 60.0
    for _ in range(80):
        middle = (low + high) / 2.0
        if log_odds.size and _logistic(log_odds + middle).mean() > wanted:
            high = middle
        else:
            low = middle
    return (low + high) / 2.0


def _values(z: Floats, names: Sequence[str]) -> Floats:
    """Return positive values from standard scores."""
    table = {name: law for maps in _MAPS.values() for name, law in maps.items()}
    laws = [table.get(name.split(".")[0], (1.0, 0.4)) for name in names]
    median, spread = np.array(laws).T
    return np.asarray(median * np.exp(spread * z))


def _with_gaps(
    rng: np.random.Generator, values: Floats, names: Sequence[str], share: Floats
) -> Floats:
    """Empty the columns of a modality in the share of rows wanted, DSC and DCE independently."""
    for modality in ("dsc", "dce"):
        columns = np.array([n.split(".")[0] in _MAPS[modality] for n in names])
        rows = rng.random(len(values)) < share
        values[np.ix_(rows, columns)] = np.nan
    return values


def _weights(signal: float | Mapping[str, float], names: Sequence[str]) -> Floats:
    if isinstance(signal, Mapping):
        unknown = sorted(set(signal) - set(names))
        if unknown:
            raise ValueError(f"signal names no feature: {', '.join(unknown)}")
        wanted = dict(signal)
    else:
        wanted = {name: signal * weight for name, weight in DEFAULT_SIGNAL.items()}
    return np.array([wanted.get(name, 0.0) for name in names])


def _names(centers: int | Sequence[str]) -> tuple[str, ...]:
    return tuple((f"c{k + 1}" for k in range(centers)) if isinstance(centers, int) else centers)


def _bounds(lesions: int | tuple[int, int]) -> tuple[int, int]:
    return (lesions, lesions) if isinstance(lesions, int) else lesions


def _per_center(value: float | Sequence[float], sites: Sequence[str], name: str) -> Floats:
    given = [value] * len(sites) if isinstance(value, int | float) else list(value)
    if len(given) != len(sites):
        raise ValueError(f"{name} has {len(given)} values for {len(sites)} centers")
    return np.array([_share(v, name) for v in given])


def _share(value: float, name: str) -> float:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} must lie between 0 and 1, not {value}")
    return float(value)


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return np.asarray(rng.standard_normal(shape))


def _logistic(x: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))
