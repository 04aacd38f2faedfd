"""Run a recorded job again from the same inputs and compare what it makes with the record."""

from __future__ import annotations

import runpy
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afterglow.config.resources import resource
from afterglow.errors import AfterglowError
from afterglow.provenance.compare import Comparison, compare_files
from afterglow.provenance.dag import Dag, PlannedJob
from afterglow.provenance.records import RECORDS, read_record, read_state, unit_name
from afterglow.provenance.store import digest_tree
from afterglow.provenance.wrapper import attempt_job

_SCRATCH = Path(".cache/replay")


@dataclass(frozen=True)
class Replay:
    """How a repeated job compares with its record.

    Attributes
    ----------
    record_id : str
        Key of the record.
    stage, unit : str
        What was run.
    status, recorded_status : str
        How it ended this time, and when it was recorded.
    outputs : dict of str to Comparison
        By path relative to ``out``.
    """

    record_id: str
    stage: str
    unit: str
    status: str
    recorded_status: str
    outputs: dict[str, Comparison]

    @property
    def reproduced(self) -> bool:
        """True where it ended alike with every output identical or within tolerance."""
        alike = all(found.same != "different" for found in self.outputs.values())
        return alike and self.status == self.recorded_status

    def as_json(self) -> dict[str, Any]:
        """Return the comparison as JSON values."""
        outputs = {path: vars(found) for path, found in sorted(self.outputs.items())}
        return {**vars(self), "outputs": outputs, "reproduced": self.reproduced}


def find_record(root: Path, prefix: str) -> str:
    """Return the one record whose key starts so.

    Raises
    ------
    AfterglowError
        None or several do.
    """
    found = sorted(path.stem for path in (root / RECORDS).glob(f"{prefix}*.json"))
    if len(found) != 1:
        raise AfterglowError(
            f"{len(found)} records start with `{prefix}`",
            expected="exactly one",
            remedy="`afterglow trace` shows the record of a number",
        )
    return found[0]


def replay(dag: Dag, key: str) -> Replay:
    """Run the job of a record again, aside, and compare every output.

    Raises
    ------
    AfterglowError
        The job's code, settings or inputs are no longer those of the record: what differs is named.
    """
    root = dag.study.out
    job = _standing(dag, key)
    scratch = root / _SCRATCH / key
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    main = runpy.run_path(str(resource(f"scripts/{job.stage}.py")), run_name="replay")["main"]
    try:
        state = attempt_job(dag.study, job, main, scratch)
        recorded = read_record(root, key) or {}
        before = {output["path"]: output["sha256"] for output in recorded["outputs"]}
        now = digest_tree(scratch) if state.done else {}
        outputs = {
            path: Comparison("identical")
            if before.get(path) == now.get(path)
            else compare_files(root / path, scratch / path)
            for path in sorted({*before, *now})
        }
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    unit = unit_name(job.subject, job.session)
    return Replay(key, job.stage, unit, state.status, recorded["status"], outputs)


def _standing(dag: Dag, key: str) -> PlannedJob:
    """Return the planned job of a record whose code, settings and inputs still stand."""
    root = dag.study.out
    record = read_record(root, key)
    if record is None:
        raise AfterglowError("there is no such record", where=f"{RECORDS}/{key}.json")
    job = dag.jobs.get((record["stage"], record["subject"], record["session"]))
    if job is None:
        raise AfterglowError("the session of this record has left the plan", where=key)
    if job.key != key:
        moved = [part for part, value in record["parts"].items() if job.parts.get(part) != value]
        raise AfterglowError(
            f"what the record was made with is no longer here: {', '.join(moved)} differ",
            where=key,
            remedy="check out the code and the settings that `afterglow trace` shows, then replay",
        )
    for upstream in job.upstream:
        state = read_state(root / dag.jobs[upstream].state)
        if state is None or state.key != job.upstream_key(upstream):
            raise AfterglowError(
                "an input of the record is not current",
                where=dag.jobs[upstream].state,
                remedy="run the study first",
            )
    return job
