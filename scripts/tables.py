"""One table of each kind for the whole study, with its dictionary."""

import json
from typing import Any

from afterglow import __version__
from afterglow.bids.dataset import write_dataset_files
from afterglow.dicom.deidentify import load_secret
from afterglow.provenance.job import Job
from afterglow.provenance.wrapper import run
from afterglow.tables import changes, clinical, courses, sessions, treatment, wide
from afterglow.tables.consolidate import curve_batches, feature_batches
from afterglow.tables.documents import write_documents
from afterglow.tables.identities import Identities, read_identities
from afterglow.tables.mask_facts import mask_facts
from afterglow.tables.models import (
    CurveRow,
    EdgeRow,
    FailureRow,
    FeatureRow,
    LesionRow,
    SessionRow,
    WideRow,
)
from afterglow.tables.study import StudyStates
from afterglow.tables.therapies import TherapyRow, therapy_rows
from afterglow.tables.write import write_sorted, write_table


def main(job: Job) -> None:
    import pyarrow.parquet as pq

    plan = pq.read_table(job.path("index/plan.parquet")).to_pylist()
    study = StudyStates(plan, job.upstream)
    identities = read_identities(study, job.path)
    people = _people(job, plan)
    site = clinical.read_rows(job.study.clinical, people, "clinical", job.warn)
    rows, treated, told = _lesions(job, study, identities, people, site)
    days = _days_from_srs(people, treated)
    _sessions(job, study, rows, days, identities.edges)
    write_table(rows, LesionRow, _out(job, "lesions"))
    centers = {subject: study.center_of(subject) for subject in study.by_subject}
    srs = {subject: own.srs for (subject, lesion), own in treated.items() if lesion is None}
    write_table(therapy_rows(site, centers, srs), TherapyRow, _out(job, "therapies"))
    write_table(identities.edges, EdgeRow, _out(job, "edges"))
    failures = list(sessions.failure_rows(study, _absent(job)))
    write_table(failures, FailureRow, _out(job, "failures"))
    n = write_sorted(
        feature_batches(study, identities, job.path), FeatureRow, _out(job, "features")
    )
    write_sorted(curve_batches(study, identities, job.path), CurveRow, _out(job, "curves"))
    columns = _wide(job, study, identities, rows, _days(people))
    write_documents(job.out, job.study.study, columns)
    converted = {(s.subject, s.session) for s in job.upstream.get("bids", []) if s.done}
    dated = [
        {**row, "days_from_srs": days.get((row["subject"], row["session"]))}
        for row in plan
        if (row["subject"], row["session"]) in converted
    ]
    write_dataset_files(job.out, dated, job.study.study, __version__)
    job.summary = {
        "n_sessions": len(study.sessions),
        "n_lesion_rows": len(rows),
        "n_features": n,
        "n_failures": len(failures),
        "flow": sessions.flow_rows(study, rows),
        "site_rows": told,
    }


def _absent(job: Job) -> list[dict[str, Any]]:
    """Return the jobs that left no state, where the driver listed any."""
    listed = "index/absent.json"
    if not (job.root / listed).exists():
        return []
    found: list[dict[str, Any]] = json.loads(job.path(listed).read_text(encoding="utf-8"))
    return found


def _out(job: Job, name: str) -> Any:
    return job.out(f"tables/{name}.parquet")


def _people(job: Job, plan: list[dict[str, Any]]) -> clinical.People:
    """Return the people of the study; the private folder is opened only where a file names them."""
    if job.study.clinical is None and job.study.outcomes is None:
        return clinical.People((), clinical.dates_of(plan))
    return clinical.people_of(job.study.private_dir, plan, load_secret(job.study))


def _order(study: StudyStates) -> dict[tuple[str, str], int]:
    return {(row["subject"], row["session"]): k for k, row in enumerate(study.sessions)}


