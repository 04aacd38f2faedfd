"""Who is who among the lesions of one subject, over all sessions."""

import json

from afterglow.errors import NotEvaluable
from afterglow.lesions.graph import graph_of, read_scans, visits_of
from afterglow.provenance.job import Job
from afterglow.provenance.wrapper import run


def main(job: Job) -> None:
    visits = visits_of(job.path("index/plan.parquet"), job.subject or "")
    scans = read_scans(job.path, visits, job.upstream)
    if not scans:
        raise NotEvaluable("no_lesion_mask", "no session of this subject has a lesion mask")
    graph = graph_of(scans, visits, job.study.identity)
    for scan in scans:
        if scan.reason:
            job.warn(f"lesions of ses-{scan.session} are matched to none: {scan.reason}")
    relative = f"derivatives/sub-{job.subject}/sub-{job.subject}_desc-lesions_graph.json"
    text = json.dumps(graph, indent=1, sort_keys=True) + "\n"
    job.out(relative).write_text(text, encoding="utf-8")
    job.summary = {"graph": relative}


if __name__ == "__main__":
    run(snakemake, main)  # noqa: F821
