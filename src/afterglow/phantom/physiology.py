"""What lesions are made of: drawn within published ranges, never tuned to a rule's cut-off.

Blood volume after the group means of Barajas 2009 (2.38 against 1.54 times white matter) and Huang
2011 (2.49 against 1.03); Ktrans after Almeida-Freitas 2014 (0.13 before and 0.08 1/min after
radiosurgery in all comers). T1 lies in the range assumed where there is no map. The groups overlap.
How much R2* leaked contrast adds grows with cell density; no human measurement gives its range
here, so it is wide and holds T1-dominant leakage (low) and T2*-dominant leakage (high).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from afterglow.phantom.plan import Kind, LesionState
from afterglow.phantom.seeds import generator

_TINY_MM = 8.0
# Median and standard deviation of the logarithm.
_TUMOUR = {"rcbv": (2.4, 0.30), "ktrans": (0.13, 0.35)}
_INJURY = {"rcbv": (1.15, 0.30), "ktrans": (0.08, 0.35)}
_LIMITS = {"rcbv": (0.5, 5.0), "ktrans": (0.02, 0.30)}
# Range of the change from one visit to the next.
_DRIFT: dict[Kind, tuple[float, float]] = {
    "progression": (0.95, 1.25),
    "treatment_effect": (0.85, 1.05),
    "stable": (0.60, 0.85),
}


@dataclass(frozen=True)
class Size:
    """Size of a lesion at one visit.

    Attributes
    ----------
    diameter : float
        mm.
    core : float
        Radius of the necrotic core over that of the lesion.
    edema : float, optional
        Width in mm; drawn where not given.
    part_of : int
        As of `LesionState`.
    """

    diameter: float
    core: float = 0.0
    edema: float | None = None
    part_of: int = 0


def course(
    seed: int,
    patient: str,
    number: int,
    kind: Kind,
    field: float,
    sizes: tuple[Size | None, ...],
) -> tuple[LesionState | None, ...]:
    """Return the states of a lesion: a tumour at planning, what its kind makes of it later.

    Parameters
    ----------
    seed, patient, number
        Which lesion of which cohort; all that is random follows from these.
    kind : str
        What the growth is.
    field : float
        Of the scanner, T.
    sizes : tuple
        One a visit; None where the lesion is not there.

    Examples
    --------
    >>> sizes = (Size(15.0), Size(20.0))
    >>> before, after = course(1, "A", 1, "treatment_effect", 3.0, sizes)
    >>> before == course(1, "A", 1, "progression", 3.0, sizes)[0]
    True
    >>> before.rcbv > after.rcbv
    True
    """
    rng = generator(seed, patient, number, "physiology")
    edemas = rng.uniform(4.0, 9.0, len(sizes))
    first = _tumour(rng, field)
    later = _injured(rng, first) if kind == "treatment_effect" else first
    states: list[LesionState | None] = []
    for visit, size in enumerate(sizes):
        if (visit and kind != "treatment_effect") or visit > 1:
            later = _drifted(rng, later, kind)
        state = later if visit else first
        states.append(None if size is None else _sized(state, size, float(edemas[visit])))
    return tuple(states)


def _tumour(rng: np.random.Generator, field: float) -> LesionState:
    low, high = (1.25, 1.60) if field > 2.0 else (1.0, 1.25)
    return LesionState(
        diameter=0.0,
        rcbv=_drawn(rng, "rcbv", _TUMOUR),
        ktrans=_drawn(rng, "ktrans", _TUMOUR),
        ve=_rounded(rng.uniform(0.22, 0.45)),
        t1=_rounded(rng.uniform(low, high)),
        mtt=_rounded(rng.uniform(4.5, 8.0)),
        r2s_ees=_rounded(rng.uniform(4.0, 22.0)),
        delay=_rounded(rng.uniform(0.6, 1.8)),
        dispersion=_rounded(rng.uniform(0.3, 1.5)),
    )


def _injured(rng: np.random.Generator, tumour: LesionState) -> LesionState:
    """Return irradiated tissue: fewer vessels, less permeable, less cellular."""
    return replace(
        tumour,
        rcbv=_drawn(rng, "rcbv", _INJURY),
        ktrans=_drawn(rng, "ktrans", _INJURY),
        r2s_ees=_rounded(rng.uniform(1.0, 12.0)),
    )


def _drifted(rng: np.random.Generator, state: LesionState, kind: Kind) -> LesionState:
    rcbv, ktrans = (
        _clipped(name, value * rng.uniform(*_DRIFT[kind]))
        for name, value in (("rcbv", state.rcbv), ("ktrans", state.ktrans))
    )
    return replace(state, rcbv=rcbv, ktrans=ktrans)


def _sized(state: LesionState, size: Size, edema: float) -> LesionState:
    drawn = _rounded(edema) if size.diameter >= _TINY_MM else 1.5
    return replace(
        state,
        diameter=float(size.diameter),
        core=size.core,
        edema=drawn if size.edema is None else size.edema,
        part_of=size.part_of,
    )


def _drawn(rng: np.random.Generator, name: str, spread: dict[str, tuple[float, float]]) -> float:
    median, deviation = spread[name]
    return _clipped(name, median * float(np.exp(deviation * rng.standard_normal())))


def _clipped(name: str, value: float) -> float:
    return _rounded(np.clip(value, *_LIMITS[name]))


def _rounded(value: float) -> float:
    return float(np.round(value, 4))
