"""Every change that a study may suffer: exactly the right jobs, and exactly the right finding."""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from afterglow.cli.driver import plan_study
from afterglow.errors import AfterglowError
from afterglow.provenance import closure
from afterglow.provenance.audit import verify
from afterglow.provenance.checkpoint import read_checkpoints
from afterglow.provenance.dag import load_dag
from afterglow.provenance.stages import STAGES
from fake_study import REPO, SESSIONS, FakeStudy, finish_in_process, make_fake_study
from test_workflow import run, snakemake_plan

STUDY = {"tables": 1, "cohort": 1, "study_report": 1}
SESSION = dict.fromkeys(("bids", "anat", "dsc", "dce", "features", "report"), 1)
AFTER_ONE = {"features": 1, "report": 1, "stories": 1, **STUDY}
ALL = {**dict.fromkeys(SESSION, 4), "identity": 2, "stories": 2, **STUDY}
NONE: dict[str, int] = {}


@dataclass(frozen=True)
class Change:
    """One change: what is done, the jobs it must plan, and what verification must say."""

    name: str
    do: Callable[[FakeStudy], None]
    jobs: dict[str, int]
    quick: set[str] = field(default_factory=set)
    deep: set[str] | None = None

    @property
    def deep_classes(self) -> set[str]:
        return self.quick if self.deep is None else self.deep


def settings(**values: object) -> Callable[[FakeStudy], None]:
    """Change settings of the study file, dotted names below a section."""

    def do(study: FakeStudy) -> None:
        content = yaml.safe_load(study.study_file.read_text())
        for name, value in values.items():
            section, _, key = name.partition("__")
            if key:
                content.setdefault(section, {})[key] = value
            else:
                content[section] = value
        study.study_file.write_text(yaml.safe_dump(content))

    return do


def source(relative: str, old: str, new: str, when: int | None = None) -> Callable[..., None]:
    """Change a line of code, keeping or setting the file's date."""

    def do(study: FakeStudy) -> None:
        path = study.folder / relative
        status = path.stat()
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        os.utime(path, ns=(when, when) if when else (status.st_atime_ns, status.st_mtime_ns))

    return do


def output(relative: str, edit: Callable[[Path], None]) -> Callable[[FakeStudy], None]:
    return lambda study: edit(study.out / relative)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


