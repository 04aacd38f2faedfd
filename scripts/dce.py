"""T1 and tracer kinetics of one session's dynamic contrast-enhanced series."""

from afterglow.errors import NotEvaluable
from afterglow.perfusion.dce_stage import run_session
from afterglow.provenance.job import Job
from afterglow.provenance.wrapper import run


def main(job: Job) -> None:
    bids, anat = job.state("bids"), job.state("anat")
    if not bids.done:
        raise NotEvaluable("no_images", "stage bids has no result")
    if not anat.done:
        job.warn(f"stage anat is {anat.status} ({anat.reason}): the series is used as converted")
    stem = f"sub-{job.subject}_ses-{job.session}"
    session = run_session(
        job.path,
        job.out,
        f"derivatives/sub-{job.subject}/ses-{job.session}",
        stem,
        bids.summary,
        anat.summary if anat.done else None,
        job.study.dce,
        job.study.center(job.center or ""),
        problems=tuple(f"{p.what}: {p.cause}" for p in bids.problems),
        threads=job.threads,
    )
    for message in session.warnings:
        job.warn(message)
    job.summary = session.summary


if __name__ == "__main__":
    run(snakemake, main)  # noqa: F821
