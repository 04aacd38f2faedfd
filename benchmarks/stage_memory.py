"""Peak memory and time of every session stage at clinical matrix size.

Usage: python benchmarks/stage_memory.py FINISHED_STUDY COPY [STAGE ...]

Takes a finished demo study, interpolates the images of its first session up to clinical matrices
(about 210 x 256 x 198 for T1, 192 x 192 in plane for perfusion, at the original number of frames)
in a copy, and runs each stage there in a process of its own. The contents mean nothing then; memory
follows from the matrix alone.
"""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.ndimage import zoom

from afterglow.config import load_study
from afterglow.config.resources import resource
from afterglow.provenance.dag import load_dag
from afterglow.provenance.wrapper import run_job

STAGES = ("anat", "dsc", "dce", "features", "report")
STRUCTURAL, IN_PLANE = 1.6, 2.0


def enlarge(path: Path) -> None:
    """Replace an image by one of clinical size on the same field of view."""
    image = nib.load(path)
    data = np.asarray(image.dataobj)
    flat = data.ndim == 4 or data.shape[2] < 60
    factors = (IN_PLANE, IN_PLANE, 1.0) if flat else (STRUCTURAL,) * 3
    order = 0 if "dseg" in path.name else 1
    volumes = data[..., None] if data.ndim == 3 else data
    larger = np.stack([zoom(v, factors, order=order) for v in np.moveaxis(volumes, -1, 0)], axis=-1)
    old, new = np.array(data.shape[:3]), np.array(larger.shape[:3])
    affine = image.affine @ np.diag([*(old / new), 1.0])
    result = nib.Nifti1Image(larger[..., 0] if data.ndim == 3 else larger, affine)
    result.header.set_zooms([*result.header.get_zooms()[:3], *image.header.get_zooms()[3:]])
    path.unlink()
    nib.save(result, path)


def prepare(source: Path, folder: Path) -> None:
    """Copy a study by links and enlarge what its first session converted."""
    shutil.copytree(source, folder, copy_function=os.link, symlinks=True)
    shutil.rmtree(folder / "out/.store", ignore_errors=True)
    subject, session = first_session(folder)
    for kind in ("anat", "perf"):
        for path in (folder / f"out/bids/sub-{subject}/ses-{session}/{kind}").glob("*.nii.gz"):
            enlarge(path)
    masks = folder / f"out/derivatives/sub-{subject}/ses-{session}/lesions"
    for path in masks.glob("*desc-given_dseg.nii.gz"):
        enlarge(path)


def first_session(folder: Path) -> tuple[str, str]:
    """Return the first reference session: it waits for no other."""
    rows = load_dag(load_study(folder / "study.yaml")).rows
    row = min((r for r in rows if r["is_reference"]), key=lambda r: (r["subject"], r["session"]))
    return row["subject"], row["session"]


def run_stage(folder: Path, stage: str) -> None:
    """Run one stage in this process."""
    study = load_study(folder / "study.yaml")
    job = load_dag(study).of(stage, *first_session(folder))
    main = runpy.run_path(str(resource(f"scripts/{stage}.py")), run_name="memory")["main"]
    state = run_job(study, job, main)
    print(json.dumps({"status": state.status, "reason": state.reason}))


def main() -> None:
    """Prepare the copy where it is not there yet, then measure stage after stage."""
    source, folder = Path(sys.argv[1]), Path(sys.argv[2])
    if sys.argv[3:4] == ["--one"]:
        run_stage(folder, sys.argv[4])
        return
    if not folder.exists():
        prepare(source, folder)
    for stage in sys.argv[3:] or STAGES:
        started = time.perf_counter()
        command = [sys.executable, __file__, str(source), str(folder), "--one", stage]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        printed = process.stdout.read() if process.stdout else ""
        _, _, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        told = printed.strip().splitlines()[-1:]
        print(f"{stage:10}{usage.ru_maxrss / 1024:8.0f} MB {seconds:8.0f} s  {told}", flush=True)


if __name__ == "__main__":
    main()
