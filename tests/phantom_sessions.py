"""Phantom sessions without a head: the planned series on coarse grids, filled with noise.

What vendors write does not depend on what is in the image, so that these take a second.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from afterglow.config import Study
from afterglow.config.center import CenterConfig
from afterglow.phantom import cohort, extras, troubles
from afterglow.phantom import session as whole
from afterglow.phantom.geometry import Grid, Pose
from afterglow.phantom.lesions import solids
from afterglow.phantom.plan import CohortPlan
from afterglow.phantom.protocol import center_of
from afterglow.phantom.scan import Scan, Session
from afterglow.phantom.scanners import SCANNERS
from afterglow.phantom.seeds import generator
from afterglow.phantom.series import Series

COARSE = 4


def bare_session(patient: str, visit: int = 0, plan: CohortPlan | None = None) -> Any:
    """Return what the writers need of a session; lesions lie where they were planned."""
    plan = plan or cohort.plan_cohort("full")
    subject = plan.subject(patient)
    head = SimpleNamespace(warp=SimpleNamespace(to_head=np.array))
    bare = SimpleNamespace(
        plan=plan,
        subject=subject,
        center=center_of(plan, patient, visit),
        visit=visit,
        pose=Pose((1.0, -2.0, 3.0), (2.0, -4.0, 1.5)),
        solids=solids(plan.seed, subject, visit, head),  # type: ignore[arg-type]
    )
    bare.series = lambda name: Session.series(bare, name)  # type: ignore[arg-type]
    bare.pose_of = lambda series: Session.pose_of(bare, series)  # type: ignore[arg-type]
    bare.grid_of = lambda series: Session.grid_of(bare, series)  # type: ignore[arg-type]
    return bare


def noise(session: Any, series: Series, grid: Grid) -> np.ndarray:
    """Return values that depend on nothing but the names and fill 12 bits unevenly."""
    rng = generator(session.plan.seed, session.subject.patient, session.visit, series.name)
    return rng.integers(3, 2500, (*grid.shape, series.frames)).astype(np.int16)


def coarse(series: Series) -> Series:
    """Return a series on a grid that covers the same with fewer voxels."""
    shape = tuple(max(n // COARSE, 1) for n in series.shape)
    spacing = tuple(s * COARSE for s in series.spacing)
    return replace(series, shape=shape, spacing=spacing)


@pytest.fixture(scope="module")
def coarse_scanners() -> Any:
    """Let every scanner acquire noise on coarse grids."""
    with pytest.MonkeyPatch.context() as patch:
        for vendor, scanner in list(SCANNERS.items()):
            parts = {n: coarse(getattr(scanner, n)) for n in ("t1w", "flair", "dce", "dsc")}
            patch.setitem(SCANNERS, vendor, replace(scanner, **parts))
        patch.setattr(extras, "render", noise)
        patch.setattr(troubles, "render", noise)
        patch.setattr(whole, "acquire", acquire)
        yield


def acquire(session: Any, name: str) -> Scan:
    """Return one planned series filled with noise."""
    series = session.series(name)
    grid = session.grid_of(series)
    return Scan(series, grid, noise(session, series, grid))


def write(
    folder: Path, patient: str, visit: int = 0, plan: CohortPlan | None = None
) -> tuple[Any, dict[str, Path]]:
    """Write a session as it arrives and return it with the folders of its series."""
    session = bare_session(patient, visit, plan)
    day = f"{session.subject.visits[visit]:%Y%m%d}"
    where = folder / "incoming" / session.center.name / patient / day
    shutil.rmtree(where, ignore_errors=True)
    return session, whole.write_dicom(session, where)


def study(folder: Path, center: str) -> Study:
    """Return a study of one center of which sessions were written into a folder."""
    incoming = folder / "incoming" / center
    return Study(
        study="t",
        out=folder / "out",
        centers=[CenterConfig(name=center, dicom=[incoming])],
    )
