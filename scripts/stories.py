"""Stage `stories`: what each lesion of a subject looks like at each session."""

import json

from afterglow.errors import NotEvaluable
from afterglow.lesions.graph import read_placed, visits_of
from afterglow.provenance.job import Job
from afterglow.provenance.wrapper import run
from afterglow.report.slices import lesion_slices, scans_of


def main(job: Job) -> None:
    (identity,) = job.upstream["identity"]
    if not identity.done:
        raise NotEvaluable("no_lesions", "the subject has no lesion with an identity")
    graph = json.loads(job.path(identity.summary["graph"]).read_text(encoding="utf-8"))
    visits = visits_of(job.path("index/plan.parquet"), job.subject or "")
    scans = scans_of(job.path, read_placed(job.path, visits, job.upstream), job.upstream)
    if not scans:
        raise NotEvaluable("no_reference_space", "no session of the subject is registered")
    folder = f"derivatives/sub-{job.subject}"

    def write(name: str, content: bytes) -> str:
        relative = f"{folder}/figures/sub-{job.subject}_{name}"
        job.out(relative).write_bytes(content)
        return relative

    slices = lesion_slices(scans, graph["assignments"], job.path, job.study.report.stories, write)
    relative = f"{folder}/sub-{job.subject}_desc-lesions_slices.json"
    content = {"pixels": job.study.report.stories.pixels, "lesions": slices}
    text = json.dumps(content, indent=1, sort_keys=True) + "\n"
    job.out(relative).write_text(text, encoding="utf-8")
    job.summary = {"slices": relative}


if __name__ == "__main__":
    run(snakemake, main)  # noqa: F821
