"""What the workflow layer costs, without any stage's work: plans, parsing, jobs, submissions.

Usage: python benchmarks/workflow_scale.py plan SESSIONS [FOLDER [PART ...]]
       python benchmarks/workflow_scale.py local SESSIONS [FOLDER]
       python benchmarks/workflow_scale.py slurm SESSIONS [FOLDER]
       python benchmarks/workflow_scale.py plot

``plan`` writes an empty and a finished study of so many sessions and times what a person waits for,
each command as a process of its own with its peak memory. ``local`` and ``slurm`` run a study whose
stages only sleep, through the real rules, wrapper and driver, and split what is left of the time.
Figures are appended to ``docs/data/workflow_scale.json``; ``plot`` draws them.
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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import ledger_scale

REPO = Path(__file__).resolve().parents[1]
FIGURES = REPO / "docs/data/workflow_scale.json"
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


def plan(sessions: int, folder: Path, parts: list[str]) -> Iterator[dict[str, Any]]:
    """Time planning of an empty study, a finished one, and one with ten new sessions.

    Yields what each part found as soon as it is known: at ten thousand sessions each takes minutes.
    """
    ledger_scale.SESSIONS = sessions
    empty, finished = folder / "empty", folder / "finished"
    if not (empty / "study.yaml").exists():
        _empty(empty)
    if not (finished / "study.yaml").exists():
        # In a process of its own: a command's peak memory is never less than its parent's was.
        words = "import sys, pathlib, ledger_scale; ledger_scale.make(1, pathlib.Path(sys.argv[1]))"
        subprocess.run(
            [sys.executable, "-c", words, str(finished)],
            cwd=REPO / "benchmarks",
            env={**os.environ, "SESSIONS": str(sessions)},
            check=True,
        )
    commands = {
        "plan": [*AFTERGLOW, "plan", str(empty)],
        "dry run": [*AFTERGLOW, "run", str(empty), "--no-scan", "--dry-run"],
        "snakemake -n": _dry_run(empty),
        "parse in a job": _dry_run(empty, one_job=True),
        "nothing to do": [*AFTERGLOW, "run", str(finished), "--no-scan"],
    }
    for name, command in commands.items():
        if not parts or name in parts:
            yield {name: _timed(command)}
    if not parts or "jobs" in parts:
        planned = json.loads(_printed([*AFTERGLOW, "plan", str(empty), "--json"]))["jobs"]
        yield {"jobs": len(planned)}
    if not parts or "ten more" in parts:
        yield {"ten more": _ten_more(finished, sessions)}


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
    if one_job:
        return [*command, "--mode", "remote", "--", one]
    return [*command, "--", "sessions", "study"]


def _timed(command: list[str]) -> dict[str, float]:
    """Return wall and processor seconds of a command with its children, and its peak memory."""
    taken = ledger_scale.measure(command)
    assert taken.code == 0, f"{command} ended with {taken.code}"
    used = taken.user + taken.system
    return {
        "seconds": round(taken.seconds, 2),
        "processor": round(used, 2),
        "mb": round(taken.mb),
    }


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
    names = ("plan", "ten more", "nothing to do", "snakemake -n", "parse in a job")
    styles = dict(zip(names, "osD^v", strict=True))
    for axis, value in zip(axes, ("processor", "mb"), strict=True):
        for name, marker in styles.items():
            known = [row for row in rows if name in row]
            sizes = [row["sessions"] for row in known]
            axis.plot(sizes, [row[name][value] for row in known], f"{marker}-", label=name)
        axis.grid(alpha=0.3)
    sizes = [row["sessions"] for row in rows]
    axes[0].plot(sizes, [size * 0.005 for size in sizes], ":", color="0.4", label="in proportion")
    axes[0].set(xscale="log", yscale="log", xlabel="sessions", ylabel="processor time (s)")
    axes[1].set(xscale="log", ylim=(0, None), xlabel="sessions", ylabel="peak memory (MB)")
    lines, labels = axes[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    figure.savefig(REPO / "docs/images/workflow_scale.png", dpi=130)


def main() -> None:
    """Measure what the command line asks for and keep the figures."""
    kind = sys.argv[1]
    if kind == "plot":
        plot()
        return
    sessions = int(sys.argv[2])
    folder = Path(sys.argv[3] if len(sys.argv) > 3 else f"workflow-scale-{sessions}").resolve()
    found = (
        plan(sessions, folder, sys.argv[4:])
        if kind == "plan"
        else iter([overhead(kind, sessions, folder)])
    )
    for news in found:
        keep(kind, sessions, news)
        print(json.dumps(news, indent=1), flush=True)


def keep(kind: str, sessions: int, news: dict[str, Any]) -> None:
    """Add figures to those of the same kind and number of sessions."""
    rows = json.loads(FIGURES.read_text()) if FIGURES.exists() else []
    mine = {"kind": kind, "sessions": sessions}
    same = [row for row in rows if {name: row[name] for name in mine} == mine]
    others = [row for row in rows if row not in same]
    merged = {**mine, **(same[0] if same else {}), **news}
    FIGURES.write_text(json.dumps([*others, merged], indent=1) + "\n")


if __name__ == "__main__":
    main()
