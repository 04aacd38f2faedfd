"""Stage `report`: the page of one session."""

from afterglow.provenance.job import Job
from afterglow.provenance.wrapper import run
from afterglow.report.session import ORDER, session_page


def main(job: Job) -> None:
    html = session_page(
        {name: job.state(name) for name in ORDER},
        job.path,
        job.study.report.session,
        center=str(job.center),
        subject=str(job.subject),
        session=str(job.session),
        record_id=job.key,
    )
    relative = f"derivatives/sub-{job.subject}_ses-{job.session}.html"
    job.out(relative).write_text(html, encoding="utf-8")
    job.summary["page"] = relative


if __name__ == "__main__":
    run(snakemake, main)  # noqa: F821
