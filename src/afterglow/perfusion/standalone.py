"""T1 and tracer kinetics of one NIfTI series, without a study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from afterglow.bids.images import load_nifti, save_nifti
from afterglow.bids.sidecars import write_json
from afterglow.config.dce import DCEConfig
from afterglow.errors import AfterglowError
from afterglow.perfusion.aif_choice import Injection
from afterglow.perfusion.dce_analysis import analyse, foreground
from afterglow.perfusion.dce_output import MapWriter, write_input, write_kinetics
from afterglow.perfusion.standalone_inputs import in_seconds, load_like
from afterglow.perfusion.t1 import T1Map, fit_vfa

if TYPE_CHECKING:
    from numpy.typing import NDArray


def run_t1(
    images: Sequence[Path | str],
    flip_angles: Sequence[float],
    tr: float | Sequence[float],
    out: Path | str,
    *,
    b1: Path | str | None = None,
    mask: Path | str | None = None,
    method: Literal["nonlinear", "linear"] = "nonlinear",
    threads: int | None = 1,
) -> dict[str, Path]:
    """Write T1, its standard error and the evaluable mask of variable flip angles.

    Parameters
    ----------
    images : list of paths
        One 3D image a flip angle, or a single 4D image.
    flip_angles : list of float
        Degrees.
    tr : float or list of float
        Repetition time (s), of all images or one each.
    out : path
        Folder of the results.
    b1, mask : path, optional
        Map of actual over nominal flip angle; voxels to fit.
    method : str
        ``nonlinear`` or ``linear``.
    threads : int or None
        Threads; None for all.

    Raises
    ------
    AfterglowError
        Where images and flip angles do not match, or images lie on different grids.
    """
    times = list(tr) if isinstance(tr, Sequence) else [tr]
    times = times[:1] if len(set(times)) == 1 else times
    data, affine = load_nifti(images[0])
    shape = data.shape[:3]
    if len(images) > 1:
        others = [load_like(path, shape, affine) for path in images[1:]]
        data = np.stack([data, *others], axis=-1)
    inside = None if mask is None else load_like(mask, shape, affine) > 0.5
    ratio = None if b1 is None else load_like(b1, shape, affine)
    try:
        fit = fit_vfa(
            data,
            flip_angles,
            times if len(times) > 1 else times[0],
            b1=ratio,
            method=method,
            mask=inside,
            threads=threads,
        )
    except ValueError as error:
        raise AfterglowError(f"T1 cannot be fitted: {error}") from error
    facts = {
        "Units": "s",
        "FlipAngle": list(flip_angles),
        "RepetitionTime": times if len(times) > 1 else times[0],
        "Method": method,
    }
    return _write_t1(Path(out), fit, affine, facts)


def _write_t1(
    folder: Path, fit: T1Map, affine: NDArray[np.float64], facts: dict[str, Any]
) -> dict[str, Path]:
    """Write the maps of a fit and what they rest on; return the paths of the maps."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {
        "T1": (fit.t1, "T1map"),
        "T1_se": (fit.standard_errors["t1"], "desc-se_T1map"),
        "M0": (fit.m0, "M0map"),
        "evaluable": (fit.evaluable.astype(np.uint8), "desc-evaluable_T1map"),
    }
    paths = {}
    for name, (values, stem) in written.items():
        paths[name] = folder / f"{stem}.nii.gz"
        save_nifti(values, affine, paths[name])
    write_json(folder / "T1map.json", facts)
    return paths


def run_dce(
    image: Path | str,
    out: Path | str,
    *,
    time: Sequence[float],
    tr: float,
    flip_angle: float,
    relaxivity: float,
    t1: Path | str | float,
    field: float | None = None,
    hematocrit: float = 0.42,
    dose: float | None = None,
    te: float | None = None,
    blood_r2star: float = 0.0,
    mask: Path | str | None = None,
    plasma_aif: Sequence[float] | None = None,
    config: DCEConfig | None = None,
    threads: int | None = 1,
) -> dict[str, Any]:
    """Write the tracer-kinetic maps of one DCE series.

    Parameters
    ----------
    image : path
        4D signal of a spoiled gradient echo.
    out : path
        Folder of the results.
    time : list of float
        Frame times (s).
    tr, flip_angle : float
        Repetition time (s), flip angle (degrees).
    relaxivity : float
        1/(s mM).
    t1 : path or float
        T1 before contrast: a map on the grid of the series, or one value for all voxels (s).
    field : float, optional
        Field strength (T), for the T1 of blood.
    hematocrit : float
        Fraction.
    dose : float, optional
        mmol/kg; a population input is not evaluable without it.
    te, blood_r2star : float, optional
        Echo time (s) and what 1 mM adds to R2* of blood (1/(s mM)), for its decay.
    mask : path, optional
        Voxels to fit; all with signal by default.
    plasma_aif : list of float, optional
        Arterial plasma concentration (mM), instead of the choice by ``config.aif``.
    config : DCEConfig, optional
        Model and settings.
    threads : int or None
        Threads; None for all.

    Returns
    -------
    dict
        ``maps`` (paths relative to ``out``), ``aif``, ``warnings``.

    Raises
    ------
    AfterglowError
        Where the image is not 4D, frames and times do not match, mask or T1 lie on another grid, or
        T1 is not in seconds.
    """
    series, affine = load_nifti(image)
    seconds = np.asarray(time, dtype=np.float64)
    if series.ndim != 4 or series.shape[3] != seconds.size:
        raise AfterglowError(
            f"{seconds.size} frame times for an image of shape {series.shape}",
            where=Path(image).name,
            expected="a 4D image with one time a frame",
        )
    settings = config or DCEConfig()
    shape = series.shape[:3]
    inside = foreground(series) if mask is None else load_like(mask, shape, affine) > 0.5
    measured = not isinstance(t1, int | float)
    t10 = np.full(shape, t1) if isinstance(t1, int | float) else load_like(t1, shape, affine)
    in_seconds(t10[inside], Path(t1).name if not isinstance(t1, int | float) else "")
    result = analyse(
        series,
        seconds,
        inside,
        t10,
        Injection(tr, flip_angle, relaxivity, field, hematocrit, dose, te, blood_r2star),
        settings,
        measured_t1=measured,
        plasma_aif=None if plasma_aif is None else np.asarray(plasma_aif, dtype=np.float64),
        threads=threads,
    )
    folder = Path(out)

    def place(relative: str) -> Path:
        target = folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    parameters = {
        "tr": tr,
        "flip_angle": flip_angle,
        "relaxivity": relaxivity,
        "te": te,
        "blood_r2star": blood_r2star if te else 0.0,
        "t10": "map" if measured else t1,
        "hematocrit": hematocrit,
        "aif": result.choice.source,
        "aif_rule": result.choice.rule,
    }
    writer = MapWriter(place, "dce", affine, [Path(image).name], parameters)
    write_kinetics(writer, result, settings.model)
    arterial = write_input(place, "dce", affine, seconds, result.choice)
    return {"maps": writer.index, "aif": arterial, "warnings": result.warnings}
