"""The tracer-kinetic models: their columns, their parameters, and how errors carry over.

All are convolutions of the plasma input with at most two exponentials (times in minutes):

========================  ==========================================  =============================
model                     tissue concentration                        factors
========================  ==========================================  =============================
``tofts``                 ``Ktrans e(kep)``                           Ktrans
``extended_tofts``        ``vp c + Ktrans e(kep)``                    vp, Ktrans
``patlak``                ``vp c + Ktrans e(0)``                      vp, Ktrans
``2cum``                  ``E Fp e(0) + (1 - E) Fp e(1/Tp)``          Ktrans, (1 - E) Fp
``2cxm``                  ``b1 e(K1) + b2 e(K2)``                     b1, b2
========================  ==========================================  =============================

with ``E = PS/(Fp + PS)``, ``Tp = vp/(Fp + PS)``, after Sourbron and Buckley 2012 (PMB 57:R1). The
exchange model is inverted by its moments: ``Fp = b1 + b2``, ``vp = Fp^2/(b1 K1 + b2 K2)``,
``vp + ve = b1/K1 + b2/K2``, ``PS = ve vp K1 K2/Fp``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Model = Literal["tofts", "extended_tofts", "patlak", "2cum", "2cxm"]

_INPUT, _INTEGRAL, _EXPONENTIAL = 0, 1, 2

DEFAULT_BOUNDS: dict[str, tuple[float, float]] = {
    "Ktrans": (0.0, 5.0),
    "kep": (1e-3, 60.0),
    "ve": (0.0, 1.0),
    "vp": (0.0, 1.0),
    "Fp": (0.0, 1000.0),
    "PS": (0.0, 5.0),
    "delay": (-10.0, 20.0),
}
"""Bounds by parameter: Ktrans, kep, PS 1/min, Fp mL/100 mL/min, delay s, ve and vp fractions."""

_MAX_RATE = 300.0


@dataclass(frozen=True)
class Spec:
    """Columns of a model, its rates, the parameters that are free, and those reported besides."""

    name: str
    kinds: tuple[int, ...]
    n_rates: int
    free: tuple[str, ...]
    derived: tuple[str, ...]

    @property
    def n_parameters(self) -> int:
        """Number of free parameters without a delay."""
        return len(self.kinds) + self.n_rates


SPECS: dict[str, Spec] = {
    "patlak": Spec("patlak", (_INPUT, _INTEGRAL), 0, ("Ktrans", "vp"), ("PS",)),
    "tofts": Spec("tofts", (_EXPONENTIAL,), 1, ("Ktrans", "ve"), ("kep",)),
    "extended_tofts": Spec(
        "extended_tofts", (_INPUT, _EXPONENTIAL), 1, ("Ktrans", "ve", "vp"), ("kep",)
    ),
    "2cum": Spec("2cum", (_INTEGRAL, _EXPONENTIAL), 1, ("Fp", "PS", "vp"), ("Ktrans",)),
    "2cxm": Spec("2cxm", (_EXPONENTIAL, _EXPONENTIAL), 2, ("Fp", "PS", "ve", "vp"), ("Ktrans",)),
}


def factor_bounds(
    spec: Spec, bounds: dict[str, tuple[float, float]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return bounds of the factors (lower, upper) and of two rates and delay (low, high)."""
    flow = bounds["Fp"][1] / 100.0
    by_model = {
        "patlak": (bounds["vp"], bounds["Ktrans"]),
        "tofts": (bounds["Ktrans"], (0.0, 0.0)),
        "extended_tofts": (bounds["vp"], bounds["Ktrans"]),
        "2cum": ((0.0, flow), (0.0, flow)),
        "2cxm": ((0.0, flow), (0.0, flow)),
    }
    factors = np.array(by_model[spec.name], dtype=np.float64)
    rate = bounds["kep"] if spec.name in {"tofts", "extended_tofts"} else (1e-3, _MAX_RATE)
    delay = (bounds["delay"][0] / 60.0, bounds["delay"][1] / 60.0)
    others = np.array((rate, rate, delay), dtype=np.float64)
    return factors[:, 0].copy(), factors[:, 1].copy(), others[:, 0].copy(), others[:, 1].copy()


