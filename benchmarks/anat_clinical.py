"""Time and memory of the anatomical stage on a session of clinical size, beside plain ANTs.

    python benchmarks/anat_clinical.py prepare FOLDER [--patient NORTH-0001]
    python benchmarks/anat_clinical.py run FOLDER [FOLDER ...]     all at once, one thread each
    python benchmarks/anat_clinical.py ants FOLDER [--frames 4]

`prepare` renders two sessions of a phantom patient: T1w 1 mm isotropic before and after contrast,
FLAIR 1 mm isotropic, DSC 128 x 128 x 25 with 80 frames, DCE 192 x 192 x 40 with 65 frames, five
flip angles. `run` sends the second session through the stage's own functions (with registration
over time to the first) and prints CPU seconds by step, seconds in all, peak memory, and errors
against the phantom's truth. `ants` does the same registrations with ANTsPy's default settings and
one thread; its frame-wise motion correction is timed on a few frames and scaled to all, because it
takes too long otherwise. Every step that is done is kept in FOLDER/ants.json, so that `ants` can be
cut off and started again.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

THREADS = dict.fromkeys(
    (
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
        "NUMBA_NUM_THREADS",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
    ),
    "1",
)
SIZES: dict[str, tuple[tuple[int, int, int], tuple[float, float, float], int]] = {
    "T1w": ((192, 240, 184), (1.0, 1.0, 1.0), 1),
    "T1w_ce": ((192, 240, 184), (1.0, 1.0, 1.0), 1),
    "FLAIR": ((192, 240, 184), (1.0, 1.0, 1.0), 1),
    "dce": ((192, 192, 40), (1.25, 1.25, 3.0), 65),
    "dsc": ((128, 128, 25), (1.8, 1.8, 5.0), 80),
}
SERIES = {"pre": "T1w", "flair": "FLAIR", "dsc": "dsc", "dce": "dce"}
# Functions that do not contain one another, as profiled: module, name, what it is.
STEPS = (
    ("images", "load_nifti", "reading images"),
    ("bias", "correct", "bias field (N4): T1w, FLAIR"),
    ("brain", "extract", "brain, template affine and SyN"),
    ("tissue", "segment", "tissues"),
    ("tissue", "midsagittal", "midsagittal plane"),
    ("session", "run_other", "T1w before contrast and FLAIR to T1w (with their N4)"),
    ("session", "run_longitudinal", "over time"),
    ("motion", "roughly", "motion of DSC and DCE, first pass"),
    ("motion", "estimate", "motion of DSC and DCE, second pass"),
    ("motion", "correct", "motion of DSC and DCE, resampling"),
    ("dynamic", "_register", "DSC and DCE to T1w, mutual information"),
    ("dynamic", "_refined", "DSC and DCE to T1w, least squares"),
    ("dynamic", "_vfa", "flip angles to DCE"),
    ("dynamic", "_anatomy_on", "masks and tissues on DSC and DCE"),
    ("images", "save_nifti", "writing images"),
)


def prepare(folder: Path, patient: str) -> None:
    """Render two visits of a patient and write what stage `bids` would have written."""
    from afterglow.bids.images import save_nifti
    from afterglow.phantom.cohort import plan_cohort
    from afterglow.phantom.scan import open_session, render

    plan = plan_cohort("full")
    truth: dict[str, Any] = {}
    for visit in (0, 1):
        session = open_session(plan, patient, visit)
        names = [*SIZES, *(s for s in _names(session) if s.startswith("vfa"))]
        entries: dict[str, str] = {}
        for name in names if visit else ["T1w_ce"]:
            series = _sized(session.series(name))
            grid = session.grid_of(series)
            values = render(session, series, grid)
            path = folder / f"visit-{visit + 1}_{name}.nii.gz"
            folder.mkdir(parents=True, exist_ok=True)
            save_nifti(values.squeeze(), grid.affine, path)
            entries[name] = path.name
            truth[f"{visit} {name}"] = session.pose_of(series).matrix().tolist()
            if series.frames > 1:
                motion = session.motion_of(series)
                still = np.median(motion.weights, axis=1)
                six = [[*p.rotation, *p.translation] for p in motion.poses]
                truth[f"{visit} {name} poses"] = [six, motion.weights.tolist(), still.tolist()]
        truth[f"{visit} files"] = entries
    (folder / "truth.json").write_text(json.dumps(truth))


def _names(session: Any) -> list[str]:
    from afterglow.phantom.protocol import series_of

    return [series.name for series in series_of(session.center)]


def _sized(series: Any) -> Any:
    shape, spacing, frames = SIZES["dce" if series.name.startswith("vfa") else series.name]
    factors = tuple(max(1, round(s / 1.2)) for s in spacing)
    return replace(
        series,
        shape=shape,
        spacing=spacing,
        factors=factors,
        frames=1 if series.name.startswith("vfa") else frames,
        plane="axial",
    )


def stage(folder: Path, out: Path) -> dict[str, Any]:
    """Run the stage's functions on the second visit; return seconds by step and the summary."""
    from afterglow.anat.dynamic import run_dynamic
    from afterglow.anat.session import run_longitudinal, run_structural
    from afterglow.config.anat import AnatConfig

    settings = AnatConfig(brain_backend="bet")
    truth = json.loads((folder / "truth.json").read_text())
    store = _store(folder, out, 1)
    first = _store(folder, out, 0)
    entry = {name: {"path": path} for name, path in truth["0 files"].items()}
    _, reference = run_structural(first, {"series": entry, "reference": "T1w_ce"}, settings, 1)
    entries: dict[str, Any] = {name: {"path": p} for name, p in truth["1 files"].items()}
    entries["vfa"] = [e for name, e in entries.items() if name.startswith("vfa")]
    bids = {"series": entries, "reference": "T1w_ce"}
    profile = cProfile.Profile(time.process_time)
    start = time.perf_counter(), time.process_time()
    profile.enable()
    anatomy, summary = run_structural(store, bids, settings, 1)
    run_longitudinal(store, anatomy, reference, False, settings, 1)
    for kind in ("dsc", "dce"):
        summary[kind] = run_dynamic(store, anatomy, bids, kind, settings, 1)  # type: ignore[arg-type]
    profile.disable()
    took = time.perf_counter() - start[0], time.process_time() - start[1]
    return {"wall": took[0], "cpu": took[1], "steps": _steps(profile)} | errors(
        truth, store.transforms
    )


