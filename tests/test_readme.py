"""What the README claims, run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from afterglow.cli.app import app

REPO = Path(__file__).resolve().parents[1]
README = (REPO / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_library_example_gives_back_what_it_put_in(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks("python")
    names: dict[str, object] = {}
    exec(code, names)
    fit = names["fit"]
    assert fit.maps["Ktrans"] == pytest.approx(0.12, rel=1e-3)  # type: ignore[attr-defined]
    assert fit.maps["ve"] == pytest.approx(0.3, rel=1e-3)  # type: ignore[attr-defined]
    assert fit.evaluable.all()  # type: ignore[attr-defined]
    assert "0.12" in capsys.readouterr().out


def test_every_command_the_readme_names_exists() -> None:
    named = set(re.findall(r"^\s*afterglow (\w+)|`afterglow (\w+)", README, flags=re.MULTILINE))
    commands = {first or second for first, second in named}
    assert commands >= {"init", "index", "run", "status", "plan", "trace", "verify"}
    for command in commands:
        assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0, command


def test_every_make_target_and_file_the_readme_names_exists() -> None:
    makefile = (REPO / "Makefile").read_text()
    for target in set(re.findall(r"\bmake (\w+)", README)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
    for name in re.findall(r"\]\((docs/[^)]+)\)|`(docs/[^`]+)`", README):
        assert (REPO / (name[0] or name[1])).exists(), name


def test_init_writes_a_study_and_an_empty_one_is_refused(tmp_path: Path) -> None:
    from afterglow.errors import AfterglowError, ExitCode

    runner = CliRunner()
    made = runner.invoke(app, ["init", str(tmp_path / "my-study")])
    assert made.exit_code == 0
    assert "back up the private folder" in made.output
    (tmp_path / "my-study" / "incoming" / "north").mkdir(parents=True)
    refused = runner.invoke(app, ["index", str(tmp_path / "my-study")])
    assert isinstance(refused.exception, AfterglowError)
    assert refused.exception.exit_code == ExitCode.NOTHING
    again = runner.invoke(app, ["init", str(tmp_path / "my-study")])
    assert isinstance(again.exception, AfterglowError)
