"""Dose of every lesion at every session, through the registration to the planning session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.bids.images import load_nifti
from afterglow.bids.sidecars import read_json
from afterglow.errors import NotEvaluable
from afterglow.lesions.dose import Dose, dose_of, dose_statistics, fine_points, isodose_volumes
from afterglow.lesions.inputs import Find

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.lesions.grids import Grid
    from afterglow.provenance.job import State


@dataclass(frozen=True, eq=False)
class Placed:
    """The lesions of one session on its grid, and its way to the reference session (world, mm).

    ``reason`` is empty where that way can be used.
    """

    session: str
    labels: NDArray[np.int32]
    grid: Grid
    to_reference: NDArray[np.float64]
    reason: str


@dataclass(frozen=True, eq=False)
class Planned:
    """The dose of one plan and the session whose images it was planned on."""

    session: str
    dose: Dose


def planned_doses(find: Find, bids: Sequence[State]) -> tuple[list[Planned], list[str]]:
    """Return the doses of a subject, earliest session first, and why others are not used."""
    found, reasons = [], []
    for state in sorted(bids, key=lambda s: str(s.session)):
        for item in state.summary.get("objects") or []:
            if not state.done or item["kind"] != "dose":
                continue
            values, affine = load_nifti(find(item["path"]))
            try:
                dose = dose_of(values, affine, read_json(find(item["sidecar"])))
            except NotEvaluable as reason:
                reasons.append(f"ses-{state.session}: {reason.reason}")
                continue
            found.append(Planned(str(state.session), dose))
    return found, reasons


def lesion_doses(visits: Sequence[Placed], plans: Sequence[Planned]) -> list[dict[str, Any]]:
    """Return one row per plan, session and lesion.

    Dose statistics are those of the lesion as it is at the session; V10 and V12 are volumes of
    tissue, given for the lesions of the planning session. Lesions that cannot be brought there
    have the reason.
    """
    rows = []
    by_session = {visit.session: visit for visit in visits}
    for plan in plans:
        home = by_session.get(plan.session)
        if home is None:
            continue
        volumes = isodose_volumes(plan.dose, _clouds(home, np.eye(4)))
        for visit in visits:
            rows += _session_rows(plan, home, visit, volumes)
    return rows


def _session_rows(
    plan: Planned, home: Placed, visit: Placed, volumes: Mapping[int, Mapping[str, float]]
) -> list[dict[str, Any]]:
    here = visit.session == home.session
    reason = "" if here else visit.reason or home.reason
    move = np.eye(4) if here else np.linalg.inv(home.to_reference) @ visit.to_reference
    rows = []
    for label, points in _clouds(visit, move).items():
        row: dict[str, Any] = {"session": visit.session, "label": label, "plan": plan.session}
        row |= {"type": plan.dose.kind, "reason": reason}
        if not reason:
            values = dose_statistics(plan.dose, points)
            row |= {n: _number(v) for n, v in values.items()}
            row["reason"] = "" if values["covered"] >= 0.99 else "outside_of_dose"
        if here:
            row |= {name: round(value, 6) for name, value in volumes[label].items()}
        rows.append(row)
    return rows


def _number(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None


def _clouds(visit: Placed, move: NDArray[np.float64]) -> dict[int, NDArray[np.float64]]:
    """Return points of every lesion of a session, moved by a matrix."""
    found = {}
    for label in [int(n) for n in np.unique(visit.labels) if n > 0]:
        points = fine_points(visit.labels == label, visit.grid)
        found[label] = points @ move[:3, :3].T + move[:3, 3]
    return found
