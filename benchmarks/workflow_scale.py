"""What the workflow layer costs, without any stage's work: plans, parsing, jobs, submissions.

Usage: python benchmarks/workflow_scale.py plan SESSIONS [FOLDER]
       python benchmarks/workflow_scale.py local SESSIONS [FOLDER]
       python benchmarks/workflow_scale.py slurm SESSIONS [FOLDER]
       python benchmarks/workflow_scale.py plot

``plan`` writes an empty and a finished study of so many sessions and times what a person waits for,
each command as a process of its own with its peak memory. ``local`` and ``slurm`` run a study whose
stages only sleep, through the real rules, wrapper and driver, and split what is left of the time.
Figures are appended to ``benchmarks/workflow_scale.json``; ``plot`` draws them.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import ledger_scale

REPO = Path(__file__).resolve().parents[1]
FIGURES = REPO / "benchmarks/workflow_scale.json"
AFTERGLOW = [sys.executable, "-m", "afterglow.cli.app"]
SLEEP = 0.2

SCRIPT = '''"""A stage that sleeps, and says when it began and ended."""

import time

from afterglow.provenance.wrapper import run


def main(job):
    began = time.time()
    time.sleep({sleep})
    folder = "tables" if job.subject is None else "derivatives"
    job.out(f"{{folder}}/{stage}-{{job.subject}}-{{job.session}}.txt").write_text(job.key)
    times = [began, time.time()]
    with (job.root.parent / "times").open("a") as stream:
        stream.write(" ".join(map(str, ["{stage}", job.subject, job.session, *times])) + "\\n")


if __name__ == "__main__":
    run(snakemake, main)  # noqa: F821
'''


def plan(sessions: int, folder: Path) -> dict[str, Any]:
    """Time planning of an empty study, a finished one, and one with ten new sessions."""
    ledger_scale.SESSIONS = sessions
    empty = _empty(folder / "empty")
    found: dict[str, Any] = {"kind": "plan", "sessions": sessions}
    found["plan"] = _timed([*AFTERGLOW, "plan", str(empty)])
    found["dry run"] = _timed([*AFTERGLOW, "run", str(empty), "--no-scan", "--dry-run"])
    found["snakemake -n"] = _timed(_dry_run(empty))
    found["parse in a job"] = _timed(_dry_run(empty, one_job=True))
    finished = folder / "finished"
    if not (finished / "study.yaml").exists():
        ledger_scale.make(1, finished)
        (finished / "out/tables/features.parquet").unlink()
    found["nothing to do"] = _timed([*AFTERGLOW, "run", str(finished), "--no-scan"])
    found["jobs"] = len(json.loads(_printed([*AFTERGLOW, "plan", str(empty), "--json"]))["jobs"])
    found["ten more"] = _ten_more(finished, sessions)
    return found


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "incoming").mkdir(parents=True)
    (folder / "study.yaml").write_text(
        "study: scale\nout: out\ncenters:\n  - name: north\n    dicom: [incoming]\n"
    )
    ledger_scale.write_plan(folder / "out")
    return folder


def _dry_run(folder: Path, *, one_job: bool = False) -> list[str]:
    """Return Snakemake's own dry run: of everything, or what each remote job does first."""
    profile = REPO / "workflow/profiles/default"
    command = [sys.executable, "-m", "snakemake", "-n", "-q", "all", "--cores", "1"]
    command += ["--snakefile", str(REPO / "workflow/Snakefile"), "--profile", str(profile)]
    command += ["--directory", str(folder / "out"), "--config", f"study={folder / 'study.yaml'}"]
    one = "ledger/states/bids/sub-s00000_ses-20190101.json"
    return [*command, "--", one] if one_job else [*command, "--", "sessions", "study"]


def _timed(command: list[str]) -> dict[str, float]:
    seconds, memory, code = ledger_scale.measure(command)
    assert code == 0, f"{command} ended with {code}"
    return {"seconds": round(seconds, 2), "mb": round(memory)}


