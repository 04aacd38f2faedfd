"""Stage `cohort`: published rules, validated models, and the reason where there are none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from afterglow.cohort import rules
from afterglow.cohort.analysis import Analysis, analyse, rule_catalogue
from afterglow.cohort.artifact import save_model
from afterglow.cohort.figures import validation_figures
from afterglow.provenance.wrapper import run
from afterglow.tables.models import PerformanceRow, PredictionRow, RuleRow
from afterglow.tables.write import write_table

if TYPE_CHECKING:
    from afterglow.provenance.job import Job


def main(job: Job) -> None:
    settings = job.study.cohort
    found = analyse(_tables(job), settings, job.say)
    write_table(found.rules, RuleRow, job.out("tables/rules.parquet"))
    write_table(found.predictions, PredictionRow, job.out("tables/predictions.parquet"))
    write_table(found.performance, PerformanceRow, job.out("tables/performance.parquet"))
    card = save_model(found, settings, job.out("cohort/model/card.json").parent)
    figures = validation_figures(found, job.out("cohort/figures/roc.png").parent)
    catalogue = rule_catalogue(rules.load_rules(settings.rules))
    job.out("cohort/rules.json").write_text(_json(catalogue), encoding="utf-8")
    job.summary |= {
        "validation": found.validation,
        "flow": _flow(found),
        "checks": found.checks,
        "model": card,
        "figures": [f"cohort/figures/{name}" for name in figures],
        "rules": "cohort/rules.json",
    }
    if not found.validation["possible"]:
        job.warn(f"validation impossible, because {found.validation['detail']}")


def _tables(job: Job) -> dict[str, list[dict[str, Any]]]:
    import pyarrow.parquet as pq

    return {
        name: pq.read_table(job.path(f"tables/{name}.parquet")).to_pylist()
        for name in ("features", "sessions", "lesions")
    }


def _flow(found: Analysis) -> list[dict[str, Any]]:
    """Return the steps from lesions to models, in the words of the flow table."""
    rows = [
        {"name": "labelled lesions", "reason": reason, "n_lesions": n}
        for reason, n in found.left_out.items()
    ]
    design = found.design
    n = 0 if design is None else int(design.y.size)
    subjects = 0 if design is None else design.n_patients
    rows.append({"name": "labelled lesions", "reason": "", "n_lesions": n, "n_subjects": subjects})
    why = found.validation
    rows.append(
        {
            "name": "validation",
            "reason": "" if why["possible"] else f"{why['reason']}: {why['detail']}",
            "n_lesions": n if why["possible"] else 0,
            "n_subjects": subjects if why["possible"] else 0,
        }
    )
    return rows


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    run(snakemake, main)  # noqa: F821
