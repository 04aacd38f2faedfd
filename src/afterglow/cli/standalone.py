"""Commands that need no study: perfusion of one series, classification of a plain table."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from afterglow.errors import AfterglowError

OutOption = Annotated[Path, typer.Option("--out", help="Folder for the results.")]
TimesOption = Annotated[
    Path | None, typer.Option(help="Text file of frame times (s), one per line.")
]
MaskOption = Annotated[Path | None, typer.Option(help="NIfTI mask of the voxels to model.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(dsc)
    app.command()(classify)


def dsc(
    series: Annotated[Path, typer.Argument(help="4D NIfTI; a BIDS sidecar beside it is read.")],
    out: OutOption,
    te: Annotated[
        float | None, typer.Option(help="Echo time (s); the sidecar's by default.")
    ] = None,
    tr: Annotated[
        float | None, typer.Option(help="Frame spacing (s) where no times exist.")
    ] = None,
    times: TimesOption = None,
    mask: MaskOption = None,
    lesions: Annotated[Path | None, typer.Option(help="Lesions, left out of references.")] = None,
    white_matter: Annotated[Path | None, typer.Option(help="Mask of the rCBV reference.")] = None,
) -> None:
    """Model one DSC series: CBV with leakage correction, CBF, MTT, Tmax, PSR, peak height."""
    from afterglow.perfusion.standalone_dsc import run_dsc

    found = run_dsc(
        series,
        out,
        te=te,
        tr=tr,
        times=times,
        mask=mask,
        lesions=lesions,
        white_matter=white_matter,
    )
    _list_maps(found, out)


def classify(
    features: Annotated[Path, typer.Argument(help="Parquet or CSV, one row per lesion.")],
    out: OutOption,
    outcomes: Annotated[Path | None, typer.Option(help="CSV or Parquet of labels.")] = None,
    model: Annotated[Path | None, typer.Option(help="Folder of a saved model to apply.")] = None,
) -> None:
    """Validate models on a plain feature table, or apply a saved one inside its domain."""
    from afterglow.cohort.classify import apply_model, classify_table

    if (outcomes is None) == (model is None):
        raise AfterglowError(
            "a table is either validated against labels or given to a saved model",
            expected="one of --outcomes and --model",
        )
    if outcomes is not None:
        classify_table(features, outcomes, out, say=_say)
        sys.stdout.write(f"results: {out}\n")
    elif model is not None:
        out.mkdir(parents=True, exist_ok=True)
        rows = apply_model(model, features)
        path = out / "predictions.json"
        path.write_text(json.dumps(rows, indent=1, default=str) + "\n", encoding="utf-8")
        sys.stdout.write(f"results: {path}\n")


def _list_maps(found: dict[str, Any], out: Path) -> None:
    """Print the maps that were written with their units."""
    for name, entry in sorted(found.get("maps", {}).items()):
        sys.stdout.write(f"{name:12}{entry.get('units', '')}\n")
    sys.stdout.write(f"results: {out}\n")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
