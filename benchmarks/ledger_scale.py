"""How the ledger answers when it holds a million records.

Usage: python benchmarks/ledger_scale.py [RECORDS] [FOLDER]

Writes a study of 10,000 sessions whose stages were recorded again and again until there are that
many records, then times `trace`, `impact`, `status` and the quick `verify` as commands of their
own, each with its peak memory, beside a plain stat of every file that `verify` has to look at.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from afterglow.config import load_study
from afterglow.provenance import catalog
from afterglow.provenance.checkpoint import append_checkpoint
from afterglow.provenance.dag import Dag, load_dag
from afterglow.provenance.digest import file_digest, stat_token
from afterglow.provenance.job import State
from afterglow.provenance.records import RECORDS, dump_state, unit_name
from afterglow.provenance.settled import write_snapshot

FEATURES = "tables/features.parquet"
SESSIONS = int(os.environ.get("SESSIONS", "10000"))
LOOKED_AT = (str(RECORDS), "ledger/states", "derivatives", "tables")
# Nothing but one look at every file, as fast as Python can.
STAT = """
import os, sys
waiting = sys.argv[1:]
while waiting:
    with os.scandir(waiting.pop()) as entries:
        for entry in entries:
            waiting.append(entry.path) if entry.is_dir() else entry.stat()
"""


def main(records: int, folder: Path) -> None:
    """Make the study where it is not there yet, then measure."""
    if not (folder / "study.yaml").exists():
        # In a process of its own: a command's peak memory counts that of the process it began in.
        maker = multiprocessing.get_context("spawn").Process(target=make, args=(records, folder))
        maker.start()
        maker.join()
        if maker.exitcode:
            sys.exit("the study could not be made")
    found = sum(1 for _ in (folder / "out" / RECORDS).iterdir())
    print(f"{found} records, {SESSIONS} sessions")
    rows = pq.read_table(folder / "out" / FEATURES).to_pylist()
    row = rows[len(rows) // 2]
    where = [f"{name}={row[name]}" for name in ("subject", "session", "lesion_id")]
    commands = {
        "trace": ["trace", str(folder), "features", *where, "--json"],
        "impact": ["impact", str(folder), "--subject", row["subject"], "--json"],
        "status": ["status", str(folder)],
        "status -j": ["status", str(folder), "--json"],
        "plan": ["plan", str(folder)],
        "verify": ["verify", str(folder)],
    }
    print(f"{'command':10}{'seconds':>9}{'user':>8}{'system':>8}{'MB':>8}  exit")
    for name, words in commands.items():
        print(f"{name:10}{measure([sys.executable, '-m', 'afterglow.cli.app', *words])}")
    places = [str(folder / "out" / name) for name in LOOKED_AT]
    print(f"{'stat':10}{measure([sys.executable, '-c', STAT, *places])}")


class Taken(NamedTuple):
    """What a command and those that it started took: seconds, MB at the peak, exit status."""

    seconds: float
    user: float
    system: float
    mb: float
    code: int

    def __str__(self) -> str:
        times = f"{self.seconds:9.2f}{self.user:8.2f}{self.system:8.2f}"
        return f"{times}{self.mb:8.0f}  {self.code}"


def measure(command: list[str]) -> Taken:
    """Run a command and return what it took."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    code = os.waitstatus_to_exitcode(status)
    return Taken(seconds, usage.ru_utime, usage.ru_stime, usage.ru_maxrss / 1024, code)


