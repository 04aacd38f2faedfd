"""A study of fake stages: real plan, keys, wrapper, rules and driver, with instant scripts."""

from __future__ import annotations

import json
import os
import runpy
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from afterglow.cli.driver import Selection, run_study
from afterglow.config import Study, load_study
from afterglow.config.resources import resource
from afterglow.provenance.dag import Dag
from afterglow.provenance.digest import file_digest
from afterglow.provenance.places import JobId
from afterglow.provenance.stages import STAGES
from afterglow.provenance.wrapper import run_job

SESSIONS = [("s1", "20190101"), ("s1", "20190301"), ("s2", "20190105"), ("s2", "20190305")]
REPO = Path(__file__).resolve().parents[1]

SCRIPT = '''"""A fake stage: its output follows from what its upstream stages wrote."""

import faulthandler
import gzip
import os
import random
import signal
import time

from afterglow.errors import AfterglowError, NotEvaluable
from afterglow.provenance.digest import value_digest
from afterglow.provenance.wrapper import run

STAGE = "{stage}"


def library():
    """What this stage would compute with: its code enters the key."""
    {library}


def make_trouble(kind, trouble, job):
    if kind == "error":
        raise ValueError(f"a scan that cannot be read: {{job.root / 'bids/x.nii.gz'}}")
    if kind == "not_evaluable":
        raise NotEvaluable("no_dsc_series", "none was acquired")
    if kind == "disk":
        raise OSError(28, "No space left on device")
    if kind.startswith("part_"):
        error = {{"part_memory": MemoryError(), "part_corrupt": ValueError("no pixels")}}[kind]
        job.problem("DSC series", repr(error), "look at the file", error)
    if kind == "fill":
        job.out("derivatives/big.bin").write_bytes(bytes(4_000_000))
    if kind == "corrupt":
        gzip.decompress(gzip.compress(bytes(1000))[:-12])
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "hang":
        faulthandler.dump_traceback_later(0.5, exit=True, file=2)
        time.sleep(60)
    if kind == "once_memory":
        trouble.unlink()
        kept = b"1" * 1_000_000_000
        time.sleep(30)
    if kind == "once_linger":
        trouble.unlink()
        time.sleep(120)
    if kind == "once_kill":
        trouble.unlink()
        time.sleep(random.random() / 20)
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "sleep":
        time.sleep(0.3)


def main(job):
    seen = sorted(d for states in job.upstream.values() for s in states for d in s.outputs.values())
    unit = f"{{job.subject}}-{{job.session}}"
    told = job.root.parent / "executions"
    stored = (job.root / ".store" / job.key[:2] / job.key / ".state.json").exists()
    with told.open("a") as stream:
        stream.write(f"{{STAGE}} {{unit}} {{job.key[:12]}} {{'again' if stored else 'first'}}\\n")
    trouble = job.root.parent / "trouble" / f"{{STAGE}}-{{unit}}"
    if trouble.exists():
        kind = trouble.read_text()
        make_trouble(kind, trouble, job)
    folder = "tables" if STAGE in ("tables", "cohort", "study_report") else "derivatives"
    path = job.out(f"{{folder}}/{{STAGE}}-{{unit}}.txt")
    path.write_text(f"{{STAGE}} {{value_digest(seen)}}")
    job.summary["outputs"] = len(seen)


if __name__ == "__main__":
    run(snakemake, main)  # noqa: F821
'''

LIBRARY = {
    "dsc": "from afterglow.perfusion import dsc_domain",
    "cohort": "from afterglow.perfusion import arrival",
}