def _store(folder: Path, out: Path, visit: int) -> Any:
    from afterglow.anat.store import Store

    def made(relative: str) -> Path:
        path = out / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def find(relative: str) -> Path:
        return out / relative if (out / relative).exists() else folder / relative

    say: Callable[..., None] = lambda *words: print("!", *words)  # noqa: E731
    return Store(find, made, "P", f"{visit + 1}", say, say)


def _steps(profile: cProfile.Profile) -> dict[str, float]:
    """Return cumulative seconds of the steps; reading and writing are parts of the others."""
    found = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    result = {}
    for module, name, words in STEPS:
        total = sum(
            entry[3]
            for (path, _, function), entry in found.items()
            if function == name and Path(path).stem == module
        )
        result[words] = float(total)
    return result


def errors(truth: dict[str, Any], transforms: dict[str, Any]) -> dict[str, Any]:
    """Return median and 95th percentile of the error (mm) in a ball of 75 mm about the middle."""
    from afterglow.anat.transforms import apply, invert
    from afterglow.phantom.geometry import Pose

    rng = np.random.default_rng(1)
    points = rng.uniform(-75, 75, (4000, 3))
    points = points[np.linalg.norm(points, axis=1) < 75] + [0.0, -18.0, 8.0]
    here = np.array(truth["1 T1w_ce"])
    result = {}
    for name, series in SERIES.items():
        there = np.array(truth[f"1 {series}"])
        if f"1 {series} poses" in truth:
            six, _, still = truth[f"1 {series} poses"]
            mixed = np.array(still) / np.sum(still) @ np.array(six)
            there = Pose(tuple(mixed[:3]), tuple(mixed[3:])).matrix()
        matrix = transforms.get(f"{name}_to_T1w")
        if matrix is not None:
            apart = apply(np.array(matrix), apply(there, points)) - apply(here, points)
            far = np.linalg.norm(apart, axis=1)
            result[name] = [float(np.median(far)), float(np.percentile(far, 95))]
    if transforms.get("T1w_to_reference") is not None:
        first = np.array(truth["0 T1w_ce"]) @ invert(here)
        there = apply(here, points)
        apart = apply(np.array(transforms["T1w_to_reference"]), there) - apply(first, there)
        far = np.linalg.norm(apart, axis=1)
        result["over time"] = [float(np.median(far)), float(np.percentile(far, 95))]
    return {"errors_mm": result}


