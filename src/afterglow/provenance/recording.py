"""The record of a job: what it made, from what, with what, and how the run went."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from afterglow import __version__
from afterglow.provenance.catalog import MANIFESTS
from afterglow.provenance.dag import PlannedJob
from afterglow.provenance.digest import file_digest, stat_token
from afterglow.provenance.job import Job, State
from afterglow.provenance.records import dump_state, parse_state, result_digest


def job_record(
    made: Path, job: Job, planned: PlannedJob, state: State, facts: dict[str, Any]
) -> dict[str, Any]:
    """Return the record of a job and keep the manifests that it read.

    Parameters
    ----------
    made : Path
        Folder that holds the job's outputs now.
    job : Job
        The run.
    planned : PlannedJob
        The job's key and what it is made of.
    state : State
        How it ended.
    facts : dict
        Of the run itself, as :func:`run_facts` gives them and more.
    """
    outputs = sorted(state.outputs.items())
    return {
        "key": planned.key,
        "record_id": planned.key,
        "stage": planned.stage,
        "subject": planned.subject,
        "session": planned.session,
        "center": planned.center,
        "status": state.status,
        "reason": state.reason,
        "detail": state.detail,
        "remedy": state.remedy,
        "problems": [vars(problem) for problem in state.problems],
        "result": result_digest(parse_state(dump_state(state))),
        "outputs": [
            {"path": path, "sha256": digest, "size": (made / path).stat().st_size}
            for path, digest in outputs
        ],
        "stats": {path: stat_token(made / path) for path, _ in outputs},
        "inputs": {
            "records": _producers(job, planned),
            "files": _input_files(job.root, planned),
            "read": sorted(job.read),
        },
        "parts": dict(planned.parts),
        "run": {**facts, "seeds": _seeds(planned.parts["config"]), "warnings": state.warnings},
    }


def run_facts(job: Job, started: float) -> dict[str, Any]:
    """Return where, when and at what cost a job ran that started at a time (s since 1970)."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "host": platform.node(),
        "processor": _processor(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "seconds": round(time.time() - started, 3),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime + children.ru_utime, 3),
        "peak_memory_mb": round(max(usage.ru_maxrss, children.ru_maxrss) / 1024, 1),
        "scheduler_id": os.environ.get("SLURM_JOB_ID"),
        "threads": job.threads,
        "python": platform.python_version(),
        "afterglow": __version__,
        "git_commit": os.environ.get("AFTERGLOW_GIT_COMMIT"),
    }


def _processor() -> str:
    """Return the name of the processor: compiled kernels give other last bits on another one."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _seeds(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return every seed among a job's settings, and that of Python's hashes."""
    found = {"python_hash": os.environ.get("PYTHONHASHSEED")}
    for name, section in settings.items():
        if isinstance(section, dict) and "seed" in section:
            found[f"{name}.seed"] = section["seed"]
    return found


def _producers(job: Job, planned: PlannedJob) -> list[dict[str, Any]]:
    """Return the records of the inputs' producers, each with the digest of its result as read."""
    results = {s.key: result_digest(s) for states in job.upstream.values() for s in states}
    return [
        {
            **dict(zip(("stage", "subject", "session"), upstream, strict=True)),
            "record_id": planned.upstream_key(upstream),
            "result": results[planned.upstream_key(upstream)],
        }
        for upstream in planned.upstream
    ]


def _input_files(root: Path, planned: PlannedJob) -> dict[str, str]:
    """Return the digests of the files a job reads; manifests are kept, since a scan may move on."""
    files = {name: file_digest(root / name) for name in planned.files}
    for name, digest in files.items():
        kept = root / MANIFESTS / f"{digest}.json"
        if name.startswith("index/manifests/") and not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, kept)
    return files
