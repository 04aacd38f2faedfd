"""Peak memory and time of every stage on a session of clinical size.

Usage: python benchmarks/stage_memory.py DEMO_STUDY FOLDER [STAGE ...]

Takes the first session of the demo's center `north` as DICOM and enlarges every image in plane,
until each series has the voxels of a clinical one: T1w and FLAIR 256 x 256 x 176, DSC 128 x 128 x
25 with 80 frames, DCE and flip angles 192 x 192 x 40 with 65 frames. Memory follows from the number
of voxels, not from their shape. The study is indexed, and every stage runs in a process of its own;
what it peaked at is what its record says.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
from scipy.ndimage import zoom

from afterglow.config import load_study
from afterglow.config.resources import resource
from afterglow.provenance.dag import load_dag
from afterglow.provenance.records import record_path
from afterglow.provenance.wrapper import run_job

# Voxels of all frames by what the series' description says. The flip angles stay on the grid of the
# dynamic series, which has 60 frames here.
CLINICAL = {
    "DCE": 192 * 192 * 40 * 65,
    "DSC": 128 * 128 * 25 * 80,
    "map FA": 192 * 192 * 40 * 65 // 60,
    "3D T1": 256 * 256 * 176,
    "FLAIR": 256 * 256 * 176,
}
STUDY = """\
study: clinical-size
out: out
centers:
- name: north
  dicom: [incoming]
  contrast_agent: gadobutrol
  dose: 0.1
  preload: dce
  hematocrit: 0.42
"""


def prepare(demo: Path, folder: Path) -> None:
    """Write the enlarged session and index it."""
    incoming = folder / "incoming"
    incoming.mkdir(parents=True)
    (folder / "study.yaml").write_text(STUDY)
    files = [path for path in (demo / "incoming/north").rglob("*") if path.is_file()]
    headers = {path: pydicom.dcmread(path, stop_before_pixels=True, force=True) for path in files}
    first = min(h.StudyDate for h in headers.values() if "StudyDate" in h)
    counts: dict[str, int] = {}
    for header in headers.values():
        name = str(header.get("SeriesInstanceUID"))
        counts[name] = counts.get(name, 0) + 1
    for number, (path, header) in enumerate(sorted(headers.items())):
        kind = next((k for k in CLINICAL if k in str(header.get("SeriesDescription"))), None)
        if header.get("StudyDate") == first and kind is not None:
            enlarge(path, incoming / f"{number}.dcm", kind, counts[str(header.SeriesInstanceUID)])
    afterglow = [sys.executable, "-m", "afterglow.cli.app"]
    subprocess.run([*afterglow, "index", str(folder)], check=True)


def enlarge(source: Path, target: Path, kind: str, images: int) -> None:
    """Write an image with its share of a clinical series' voxels, on the same field of view."""
    image = pydicom.dcmread(source)
    old = image.pixel_array
    new = zoom(old, np.sqrt(CLINICAL[kind] / (images * old.size)), order=1).astype(old.dtype)
    spacing = np.array(image.PixelSpacing, dtype=float) * old.shape / new.shape
    image.Rows, image.Columns = new.shape
    image.PixelSpacing = [f"{value:.6f}" for value in spacing]
    image.PixelData = new.tobytes()
    image.save_as(target)


def run_stage(folder: Path, stage: str) -> None:
    """Run one stage in this process and print how it ended and what it took."""
    study = load_study(folder / "study.yaml")
    dag = load_dag(study)
    (job,) = (job for job in dag.jobs.values() if job.stage == stage)
    main = runpy.run_path(str(resource(f"scripts/{stage}.py")), run_name="memory")["main"]
    state = run_job(study, job, main)
    taken = json.loads(record_path(study.out, job.key).read_text())["run"]
    print(
        f"{stage:13}{taken['peak_memory_mb']:8.0f} MB {taken['cpu_seconds']:8.0f} s  "
        f"{state.status} {state.reason} {[p.what for p in state.problems]}",
        flush=True,
    )


def main() -> None:
    """Prepare the session where it is not there yet, then measure stage after stage."""
    demo, folder = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    if sys.argv[3:4] == ["--one"]:
        run_stage(folder, sys.argv[4])
        return
    if not (folder / "out/index/plan.parquet").exists():
        prepare(demo, folder)
    planned = load_dag(load_study(folder / "study.yaml")).jobs
    for stage in sys.argv[3:] or [job.stage for job in planned.values()]:
        command = [sys.executable, __file__, str(demo), str(folder), "--one", stage]
        subprocess.run(command, env={**os.environ, "MPLBACKEND": "Agg"}, check=True)


if __name__ == "__main__":
    main()