def plain_ants(folder: Path, frames: int) -> dict[str, Any]:
    """Do the same registrations with ANTsPy as it comes; what is done already is not done again."""
    import ants

    from afterglow.anat.engine import to_ants
    from afterglow.anat.template import load as load_template
    from afterglow.anat.transforms import invert, read_itk

    truth = json.loads((folder / "truth.json").read_text())
    files = {name: str(folder / path) for name, path in truth["1 files"].items()}
    kept = folder / "ants.json"
    done: dict[str, Any] = {"steps": {}, "matrices": {}}
    if kept.exists():
        done = json.loads(kept.read_text())
    even = str(folder / "ants_T1w.nii.gz")

    def timed(words: str, work: Callable[[], dict[str, Any]], scale: float = 1.0) -> None:
        if words in done["steps"]:
            return
        start = time.process_time()
        done["matrices"] |= work()
        done["steps"][words] = scale * (time.process_time() - start)
        kept.write_text(json.dumps(done))
        print(f"    {words:48s} {done['steps'][words]:8.1f} s", flush=True)

    def bias() -> dict[str, Any]:
        ants.image_write(ants.n4_bias_field_correction(ants.image_read(files["T1w_ce"])), even)
        return {}

    def motion(name: str) -> dict[str, Any]:
        series = ants.image_read(files[name])
        part = ants.from_numpy(series.numpy()[..., :frames], spacing=series.spacing)
        ants.motion_correction(part)
        return {}

    def rigid(name: str) -> dict[str, Any]:
        moving = ants.image_read(files[SERIES[name]])
        if moving.dimension == 4:
            moving = ants.get_average_of_timeseries(moving)
        found = ants.registration(ants.image_read(even), moving, "Rigid", random_seed=1)
        return {f"{name}_to_T1w": invert(read_itk(found["fwdtransforms"][0])).tolist()}

    def over_time() -> dict[str, Any]:
        first = ants.image_read(str(folder / truth["0 files"]["T1w_ce"]))
        found = ants.registration(ants.image_read(even), first, "Rigid", random_seed=1)
        return {"T1w_to_reference": read_itk(found["fwdtransforms"][0]).tolist()}

    def template() -> dict[str, Any]:
        t1 = load_template().t1
        fixed = to_ants(t1.values, t1.affine, ants)
        ants.registration(fixed, ants.image_read(even), "SyN", random_seed=1)
        return {}

    timed("N4 of the T1w", bias)
    for name in SERIES:
        timed(f"{name} to T1w, Rigid", lambda name=name: rigid(name))
    timed("over time, Rigid", over_time)
    timed("T1w to MNI152 (2 mm), SyN", template)
    for name in ("dsc", "dce"):
        count = SIZES[name][2]
        words = f"motion of {name} ({frames} frames, scaled to {count})"
        timed(words, lambda name=name: motion(name), count / frames)
    took = {"cpu": sum(done["steps"].values()), "steps": done["steps"]}
    return took | errors(truth, done["matrices"])


def report(found: dict[str, Any]) -> None:
    for words, seconds in found["steps"].items():
        print(f"| {words} | {seconds:.1f} |")
    for key in ("wall", "cpu", "peak_gb", "with_imports_s"):
        if key in found:
            print(f"| {key} | {found[key]:.2f} |")
    for name, (middle, high) in found["errors_mm"].items():
        print(f"| error {name}, median/95th, mm | {middle:.2f}/{high:.2f} |")


def side_by_side(folders: list[Path]) -> None:
    """Run one process per folder at the same time, with one thread each, and print all."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        runs = []
        for number, folder in enumerate(folders):
            out = Path(name) / str(number)
            out.mkdir()
            command = [sys.executable, __file__, "one", str(folder), "--out", str(out)]
            runs.append((folder, out, subprocess.Popen(command, env=os.environ | THREADS)))
        for folder, _, process in runs:
            if process.wait() != 0:
                sys.exit(f"{folder} failed")
        for folder, out, _ in runs:
            print(f"\n| {folder.name} | |\n|---|---|")
            report(json.loads((out / "found.json").read_text()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("prepare", "run", "ants", "one"))
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--patient", default="NORTH-0001")
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.what == "run":
        return side_by_side(options.folders)
    os.environ |= THREADS
    start = time.perf_counter()
    folder = options.folders[0]
    if options.what == "prepare":
        return prepare(folder, options.patient)
    found = (
        plain_ants(folder, options.frames) if options.what == "ants" else stage(folder, options.out)
    )
    found["with_imports_s"] = time.perf_counter() - start
    found["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    if options.what == "one":
        (options.out / "found.json").write_text(json.dumps(found))
    else:
        report(found)
    return None


if __name__ == "__main__":
    main()
