"""The lesion graph of one subject, from its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.lesions.blobs import Scan, blobs_of_labels
from afterglow.lesions.corrections import Corrections
from afterglow.lesions.inputs import Find, load_labels, transform
from afterglow.lesions.lesion_dose import Placed
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


def read_placed(
    find: Find, visits: Sequence[Visit], upstream: Mapping[str, Sequence[State]]
) -> list[Placed]:
    """Return the masked sessions of a subject in order of date, each with its way to the reference.

    A session without a usable registration keeps its lesions and says why they match none.
    """
    images = {state.session: state for state in upstream["bids"]}
    anatomy = {state.session: state for state in upstream["anat"]}
    made = {state.session: state for state in upstream.get("features", []) if state.done}
    found = []
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
        found.append(Placed(visit.session, labels.data, grid, to_reference, reason))
    return found


def scans_of(placed: Sequence[Placed]) -> list[Scan]:
    """Return the sessions as tracking sees them, in reference space."""
    return [
        Scan(
            one.session,
            blobs_of_labels(one.labels, one.grid.affine, one.to_reference, one.session),
            one.reason,
        )
        for one in placed
    ]


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
    scans: Sequence[Scan],
    visits: Sequence[Visit],
    config: IdentityConfig,
    corrections: Corrections | None = None,
) -> dict[str, Any]:
    """Return the graph as it is stored, with every correction and whether it could be applied."""
    settings = MatchSettings(**config.model_dump())
    present = {scan.session for scan in scans}
    arrival = [v.session for v in sorted(visits, key=lambda v: v.arrival) if v.session in present]
    corrections = corrections or Corrections()
    identity = identify(scans, arrival, settings, corrections)
    reasons = {scan.session: scan.reason for scan in scans if scan.reason}
    content = as_json(identity, reasons)
    content["decisions"] = [
        {
            "row": row.row,
            "session": row.node[0],
            "label": row.node[1],
            "decision": row.verdict,
            "other": list(row.other) if row.other else None,
            "applied": applied,
            "rater": row.rater,
            "reason": row.reason,
        }
        for row, applied in corrections.applied(identity.ids)
    ]
    return content
