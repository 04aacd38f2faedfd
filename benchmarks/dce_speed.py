"""Speed and error of the extended Tofts fit beside SciPy and, where installed, osipy.

Run ``python benchmarks/dce_speed.py [voxels]``; every code sees the same curves in one process and
its CPU time is taken, so that other work on the machine disturbs the ratio least.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from afterglow.perfusion import aif, dce, t1
from afterglow.perfusion.convolution import exponential_convolution
from afterglow.perfusion.signal import spgr_signal

TIME = np.arange(100) * 3.0
PLASMA = aif.to_plasma(aif.parker(TIME, arrival=20.0))
SCIPY_VOXELS = 60


def truth_and_curves(n, snr, model="extended_tofts"):
    rng = np.random.default_rng(0)
    ranges = {"Ktrans": (0.02, 0.3), "ve": (0.1, 0.5), "vp": (0.01, 0.1)}
    ranges |= {"Fp": (20.0, 80.0), "PS": (0.02, 0.2)}
    names = ("Fp", "PS", "ve", "vp") if model == "2cxm" else ("Ktrans", "ve", "vp")
    truth = {name: rng.uniform(*ranges[name], n) for name in names}
    curves = dce.predict(model, truth, TIME, PLASMA)
    if np.isfinite(snr):
        curves = curves + rng.normal(size=curves.shape) * curves.max(1, keepdims=True) / snr
    return truth, curves


def scipy_fit(curves):
    from scipy.optimize import curve_fit

    t = TIME / 60.0

    def model(_, ktrans, ve, vp):
        return vp * PLASMA + ktrans * exponential_convolution(t, PLASMA, ktrans / ve)

    bounds = ([0, 1e-3, 0], [5, 1, 1])
    rows = [curve_fit(model, t, y, (0.1, 0.2, 0.03), bounds=bounds)[0] for y in curves]
    return dict(zip(("Ktrans", "ve", "vp"), np.array(rows).T, strict=True))


def timed(work):
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def errors(found, truth, n):
    return "/".join(
        f"{100 * np.median(np.abs(found[k][:n] / truth[k][:n] - 1)):.3f}" for k in truth
    )


def main(n):
    dce.fit(truth_and_curves(2, np.inf)[1], TIME, PLASMA)
    print("| code | SNR | voxels/CPU s | median error % |\n|---|---|---|---|")
    for snr in (np.inf, 50, 20):
        truth, curves = truth_and_curves(n, snr)
        fit, seconds = timed(lambda c=curves: dce.fit(c, TIME, PLASMA))
        print(f"| afterglow | {snr} | {n / seconds:.0f} | {errors(fit.maps, truth, n)} |")
        m = SCIPY_VOXELS
        fit, seconds = timed(lambda c=curves: scipy_fit(c[:SCIPY_VOXELS]))
        print(f"| scipy curve_fit | {snr} | {m / seconds:.0f} | {errors(fit, truth, m)} |")
    truth, curves = truth_and_curves(n // 4, 50, "2cxm")
    fit, seconds = timed(lambda: dce.fit(curves, TIME, PLASMA, model="2cxm"))
    print(f"| afterglow 2cxm | 50 | {n / 4 / seconds:.0f} | {errors(fit.maps, truth, n)} |")
    start = time.perf_counter()
    dce.fit(truth_and_curves(n, 50)[1], TIME, PLASMA, threads=1)
    one = time.perf_counter()
    dce.fit(truth_and_curves(n, 50)[1], TIME, PLASMA, threads=2)
    print(f"\ntwo threads: {(one - start) / (time.perf_counter() - one):.2f} times one (wall time)")
    angles = np.array([2.0, 5.0, 10.0, 15.0, 25.0])
    rate = 1 / np.random.default_rng(1).uniform(0.3, 3, 10 * n)
    signal = spgr_signal(rate[:, None], 1000.0, 0.006, angles)
    signal = signal + np.random.default_rng(2).normal(0, 0.01, signal.shape) * signal.max()
    t1.fit_vfa(signal[:4], angles, 0.006)
    _, seconds = timed(lambda: t1.fit_vfa(signal, angles, 0.006))
    print(f"VFA nonlinear: {10 * n / seconds:.0f} voxels/CPU s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