def _printed(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _ten_more(folder: Path, sessions: int) -> dict[str, Any]:
    """Add a session to each of ten subjects and return what is planned, then take them away."""
    path = folder / "out/index/plan.parquet"
    before = pq.read_table(path)
    rows = before.to_pylist()
    new = []
    for number in range(10):
        row = dict(rows[4 * number * (sessions // 40)])
        new.append({**row, "session": "20191201", "arrival": 4, "is_reference": False})
    pq.write_table(pa.Table.from_pylist(rows + new, schema=before.schema), path)
    try:
        seconds = _timed([*AFTERGLOW, "plan", str(folder)])
        jobs = json.loads(_printed([*AFTERGLOW, "plan", str(folder), "--json"]))["jobs"]
    finally:
        pq.write_table(before, path)
    fresh = [job for job in jobs if job["session"] is not None]
    assert {job["session"] for job in fresh} == {"20191201"}, "other sessions were planned"
    return {**seconds, "jobs": dict(Counter(job["stage"] for job in jobs))}


def overhead(kind: str, sessions: int, folder: Path) -> dict[str, Any]:
    """Run a study of sleeping stages and return where the time went, per session."""
    ledger_scale.SESSIONS = sessions
    study = _empty(folder / kind)
    resources = study / "resources"
    for name in ("workflow", "rules", "config", "envs"):
        shutil.copytree(REPO / name, resources / name)
    (resources / "scripts").mkdir()
    for path in (REPO / "scripts").glob("*.py"):
        text = SCRIPT.format(stage=path.stem, sleep=SLEEP)
        (resources / "scripts" / path.name).write_text(text)
    environment = {**os.environ, "AFTERGLOW_RESOURCES": str(resources)}
    command = [*AFTERGLOW, "run", str(study), "--no-scan", "--plain"]
    begun = time.time()
    if kind == "slurm":
        found = _through_slurm([*command, "--profile", "slurm"], environment)
    else:
        subprocess.run([*command, "--cores", "1"], env=environment, check=True)
        found = {}
    wall = time.time() - begun
    jobs = _read_times(study)
    work = len(jobs) * SLEEP
    found |= {
        "kind": kind,
        "sessions": sessions,
        "wall": round(wall, 1),
        "own work": round(work, 1),
        "before the first stage": round(jobs[0]["began"] - begun, 1),
        "wrapper after a stage": _median([j["state"] - j["ended"] for j in jobs]),
    }
    if kind == "local":
        gaps = [b["began"] - a["state"] for a, b in itertools.pairwise(jobs)]
        found["Snakemake, process start and key before a stage"] = _median(gaps)
        found["overhead per session"] = round((wall - work) / sessions, 2)
    return found


def _through_slurm(command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """Run on a SLURM of one node and return what its submissions took beside the stages' work."""
    sys.path.insert(0, str(REPO / "tests"))
    from slurm_node import single_node

    with single_node(cpus=2) as node:
        options = ["--", "--slurm-no-account", "--default-resources", "slurm_partition=main"]
        environment = {**environment, **node.environment, **{
            name: environment[name] for name in ("AFTERGLOW_RESOURCES",)
        }}  # fmt: skip
        subprocess.run([*command, *options], env=environment, check=True)
        told = node.ask("squeue", "--states=all", "--noheader", "--format=%i %V %S %e %k")
    rows = [line.split(maxsplit=4) for line in told.splitlines()]
    held: dict[str, list[float]] = {}
    for _, submitted, started, ended, what in rows:
        kind = what.split("_")[1]
        # A subject of four sessions: identity, stories, and features and page of each.
        work = SLEEP * {"session": 4, "subject": 10}.get(kind, 1)
        held.setdefault(kind, []).append(_seconds(started, ended) - work)
        held.setdefault("queue", []).append(_seconds(submitted, started))
    return {
        "submissions": len(rows),
        **{f"overhead per {kind} submission": _median(held[kind]) for kind in sorted(held)},
    }


def _seconds(start: str, end: str) -> float:
    read = [time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%S")) for text in (start, end)]
    return read[1] - read[0]


def _read_times(study: Path) -> list[dict[str, float]]:
    rows = []
    for line in (study / "times").read_text().splitlines():
        stage, subject, session, *times = line.split()
        unit = ledger_scale.unit_name(*(None if v == "None" else v for v in (subject, session)))
        state = study / f"out/ledger/states/{stage}/{unit}.json"
        began, ended = (float(value) for value in times)
        rows.append({"began": began, "ended": ended, "state": state.stat().st_mtime})
    return sorted(rows, key=lambda row: row["began"])


def _median(values: list[float]) -> float:
    return round(statistics.median(values), 2)


def plot() -> None:
    """Draw seconds and memory over the number of sessions to docs/images/workflow_scale.png."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    rows = [r for r in json.loads(FIGURES.read_text()) if r["kind"] == "plan"]
    rows = sorted({r["sessions"]: r for r in rows}.values(), key=lambda r: r["sessions"])
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for name in ("plan", "dry run", "snakemake -n", "parse in a job", "nothing to do", "ten more"):
        known = [r for r in rows if name in r]
        for axis, value in zip(axes, ("seconds", "mb"), strict=True):
            sizes = [r["sessions"] for r in known]
            axis.plot(sizes, [r[name][value] for r in known], "o-", label=name)
    for axis, label in zip(axes, ("wall time (s)", "peak memory (MB)"), strict=True):
        axis.set(xscale="log", yscale="log", xlabel="sessions", ylabel=label)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    figure.savefig(REPO / "docs/images/workflow_scale.png", dpi=130)


def main() -> None:
    """Measure what the command line asks for and keep the figures."""
    kind = sys.argv[1]
    if kind == "plot":
        plot()
        return
    sessions = int(sys.argv[2])
    folder = Path(sys.argv[3] if len(sys.argv) > 3 else f"workflow-scale-{sessions}").resolve()
    found = plan(sessions, folder) if kind == "plan" else overhead(kind, sessions, folder)
    known = json.loads(FIGURES.read_text()) if FIGURES.exists() else []
    known = [k for k in known if (k["kind"], k["sessions"]) != (kind, sessions)]
    FIGURES.write_text(json.dumps([*known, found], indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
