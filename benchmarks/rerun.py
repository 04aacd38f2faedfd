"""A finished study, to be run again elsewhere under the same code, and compared."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from afterglow.cli.driver import plan_study
from afterglow.config import load_study
from afterglow.provenance.audit import verify
from killing import contents


def prepare(finished: Path, folder: Path) -> None:
    """Copy a study without its results and index it where it is now."""
    for path in finished.iterdir():
        if path.name == "out":
            continue
        copy = shutil.copytree if path.is_dir() else shutil.copy2
        copy(path, folder / path.name)
    # Compiled kernels are no results.
    for name in ("index", ".cache"):
        shutil.copytree(finished / "out" / name, folder / "out" / name)
    afterglow = [sys.executable, "-m", "afterglow.cli.app"]
    subprocess.run([*afterglow, "index", str(folder)], check=True)


def begin_anew(folder: Path) -> None:
    """Take a study back to its plan."""
    for path in (folder / "out").iterdir():
        if path.name in {"index", ".cache"}:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def compare(finished: Path, folder: Path) -> dict[str, object]:
    """Return what differs from the undisturbed run, what verify finds, and what is left."""
    expected, found = contents(finished / "out"), contents(folder / "out")
    differing = sorted(p for p in expected | found if expected.get(p) != found.get(p))
    study = load_study(folder / "study.yaml")
    return {
        "files": len(found),
        "tables": sum(path.startswith("tables/") for path in found),
        "differing": differing,
        "verify": [vars(finding) for finding in verify(study, deep=True)],
        "planned": len(plan_study(study)[1]),
    }
