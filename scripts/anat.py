"""Bias, brain, tissues, motion and registrations of one session: all that needs ANTs."""

from afterglow.anat.dynamic import run_dynamic
from afterglow.anat.session import run_longitudinal, run_structural
from afterglow.anat.store import Store
from afterglow.errors import NotEvaluable
from afterglow.provenance.job import Job
from afterglow.provenance.wrapper import run


def main(job: Job) -> None:
    bids = job.state("bids")
    if not bids.done:
        raise NotEvaluable("no_images", "stage bids has no result")
    settings, threads = job.study.anat, job.threads
    store = Store(job.path, job.out, job.subject or "", job.session or "", job.warn, job.problem)
    anatomy, summary = run_structural(store, bids.summary, settings, threads)
    earlier = job.upstream.get("anat", [])
    reference = next((state.summary for state in earlier if state.done), None)
    summary["longitudinal"] = run_longitudinal(
        store, anatomy, reference, not earlier, settings, threads
    )
    summary["dsc"] = run_dynamic(store, anatomy, bids.summary, "dsc", settings, threads)
    summary["dce"] = run_dynamic(store, anatomy, bids.summary, "dce", settings, threads)
    summary["transforms"] = store.write_transforms()
    summary["verdicts"], summary["figures"] = store.verdicts, store.figures
    job.summary = summary


if __name__ == "__main__":
    run(snakemake, main)  # noqa: F821
