"""What README and documents claim, executed; and the site, built without a warning."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer.main
import yaml
from typer.testing import CliRunner

from afterglow.cli.app import app
from afterglow.cohort.rule_files import load_rules
from afterglow.config import load_study
from browser import chromium
from devtools import browser
from doc_blocks import PAGES, REPO, blocks, commands
from test_standalone import dynamic, spgr, write

STANDALONE = {"t1", "dce", "dsc"}
_SPEC = importlib.util.spec_from_file_location("results", REPO / "docs/tools/results.py")
results = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(results)


@pytest.mark.parametrize(
    "block", [b for b in blocks("python") if "demo/out" not in b.text], ids=lambda b: b.page
)
def test_code_runs(block, capsys):
    exec(block.text, {})


def test_make_targets_exist():
    makefile = (REPO / "Makefile").read_text()
    named = {words[1] for _, words in commands() if words[0] == "make"}
    assert named >= {"demo"}
    for target in named:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_every_command_line_is_one_of_ours_and_known():
    names = {c.name or c.callback.__name__ for c in app.registered_commands}
    for block, words in commands():
        assert words[0] in {"make", "afterglow"}, (block.page, words)
        if words[0] == "afterglow":
            assert words[1] in names, (block.page, words)


def test_commands_within_sentences_have_these_options():
    """`afterglow X --option` in running text: command and option exist."""
    group = typer.main.get_command(app)
    seen = set()
    for page in PAGES:
        text = (REPO / page).read_text(encoding="utf-8")
        for span in re.findall(
            r"`afterglow ([a-z][^`]*)`", re.sub(r"```.*?```", "", text, flags=re.S)
        ):
            name, *words = span.split()
            known = {o for p in group.commands[name].params for o in p.opts}
            assert {w for w in words if w.startswith("--")} <= known, (page, span)
            seen.add(span)
    assert {"plan demo --explain", "status my-study --watch"} <= seen


def test_what_is_not_executed_says_why():
    left = [b for b in blocks("sh") if not b.executed]
    assert {b.page for b in left} == {"README.md", "docs/howto/slurm.md"}
    assert all("--profile slurm" in b.text for b in left)


@pytest.mark.parametrize("block", blocks("yaml"), ids=lambda b: b.page)
def test_settings_and_rules_are_valid(block, tmp_path):
    content = yaml.safe_load(block.text)
    if isinstance(content, list):
        (tmp_path / "my-rules.yaml").write_text(block.text)
        known = {rule.id for rule in load_rules([tmp_path / "my-rules.yaml"])}
        assert {entry["id"] for entry in content} <= known
        return
    least = {"study": "x", "out": "out", "centers": [{"name": "north", "dicom": ["incoming"]}]}
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(least | content))
    study = load_study(path)
    for name in content:
        assert getattr(study, name) is not None


def test_commands_on_files_run(tmp_path, monkeypatch):
    """The perfusion commands of the README, on small images with what a sidecar says."""
    monkeypatch.chdir(tmp_path)
    shape = (6, 6, 2)
    for angle in (2, 8, 15):
        write(tmp_path, f"vfa{angle}", spgr(np.full(shape, 1.2), angle), FlipAngle=angle,
              RepetitionTime=0.005)  # fmt: skip
    dynamic(tmp_path, RepetitionTime=0.005, FlipAngle=15, MagneticFieldStrength=3)
    time = np.arange(0, 90, 1.5)
    late = np.clip(time - 20, 0, None)
    bolus = late**3 * np.exp(-late / 1.5)
    drop = np.exp(-0.4 * bolus / bolus.max()) * 1000
    noise = np.random.default_rng(0).normal(0, 3, (10, 10, 4, time.size))
    write(tmp_path, "dsc", drop + noise, VolumeTiming=time.tolist(), EchoTime=0.03,
          RepetitionTime=1.5, FlipAngle=60, MagneticFieldStrength=3)  # fmt: skip
    lines = [words for _, words in commands() if words[1] in STANDALONE]
    assert {words[1] for words in lines} == STANDALONE
    for words in lines:
        done = CliRunner().invoke(app, words[1:])
        assert done.exit_code == 0, (words, done.output, done.exception)
        out = words[words.index("--out") + 1]
        assert list((tmp_path / out).glob("*.nii.gz")), words


def test_links_of_the_readme_lead_somewhere():
    text = (REPO / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)|`(docs/[^`]+)`", text):
        assert (REPO / (target[0] or target[1])).exists(), target


def test_no_page_is_written_for_nobody():
    nav = (REPO / "mkdocs.yml").read_text(encoding="utf-8")
    for page in PAGES:
        assert page == "README.md" or page.removeprefix("docs/") in nav


def test_public_functions_are_documented():
    found = subprocess.run(
        [sys.executable, "-m", "interrogate", "-vv", str(REPO / "src")],
        capture_output=True, text=True, check=False, cwd=REPO,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout[-3000:]
    assert "actual: 100.0%" in found.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built offline; a warning ends the build."""
    pytest.importorskip("mkdocs", reason="the site needs the extra `docs`")
    folder = tmp_path_factory.mktemp("site")
    found = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        capture_output=True, text=True, check=False, cwd=REPO,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr[-4000:]
    return folder


