"""Commands that need no study: perfusion of one series, classification of a plain table."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args

import typer

from afterglow.errors import AfterglowError

if TYPE_CHECKING:
    from afterglow.config.base import Section

Options = TypeVar("Options", bound="Section")
OutOption = Annotated[Path, typer.Option("--out", help="Folder for the results.")]
TimesOption = Annotated[
    Path | None, typer.Option(help="Text file of frame times (s), one per line.")
]
TrOption = Annotated[
    float | None, typer.Option(help="Repetition time (s); the sidecar's by default.")
]
ThreadsOption = Annotated[int | None, typer.Option(help="Threads; all cores by default.")]
MaskOption = Annotated[Path | None, typer.Option(help="NIfTI mask of the voxels to model.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(t1)
    app.command()(dce)
    app.command()(dsc)
    app.command()(classify)


def t1(
    images: Annotated[list[Path], typer.Argument(help="One NIfTI a flip angle, or one 4D.")],
    out: OutOption,
    flip_angles: Annotated[
        str | None, typer.Option(help="Degrees, comma-separated; the sidecars' by default.")
    ] = None,
    tr: TrOption = None,
    b1: Annotated[Path | None, typer.Option(help="Map of actual over nominal angle.")] = None,
    mask: MaskOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Map T1 from variable flip angles, with standard errors and an evaluable mask."""
    from afterglow.perfusion.standalone import run_t1

    sidecars = [_sidecar(path) for path in images]
    if flip_angles is None:
        angles = [_fact(None, s, "FlipAngle", p) for s, p in zip(sidecars, images, strict=True)]
    else:
        angles = _numbers(flip_angles.split(","), "--flip-angles")
    if len(images) == 1 and len(angles) < 2:
        raise AfterglowError(
            "T1 needs two flip angles or more",
            where=images[0].name,
            expected="one NIfTI for each angle, or one 4D with --flip-angles",
        )
    with _whole(out) as draft:
        found = run_t1(
            images,
            angles,
            [_repetition_time(tr, s, p) for s, p in zip(sidecars, images, strict=True)],
            draft,
            b1=b1,
            mask=mask,
            threads=threads,
        )
    for name, path in found.items():
        sys.stdout.write(f"{name:12}{out / path.relative_to(draft)}\n")


def dce(
    series: Annotated[Path, typer.Argument(help="4D NIfTI; a BIDS sidecar beside it is read.")],
    out: OutOption,
    t10: Annotated[str, typer.Option("--t1", help="T1 before contrast: NIfTI map, or seconds.")],
    agent: Annotated[str | None, typer.Option(help="Contrast agent, such as gadobutrol.")] = None,
    relaxivity: Annotated[float | None, typer.Option(help="1/(s mM), instead of --agent.")] = None,
    field: Annotated[float | None, typer.Option(help="Field strength (T).")] = None,
    flip_angle: Annotated[float | None, typer.Option(help="Degrees.")] = None,
    tr: TrOption = None,
    times: TimesOption = None,
    mask: MaskOption = None,
    model: Annotated[str, typer.Option(help="Tracer-kinetic model.")] = "extended_tofts",
    hematocrit: Annotated[float, typer.Option(help="Fraction.")] = 0.42,
    dose: Annotated[
        float | None, typer.Option(help="mmol/kg, where no vessel is found in the image.")
    ] = None,
    threads: ThreadsOption = None,
) -> None:
    """Model one DCE series: Ktrans, ve, vp and more with standard errors."""
    from afterglow.config.center import Agent
    from afterglow.config.dce import DCEConfig
    from afterglow.perfusion.relaxivity import relaxivity as tabled
    from afterglow.perfusion.relaxivity import transverse_relaxivity
    from afterglow.perfusion.standalone import run_dce

    sidecar = _sidecar(series)
    strength = _fact(field, sidecar, "MagneticFieldStrength", series)
    if relaxivity is None:
        constant = tabled(agent, strength) if agent is not None else None
        if constant is None:
            raise AfterglowError(
                f"the relaxivity of {agent or 'an unnamed agent'} is not known",
                expected=f"--relaxivity, or --agent with one of {', '.join(get_args(Agent))}",
            )
        relaxivity = constant.value
    decay = transverse_relaxivity(agent, strength)
    with _whole(out) as draft:
        found = run_dce(
            series,
            draft,
            time=_frame_times(times, sidecar, series),
            tr=_repetition_time(tr, sidecar, series),
            flip_angle=_fact(flip_angle, sidecar, "FlipAngle", series),
            relaxivity=relaxivity,
            t1=float(t10) if t10.replace(".", "", 1).isdigit() else Path(t10),
            field=strength,
            hematocrit=hematocrit,
            dose=dose,
            te=sidecar.get("EchoTime"),
            blood_r2star=decay.value if decay else 0.0,
            mask=mask,
            threads=threads,
            config=_options(DCEConfig, {"model": model}),
        )
    for message in found["warnings"]:
        _say(f"warning: {message}")
    _list_maps(found, out)


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
    second_echo: Annotated[
        Path | None, typer.Option(help="4D NIfTI of the later echo, with a sidecar beside it.")
    ] = None,
    leakage: Annotated[str, typer.Option(help="bsw or bidirectional.")] = "bsw",
    deconvolution: Annotated[
        str, typer.Option(help="osvd, csvd, ssvd, tikhonov or vascular.")
    ] = "osvd",
) -> None:
    """Model one DSC series: CBV with leakage correction, CBF, MTT, Tmax, PSR, peak height."""
    from afterglow.config.dsc import DSCConfig
    from afterglow.perfusion.standalone_dsc import run_dsc

    config = _options(DSCConfig, {"leakage_model": leakage, "deconvolution": deconvolution})
    with _whole(out) as draft:
        found = run_dsc(
            series,
            draft,
            te=te,
            tr=tr,
            times=times,
            mask=mask,
            lesions=lesions,
            white_matter=white_matter,
            second_echo=second_echo,
            config=config,
        )
    for message in found["warnings"]:
        _say(f"warning: {message}")
    _list_maps(found, out)


