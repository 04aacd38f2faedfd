"""A run that is killed again and again ends with the bytes of an undisturbed one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from afterglow.cli.driver import Selection, plan_study, run_study
from afterglow.provenance.audit import verify
from fake_study import SESSIONS, FakeStudy, make_fake_study, run_in_process
from killing import Killer


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeStudy:
    made = make_fake_study(tmp_path / "a study é")
    monkeypatch.setenv("AFTERGLOW_RESOURCES", str(made.resources))
    return made


def kill_and_resume(fake: FakeStudy, kills: int, sessions: list[tuple[str, str]]) -> None:
    for study in (fake, make_fake_study(fake.folder.parent / "undisturbed")):
        study.write_plan(sessions)
    run_study(study.load(), study.study_file, Selection(), runner=run_in_process)
    expected = study.contents()
    killer = Killer(fake.study_file, fake.environment(), seed=kills)
    while killer.kills.total() < kills:
        killer.strike()
        if killer.driver is not None and killer.driver.poll() == 0:
            # Done before all kills were dealt: check, and begin anew.
            assert fake.contents() == expected
            shutil.rmtree(fake.out)
            killer.forget()
            fake.write_plan(sessions)
    assert killer.finish() == 0
    assert fake.contents() == expected
    assert verify(fake.load(), deep=True) == []
    assert killer.recomputed == [], "a finished result was replaced"
    assert {told[3] for told in fake.executions()} == {"first"}, "a finished result was recomputed"
    assert not plan_study(fake.load())[1]


def test_ten_kills_lose_nothing(fake: FakeStudy) -> None:
    kill_and_resume(fake, 10, SESSIONS[:1])


@pytest.mark.soak
def test_a_hundred_kills_lose_nothing(fake: FakeStudy) -> None:
    kill_and_resume(fake, 100, SESSIONS[:2])