@dataclass
class FakeStudy:
    """A folder with a plan of invented sessions and a resource folder of fake scripts."""

    folder: Path

    @property
    def resources(self) -> Path:
        return self.folder / "resources"

    @property
    def study_file(self) -> Path:
        return self.folder / "study.yaml"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def load(self) -> Study:
        return load_study(self.study_file)

    def environment(self) -> dict[str, str]:
        return {**os.environ, "AFTERGLOW_RESOURCES": str(self.resources)}

    def trouble(
        self, stage: str, subject: str | None, session: str | None, kind: str | None
    ) -> None:
        path = self.folder / "trouble" / f"{stage}-{subject}-{session}"
        path.parent.mkdir(exist_ok=True)
        if kind is None:
            path.unlink()
        else:
            path.write_text(kind)

    def executions(self) -> list[list[str]]:
        """Return stage, unit, key and whether its result was stored already, per run of a stage."""
        path = self.folder / "executions"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def contents(self) -> dict[str, bytes]:
        """Return the bytes of all results by path."""
        return {
            path.relative_to(self.out).as_posix(): path.read_bytes()
            for folder in ("derivatives", "tables", "ledger/states")
            for path in (self.out / folder).rglob("[!.]*")
            if path.is_file()
        }

    def write_plan(
        self,
        sessions: list[tuple[str, str]],
        *,
        has_mask: bool = True,
        edit: dict[tuple[str, str], Callable[[Any], None]] | None = None,
    ) -> None:
        """Write manifests and the plan table; the first session of a subject is its reference."""
        rows = []
        first: dict[str, str] = {}
        for number, (subject, session) in enumerate(sessions):
            arrival = sum(before == subject for before, _ in sessions[:number])
            reference = first.setdefault(subject, session)
            name = f"index/manifests/sub-{subject}_ses-{session}.json"
            manifest = self.out / name
            manifest.parent.mkdir(parents=True, exist_ok=True)
            series = {
                "series_key": "a1b2c3",
                "class": "DSC",
                "instances": [{"sop": "0123456789ab", "file": "ba9876543210", "header": "00"}],
            }
            content: dict[str, Any] = {"center": "north", "subject": subject, "session": session}
            content |= {"series": [series], "masks": []}
            (edit or {}).get((subject, session), lambda _: None)(content)
            # As the index does: what did not change keeps its date.
            if not manifest.exists() or json.loads(manifest.read_text()) != content:
                manifest.write_text(json.dumps(content))
            rows.append(
                {
                    "center": "north",
                    "subject": subject,
                    "session": session,
                    "arrival": arrival,
                    "is_reference": session == reference,
                    "reference_session": reference,
                    "manifest": name,
                    "manifest_sha256": file_digest(manifest),
                    "has_mask": has_mask,
                    "status": "planned",
                    "reason": "",
                }
            )
        pq.write_table(pa.Table.from_pylist(rows), self.out / "index/plan.parquet")


def run_in_process(dag: Dag, jobs: list[JobId]) -> None:
    """Run jobs one after the other in this process, as Snakemake would order them."""
    for job_id in jobs:
        script = runpy.run_path(str(resource(f"scripts/{job_id[0]}.py")), run_name="fake")
        run_job(dag.study, dag.jobs[job_id], script["main"])


def finish_in_process(fake: FakeStudy) -> None:
    """Run a fake study to its end without Snakemake, one session later than the others.

    Two runs, so that there are two checkpoints.
    """
    for sessions in (SESSIONS[:-1], SESSIONS):
        fake.write_plan(sessions)
        run_study(fake.load(), fake.study_file, Selection(), cores=1, runner=run_in_process)


def make_fake_study(folder: Path) -> FakeStudy:
    """Create a fake study with two subjects of two sessions each."""
    fake = FakeStudy(folder)
    (folder / "incoming").mkdir(parents=True)
    fake.study_file.write_text(
        "study: fake\nout: out\ncenters:\n  - name: north\n    dicom: [incoming]\n"
    )
    for name in ("workflow", "rules", "config", "envs"):
        shutil.copytree(REPO / name, fake.resources / name)
    scripts = fake.resources / "scripts"
    scripts.mkdir()
    for stage in STAGES:
        text = SCRIPT.format(stage=stage, library=LIBRARY.get(stage, "return None"))
        (scripts / f"{stage}.py").write_text(text)
    fake.write_plan(
        [("s1", "20190101"), ("s1", "20190301"), ("s2", "20190105"), ("s2", "20190305")]
    )
    return fake
