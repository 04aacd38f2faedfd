"""Speed of the DSC kernels per core, in CPU seconds, and of a whole series.

Run: python benchmarks/dsc_speed.py [--series]. Peers are timed by dsc_peer.py.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from afterglow.bids.images import save_nifti
from afterglow.perfusion import dsc
from afterglow.perfusion.standalone_dsc import run_dsc
from dsc_simulation import STEP, artery, epi, tissue

TARGETS = {
    "csvd": 200_000,
    "osvd": 40_000,
    "vascular": 50_000,
    "bsw": 200_000,
    "bidirectional": 20_000,
}


def rates(n_time: int, tr: float, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return noisy tissue curves, the arterial curve and frame times."""
    rng = np.random.default_rng(0)
    fine = np.arange(0.0, n_time * tr, STEP)
    when = np.arange(n_time) * tr
    arterial = 60.0 * artery(fine)
    pairs = [(m, d) for m in np.linspace(2, 12, 10) for d in np.linspace(0, 4, 5)]
    base = np.stack(
        [np.interp(when, fine, tissue(fine, arterial, 240 / m, m, d)) for m, d in pairs]
    )
    rows = np.tile(base, (-(-n // len(base)), 1))[:n]
    noise = rng.normal(size=rows.shape) * rows.max(axis=1, keepdims=True) / 20
    return rows + noise, np.interp(when, fine, arterial), when


def timed(function, *args, **kwargs) -> float:
    """Return the least CPU seconds of three calls, after one that compiles."""
    small = [a[:64] if isinstance(a, np.ndarray) and len(a) > 5000 else a for a in args]
    function(*small, **kwargs)
    best = np.inf
    for _ in range(3):
        start = time.process_time()
        function(*args, **kwargs)
        best = min(best, time.process_time() - start)
    return float(best)


def kernels(n: int = 20_000) -> None:
    """Print voxels per CPU second of every method beside its target."""
    rows, arterial, when = rates(60, 1.5, n)
    for method in ("csvd", "osvd", "ssvd", "tikhonov", "vascular"):
        cost = timed(dsc.deconvolve, rows, arterial, when, method)
        print(f"{method:14s} {n / cost:12,.0f} voxels/s   target {TARGETS.get(method, 0):,}")
    mask = np.ones(n, bool)
    for model in ("bsw", "bidirectional"):
        cost = timed(dsc.leakage_correct, rows, when, mask, model)
        print(f"{model:14s} {n / cost:12,.0f} voxels/s   target {TARGETS[model]:,}")
        cost = timed(dsc.leakage_correct, rows, when, mask, model, adapt=True)
        print(f"  adapted      {n / cost:12,.0f} voxels/s")


def whole_series() -> None:
    """Print seconds and memory from a 128x128x25x80 NIfTI to all maps."""
    rows, arterial, _ = rates(80, 1.4, 4000)
    rng = np.random.default_rng(1)
    shape = (128, 128, 25)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, s) for s in shape], indexing="ij"))
    brain = (grid[0] / 0.75) ** 2 + (grid[1] / 0.9) ** 2 + (grid[2] / 1.1) ** 2 < 1
    pick = rng.integers(0, len(rows), int(brain.sum()))
    data = np.zeros((*shape, 80), np.float32)
    data[brain] = 800 * epi(1.2 * rows[pick], 0.0)
    data[60:64, 100:104, 10:14] = 800 * epi(arterial, 0.0)
    data += np.abs(rng.normal(0, 8, data.shape)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dsc.nii.gz"
        save_nifti(data, np.diag([1.8, 1.8, 5.0, 1.0]), path)
        white = Path(folder) / "wm.nii.gz"
        save_nifti(brain.astype(np.float32), np.diag([1.8, 1.8, 5.0, 1.0]), white)
        del data
        start, cpu = time.perf_counter(), time.process_time()
        summary = run_dsc(path, Path(folder) / "out", te=0.03, tr=1.4, white_matter=white)
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"128x128x25x80, {int(brain.sum())} voxels: {wall:.1f} s ({cpu:.1f} s CPU), {peak:.2f} GiB"
    )
    print(f"{len(summary['maps'])} maps; targets 30 s, 2 GB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", action="store_true", help="time a whole series only")
    if parser.parse_args().series:
        whole_series()
    else:
        kernels()
