"""Who is who among the lesions of one subject, over all sessions."""

import json

from afterglow.errors import NotEvaluable
from afterglow.lesions.corrections import Corrections, read_corrections
from afterglow.lesions.graph import graph_of, read_placed, scans_of, visits_of
from afterglow.lesions.lesion_dose import lesion_doses, planned_doses
from afterglow.provenance.job import Job
from afterglow.provenance.wrapper import run


def main(job: Job) -> None:
    visits = visits_of(job.path("index/plan.parquet"), job.subject or "")
    placed = read_placed(job.path, visits, job.upstream)
    if not placed:
        raise NotEvaluable("no_lesion_mask", "no session of this subject has a lesion mask")
    corrections = Corrections(read_corrections(job.study.decisions, job.subject or ""))
    graph = graph_of(scans_of(placed), visits, job.study.identity, corrections)
    for one in placed:
        if one.reason:
            job.warn(f"lesions of ses-{one.session} are matched to none: {one.reason}")
    for later, earlier in corrections.contradictions():
        job.warn(
            f"row {later.row} of the decisions file contradicts row {earlier.row}: the later one"
            " counts; delete the line of the one that is withdrawn"
        )
    for row in graph["decisions"]:
        if not row["applied"]:
            job.warn(f"row {row['row']} of the decisions file names a lesion that is not there")
    plans, unused = planned_doses(job.path, job.upstream["bids"])
    for reason in unused:
        job.warn(f"a dose is not used: {reason}")
    graph["dose"] = lesion_doses(placed, plans)
    relative = f"derivatives/sub-{job.subject}/sub-{job.subject}_desc-lesions_graph.json"
    text = json.dumps(graph, indent=1, sort_keys=True) + "\n"
    job.out(relative).write_text(text, encoding="utf-8")
    job.summary = {"graph": relative}


if __name__ == "__main__":
    run(snakemake, main)  # noqa: F821
