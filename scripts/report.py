"""Stage `report`: the page of one session, and its viewer."""

from afterglow.provenance.job import Job
from afterglow.provenance.wrapper import run
from afterglow.report.session import ORDER, session_page
from afterglow.report.viewer import viewer_page
from afterglow.report.viewer_session import session_view


def main(job: Job) -> None:
    states = {name: job.state(name) for name in ORDER}
    settings = job.study.report.session
    stem = f"sub-{job.subject}_ses-{job.session}"
    title = f"sub-{job.subject} ses-{job.session}"
    view = session_view(
        states, job.path, title=title, voxels=settings.viewer_voxels, most=settings.viewer_bytes
    )
    viewer = "" if view is None else f"{stem}_viewer.html"
    if view is not None:
        html = viewer_page([view], title=title, lede="Images, maps and outlines of one session.")
        job.out(f"derivatives/{viewer}").write_text(html, encoding="utf-8")
        job.summary["viewer"] = f"derivatives/{viewer}"
    html = session_page(
        states,
        job.path,
        settings,
        center=str(job.center),
        subject=str(job.subject),
        session=str(job.session),
        record_id=job.key,
        viewer=viewer,
    )
    relative = f"derivatives/{stem}.html"
    job.out(relative).write_text(html, encoding="utf-8")
    job.summary["page"] = relative


if __name__ == "__main__":
    run(snakemake, main)  # noqa: F821
