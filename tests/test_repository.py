"""The repository's own promises: generated files, lock, environments, start-up, no network."""

from __future__ import annotations

import ast
import re
import socket
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from afterglow import __version__
from afterglow.config import Study, generate, load_study
from afterglow.config.template import TEMPLATE, write_template
from afterglow.errors import AfterglowError

REPO = Path(__file__).resolve().parents[1]


def lock() -> dict[str, str]:
    lines = (REPO / "envs/requirements.lock").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    return {name.lower().replace("_", "-"): pin for name, pin in pins.items()}


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("config/default.yaml", generate.default_yaml),
        ("config/schema.json", generate.schema_json),
        ("docs/configuration.md", generate.reference_markdown),
    ],
)
def test_generated_files_are_in_step_with_the_model(name: str, make: object) -> None:
    assert callable(make)
    assert (REPO / name).read_text(encoding="utf-8") == make(), "run `make generate`"


def test_defaults_are_a_valid_study_once_the_required_keys_are_there() -> None:
    content = yaml.safe_load((REPO / "config/default.yaml").read_text())
    content |= {"study": "x", "out": "out", "centers": [{"name": "a", "dicom": ["in"]}]}
    given = Study.model_validate(content)
    bare = {"study": "x", "out": "out", "centers": [{"name": "a", "dicom": ["in"]}]}
    assert given == Study.model_validate(bare)


def test_every_setting_says_what_it_is() -> None:
    silent = [line for line in generate.reference_markdown().splitlines() if line.endswith("|  |")]
    assert silent == []


def test_unknown_keys_name_the_nearest_valid_one(tmp_path: Path) -> None:
    path = write_template(tmp_path)
    load_study(path)
    path.write_text(path.read_text() + "\ndcse: {}\n")
    with pytest.raises(AfterglowError, match="unknown key `dcse`, did you mean `dce`"):
        load_study(path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("study: my-cohort", "study: My cohort", "without spaces"),
        ("name: north", "name: North", "expected lower case letters and digits only"),
        ("dicom: [incoming/north]", "dicom: incoming/north", "expected a list, as in [a, b]"),
        ("out: out", "out: incoming/north/out", "lie in one another"),
        ("out: out", "out: .", "lie in one another"),
        ("study: my-cohort", "study: caf\xe9", "UTF-8"),
        (
            "\n# Site files",
            "  - {name: south, dicom: [incoming]}\n# Site files",
            "centers north and south",
        ),
    ],
)
def test_a_study_file_that_cannot_be_meant_is_refused_in_plain_words(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert old in TEMPLATE
    path = tmp_path / "study.yaml"
    path.write_text(TEMPLATE.replace(old, new, 1), encoding="latin-1")
    with pytest.raises(AfterglowError, match=re.escape(said)):
        load_study(path)


def test_lock_names_no_url_and_satisfies_the_bounds() -> None:
    text = (REPO / "envs/requirements.lock").read_text()
    assert not re.search(r"https?:|@|--index|--extra-index|file:", text)
    pins = lock()
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for line in (*project["dependencies"], *extras["dev"], *extras["docs"]):
        requirement = Requirement(line)
        name = requirement.name.lower().replace("_", "-")
        assert requirement.specifier.contains(pins[name]), name


def test_what_the_package_imports_is_what_it_depends_on() -> None:
    """What only tests import is no dependency of a study; what is imported is named, not lent."""
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[<>=~!]", line)[0].lower() for line in project["dependencies"]}
    imported: set[str] = set()
    for folder in ("src", "scripts"):
        for path in (REPO / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    imported |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    imported.add(node.module.split(".")[0])
    imported -= {*sys.stdlib_module_names, "afterglow", "mirp"}
    # Two of pydantic's own parts; the templates of nilearn are read from its folder; SLURM's plugin
    # is called by Snakemake, and the tutorial asks tables through DuckDB.
    owners = packages_distributions()
    found = {o.lower().replace("_", "-") for name in imported for o in owners[name]}
    lent, called = {"pydantic-core", "annotated-types"}, {"nilearn", "duckdb"}
    called |= {"snakemake", "snakemake-executor-plugin-slurm"}
    assert found - lent <= declared
    assert declared - called <= found


def test_installed_versions_are_those_of_the_lock() -> None:
    moved = {name: pin for name, pin in lock().items() if version(name) != pin}
    assert moved == {}


def test_environment_and_container_come_from_the_lock() -> None:
    environment = yaml.safe_load((REPO / "envs/environment.yaml").read_text())
    pip = next(d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    assert pip == ["-r requirements.lock", f"afterglow=={__version__}"]
    assert "python=3.11" in environment["dependencies"]
    container = (REPO / "envs/Containerfile").read_text()
    assert "FROM python:3.11-" in container
    assert "-r envs/requirements.lock" in container


def test_the_wheel_carries_the_workflow(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=REPO, check=True, capture_output=True)
    names = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    for folder in ("workflow", "rules", "scripts", "config", "envs"):
        for path in (REPO / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert f"afterglow/_bundle/{path.relative_to(REPO).as_posix()}" in names


def test_the_command_line_starts_without_heavy_packages() -> None:
    code = (
        "import sys, afterglow.cli.app; heavy = {'numpy', 'pandas', 'ants', 'snakemake', "
        "'pydicom', "
        "'pyarrow', 'matplotlib', 'nibabel', 'scipy', 'sklearn', 'numba'}; "
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_sockets_are_refused_in_this_test_session() -> None:
    with pytest.raises(OSError, match="no test may reach the network"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
