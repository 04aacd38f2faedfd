"""The lesion graph of one subject, from its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.lesions.blobs import Scan, blobs_of_labels
from afterglow.lesions.inputs import Find, load_labels, transform
from afterglow.lesions.matching import MatchSettings
from afterglow.lesions.tracking import as_json, identify

if TYPE_CHECKING:
    from afterglow.config.identity import IdentityConfig
    from afterglow.provenance.job import State


@dataclass(frozen=True)
class Visit:
    """One session of a subject: its place in time, and in the order of arrival."""

    session: str
    arrival: int
    is_reference: bool


def visits_of(plan: Path, subject: str) -> list[Visit]:
    """Return the subject's sessions in order of date, from the plan table.

    The label holds the date; where the site names its sessions itself, ``date_shifted`` orders
    them.
    """
    import pyarrow.parquet as pq

    rows = pq.read_table(plan, filters=[("subject", "=", subject)]).to_pylist()
    rows = [row for row in rows if row["status"] == "planned"]
    rows.sort(key=lambda row: (str(row.get("date_shifted") or row["session"]), row["session"]))
    return [Visit(row["session"], int(row["arrival"]), bool(row["is_reference"])) for row in rows]


def read_scans(
    find: Find, visits: Sequence[Visit], upstream: Mapping[str, Sequence[State]]
) -> list[Scan]:
    """Return the masked sessions of a subject in order of date, in reference space.

    A session without a usable registration keeps its lesions and says why they match none.
    """
    images = {state.session: state for state in upstream["bids"]}
    anatomy = {state.session: state for state in upstream["anat"]}
    made = {state.session: state for state in upstream.get("features", []) if state.done}
    scans = []
    for visit in visits:
        state = images.get(visit.session)
        if state is None or not state.done:
            continue
        mask = state.summary.get("mask")
        if not mask and visit.session in made:
            mask = made[visit.session].summary.get("mask")
        if not mask:
            continue
        to_reference, reason = _registration(find, visit, anatomy.get(visit.session))
        labels, grid = load_labels(find, mask)
        blobs = blobs_of_labels(labels.data, grid.affine, to_reference, visit.session)
        scans.append(Scan(visit.session, blobs, reason))
    return scans


def _registration(find: Find, visit: Visit, anat: State | None) -> tuple[Any, str]:
    """Return the matrix to the reference session, and why it cannot be used."""
    if visit.is_reference:
        return np.eye(4), ""
    if anat is None or not anat.done:
        return np.eye(4), "no_anatomy"
    matrix = transform(find, anat.summary, "T1w_to_reference")
    if matrix is None or not anat.summary.get("longitudinal"):
        return np.eye(4), "no_longitudinal_registration"
    return matrix, ""


def graph_of(
    scans: Sequence[Scan], visits: Sequence[Visit], config: IdentityConfig
) -> dict[str, Any]:
    """Return the graph as it is stored."""
    settings = MatchSettings(**config.model_dump())
    present = {scan.session for scan in scans}
    arrival = [v.session for v in sorted(visits, key=lambda v: v.arrival) if v.session in present]
    identity = identify(scans, arrival, settings)
    reasons = {scan.session: scan.reason for scan in scans if scan.reason}
    return as_json(identity, reasons)