def make(records: int, folder: Path) -> None:
    """Write plan, manifests, outputs, states and records of a study with a long history."""
    out = folder / "out"
    (folder / "incoming").mkdir(parents=True, exist_ok=True)
    (folder / "study.yaml").write_text(
        "study: scale\nout: out\ncenters:\n  - name: north\n    dicom: [incoming]\n"
    )
    write_plan(out)
    dag = load_dag(load_study(folder / "study.yaml"))
    (out / RECORDS).mkdir(parents=True)
    write_features(dag)
    rounds = max(records // len(dag.jobs), 1)
    for number in range(rounds):
        write_round(dag, rounds - 1 - number)
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    append_checkpoint(out)
    catalog.rebuild(out)
    write_snapshot(out)


def write_plan(out: Path) -> None:
    """Write the plan and a manifest per session; four sessions a subject."""
    rows = []
    for number in range(SESSIONS):
        subject, session = f"s{number // 4:05d}", f"2019{number % 4 + 1:02d}01"
        manifest = out / f"index/manifests/sub-{subject}_ses-{session}.json"
        manifest.parent.mkdir(parents=True, exist_ok=True)
        instances = [
            {"sop": hashlib.sha256(f"{number}/{k}".encode()).hexdigest()[:12], "file": f"f{k}"}
            for k in range(20)
        ]
        series = {"series_key": "a1", "class": "DSC", "instances": instances}
        manifest.write_text(json.dumps({"center": "north", "series": [series], "masks": []}))
        rows.append(
            {
                "center": "north",
                "subject": subject,
                "session": session,
                "arrival": number % 4,
                "is_reference": number % 4 == 0,
                "reference_session": "20190101",
                "manifest": manifest.relative_to(out).as_posix(),
                "manifest_sha256": file_digest(manifest),
                "has_mask": True,
                "status": "planned",
                "reason": "",
            }
        )
    pq.write_table(pa.Table.from_pylist(rows), out / "index/plan.parquet")


def write_round(dag: Dag, age: int) -> None:
    """Record every job once; of age 0 with states and outputs, older ones as history only."""
    out = dag.study.out
    for job in dag.jobs.values():
        path = f"derivatives/{job.stage}/{unit_name(job.subject, job.session)}.txt"
        content = f"{job.key} {age}".encode()
        if job.stage == "tables":
            path, content = FEATURES, (out / FEATURES).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if age == 0:
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            (out / path).write_bytes(content)
            state = State(job.stage, job.key, job.subject, job.session, "done")
            state.outputs[path] = digest
            (out / job.state).parent.mkdir(parents=True, exist_ok=True)
            (out / job.state).write_text(dump_state(state))
            _keep_manifests(out, job.files)
        record = {
            "record_id": _aged(job.key, age),
            "key": _aged(job.key, age),
            **{n: getattr(job, n) for n in ("stage", "subject", "session", "center")},
            "status": "done",
            "outputs": [{"path": path, "sha256": digest, "size": len(content)}],
            "stats": {path: stat_token(out / path)} if age == 0 else {},
            "inputs": {
                "records": [
                    {
                        "stage": u[0],
                        "subject": u[1],
                        "session": u[2],
                        "record_id": _aged(job.upstream_key(u), age),
                    }
                    for u in job.upstream[:40]
                ],
                "files": {name: file_digest(out / name) for name in job.files},
                "read": [],
            },
            "parts": dict(job.parts) if age == 0 else {"version": "1", "code": "c"},
            "run": {"started": "2026-01-01T00:00:00Z", "seconds": 1.0},
        }
        (out / RECORDS / f"{record['key']}.json").write_text(json.dumps(record))


def _aged(key: str, age: int) -> str:
    return key if age == 0 else hashlib.sha256(f"{key}/{age}".encode()).hexdigest()


def _keep_manifests(out: Path, files: tuple[str, ...]) -> None:
    for name in files:
        kept = out / "ledger/manifests" / f"{file_digest(out / name)}.json"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes((out / name).read_bytes())


def write_features(dag: Dag) -> None:
    """Write a table with a row a session that names its record."""
    rows = [
        {
            "subject": job.subject,
            "session": job.session,
            "lesion_id": "L001",
            "region": "lesion",
            "map": "rCBV",
            "statistic": "median",
            "value": 1.0,
            "evaluable": True,
            "record_id": job.key,
        }
        for job in dag.jobs.values()
        if job.stage == "features"
    ]
    path = dag.study.out / FEATURES
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    place = Path(sys.argv[2]) if len(sys.argv) > 2 else Path("ledger-scale")
    main(wanted, place)