def flip_unseen(study: FakeStudy) -> None:
    """Change a byte and keep size, date and inode, after the file was looked at."""
    plan_study(study.load())
    path = study.out / DSC
    status = path.stat()
    flip(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def manifest(edit: Callable[[dict[str, list[object]]], None]) -> Callable[[FakeStudy], None]:
    """Change the series of one session as a new scan of the incoming folder would."""

    def do(study: FakeStudy) -> None:
        study.write_plan(SESSIONS, edit={("s2", "20190305"): edit})

    return do


def _record(study: FakeStudy) -> Path:
    key = load_dag(study.load()).of("dsc", "s1", "20190301").key
    return study.out / "ledger/records" / f"{key}.json"


def forge(study: FakeStudy) -> None:
    content = json.loads(_record(study).read_text())
    content["run"]["seconds"] = 0
    _record(study).write_text(json.dumps(content, sort_keys=True, indent=1) + "\n")


def insert_record(study: FakeStudy) -> None:
    content = json.loads(_record(study).read_text())
    content["key"] = content["record_id"] = "f" * 64
    (study.out / "ledger/records" / f"{'f' * 64}.json").write_text(json.dumps(content))


def delete_checkpoint(which: int) -> Callable[[FakeStudy], None]:
    return lambda study: list(read_checkpoints(study.out))[which].path.unlink()


def kill_mid_write(study: FakeStudy) -> None:
    """Leave what a killed job leaves: its old state set aside, half an output in its scratch."""
    job = load_dag(study.load()).of("dsc", "s1", "20190301")
    state = study.out / job.state
    state.replace(state.with_suffix(".superseded"))
    shutil.rmtree(study.out / ".store" / job.key[:2] / job.key)
    scratch = study.out / ".work" / job.key / "derivatives"
    scratch.mkdir(parents=True)
    (scratch / "half.txt").write_text("hal")


def full_disk(study: FakeStudy) -> None:
    study.trouble("dsc", "s1", "20190301", "disk")
    job = load_dag(study.load()).of("dsc", "s1", "20190301")
    state = study.out / job.state
    state.replace(state.with_suffix(".superseded"))
    shutil.rmtree(study.out / ".store" / job.key[:2] / job.key)
    run(study)


def two_at_once(study: FakeStudy) -> None:
    with (study.out / ".driver.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(AfterglowError, match="another `afterglow run`"):
            run(study)


def other_version(study: FakeStudy) -> None:
    info = study.folder / "site" / "nilearn-99.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nilearn\nVersion: 99.0\n")


def move(study: FakeStudy) -> None:
    target = study.folder / "elsewhere" / "out é"
    target.parent.mkdir()
    study.out.rename(target)
    settings(out="elsewhere/out é")(study)


def touch_all(study: FakeStudy) -> None:
    for path in study.out.rglob("*"):
        os.utime(path)


def clone(study: FakeStudy) -> None:
    for name in ("resources", "src"):
        shutil.copytree(study.folder / name, study.folder / f"{name}-clone")
        shutil.rmtree(study.folder / name)
        (study.folder / f"{name}-clone").rename(study.folder / name)


DSC = "derivatives/dsc-s1-20190301.txt"
TABLE = "tables/tables-None-None.txt"
LATE = dict.fromkeys(SESSION, 1) | {"identity": 1, "stories": 1, **STUDY}
CHANGES = (
    Change("nothing", lambda _: None, NONE),
    Change("late_series", manifest(lambda m: m["series"].append({"series_key": "d4e5f6",
           "class": "FLAIR", "instances": []})), LATE, {"STALE"}),
    Change("removed_series", manifest(lambda m: m["series"].clear()), LATE, {"STALE"}),
    Change("new_file_in_a_series", manifest(lambda m: m["series"][0]["instances"].append(
           {"sop": "aa", "file": "bb", "header": "01"})), LATE, {"STALE"}),
    Change("new_session", lambda s: s.write_plan([*SESSIONS, ("s1", "20190601")]), LATE,
           {"STALE"}),
    Change("removed_session", lambda s: s.write_plan(SESSIONS[:-1]),
           {"identity": 1, "stories": 1, **STUDY}, {"STALE", "ORPHAN"}),
    Change("parameter", settings(dsc__leakage_model="bidirectional"),
           {"dsc": 4, "features": 4, "report": 4, "stories": 2, **STUDY}, {"STALE"}),
    Change("parameter_of_the_last_stage", settings(cohort__seed=7),
           {"cohort": 1, "study_report": 1}, {"STALE"}),
    Change("unrelated_parameter", settings(private="elsewhere-private"), NONE),
    Change("comment_in_a_script", source("resources/scripts/dsc.py", "STAGE =", "# why\nSTAGE ="),
           NONE),
    Change("comment_in_the_library", source("src/afterglow/perfusion/dsc_domain.py", '"""', '"""A'),
           NONE),
    Change("script_with_an_old_date",
           source("resources/scripts/dsc.py", "len(seen)", "len(seen) + 1", when=10**18),
           {"dsc": 4, "features": 4, "report": 4, "stories": 2, **STUDY}, {"STALE"}),
    Change("script_with_its_date_and_size_kept",
           source("resources/scripts/dsc.py", "sorted(d for", "sorted(c for"),
           {"dsc": 4, "features": 4, "report": 4, "stories": 2, **STUDY}, {"STALE"}),
    Change("library_code",
           source("src/afterglow/perfusion/dsc_domain.py", "from __future__ import annotations",
                  "from __future__ import annotations\nX = 1"),
           {"dsc": 4, "features": 4, "report": 4, "stories": 2, **STUDY}, {"STALE"}),
    Change("code_upstream", source("resources/scripts/bids.py", "len(seen)", "len(seen) + 1"), ALL,
           {"STALE"}),
    Change("code_of_an_unrelated_stage",
           source("src/afterglow/perfusion/arrival.py", "from __future__ import annotations",
                  "from __future__ import annotations\nX = 1"),
           {"cohort": 1, "study_report": 1}, {"STALE"}),
    Change("clinical_row", lambda s: (s.folder / "clinical.csv").write_text("patient,dose\nA,24\n"),
           STUDY, {"STALE"}),
    Change("outcome_only", lambda s: (s.folder / "outcomes.csv").write_text("patient,label\nA,x\n"),
           STUDY, {"STALE"}),
    Change("corrected_lesion_match",
           lambda s: (s.folder / "decisions.csv").write_text("kind,subject\nsame,s1\n"),
           {"identity": 2, "stories": 2, **STUDY}, {"STALE"}),
    Change("dependency_version", other_version,
           {name: n for name, n in ALL.items() if name != "bids"},
           {"STALE"}),
    Change("moved_output_tree", move, NONE),
    Change("copied_tree_with_new_dates", touch_all, NONE),
    Change("fresh_clone", clone, NONE),
    Change("lost_snakemake_folder", lambda s: shutil.rmtree(s.out / ".snakemake", True), NONE),
    Change("tampered_intermediate", output(DSC, flip), {"dsc": 1, **AFTER_ONE}, {"TAMPERED"}),
    Change("tampered_unseen", flip_unseen, NONE, set(), {"TAMPERED"}),
    Change("tampered_final_output", output(TABLE, flip), STUDY, {"TAMPERED"}),
    Change("truncated_output", output(DSC, lambda p: os.truncate(p, 3)), {"dsc": 1, **AFTER_ONE},
           {"TAMPERED"}),
    Change("deleted_intermediate", output(DSC, Path.unlink), {"dsc": 1, **AFTER_ONE}, {"MISSING"}),
    Change("stray_file", output("derivatives/stray.txt", lambda p: p.write_text("?")), NONE,
           {"UNTRACKED"}),
    Change("deleted_record", lambda s: _record(s).unlink(), {"dsc": 1, **AFTER_ONE}, {"MISSING"}),
    Change("forged_record", forge, NONE, {"TAMPERED"}),
    Change("inserted_record", insert_record, NONE, {"TAMPERED"}),
    Change("deleted_first_checkpoint", delete_checkpoint(0), NONE, {"TAMPERED"}),
    Change("deleted_last_checkpoint", delete_checkpoint(-1), NONE, {"TAMPERED"}),
    Change("edited_manifest", output("index/manifests/sub-s1_ses-20190301.json", flip), NONE,
           {"TAMPERED"}),
    Change("killed_mid_write", kill_mid_write, {"dsc": 1, **AFTER_ONE}),
    Change("full_disk", full_disk, {"dsc": 1, **AFTER_ONE}),
    Change("two_runs_at_once", two_at_once, NONE),
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FakeStudy:
    """A finished study with site tables and a copy of the package's source."""
    fake = make_fake_study(tmp_path_factory.mktemp("matrix") / "study")
    for name in ("clinical", "outcomes", "decisions"):
        (fake.folder / f"{name}.csv").write_text("patient\nA\n")
        settings(**{name: f"{name}.csv"})(fake)
    shutil.copytree(closure.PACKAGE_ROOT, fake.folder / "src/afterglow",
                    ignore=shutil.ignore_patterns("__pycache__"))  # fmt: skip
    with _living_in(fake):
        finish_in_process(fake)
    return fake


@pytest.fixture
def study(finished: FakeStudy, tmp_path: Path) -> Iterator[FakeStudy]:
    copy = FakeStudy(tmp_path / "study")
    shutil.copytree(finished.folder, copy.folder, copy_function=shutil.copy2)
    with _living_in(copy):
        yield copy


@contextlib.contextmanager
def _living_in(fake: FakeStudy) -> Iterator[None]:
    """Take resources, source and installed versions from the study's own folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AFTERGLOW_RESOURCES", str(fake.resources))
        patch.setattr(closure, "PACKAGE_ROOT", fake.folder / "src/afterglow")
        patch.syspath_prepend(fake.folder / "site")
        places = [str(fake.folder / "site"), str(fake.folder / "src")]
        patch.setenv("PYTHONPATH", os.pathsep.join(places))
        closure.module_file.cache_clear()
        importlib.invalidate_caches()
        yield
    closure.module_file.cache_clear()
    sys.path_importer_cache.pop(str(fake.folder / "site"), None)


def _by_name(change: Change) -> str:
    return change.name


@pytest.mark.parametrize("change", CHANGES, ids=_by_name)
def test_a_change_plans_and_verifies_exactly(study: FakeStudy, change: Change) -> None:
    change.do(study)
    importlib.invalidate_caches()
    loaded = study.load()
    dag, jobs = plan_study(loaded)
    assert Counter(stage for stage, *_ in jobs) == change.jobs
    assert {f.kind: f for f in verify(dag.study)}.keys() == change.quick
    assert {f.kind for f in verify(dag.study, deep=True)} == change.deep_classes
    if not change.jobs:
        return
    run(study)
    assert plan_study(study.load())[1] == {} or change.name == "full_disk"


@pytest.mark.soak
@pytest.mark.parametrize("change", CHANGES, ids=_by_name)
def test_snakemake_agrees_with_the_plan(study: FakeStudy, change: Change) -> None:
    change.do(study)
    importlib.invalidate_caches()
    jobs = plan_study(study.load())[1]
    assert snakemake_plan(study) == Counter(stage for stage, *_ in jobs)


def table_row(change: Change) -> str:
    """Return a change as the row of a Markdown table."""
    planned = [(change.jobs[stage], stage) for stage in STAGES if stage in change.jobs]
    jobs = ", ".join(stage if n == 1 else f"{n} {stage}" for n, stage in planned)
    found = [", ".join(sorted(kinds)) for kinds in (change.quick, change.deep_classes)]
    cells = [change.name.replace("_", " "), jobs or "none", *(text or "clean" for text in found)]
    return f"| {' | '.join(cells)} |"


def test_the_matrix_is_as_large_as_it_claims_and_stands_in_the_documents() -> None:
    assert len({change.name for change in CHANGES}) == len(CHANGES) >= 25
    text = (REPO / "docs/ledger.md").read_text(encoding="utf-8")
    assert [row for row in map(table_row, CHANGES) if row not in text] == []