def classify(
    features: Annotated[Path, typer.Argument(help="Parquet or CSV, one row per lesion.")],
    out: Annotated[Path | None, typer.Option(help="Folder; default TABLE-classified.")] = None,
    outcomes: Annotated[Path | None, typer.Option(help="CSV or Parquet of labels.")] = None,
    model: Annotated[Path | None, typer.Option(help="Folder of a saved model to apply.")] = None,
) -> None:
    """Validate models on a plain feature table, or apply a saved one inside its domain."""
    from afterglow.cohort.classify import apply_model, classify_table, forget_optional

    if (outcomes is None) == (model is None):
        raise AfterglowError(
            "a table is either validated against labels or given to a saved model",
            expected="one of --outcomes and --model",
        )
    out = out or features.with_name(f"{features.stem}-classified")
    if outcomes is not None:
        with _whole(out) as draft:
            classify_table(features, outcomes, draft, say=_say)
            forget_optional(out)
        sys.stdout.write(f"results: {out}\n")
    elif model is not None:
        text = json.dumps(apply_model(model, features), indent=1, default=str) + "\n"
        with _whole(out) as draft:
            (draft / "predictions.json").write_text(text, encoding="utf-8")
        sys.stdout.write(f"results: {out / 'predictions.json'}\n")


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """Yield a folder whose files move to ``out`` once all of them are there."""
    near = out if out.is_dir() else out.parent
    near.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=near, prefix=f".{out.name}.") as draft:
        yield Path(draft)
        for path in sorted(Path(draft).rglob("*")):
            if path.is_file():
                target = out / path.relative_to(draft)
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)


def _list_maps(found: dict[str, Any], out: Path) -> None:
    """Print the maps that were written with their units."""
    for name, entry in sorted(found.get("maps", {}).items()):
        sys.stdout.write(f"{name:12}{entry.get('units', '')}\n")
    sys.stdout.write(f"results: {out}\n")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _options(section: type[Options], given: dict[str, Any]) -> Options:
    """Return a section of settings from words of the command line."""
    from pydantic import ValidationError

    try:
        return section.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise AfterglowError(
            f"`{first['input']}` is no {str(first['loc'][0]).replace('_', ' ')}",
            expected=str(first.get("ctx", {}).get("expected", first["msg"])),
        ) from error


def _numbers(texts: list[str], where: str) -> list[float]:
    try:
        return [float(text) for text in texts]
    except ValueError as error:
        raise AfterglowError(
            "a word is no number", where=where, expected="numbers such as 2.5, without units"
        ) from error


def _sidecar(image: Path) -> dict[str, Any]:
    """Return the JSON sidecar beside an image, empty where there is none."""
    if not image.is_file():
        raise AfterglowError("there is no such image", where=str(image), expected="a NIfTI file")
    beside = image.with_name(image.name.removesuffix(".gz").removesuffix(".nii") + ".json")
    if not beside.exists():
        return {}
    content: dict[str, Any] = json.loads(beside.read_text(encoding="utf-8"))
    return content


def _fact(given: float | None, sidecar: dict[str, Any], key: str, image: Path) -> float:
    """Return an acquisition fact from the command line, else from the sidecar; never guess it."""
    value = given if given is not None else sidecar.get(key)
    if value is None:
        raise AfterglowError(
            f"{key} is not known", where=image.name, expected=f"an option, or {key} in its sidecar"
        )
    return float(value)


def _repetition_time(given: float | None, sidecar: dict[str, Any], image: Path) -> float:
    """Return the time between excitations (s); that between volumes is called alike in BIDS."""
    from afterglow.perfusion.dce_inputs import REPETITION_TIMES

    excitation = sidecar.get("RepetitionTimeExcitation")
    found = _fact(given if given is not None else excitation, sidecar, "RepetitionTime", image)
    if not REPETITION_TIMES[0] <= found < REPETITION_TIMES[1]:
        raise AfterglowError(
            f"the repetition time is {found:g} s",
            where=image.name,
            expected="seconds between excitations of a spoiled gradient echo, such as 0.005",
            remedy="give --tr, or put RepetitionTimeExcitation into the sidecar",
        )
    return found


def _frame_times(times: Path | None, sidecar: dict[str, Any], image: Path) -> list[float]:
    """Return the frame times (s) from a text file, else from the sidecar's VolumeTiming."""
    if times is not None:
        return _numbers(times.read_text(encoding="utf-8").split(), times.name)
    from afterglow.perfusion.dynamic import measured_times

    found = measured_times(sidecar, image.name)
    if not found:
        raise AfterglowError(
            "the frame times are not known",
            where=image.name,
            expected="--times, or VolumeTiming in its sidecar",
        )
    return found