def test_the_site_builds_and_asks_nobody(site: Path):
    pages = sorted(site.rglob("*.html"))
    names = {str(p.relative_to(site)) for p in pages}
    assert names >= {"index.html", "tutorial.html", "reference/cli.html", "reference/tables.html"}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loads = re.findall(r'<(?:script|img|iframe)[^>]*\ssrc="?([^">\s]+)', text)
        loads += re.findall(r'<link[^>]*rel="?(?:stylesheet|icon)[^>]*href="?([^">\s]+)', text)
        assert not [u for u in loads if u.startswith(("http:", "https:", "//"))], page.name


def test_the_site_is_silent_in_a_browser(site: Path, tmp_path: Path):
    chromium()
    with browser(tmp_path) as tab:
        for name in ("index.html", "howto/own-data.html"):
            tab.open((site / name).as_uri())
            assert tab.console == []
            assert tab.outside() == []


def test_the_reference_is_that_of_the_code(site: Path):
    command_line = (site / "reference/cli.html").read_text(encoding="utf-8")
    assert "--retry-failed" in command_line
    tables = (site / "reference/tables.html").read_text(encoding="utf-8")
    assert "volume_change_nadir" in tables
    scripts = (site / "reference/benchmarks.html").read_text(encoding="utf-8")
    assert "How large the page of many sessions is" in scripts
    library = (site / "reference/api.html").read_text(encoding="utf-8")
    assert "dsc.deconvolve" in library


@pytest.mark.parametrize("name", ["accuracy.md", "benchmarks.md", "page-tour.md"])
def test_a_page_of_results_is_what_its_files_make(name):
    made = results.pages()[name]
    assert (REPO / "docs" / name).read_text(encoding="utf-8") == made, (
        "python docs/tools/results.py"
    )


def test_pages_of_results_say_the_numbers_of_their_files():
    row = {
        "quantity": "rCBV", "unit": "ratio", "n": 14, "n_missing": 2, "target_percent": None,
        "median_absolute_error_percent": 4.68123, "bias": -0.0292, "limit_low": -0.29,
        "limit_high": 0.232,
    }  # fmt: skip
    content = {"cohort": "a demo", "rows": [{**row, "by_center": {"north": row}}]}
    text = results.accuracy_page(content)
    assert "| rCBV | ratio | 14 | 2 | 4.68 | – | -0.0292 | -0.29 to 0.232 |" in text
    assert "| rCBV | north | 14 | 4.68 | -0.0292 | -0.29 to 0.232 |" in text
    found = [
        {"page": f"{k}.html", "kind": k, "megabytes": size, "seconds": 0.25, "console": 0,
         "outside": 0, "wider": [0, wide], "axe": "none", "sheets": 3}
        for k, size, wide in (("session", 4.1, 0), ("session", 3.9, 7), ("study", 0.05, 0))
    ]  # fmt: skip
    tour = {"cohort": "a demo", "linked": "All agree.", "findings": found}
    study = {
        "sessions": 1000,
        "lesions": 5000,
        "megabytes": 1.234,
        "times": {"loaded": [0.4, 0.2, 0.3]},
    }
    text = results.benchmarks_page(tour, study)
    assert "| session | 2 | 4.10 | 0.2 |" in text
    assert "| loaded | 0.20 | 0.30 |" in text
    text = results.tour_page(tour)
    assert "| session.html | 3.90 | 0.2 | 0 | 0 | 7 px | none | 3 |" in text


def test_pages_of_the_tour_are_as_small_and_silent_as_promised():
    for found in results.read("page_tour")["findings"]:
        assert found["megabytes"] < 15, found["page"]
        assert (found["console"], found["outside"]) == (0, 0), found["page"]
        assert found["axe"] == "none", found["page"]
