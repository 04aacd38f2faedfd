"""Convert the DICOM series of one session to BIDS, and bring its masks to its reference."""

from afterglow.bids.session import write_session
from afterglow.lesions.given_stage import write_given
from afterglow.provenance.job import Job
from afterglow.provenance.wrapper import run


def main(job: Job) -> None:
    write_session(job)
    write_given(job)


if __name__ == "__main__":
    run(snakemake, main)  # noqa: F821