def derive(
    spec: Spec, parameters: NDArray[np.float64]
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return every reported parameter and its gradient in (factors, log rates).

    Parameters
    ----------
    spec : Spec
        The model.
    parameters : array (n_voxels, 5)
        Two factors, two rates (1/min), delay (min).

    Returns
    -------
    dict of (values (n_voxels,), gradient (n_voxels, n_parameters))
    """
    b1, b2, k1, k2 = parameters[:, 0], parameters[:, 1], parameters[:, 2], parameters[:, 3]
    zero, one = np.zeros_like(b1), np.ones_like(b1)
    with np.errstate(all="ignore"):
        if spec.name == "patlak":
            ktrans = (b2, _stack(zero, one))
            return {"Ktrans": ktrans, "vp": (b1, _stack(one, zero)), "PS": ktrans}
        if spec.name == "tofts":
            ve = b1 / k1
            return {
                "Ktrans": (b1, _stack(one, zero)),
                "ve": (ve, _stack(1.0 / k1, -ve)),
                "kep": (k1, _stack(zero, k1)),
            }
        if spec.name == "extended_tofts":
            ve = b2 / k1
            return {
                "Ktrans": (b2, _stack(zero, one, zero)),
                "ve": (ve, _stack(zero, 1.0 / k1, -ve)),
                "vp": (b1, _stack(one, zero, zero)),
                "kep": (k1, _stack(zero, zero, k1)),
            }
        return _uptake(b1, b2, k1) if spec.name == "2cum" else _exchange(b1, b2, k1, k2)


def _stack(*columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return columns side by side."""
    return np.stack(columns, axis=1)


def _uptake(
    b1: NDArray[np.float64], b2: NDArray[np.float64], k: NDArray[np.float64]
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return the parameters of the two-compartment uptake model."""
    zero, one = np.zeros_like(b1), np.ones_like(b1)
    flow = b1 + b2
    ratio = b1 / b2
    vp = flow**2 / (k * b2)
    return {
        "Fp": (100.0 * flow, 100.0 * _stack(one, one, zero)),
        "PS": (flow * ratio, _stack(2.0 * ratio + 1.0, -(ratio**2), zero)),
        "vp": (vp, _stack(2 * flow / (k * b2), 2 * flow / (k * b2) - vp / b2, -vp)),
        "Ktrans": (b1, _stack(one, zero, zero)),
    }


def _exchange(
    b1: NDArray[np.float64],
    b2: NDArray[np.float64],
    k1: NDArray[np.float64],
    k2: NDArray[np.float64],
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return the parameters of the two-compartment exchange model."""
    zero, one = np.zeros_like(b1), np.ones_like(b1)
    flow, d_flow = b1 + b2, _stack(one, one, zero, zero)
    fall, d_fall = b1 * k1 + b2 * k2, _stack(k1, k2, b1 * k1, b2 * k2)
    vp = flow**2 / fall
    d_vp = (2.0 * flow / fall)[:, None] * d_flow - (flow**2 / fall**2)[:, None] * d_fall
    ve = b1 / k1 + b2 / k2 - vp
    d_ve = _stack(1.0 / k1, 1.0 / k2, -b1 / k1, -b2 / k2) - d_vp
    back = k1 * k2 * vp / flow
    d_back = back[:, None] * (
        _stack(zero, zero, one, one) + d_vp / vp[:, None] - d_flow / flow[:, None]
    )
    ps, d_ps = back * ve, ve[:, None] * d_back + back[:, None] * d_ve
    both = flow + ps
    ktrans = flow * ps / both
    d_ktrans = ((ps / both) ** 2)[:, None] * d_flow + ((flow / both) ** 2)[:, None] * d_ps
    return {
        "Fp": (100.0 * flow, 100.0 * d_flow),
        "PS": (ps, d_ps),
        "ve": (ve, d_ve),
        "vp": (vp, d_vp),
        "Ktrans": (ktrans, d_ktrans),
    }


def to_columns(spec: Spec, maps: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return two factors, two rates, delay (min) of reported parameters, shape (n_voxels, 5).

    Raises
    ------
    KeyError
        Where a parameter of the model is missing.
    """
    first = next(iter(maps.values()))
    out = np.zeros((first.size, 5))
    out[:, 2:4] = 1.0
    if "delay" in maps:
        out[:, 4] = maps["delay"] / 60.0
    with np.errstate(all="ignore"):
        if spec.name == "patlak":
            out[:, 0], out[:, 1] = maps["vp"], maps["Ktrans"]
        elif spec.name == "tofts":
            out[:, 0], out[:, 2] = maps["Ktrans"], maps["Ktrans"] / maps["ve"]
        elif spec.name == "extended_tofts":
            out[:, 0], out[:, 1] = maps["vp"], maps["Ktrans"]
            out[:, 2] = maps["Ktrans"] / maps["ve"]
        else:
            flow, ps, vp = maps["Fp"] / 100.0, maps["PS"], maps["vp"]
            extraction = ps / (flow + ps)
            if spec.name == "2cum":
                out[:, 0], out[:, 1] = extraction * flow, (1.0 - extraction) * flow
                out[:, 2] = (flow + ps) / vp
            else:
                out[:, :4] = _exchange_columns(flow, ps, vp, maps["ve"])
    return out


def _exchange_columns(
    flow: NDArray[np.float64],
    ps: NDArray[np.float64],
    vp: NDArray[np.float64],
    ve: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return factors and rates of the exchange model."""
    out_rate, back = (flow + ps) / vp, ps / ve
    root = np.sqrt(np.maximum((out_rate + back) ** 2 - 4.0 * back * flow / vp, 0.0))
    k1, k2 = 0.5 * (out_rate + back + root), 0.5 * (out_rate + back - root)
    # The impulse response starts at Fp and falls there at Fp^2 / vp.
    b1 = (flow**2 / vp - flow * k2) / (k1 - k2)
    return _stack(b1, flow - b1, k1, k2)
