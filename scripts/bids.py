"""Convert the DICOM series of one session to BIDS."""

from afterglow.bids.session import write_session
from afterglow.provenance.job import Job
from afterglow.provenance.wrapper import run


def main(job: Job) -> None:
    write_session(job)


if __name__ == "__main__":
    run(snakemake, main)  # noqa: F821
