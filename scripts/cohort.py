"""Stage `cohort`: published rules, validated models, and the reason where there are none."""

import json
from typing import Any

from afterglow.cohort import rules
from afterglow.cohort.analysis import Analysis, analyse, needed_features, rule_catalogue
from afterglow.cohort.artifact import save_model
from afterglow.cohort.figures import validation_figures
from afterglow.cohort.outputs import write_validation
from afterglow.provenance.job import Job
from afterglow.provenance.wrapper import run
from afterglow.tables.models import FlowRow, RuleRow
from afterglow.tables.write import write_table


def main(job: Job) -> None:
    settings = job.study.cohort
    found = analyse(_tables(job), settings, job.say)
    for row in [*found.rules, *found.predictions]:
        row["record_id"] = row["record_id"] or job.key
    write_table(found.rules, RuleRow, job.out("tables/rules.parquet"))
    tables = job.out("tables/performance.parquet").parent
    journal = write_validation(found, tables, job.out("cohort/journal/models.csv").parent)
    _write_flow(job, found)
    card = save_model(found, settings, job.out("cohort/model/card.json").parent)
    figures = validation_figures(found, job.out("cohort/figures/roc.png").parent)
    catalogue = rule_catalogue(rules.load_rules(settings.rules))
    job.out("cohort/rules.json").write_text(_json(catalogue), encoding="utf-8")
    job.summary |= {
        "validation": found.validation,
        "flow": found.flow,
        "checks": found.checks,
        "model": card,
        "figures": [f"cohort/figures/{name}" for name in figures],
        "journal": [f"cohort/journal/{name}" for name in journal],
        "rules": "cohort/rules.json",
    }
    if not found.validation["possible"]:
        job.warn(f"validation impossible, because {found.validation['detail']}")


def _tables(job: Job) -> dict[str, list[dict[str, Any]]]:
    import pyarrow.parquet as pq

    needed = needed_features(job.study.cohort)
    filters = {"features": [(name, "in", values) for name, values in needed.items()]}
    return {
        name: pq.read_table(
            job.path(f"tables/{name}.parquet"), filters=filters.get(name)
        ).to_pylist()
        for name in ("features", "sessions", "lesions")
    }


def _write_flow(job: Job, found: Analysis) -> None:
    """Write the flow of stage `tables` with the steps from lesions to models after it."""
    first = job.state("tables").summary.get("flow")
    if not first:
        return
    steps: dict[str, int] = {}
    for row in found.flow:
        steps.setdefault(row["name"], max(r["step"] for r in first) + 1 + len(steps))
    more = [{**row, "step": steps[row["name"]]} for row in found.flow]
    write_table([*first, *more], FlowRow, job.out("tables/flow.parquet"))


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    run(snakemake, main)  # noqa: F821
