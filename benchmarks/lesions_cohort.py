"""Identity on the lesions of the full reference cohort as drawn, without any image.

``python benchmarks/lesions_cohort.py`` makes the masks of all 27 sessions (a minute), brings them
to the first session by the true pose, moved by a random error, and prints what is wrong.
"""

from __future__ import annotations

import numpy as np

from afterglow.lesions.blobs import Scan, blobs_of_labels
from afterglow.lesions.tracking import Identity, identify
from afterglow.phantom import truth
from afterglow.phantom.cohort import SEED
from afterglow.phantom.plan import CohortPlan, SubjectPlan, full_plan
from afterglow.phantom.scan import open_session
from lesions_reference import OWN

ERRORS = (0.0, 0.5, 1.0)  # mm


def main() -> None:
    """Print edges beside continuations, and what is wrong, by error."""
    plan = full_plan(SEED)
    fates = truth.identity_rows(plan)
    rng = np.random.default_rng(0)
    wrong: dict[float, list[str]] = {error: [] for error in ERRORS}
    kinds: dict[float, list[str]] = {error: [] for error in ERRORS}
    for subject in plan.subjects:
        drawn = [_session(plan, subject, visit) for visit in range(len(subject.visits))]
        own = [fate for fate in fates if fate["patient"] == subject.patient]
        for error in ERRORS:
            scans = []
            for name, (labels, affine, pose) in zip(_names(subject), drawn, strict=True):
                move = drawn[0][2] @ np.linalg.inv(pose)
                move[:3, 3] += rng.normal(0, error / np.sqrt(3), 3)
                scans.append(Scan(name, blobs_of_labels(labels, affine, move, name)))
            found = identify(scans, _names(subject))
            wrong[error] += _judge(found, own)
            kinds[error] += [e.kind for e in found.graph.edges if e.kind != "continuation"]
    for error in ERRORS:
        print(f"{error} mm: other edges {sorted(kinds[error])}; wrong: {wrong[error]}")


def _names(subject: SubjectPlan) -> list[str]:
    return [f"{date:%Y%m%d}" for date in subject.visits]


def _session(plan: CohortPlan, subject: SubjectPlan, visit: int) -> tuple:
    session = open_session(plan, subject.patient, visit)
    labels, affine = truth.label_mask(session)
    return labels.astype(np.int32), affine, session.pose_of(session.series("T1w_ce")).matrix()


def _judge(found: Identity, fates: list[dict]) -> list[str]:
    """Return what is not as the truth says, for lesions with a mask of their own."""
    wrong: list[str] = []
    names: dict[int, set[str]] = {}
    for fate in fates:
        if fate["label"] != fate["lesion"]:
            continue
        node = (fate["study_date"], fate["label"])
        names.setdefault(fate["lesion"], set()).add(found.ids[node])
        if found.graph.states[node] not in OWN[fate["state"]]:
            wrong.append(f"{fate['patient']} {node}: {found.graph.states[node]}")
    if any(len(ids) > 1 for ids in names.values()):
        wrong.append(f"{fates[0]['patient']}: several ids")
    if len(set.union(*names.values())) < len(names):
        wrong.append(f"{fates[0]['patient']}: one id of several lesions")
    return wrong


if __name__ == "__main__":
    main()
