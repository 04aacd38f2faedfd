"""What the commands share: the study argument, `--json`, and how they print."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from afterglow.config import Study

StudyArgument = Annotated[Path, typer.Argument(metavar="STUDY", help="study.yaml or its folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def open_study(path: Path) -> tuple[Study, Path]:
    """Return a study and its file, of the file or of its folder."""
    from afterglow.config import load_study

    study_file = (path / "study.yaml" if path.is_dir() else path).resolve()
    return load_study(study_file), study_file


def study_out(path: Path) -> Path:
    """Return where a study's results are, without its settings.

    What was recorded does not depend on them, and reading the model of all settings takes longer
    than most questions to the ledger. A file that names no ``out`` is refused as ever.
    """
    import yaml

    study_file = (path / "study.yaml" if path.is_dir() else path).resolve()
    try:
        content = yaml.safe_load(study_file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        content = None
    out = content.get("out") if isinstance(content, dict) else None
    return study_file.parent / out if isinstance(out, str) else open_study(path)[0].out


def console() -> Console:
    """Return where people read: the terminal, or plain lines where there is none."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=200, soft_wrap=True)


def print_json(value: Any, indent: int | None = 1) -> None:
    """Print a value for machines; without indentation where it may be long."""
    sys.stdout.write(json.dumps(value, indent=indent, default=str) + "\n")
