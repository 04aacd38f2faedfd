"""Blood volume, flow and leakage of one session's dynamic susceptibility contrast series."""

from afterglow.errors import NotEvaluable
from afterglow.perfusion.dsc_stage import run_session
from afterglow.provenance.job import Job
from afterglow.provenance.wrapper import run


def main(job: Job) -> None:
    bids, anat = job.state("bids"), job.state("anat")
    if not bids.done:
        raise NotEvaluable("no_images", "stage bids has no result")
    if not anat.done:
        job.warn(f"stage anat is {anat.status} ({anat.reason}): the series is used as converted")
    session = run_session(
        job.path,
        job.out,
        f"derivatives/sub-{job.subject}/ses-{job.session}",
        f"sub-{job.subject}_ses-{job.session}",
        bids.summary,
        anat.summary if anat.done else None,
        job.study.dsc,
        job.study.center(job.center or ""),
        problems=tuple(f"{p.what}: {p.cause}" for p in bids.problems),
    )
    for message in session.warnings:
        job.warn(message)
    job.summary = session.summary


if __name__ == "__main__":
    run(snakemake, main)  # noqa: F821