def _lesions(
    job: Job,
    study: StudyStates,
    identities: Identities,
    people: clinical.People,
    site: list[dict[str, Any]],
) -> tuple[list[dict[str, Any]], treatment.Treated, dict[str, dict[str, list[int]]]]:
    """Return rows of `lesions`, radiosurgery of lesions and subjects, and who told what where."""
    rows = courses.measured_rows(study, identities, job.path)
    masks = mask_facts(study, job.path)
    places = courses.places_of(rows, masks)
    treated = treatment.treatments(site, places, people)
    for doubt in treatment.treatment_doubts(site, places, people):
        job.warn(doubt)
    given = clinical.read_rows(job.study.outcomes, people, "outcomes", job.warn)
    labels, lost = treatment.outcomes(given, places, people)
    if lost:
        job.warn(
            f"{lost} of {len(given)} outcome rows are not used: they fit no lesion, have no label,"
            " or contradict another row (a lesion with two labels has none)"
        )
    courses.add_identity(rows, identities, masks)
    courses.add_treatment(rows, treated, labels, people)
    order, noise = _order(study), job.study.tables.repeatability
    settings, edges = courses.settings_of(job.study.tables), identities.edges
    courses.add_responses(rows, order, settings, edges)
    courses.add_growth(rows, order, _days(people), noise, edges)
    told = {"clinical": site, "outcomes": given}
    return rows, treated, {n: clinical.row_numbers(r, places, people) for n, r in told.items()}


def _days_from_srs(
    people: clinical.People, treated: treatment.Treated
) -> dict[tuple[str, str], float]:
    """Return days from the subject's first radiosurgery by session."""
    days = {}
    for (subject, session), day in people.dates.items():
        own = treated.get((subject, None))
        if own is not None and own.srs is not None:
            days[subject, session] = float((day - own.srs).days)
    return days


def _sessions(
    job: Job,
    study: StudyStates,
    rows: list[dict[str, Any]],
    days: dict[tuple[str, str], float],
    edges: list[dict[str, Any]],
) -> None:
    settings = courses.settings_of(job.study.tables)
    answers = courses.patient_responses(rows, _order(study), settings, edges)
    found = []
    unusual = sessions.unusual_quality(study, job.study.tables.quality_range)
    for plan in study.sessions:
        key = (plan["subject"], plan["session"])
        row = sessions.session_row(study, plan, job.path, days.get(key), unusual.get(key, ()))
        center = job.study.center(plan["center"])
        site = {"agent": center.contrast_agent, "dose": center.dose, "preload": center.preload}
        row |= {name: fact for name, fact in site.items() if row[name] is None}
        answer = answers.get(key)
        if answer is not None:
            row["patient_rano_bm"] = answer.response
            row["patient_rano_bm_facts"] = answer.facts
            row["sum_longest_diameter"] = answer.sum_longest
        found.append(row)
    write_table(found, SessionRow, _out(job, "sessions"))


def _days(people: clinical.People) -> dict[tuple[str, str], float]:
    """Return the day of every session that has a date."""
    return {key: float(day.toordinal()) for key, day in people.dates.items()}


def _wide(
    job: Job,
    study: StudyStates,
    identities: Identities,
    rows: list[dict[str, Any]],
    days: dict[tuple[str, str], float],
) -> list[dict[str, str]]:
    """Write the wide matrix and return its columns beyond the model for the dictionary."""
    matrix = wide.pivot(feature_batches(study, identities, job.path))
    config = job.study.tables
    settings = changes.ChangeSettings(tuple(config.change_statistics), config.repeatability)
    changed = changes.change_columns(matrix, _order(study), days, settings)
    facts = {(r["center"], r["subject"], r["session"], r["lesion_id"], r["label"]): r for r in rows}
    table, fields = wide.wide_table(matrix, changed, facts)
    write_table(table, WideRow, _out(job, "features_wide"), more=fields)
    return [
        {
            "name": field.name,
            "type": "double",
            **{k.decode(): v.decode() for k, v in field.metadata.items() if v},
        }
        for field in fields
    ]


if __name__ == "__main__":
    run(snakemake, main)  # noqa: F821
