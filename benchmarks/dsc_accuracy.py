"""What the DSC methods reach on simulated and reference curves: the tables of docs/dsc.md.

Run: python benchmarks/dsc_accuracy.py [PART ...]. Leakage: signals by the signal equations, 80
frames of 1.4 s, rCBV 0.5-4, strong leakage; corrected rCBV over truth.
Delay: largest change of CBF over delays of 0 to 6 s. Noise: correlation of CBF with truth at SNR
20, MTT 2-12 s, CBV 2-5 mL/100 mL, delay 0-4 s. OSIPI: largest errors where its data are. Signal:
errors of PSR and peak height of regions of 100 voxels at SNR 20.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import test_dsc_deconvolution as flow
import test_dsc_measures as measures
from afterglow.perfusion import dsc
from dsc_simulation import TR, leaky_scene

SHAPES = ("exp", "gamma", "box")
KINDS = ("none", "t1", "t2", "t1 efflux", "t2 efflux")


def leakage():
    """Print medians and percentiles of corrected over true rCBV."""
    when = np.arange(80) * TR
    print("| leakage | noise | model | median | 5th to 95th percentile |\n|---|---|---|---|---|")
    for kind in KINDS:
        for noise in (0.0, 1 / 50):
            rates, mask, cbv = leaky_scene(kind, 600, noise, strength=0.008)
            whole = dsc.area(rates[mask].mean(axis=0), when)
            answers = {"uncorrected": rates}
            for model in ("bsw", "bidirectional"):
                for adapt in (False, True):
                    name = f"{model}{', adapted' if adapt else ''}"
                    found = dsc.leakage_correct(rates, when, mask, model, adapt=adapt)
                    answers[name] = found.corrected
            for name, curves in answers.items():
                ratio = dsc.area(curves, when)[~mask] / whole / cbv
                low, high = np.percentile(ratio, (5, 95))
                label = "SNR 50" if noise else "none"
                middle = f"{np.median(ratio):.3f} | {low:.2f}, {high:.2f}"
                print(f"| {kind} | {label} | {name} | {middle} |")


def delay():
    """Print how far CBF moves with delay, by method."""
    for method in ("csvd", "osvd", "ssvd", "tikhonov", "vascular"):
        cells = []
        for shape in SHAPES:
            worst = 0.0
            for mtt in (3.0, 6.0, 12.0):
                rows = [flow.curve(60, mtt, d, shape) for d in np.arange(0.0, 6.01, 0.5)]
                cbf = dsc.deconvolve(np.stack(rows), flow.AIF, flow.TIME, method).cbf
                worst = max(worst, float(np.abs(cbf / cbf[0] - 1).max()))
            cells.append(f"{shape} {100 * worst:.1f} %")
        print(f"delay: {method:9s} {', '.join(cells)}")


def noise(count=2000):
    """Print the correlation of CBF with truth within each residue shape."""
    rng = np.random.default_rng(3)
    mtt, cbv, late = rng.uniform(2, 12, count), rng.uniform(2, 5, count), rng.uniform(0, 4, count)
    cbf = 60 * cbv / mtt
    for method in ("csvd", "osvd", "tikhonov", "vascular"):
        cells = []
        for shape in SHAPES:
            rows = np.stack([flow.curve(*p, shape) for p in zip(cbf, mtt, late, strict=True)])
            rows += rng.normal(size=rows.shape) * rows.max(axis=1, keepdims=True) / 20
            found = dsc.deconvolve(rows, flow.AIF, flow.TIME, method).cbf
            good = np.isfinite(found)
            cells.append(f"{shape} {np.corrcoef(found[good], cbf[good])[0, 1]:.3f}")
        print(f"noise: {method:9s} {', '.join(cells)}")


def osipi():
    """Print the largest errors on OSIPI's curves."""
    try:
        cases = flow.osipi_cases()
    except pytest.skip.Exception as absent:
        print(f"OSIPI: {absent}")
        return
    for method in ("csvd", "osvd", "ssvd", "tikhonov", "vascular"):
        volume, cbf, within = [], [], []
        for case in cases:
            tis, aif = (np.array(case[k].split(), float) for k in ("C_tis", "C_aif"))
            found = dsc.deconvolve(tis, aif, np.arange(tis.size) * float(case["tr"]), method)
            volume.append(abs(float(found.cbv) - float(case["cbv"])))
            cbf.append(abs(float(found.cbf) - float(case["cbf"])))
            within.append(cbf[-1] <= 15 + 0.1 * float(case["cbf"]))
        print(
            f"OSIPI: {method:9s} CBV within {max(volume):.2f} mL/100 mL, CBF within "
            f"{max(cbf):.1f} mL/100 mL/min, {sum(within)} of {len(within)} in tolerance"
        )


def signal():
    """Print errors of PSR and peak height of noisy regions."""
    rng = np.random.default_rng(5)
    for drop in (0.3, 0.5):
        for recovery in (0.6, 0.8, 1.15):
            curve = measures.curve(drop=drop, recovery=recovery)
            errors = []
            for _ in range(100):
                region = curve + rng.normal(0, 5, (100, 80))
                found = dsc.psr(region, measures.TIME, arrival=12 * TR, baseline=(0, 12))
                height = dsc.peak_height(region, measures.TIME, arrival=12 * TR, baseline=(0, 12))
                errors.append(
                    (
                        np.nanmedian(found) - measures.truth(curve, 12 * TR),
                        np.nanmedian(height) - (100 - curve.min()),
                    )
                )
            bias, spread = np.mean(errors, axis=0), np.sqrt(np.mean(np.square(errors), axis=0))
            most = np.percentile(np.abs(errors), 95, axis=0)
            print(
                f"signal: drop {100 * drop:.0f} %, recovery {100 * recovery:.0f} %: PSR "
                f"{bias[0]:+.2f} (root mean square {spread[0]:.2f}, 95 % within {most[0]:.2f}), "
                f"peak height {bias[1]:+.2f} ({spread[1]:.2f}, {most[1]:.2f}) percentage points"
            )


if __name__ == "__main__":
    for part in (leakage, delay, noise, osipi, signal):
        if len(sys.argv) == 1 or part.__name__ in sys.argv:
            part()
