"""Time and memory of a whole clinical volume on the command line, T1 to maps and standard errors.

Run ``python benchmarks/dce_volume.py``: makes a simulated session of 192 x 192 x 40 voxels and 65
frames (16-bit, gzip, as converted from DICOM) in a temporary folder, then runs ``afterglow t1`` and
``afterglow dce`` on it in processes of their own, reading and writing included.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np

from afterglow.perfusion import aif, dce
from afterglow.perfusion.signal import spgr_signal

SHAPE = (192, 192, 40)
TIME = np.arange(65) * 5.0
TR, ANGLE, R1, ANGLES = 0.005, 15.0, 4.5, (3.0, 8.0, 15.0, 25.0)
START = "import sys; from afterglow.cli.app import main; sys.exit(main())"


def brain():
    """Return an ellipsoid of about 1.4 litres in voxels of 1.2 x 1.2 x 3 mm."""
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    return (x / 0.6) ** 2 + (y / 0.74) ** 2 + (z / 0.95) ** 2 <= 1


def make(folder):
    rng = np.random.default_rng(0)
    mask = brain()
    n = int(mask.sum())
    t10 = np.full(SHAPE, 1.2)
    t10[mask] = rng.uniform(0.9, 1.6, n)
    fine = np.arange(0.0, 330.0, 1.0)
    blood = aif.parker(fine, arrival=32.0)
    truth = {
        "Ktrans": rng.uniform(0.0, 0.2, n),
        "ve": rng.uniform(0.1, 0.5, n),
        "vp": rng.uniform(0.01, 0.08, n),
    }
    series = np.zeros((*SHAPE, TIME.size), np.int16)
    where = np.argwhere(mask)
    for start in range(0, n, 20_000):
        part = slice(start, start + 20_000)
        maps = {name: values[part] for name, values in truth.items()}
        curves = dce.predict("extended_tofts", maps, fine, aif.to_plasma(blood))
        curves = curves.reshape(curves.shape[0], -1, 5).mean(axis=2)[:, : TIME.size]
        place = tuple(where[part].T)
        rate = 1 / t10[place][:, None] + R1 * curves
        signal = spgr_signal(rate, 20_000.0, TR, ANGLE)
        series[place] = np.rint(signal + rng.normal(0, 12.0, signal.shape))
    artery = (slice(60, 64), slice(30, 32), slice(10, 20))
    framed = blood.reshape(-1, 5).mean(axis=1)[: TIME.size]
    series[artery] = np.rint(spgr_signal(1 / 1.671 + R1 * framed, 20_000.0, TR, ANGLE))
    mask[artery] = True
    t10[artery] = 1.671
    affine = np.diag([1.2, 1.2, 3.0, 1.0])

    def save(values, name):
        nibabel.save(nibabel.Nifti1Image(values, affine), folder / f"{name}.nii.gz")

    save(series, "dce")
    save(mask.astype(np.uint8), "mask")
    for angle in ANGLES:
        image = spgr_signal(1 / t10, 20_000.0, TR, angle) + rng.normal(0, 12.0, SHAPE)
        save(np.rint(image).astype(np.int16), f"vfa{angle:.0f}")
    facts = {"RepetitionTime": TR, "FlipAngle": ANGLE, "MagneticFieldStrength": 3.0}
    (folder / "dce.json").write_text(json.dumps({**facts, "VolumeTiming": TIME.tolist()}))
    return int(mask.sum())


def timed(words):
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", START, *map(str, words)], check=True, stdout=-3)
    return time.perf_counter() - start


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        voxels = make(folder)
        mask = ("--mask", folder / "mask.nii.gz")
        images = [folder / f"vfa{angle:.0f}.nii.gz" for angle in ANGLES]
        angles = ",".join(f"{angle:g}" for angle in ANGLES)
        first = timed(
            ["t1", *images, "--flip-angles", angles, "--tr", TR, "--out", folder / "t1", *mask]
        )
        second = timed([
            "dce", folder / "dce.nii.gz", "--t1", folder / "t1" / "T1map.nii.gz",
            "--agent", "gadobutrol", "--out", folder / "maps", *mask,
        ])  # fmt: skip
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024**2
    print(f"{voxels} voxels, {os.cpu_count()} cores: t1 {first:.1f} s, dce {second:.1f} s, "
          f"together {first + second:.1f} s, most memory of a process {peak:.2f} GiB")  # fmt: skip


if __name__ == "__main__":
    main()
