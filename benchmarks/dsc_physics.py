"""Leakage correction against tissue that is not the fitted model.

Blood and extravascular water are two sites that exchange at a finite rate while each relaxes and is
excited (Bloch-McConnell, steady state of a spoiled gradient echo). Vessels dephase by the
difference of concentration inside and outside, so that leaked contrast also weakens them, with a
relaxivity that grows with vessel size; leaked contrast dephases around cells. Prints rCBV over
truth for normal tissue and leaky lesions at several exchange times.

Run: python benchmarks/dsc_physics.py
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.linalg import expm

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from afterglow.perfusion import dsc
from dsc_simulation import STEP, artery, convolve

R1, TR, TE = 4.5, 1.4, 0.03
FINE = np.arange(0.0, 80 * TR, STEP)
TIME = np.arange(80) * TR
BLOOD = 7.0 * artery(FINE)
T1_BLOOD = 1.67


@dataclass(frozen=True)
class Tissue:
    """Blood fraction, transit time and delay (s), Ktrans (1/min), ve, T1 (s), vessel size."""

    cbv: float
    mtt: float = 5.0
    delay: float = 0.8
    ktrans: float = 0.0
    ve: float = 0.2
    t1: float = 1.1
    size: float = 1.0
    cells: float = 8.0


def series(tissue: Tissue, exchange: float, flip: float) -> np.ndarray:
    """Return the signal at the frames; ``exchange`` is the residence of water in blood (s)."""
    arriving = np.interp(FINE - tissue.delay, FINE, BLOOD, left=0.0)
    inside = convolve(arriving, np.exp(-FINE / tissue.mtt) / tissue.mtt)
    rate = tissue.ktrans / 60.0
    leaked = rate * convolve(arriving / 0.58, np.exp(-rate / tissue.ve * FINE))
    cb, ce = (np.interp(TIME, FINE, c) for c in (inside, leaked))
    vessel = 87.0 * tissue.size * tissue.cbv * np.abs(cb - ce)
    rates = vessel + tissue.cells * ce
    signal = [_steady(tissue, b, e, exchange, flip) for b, e in zip(cb, ce, strict=True)]
    return np.array(signal) * np.exp(-TE * rates)


def _steady(tissue: Tissue, cb: float, ce: float, exchange: float, flip: float) -> float:
    """Return the steady-state magnetisation of two exchanging sites."""
    v = tissue.cbv
    out, back = 1.0 / exchange, v / (1.0 - v) / exchange
    relax = np.diag([1.0 / T1_BLOOD + R1 * cb, 1.0 / tissue.t1 + R1 * ce])
    system = relax + np.array([[out, -back], [-out, back]])
    equal = np.linalg.solve(system, relax @ np.array([v, 1.0 - v]))
    decay = expm(-TR * system)
    angle = np.deg2rad(flip)
    mz = np.linalg.solve(np.eye(2) - np.cos(angle) * decay, (np.eye(2) - decay) @ equal)
    return float(np.sin(angle) * mz.sum())


LESIONS = {
    "no leakage, rCBV 3": Tissue(0.066, t1=1.4),
    "T1, rCBV 2": Tissue(0.044, ktrans=0.12, ve=0.3, t1=1.4, cells=1.0),
    "T2*, rCBV 2": Tissue(0.044, ktrans=0.12, ve=0.3, t1=1.4, cells=25.0),
    "T2*, efflux, rCBV 2": Tissue(0.044, ktrans=0.2, ve=0.12, t1=1.4, cells=25.0),
    "large vessels, rCBV 2": Tissue(0.044, ktrans=0.12, ve=0.3, t1=1.4, size=1.2),
    "slow (MTT 9 s), rCBV 2": Tissue(0.044, mtt=9.0, ktrans=0.12, ve=0.3, t1=1.4),
    "grey matter, rCBV 2": Tissue(0.044, mtt=4.5, t1=1.6),
}


def main() -> None:
    white = Tissue(0.022)
    for flip in (60.0, 30.0):
        for exchange in (5.0, 0.7, 0.05):
            print(f"flip {flip:g} degrees, water stays {exchange} s in blood")
            signals = [series(white, exchange, flip)]
            signals += [series(t, exchange, flip) for t in LESIONS.values()]
            data = np.stack(signals)
            rates = -np.log(data / data[:, :11].mean(axis=1, keepdims=True)) / TE
            mask = np.arange(len(data)) == 0
            columns = [dsc.area(rates, TIME)]
            for model in ("bsw", "bidirectional"):
                for adapt in (False, True):
                    found = dsc.leakage_correct(rates, TIME, mask, model, adapt=adapt)
                    columns.append(dsc.area(found.corrected, TIME))
            table = np.array([c / c[0] for c in columns])[:, 1:]
            truth = np.array([t.cbv for t in LESIONS.values()]) / white.cbv
            print(f"  {'rCBV over truth':26s}   raw   bsw  bsw+a   bi  bi+a")
            for name, values in zip(LESIONS, (table / truth).T, strict=True):
                print(f"  {name:26s} " + "  ".join(f"{v:5.2f}" for v in values))


if __name__ == "__main__":
    main()
