"""What every stage says of an input that is cut in half.

Usage: python benchmarks/corrupt_inputs.py FINISHED_STUDY FOLDER [STAGE ...]

Links a finished study to ``FOLDER`` and runs each stage of one subject there with one of the files
that its record says it read cut in half: the first and the last of each kind of file. For `bids`
that is a DICOM file of each dynamic series. Nothing of it is recorded or published. A row says how
the stage ended; one that ended as if nothing were wrong is marked ``NO WORD``.
"""

from __future__ import annotations

import json
import os
import runpy
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom

from afterglow.config import load_study
from afterglow.config.resources import resource
from afterglow.provenance.dag import PlannedJob, load_dag
from afterglow.provenance.records import record_path
from afterglow.provenance.stages import STAGES
from afterglow.provenance.wrapper import attempt_job


@contextmanager
def cut(path: Path) -> Iterator[None]:
    """Replace a file by its first half for a while."""
    kept = path.with_name(f".{path.name}.kept")
    path.replace(kept)
    whole = kept.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    try:
        yield
    finally:
        kept.replace(path)


def victims(folder: Path, job: PlannedJob) -> list[Path]:
    """Return the first and last file of each kind that a job read."""
    out = folder / "out"
    if job.stage == "bids":
        return _dynamic_images(folder)
    read = json.loads(record_path(out, job.key).read_text())["inputs"]["read"]
    kinds: dict[str, list[Path]] = {}
    for name in read:
        if (out / name).is_file():
            kinds.setdefault("".join(Path(name).suffixes[-2:]), []).append(out / name)
    return [path for paths in kinds.values() for path in dict.fromkeys((paths[0], paths[-1]))]


def _dynamic_images(folder: Path) -> list[Path]:
    """Return an image of a DSC and of a DCE series."""
    found: dict[str, Path] = {}
    for path in sorted((folder / "incoming/north").rglob("*")):
        header = (
            pydicom.dcmread(path, stop_before_pixels=True, force=True) if path.is_file() else {}
        )
        for kind in ("DSC", "DCE"):
            if kind in str(header.get("SeriesDescription")):
                found.setdefault(kind, path)
        if len(found) == 2:
            break
    return list(found.values())


def main(finished: Path, folder: Path, stages: list[str]) -> None:
    """Run stage after stage on cut inputs and print how each ended."""
    if not folder.exists():
        shutil.copytree(finished, folder, copy_function=os.link, symlinks=True)
    study = load_study(folder / "study.yaml")
    dag = load_dag(study)
    row = min((r for r in dag.rows if r["center"] == "north"), key=lambda r: r["session"])
    for stage in stages or list(STAGES):
        level = STAGES[stage].level
        subject = None if level == "study" else row["subject"]
        job = dag.of(stage, subject, row["session"] if level == "session" else None)
        script = runpy.run_path(str(resource(f"scripts/{stage}.py")), run_name="corrupt")["main"]
        for victim in victims(folder, job):
            with cut(victim), tempfile.TemporaryDirectory() as scratch:
                state = attempt_job(study, job, script, Path(scratch))
            said = [state.detail or state.reason, *(f"{p.what}: {p.cause}" for p in state.problems)]
            said = [text for text in [*said, *map(str, state.warnings)] if text]
            silent = state.status == "done" and not said
            told = "NO WORD" if silent else " | ".join(said)[:150].replace("\n", " ")
            name = victim.name if level != "session" or stage != "bids" else "a DICOM file"
            print(f"{stage:13}{name:60}{state.status:14}{told}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), sys.argv[3:])
