"""Odd places: paths, an install and a home that cannot be written, files and clocks that lag."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from afterglow.cli.driver import Selection, plan_study, run_study
from afterglow.provenance.audit import verify
from afterglow.provenance.stages import STAGES
from fake_study import REPO, SESSIONS, FakeStudy, make_fake_study, run_in_process

# In a mount space of its own: nothing can be written but what is bound there again.
CONFINED = """\
mount --make-rprivate / &&
for place in "$1" "$2"; do mount --bind "$place" "$place" || exit 9; done &&
mount -o remount,bind,ro / && mount -t tmpfs -o ro none /dev/shm && shift 2 && exec "$@"
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeStudy:
    made = make_fake_study(tmp_path / "a study é")
    monkeypatch.setenv("AFTERGLOW_RESOURCES", str(made.resources))
    made.write_plan(SESSIONS[:1])
    return made


@pytest.fixture
def temporary(tmp_path: Path) -> Iterator[Path]:
    """The system's place for what is temporary; empty again at the end."""
    place = tmp_path / "tmp"
    place.mkdir()
    yield place
    assert list(place.iterdir()) == []


def confined(*writable: Path) -> list[str]:
    """Return what a command is prefixed with so that it can write in two places only."""
    words = ["unshare", "--mount", "sh", "-c", CONFINED, "sh", *map(str, writable)]
    allowed = os.getuid() == 0 and subprocess.run(
        [*words, "true"], capture_output=True, check=False
    )
    if not allowed or allowed.returncode:
        pytest.skip("a mount space of its own needs rights that are not given here")
    return words


def run_command(study_file: Path, temporary: Path, fake: FakeStudy) -> list[dict[str, object]]:
    """Run a study where nothing else can be written, without a home; return its events."""
    environment = {
        **fake.environment(),
        "HOME": "/proc/nobody",
        "TMPDIR": str(temporary),
        "PYTHONPATH": str(REPO / "src"),
    }
    environment.pop("XDG_CACHE_HOME", None)
    done = subprocess.run(
        [
            *confined(fake.folder, temporary),
            *(sys.executable, "-m", "afterglow.cli.app"),
            *("run", str(study_file), "--no-scan", "--json"),
        ],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_nothing_is_written_outside_the_study(
    fake: FakeStudy, tmp_path: Path, temporary: Path
) -> None:
    """Everything else is read-only: the install, the home, the machine; by a link with a space."""
    link = tmp_path / "by a link"
    link.symlink_to(fake.folder)
    beside = set(fake.folder.iterdir())
    resources = {p: p.stat().st_mtime_ns for p in fake.resources.rglob("*") if p.is_file()}
    events = run_command(link / "study.yaml", temporary, fake)
    assert events[0]["event"] == "planned"
    assert {e["stage"] for e in events if e["event"] == "ended"} == set(STAGES)
    assert events[-1] == {"event": "over", "exit_code": 0}
    made = {fake.folder / name for name in ("executions", "out-private")}
    assert set(fake.folder.iterdir()) == {*beside, *made}
    now = {p: p.stat().st_mtime_ns for p in fake.resources.rglob("*") if p.is_file()}
    assert now == resources
    assert not plan_study(fake.load())[1], "by its own path nothing is to be done either"


# As on a file server: what this node wrote carries its own clock and is seen later elsewhere.
LATE = """
    import subprocess
    from pathlib import Path

    state = Path(snakemake.output[0])
    unit = f"{STAGE}-{snakemake.wildcards.get('subject')}-{snakemake.wildcards.get('session')}.txt"
    for path in [state, *Path().glob(f"derivatives/{unit}"), *Path().glob(f"tables/{unit}")]:
        os.utime(path, (time.time() + SHIFT,) * 2)
    hidden = state.with_name(".late")
    state.rename(hidden)
    subprocess.Popen(["sh", "-c", 'sleep 2; mv "$0" "$1"', hidden, state])
"""


def test_files_that_appear_late_and_clocks_that_differ(fake: FakeStudy, tmp_path: Path) -> None:
    """A state is seen two seconds after its job ended; nodes are two hours apart."""
    for stage, ahead in (("bids", 1), ("anat", -1), ("identity", 1), ("tables", -1)):
        path = fake.resources / f"scripts/{stage}.py"
        path.write_text(path.read_text() + LATE.replace("SHIFT", str(3600 * ahead)))
    other = make_fake_study(tmp_path / "undisturbed")
    other.write_plan(SESSIONS[:1])
    run_study(other.load(), other.study_file, Selection(), runner=run_in_process)

    result = run_study(fake.load(), fake.study_file, Selection(), cores=2)
    assert result.absent == []
    assert len(result.ran) == len(STAGES)
    executed = [told[0] for told in fake.executions()]
    assert sorted(executed) == sorted(STAGES), "every stage ran once"
    hours = [hours_ago(fake, stage) for stage in ("bids", "anat", "identity", "tables")]
    assert hours == [-1, 1, -1, 1]
    assert fake.contents() == other.contents()
    assert verify(fake.load(), deep=True) == []
    assert run_study(fake.load(), fake.study_file, Selection(), cores=2).ran == {}


def hours_ago(fake: FakeStudy, stage: str) -> int:
    """Return when a stage wrote its only output, by the clock of its node."""
    (path,) = (p for p in fake.out.glob(f"*/{stage}-*.txt") if p.is_file())
    return round((time.time() - path.stat().st_mtime) / 3600)
