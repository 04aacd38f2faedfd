"""Write a cohort: DICOM as it arrives from centers, what sites know beside it, and the truth."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from afterglow.errors import AfterglowError
from afterglow.phantom import site_tables
from afterglow.phantom.plan import CohortPlan, SubjectPlan, full_plan

Size = Literal["tiny", "small", "full"]
SEED = 20190304
# Of each center, and of how many centers.
_SUBJECTS: dict[str, tuple[int, int]] = {"tiny": (1, 1), "small": (1, 3), "full": (3, 3)}
_VISITS: dict[str, int] = {"tiny": 1, "small": 2, "full": 3}


def plan_cohort(
    size: str = "small",
    seed: int = SEED,
    *,
    subjects: int | None = None,
    sessions: int | Mapping[str, int] | None = None,
) -> CohortPlan:
    """Return the plan of a cohort.

    Parameters
    ----------
    size : str
        ``tiny`` (one subject, one session), ``small`` (the first subject of each center, two
        sessions) or ``full`` (nine subjects, three sessions, and seeded trouble).
    seed : int
        Everything random follows from it.
    subjects : int, optional
        Keep this many subjects only.
    sessions : int or mapping of patient to int, optional
        Sessions per subject; the size's own number where a patient is not named. A plan with one
        session more describes the other sessions exactly as before.

    Examples
    --------
    >>> [len(s.visits) for s in plan_cohort("small", sessions={"SOUTH-0001": 3}).subjects]
    [2, 3, 2]
    """
    if size not in _SUBJECTS:
        raise AfterglowError(f"there is no size `{size}`", expected=" or ".join(_SUBJECTS))
    plan = full_plan(seed)
    each, centers = _SUBJECTS[size]
    chosen = [
        subject
        for center in plan.centers[:centers]
        for subject in [s for s in plan.subjects if s.center == center.name][:each]
    ]
    wanted = sessions if isinstance(sessions, Mapping) else {}
    usual = sessions if isinstance(sessions, int) else _VISITS[size]
    kept = tuple(
        replace(
            subject,
            visits=subject.visits[: wanted.get(subject.patient, usual)],
            troubles=subject.troubles if size == "full" else (),
        )
        for subject in chosen[:subjects]
    )
    names = {subject.center for subject in kept}
    used = tuple(center for center in plan.centers if center.name in names)
    return CohortPlan(size, seed, used, kept)


def write_cohort(
    directory: Path,
    *,
    size: str = "small",
    seed: int = SEED,
    jobs: int = 2,
    progress: Callable[[str], None] | None = None,
    subjects: int | None = None,
    sessions: int | Mapping[str, int] | None = None,
) -> Path:
    """Write a cohort and return its study file.

    Sessions already in the directory with the same plan are left alone, so calling this again
    with one session more adds that session only.

    Parameters
    ----------
    directory : Path
        Receives ``incoming/``, ``masks/``, ``truth/``, the tables and ``study.yaml``.
    size, seed, subjects, sessions
        As of `plan_cohort`.
    jobs : int
        Processes; the bytes do not depend on it.
    progress : callable, optional
        Called with a line for every session written.
    """
    plan = plan_cohort(size, seed, subjects=subjects, sessions=sessions)
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    todo = [
        (subject.patient, visit)
        for subject in plan.subjects
        for visit in range(len(subject.visits))
        if not _is_written(directory, plan, subject, visit)
    ]
    say = progress or (lambda _line: None)
    for done, (patient, visit) in enumerate(_written(directory, plan, todo, jobs), start=1):
        say(f"synthetic session {done} of {len(todo)}: {patient}, visit {visit + 1}")
    return write_tables(directory, plan)


def write_session(directory: Path, plan: CohortPlan, patient: str, visit: int) -> None:
    """Write one session's DICOM, mask, truth and layout; other sessions are not touched.

    The tables and the study file, which list all sessions, are written by `write_tables`.
    """
    from afterglow.phantom import truth
    from afterglow.phantom.session import write_dicom

    subject = plan.subject(patient)
    for stale in (_incoming(directory, subject, visit), _record_path(directory, subject, visit)):
        if stale.is_dir():
            shutil.rmtree(stale)
        stale.unlink(missing_ok=True)
    from afterglow.phantom.scan import open_session

    session = open_session(plan, patient, visit)
    series = write_dicom(session, _incoming(directory, subject, visit))
    labels, affine = truth.label_mask(session)
    mask = _mask_path(directory, subject, visit)
    given = session.center.masks == "nifti"
    if given:
        truth.save_nifti(labels, affine, mask)
    name = _session_name(subject, visit)
    for key, (values, where) in truth.maps(session).items():
        truth.save_nifti(values, where, directory / "truth" / "maps" / f"{name}_{key}.nii.gz")
    truth.save_nifti(labels, affine, directory / "truth" / "maps" / f"{name}_lesions.nii.gz")
    record = {
        "plan": _digest(plan, subject, visit),
        "layout": {
            "patient": patient,
            "study_date": f"{subject.visits[visit]:%Y%m%d}",
            "study_uid": plan.study_uid(patient, visit),
            "center": subject.center,
            "mask": mask.relative_to(directory).as_posix() if given else None,
            "series": {key: path.relative_to(directory).as_posix() for key, path in series.items()},
        },
        "lesions": truth.lesion_rows(session),
    }
    path = _record_path(directory, subject, visit)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def write_tables(directory: Path, plan: CohortPlan) -> Path:
    """Write masks, clinical, outcome and truth tables, the layout and the study file."""
    from afterglow.phantom.truth import identity_rows

    records = [
        json.loads(_record_path(directory, subject, visit).read_text(encoding="utf-8"))
        for subject in plan.subjects
        for visit in range(len(subject.visits))
    ]
    layout = [record["layout"] for record in records]
    (directory / "truth" / "layout.json").write_text(
        json.dumps(layout, indent=1) + "\n", encoding="utf-8"
    )
    rows = [row for record in records for row in record["lesions"]]
    site_tables.write_csv(directory / "truth" / "truth.csv", rows)
    site_tables.write_csv(directory / "truth" / "identity.csv", identity_rows(plan))
    for center in plan.centers:
        site_tables.write_masks(directory, center, layout)
        site_tables.write_labels(directory, plan, center)
    if decided := site_tables.decisions(plan):
        site_tables.write_csv(directory / "decisions.csv", decided)
    site_tables.write_csv(
        directory / "clinical.csv", [row for s in plan.subjects for row in site_tables.clinical(s)]
    )
    site_tables.write_csv(directory / "outcomes.csv", site_tables.outcomes(plan, rows))
    return site_tables.write_study(directory, plan)


def series_folder(directory: Path, patient: str, study_date: str, series: str) -> Path:
    """Return the folder of one series (T1w, FLAIR, vfa-02 ..., dce, dsc, T1w_ce) of one session.

    Raises
    ------
    KeyError
        Where the cohort has no such session or series.
    """
    layout = json.loads((directory / "truth" / "layout.json").read_text(encoding="utf-8"))
    for entry in layout:
        if (entry["patient"], entry["study_date"]) == (patient, study_date):
            return directory / str(entry["series"][series])
    raise KeyError((patient, study_date, series))


def _written(
    directory: Path, plan: CohortPlan, todo: list[tuple[str, int]], jobs: int
) -> Iterator[tuple[str, int]]:
    """Write sessions, a subject per process where that helps, and yield each that is done."""
    by_subject = {patient: [v for p, v in todo if p == patient] for patient, _ in todo}
    if jobs <= 1 or len(todo) <= 1:
        for patient, visit in todo:
            write_session(directory, plan, patient, visit)
            yield patient, visit
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed

    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        futures = {
            pool.submit(_write_sessions, directory, plan, patient, visits): (patient, visits)
            for patient, visits in _shares(by_subject, jobs)
        }
        for future in as_completed(futures):
            future.result()
            patient, visits = futures[future]
            yield from ((patient, visit) for visit in visits)


def _shares(by_subject: dict[str, list[int]], jobs: int) -> Iterator[tuple[str, list[int]]]:
    """Yield whole subjects, whose heads are made once, and the odd ones at the end by visits."""
    whole = len(by_subject) // jobs * jobs
    for number, (patient, visits) in enumerate(by_subject.items()):
        yield from [(patient, visits)] if number < whole else [(patient, [v]) for v in visits]


def _write_sessions(directory: Path, plan: CohortPlan, patient: str, visits: list[int]) -> None:
    for visit in visits:
        write_session(directory, plan, patient, visit)


def _digest(plan: CohortPlan, subject: SubjectPlan, visit: int) -> str:
    """Return what a session's files follow from, in short."""
    lesions = [(spec.number, spec.site, spec.kind, spec.states[visit]) for spec in subject.lesions]
    bare = replace(subject, lesions=(), visits=subject.visits[visit : visit + 1], troubles=())
    troubles = sorted(subject.troubled(visit))
    facts = repr((plan.seed, plan.center(subject.center), bare, visit, lesions, troubles))
    return hashlib.sha256(facts.encode()).hexdigest()


def _is_written(directory: Path, plan: CohortPlan, subject: SubjectPlan, visit: int) -> bool:
    path = _record_path(directory, subject, visit)
    if not path.is_file():
        return False
    record = json.loads(path.read_text(encoding="utf-8"))
    return bool(record["plan"] == _digest(plan, subject, visit))


def _session_name(subject: SubjectPlan, visit: int) -> str:
    return f"{subject.patient}_{subject.visits[visit]:%Y%m%d}"


def _incoming(directory: Path, subject: SubjectPlan, visit: int) -> Path:
    return (
        directory
        / "incoming"
        / subject.center
        / subject.patient
        / f"{subject.visits[visit]:%Y%m%d}"
    )


def _record_path(directory: Path, subject: SubjectPlan, visit: int) -> Path:
    return directory / "truth" / "sessions" / f"{_session_name(subject, visit)}.json"


def _mask_path(directory: Path, subject: SubjectPlan, visit: int) -> Path:
    return directory / "masks" / subject.center / f"{_session_name(subject, visit)}.nii.gz"
