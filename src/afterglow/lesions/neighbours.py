"""Sessions of the subject whose images lie within reach of this one through a registration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.bids.images import load_nifti
from afterglow.bids.sidecars import read_json
from afterglow.errors import NotEvaluable
from afterglow.lesions.dose import Dose, dose_of
from afterglow.lesions.inputs import transform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.provenance.job import Job, State


@dataclass(frozen=True, eq=False)
class Neighbour:
    """One session, ``images`` as stage `bids` left them, and the way there (world, mm)."""

    session: str
    images: Mapping[str, Any]
    move: NDArray[np.float64]


def neighbours(job: Job, anat: State) -> list[Neighbour]:
    """Return this session and those upstream that are registered with it, the latest first."""
    own = transform(job.path, anat.summary, "T1w_to_reference")
    own = np.eye(4) if own is None else own
    others = {s.session: s for s in job.upstream.get("anat", []) if s.done}
    found = []
    for state in sorted(job.upstream.get("bids", []), key=lambda s: str(s.session), reverse=True):
        there = others.get(state.session)
        if there is None or not state.done or not _registered(there, anat):
            continue
        move = np.eye(4)
        if state.session != job.session:
            back = transform(job.path, there.summary, "T1w_to_reference")
            move = np.linalg.inv(np.eye(4) if back is None else back) @ own
        found.append(Neighbour(str(state.session), state.summary, move))
    return found


def _registered(there: State, anat: State) -> bool:
    """Return whether both sessions are registered to the reference, or are the same one."""
    same = there.session == anat.session
    both = bool(there.summary.get("longitudinal")) and bool(anat.summary.get("longitudinal"))
    return same or both


def doses(job: Job, near: Neighbour) -> list[Dose]:
    """Return the doses of whole plans that came with a session."""
    found = []
    for item in near.images.get("objects") or []:
        if item["kind"] != "dose":
            continue
        values, affine = load_nifti(job.path(item["path"]))
        try:
            found.append(dose_of(values, affine, read_json(job.path(item["sidecar"]))))
        except NotEvaluable:
            continue
    return found
