"""Accuracy and speed of DSC methods beside osipy, on the same curves in one process.

Run where both are installed: PYTHONPATH=src python benchmarks/dsc_peer.py
"""

from __future__ import annotations

import sys
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from afterglow.perfusion import dsc
from dsc_simulation import STEP, TR, artery, leaky_scene, tissue

FRAMES, FRAME = 60, 1.5
FINE = np.arange(0.0, FRAMES * FRAME, STEP)
TIME = np.arange(FRAMES) * FRAME
ARTERY = np.interp(TIME, FINE, 60.0 * artery(FINE))


def curves(count: int, snr: float | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return tissue curves, CBF (mL/100 mL/min) and CBV (mL/100 mL); exponential residues."""
    rng = np.random.default_rng(0)
    pairs = [(m, d) for m in np.linspace(2, 12, 20) for d in np.linspace(0, 4, 10)]
    arterial = 60.0 * artery(FINE)
    base = np.stack(
        [np.interp(TIME, FINE, tissue(FINE, arterial, 240.0 / m, m, d)) for m, d in pairs]
    )
    repeats = -(-count // len(base))
    rows = np.tile(base, (repeats, 1))[:count]
    if snr:
        rows = rows + rng.normal(size=rows.shape) * rows.max(axis=1, keepdims=True) / snr
    flow = np.tile([240.0 / m for m, _ in pairs], repeats)[:count]
    return rows, flow, np.full(count, 4.0)


def timed(call) -> tuple[float, object]:
    """Return the least CPU seconds of three calls, after one more, and the result."""
    result = call()
    best = np.inf
    for _ in range(3):
        start = time.process_time()
        result = call()
        best = min(best, time.process_time() - start)
    return best, result


def line(name: str, cost: float, count: int, flow, volume, truth) -> None:
    """Print one row: speed, median ratio to truth, correlation of CBF with truth."""
    flow, volume = np.asarray(flow).ravel(), np.asarray(volume).ravel()
    good = np.isfinite(flow)
    print(
        f"  {name:24s}{count / cost:12,.0f}  CBF {np.nanmedian(flow / truth[0]):5.2f}"
        f"  CBV {np.nanmedian(volume / truth[1]):5.2f}"
        f"  r {np.corrcoef(flow[good], truth[0][good])[0, 1]:.3f}"
    )


def deconvolution(count: int) -> None:
    """Print voxels per CPU second and accuracy of every deconvolution."""
    for snr in (None, 20.0):
        rows, *truth = curves(count, snr)
        print(f"deconvolution, {'no noise' if snr is None else f'SNR {snr:g}'}: voxels per CPU s")
        for method in ("csvd", "osvd", "ssvd", "tikhonov", "vascular"):
            cost, m = timed(partial(dsc.deconvolve, rows, ARTERY, TIME, method))
            line(f"afterglow {method}", cost, count, m.cbf, m.cbv, truth)
        peer_deconvolution(rows, truth, count)


def peer_deconvolution(rows, truth, count: int) -> None:
    """Print the same of osipy, where it is installed."""
    try:
        from osipy.dsc import compute_perfusion_maps
    except ImportError:
        print("  osipy is not installed")
        return
    data = rows.reshape(-1, 10, 1, FRAMES)
    for method, threshold in (("cSVD", 0.1), ("oSVD", 0.1), ("sSVD", 0.2)):

        def call(method=method, threshold=threshold):
            return compute_perfusion_maps(
                data,
                ARTERY,
                TIME,
                deconvolution_method=method,
                svd_threshold=threshold,
                density=1.0,
                hematocrit_ratio=1.0,
            )

        cost, m = timed(call)
        flow, volume = (np.asarray(getattr(v, "values", v)) for v in (m.cbf, m.cbv))
        line(f"osipy {method}", cost, count, flow, volume, truth)


def leakage() -> None:
    """Print corrected CBV over truth in leaky voxels, and voxels per CPU second."""
    when = np.arange(80) * TR
    print("leakage: corrected rCBV over truth, median [5th, 95th percentile]")
    for kind in ("none", "t1", "t2", "t1 efflux", "t2 efflux"):
        rates, mask, cbv = leaky_scene(kind, 400, strength=0.008)
        reference = dsc.area(rates[mask].mean(axis=0), when)
        answers = {"uncorrected": rates}
        for model in ("bsw", "bidirectional"):
            for adapt in (False, True):
                found = dsc.leakage_correct(rates, when, mask, model, adapt=adapt)
                answers[f"{model}{' adapted' if adapt else ''}"] = found.corrected
        answers |= peer_leakage(rates, when, mask)
        for name, corrected in answers.items():
            ratio = dsc.area(corrected, when)[~mask] / reference / cbv
            low, high = np.percentile(ratio, (5, 95))
            print(f"  {kind:10s} {name:22s}{np.median(ratio):6.2f} [{low:.2f}, {high:.2f}]")


def peer_leakage(rates, when, mask) -> dict[str, np.ndarray]:
    """Return what osipy corrects, with the reference tissue named to it."""
    try:
        from osipy.dsc import LeakageCorrectionParams, correct_leakage
    except ImportError:
        return {}
    answers = {}
    data = rates[:, None, None, :]
    for method in ("bsw", "bidirectional"):
        params = LeakageCorrectionParams(
            method=method, reference_tissue="custom", custom_reference_mask=mask[:, None, None]
        )
        found = correct_leakage(data, rates[mask].mean(axis=0), when, params=params)
        answers[f"osipy {method}"] = np.asarray(found.corrected_delta_r2)[:, 0, 0]
    return answers


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    deconvolution(20_000)
    leakage()
