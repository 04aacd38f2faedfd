"""Stage `study_report`: the page of the study, and its accuracy where truth is known."""

import json
from typing import Any

from afterglow.provenance.job import Job
from afterglow.provenance.wrapper import run
from afterglow.report.accuracy import Agreement, assess, read_truth
from afterglow.report.checklists import fill_checklists, write_checklists
from afterglow.report.cohort import cohort_page
from afterglow.report.crosswalk import locator
from afterglow.report.lesion import lesion_page
from afterglow.report.lesion_rows import lesion_facts
from afterglow.report.render import data_uri
from afterglow.report.rule_table import cutoff_text
from afterglow.report.study import story_path, study_page

TABLES = (
    *("sessions", "lesions", "features", "rules", "performance", "feature_tests"),
    *("flow", "failures", "predictions", "therapies"),
)
# The page shows medians; a large study's features table holds millions of other rows.
FILTERS = {
    "features": [
        ("statistic", "in", ["median", "p25", "p75"]),
        ("region", "in", ["lesion", "whole_brain_nawm", "contralateral_nawm"]),
    ]
}
CAPTIONS = {
    "roc": "Receiver operating characteristic of out-of-fold predictions.",
    "calibration": "Observed share of progressions against predicted probability, in fifths.",
    "decision": "Net benefit (fraction of lesions) against threshold probability.",
    "learning": "Area within center by number of training patients, with 95 % intervals.",
    "centers": "Area by center with 95 % intervals: nested, and with the center left out.",
}


def main(job: Job) -> None:
    tables = {name: _table(job, name) for name in TABLES}
    cohort = job.state("cohort")
    summary = cohort.summary if cohort.done else {"validation": _why_not(cohort)}
    catalogue = []
    if cohort.done:
        catalogue = json.loads(job.path(summary["rules"]).read_text(encoding="utf-8"))
    accuracy = _accuracy(job, tables)
    if accuracy is not None:
        content = [a.as_dict() for a in accuracy]
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        job.out("cohort/accuracy.json").write_text(text, encoding="utf-8")
        job.summary["accuracy"] = content
    checklists = fill_checklists(tables, summary)
    write_checklists(checklists, job.out("cohort/reporting/metrics.json").parent)
    html = cohort_page(
        tables,
        summary,
        catalogue,
        study=job.study.study,
        accuracy=accuracy,
        checklists=list(checklists.values()),
        figures=[_figure(job, name) for name in summary.get("figures") or []],
        record_id=job.key,
    )
    job.out("cohort/report.html").write_text(html, encoding="utf-8")
    job.summary["page"] = "cohort/report.html"
    job.summary["stories"] = _stories(job, tables, catalogue)
    told = frozenset((row["subject"], row["lesion_id"]) for row in tables["lesions"])
    html = study_page(
        tables["sessions"],
        tables["lesions"],
        tables["failures"],
        study=job.study.study,
        stories=told,
        record_id=job.key,
    )
    job.out("cohort/study.html").write_text(html, encoding="utf-8")
    job.summary["study"] = "cohort/study.html"


def _stories(job: Job, tables: dict[str, list[dict[str, Any]]], catalogue: list[Any]) -> int:
    """Write a page for each lesion and return how many there are."""
    slices: dict[str, Any] = {}
    for state in job.upstream.get("stories", []):
        if state.done:
            text = job.path(state.summary["slices"]).read_text(encoding="utf-8")
            slices[str(state.subject)] = json.loads(text)
    settings = job.study.report.stories
    found = lesion_facts(tables, slices)
    for (subject, lesion), facts in found.items():
        html = lesion_page(
            facts,
            study=job.study.study,
            titles={rule["rule_id"]: rule["title"] for rule in catalogue},
            cutoffs={rule["rule_id"]: cutoff_text(rule) for rule in catalogue},
            repeatability=job.study.tables.repeatability,
            ranges=settings.ranges,
            pixels=settings.pixels,
            record_id=job.key,
        )
        job.out(story_path(subject, lesion)).write_text(html, encoding="utf-8")
    return len(found)


def _table(job: Job, name: str) -> list[dict[str, Any]]:
    """Return the rows of a table; empty where the study has none."""
    import pyarrow.parquet as pq

    relative = f"tables/{name}.parquet"
    if not (job.root / relative).exists():
        return []
    table = pq.read_table(job.path(relative), filters=FILTERS.get(name))
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _why_not(state: Any) -> dict[str, Any]:
    detail = ": ".join(p for p in (state.reason, state.detail) if p)
    return {"possible": False, "detail": f"stage cohort is {state.status} ({detail})"}


def _accuracy(job: Job, tables: dict[str, list[dict[str, Any]]]) -> list[Agreement] | None:
    settings = job.study.report
    if settings.truth is None:
        return None
    return assess(
        read_truth(settings.truth),
        locator(job.study),
        tables["lesions"],
        tables["features"],
        settings.truth_distance,
    )


def _figure(job: Job, relative: str) -> dict[str, str]:
    name = relative.rsplit("/", 1)[-1].removesuffix(".png")
    text = CAPTIONS.get(name, name)
    return {"src": data_uri(job.path(relative)), "alt": text, "caption": text}


if __name__ == "__main__":
    run(snakemake, main)  # noqa: F821
