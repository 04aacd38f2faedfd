"""The DAG as the rules ask for it: in a cluster job only the subject that the job is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from afterglow.config import Study
from afterglow.provenance.dag import Dag, PlannedJob, load_dag
from afterglow.provenance.stages import STAGES


class RuleJobs:
    """What the rules need to know of a study's jobs.

    The Snakefile is parsed again in every job that a cluster runs. The keys of a session follow
    from its subject alone, so there the other subjects are not worked out, and a job of a study of
    ten thousand sessions starts as fast as one of ten.

    Parameters
    ----------
    study : Study
        The validated study.
    whole : bool
        Work out everything at once, as the driver's own Snakemake needs it.
    """

    def __init__(self, study: Study, *, whole: bool) -> None:
        self._study, self._whole = study, whole
        self._parts: dict[str | None, Dag] = {}

    def waits_for(self, stage: str) -> Callable[[Any], list[str]]:
        """Return Snakemake's input function of a stage: states, manifest, site files."""
        return lambda wildcards: self._dag(wildcards).inputs(self._job(stage, wildcards))

    def key_of(self, stage: str) -> Callable[[Any], str]:
        """Return Snakemake's ``key`` parameter of a stage."""
        return lambda wildcards: self._job(stage, wildcards).key

    def targets(self, *, study_level: bool) -> Callable[[Any], list[str]]:
        """Return the input function of all states of one of the two Snakemake calls."""
        return lambda wildcards: [
            job.state
            for job in self._dag(wildcards).jobs.values()
            if (STAGES[job.stage].level == "study") == study_level
        ]

    def _job(self, stage: str, wildcards: Any) -> PlannedJob:
        return self._dag(wildcards).of(stage, wildcards.get("subject"), wildcards.get("session"))

    def _dag(self, wildcards: Any) -> Dag:
        subject = None if self._whole else wildcards.get("subject")
        if subject not in self._parts:
            self._parts[subject] = load_dag(self._study, subject=subject)
        return self._parts[subject]
