"""DSC perfusion of one NIfTI series, without a study (`afterglow dsc`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.bids.images import load_nifti
from afterglow.bids.sidecars import read_json, write_json
from afterglow.config.dsc import DSCConfig
from afterglow.errors import AfterglowError
from afterglow.perfusion.dsc_analysis import analyse
from afterglow.perfusion.dsc_figure import draw
from afterglow.perfusion.dsc_inputs import ECHO_TIMES, DSCInputs
from afterglow.perfusion.dsc_reference import brain_like
from afterglow.perfusion.dsc_series import DSCSeries
from afterglow.perfusion.dsc_slices import slice_offsets
from afterglow.perfusion.dsc_stage import domain_of, write_analysis
from afterglow.perfusion.dynamic import measured_times
from afterglow.perfusion.standalone_inputs import load_like

if TYPE_CHECKING:
    from numpy.typing import NDArray

# s between frames of bolus tracking; times between excitations and milliseconds lie outside
_FRAMES = (0.3, 5.0)
_NOMINAL = (
    "frame times are not measured: the sidecar has no VolumeTiming, and its RepetitionTime of "
    "{:g} s is taken for the time between frames"
)


def run_dsc(
    series: Path | str,
    out: Path | str,
    *,
    te: float | tuple[float, float] | None = None,
    tr: float | None = None,
    times: Path | str | None = None,
    mask: Path | str | None = None,
    lesions: Path | str | None = None,
    white_matter: Path | str | None = None,
    second_echo: Path | str | None = None,
    config: DSCConfig | None = None,
) -> dict[str, Any]:
    """Compute the DSC maps of one NIfTI series and write them to a folder.

    A JSON sidecar beside the series (BIDS names) gives what is not given here.

    Parameters
    ----------
    series : path
        4D NIfTI of the magnitude signal.
    out : path
        Folder for maps, curves, arterial input and figure; made where it is missing.
    te : float or (float, float), optional
        Echo time (s), two with ``second_echo``; the sidecars' by default.
    tr : float, optional
        Time between frames (s).
    times : path, optional
        Text file with one frame time (s) a line; wins over ``tr``.
    mask, lesions, white_matter : path, optional
        Brain, lesions (any label above 0.5) and white-matter probability on the same grid.
        Without white matter there is no rCBV.
    second_echo : path, optional
        4D NIfTI of the later echo; delta R2* is then free of T1 effects.
    config : DSCConfig, optional
        Settings of the stage.

    Returns
    -------
    dict
        The summary: maps, arterial input, windows, domain, warnings; also ``summary.json``.

    Raises
    ------
    AfterglowError
        Missing echo or frame times, or grids that do not match.
    NotEvaluable
        Where the series honestly does not allow it.
    """
    path, folder = Path(series), Path(out)
    settings = config or DSCConfig()
    sidecar = _sidecar(path)
    data, affine = load_nifti(path)
    echoes = _echo_times(te, sidecar, path)
    if second_echo is not None and len(echoes) == 1:
        later = Path(second_echo)
        echoes += _echo_times(None, _sidecar(later), later)
    if second_echo is not None:
        data = np.stack([data, load_like(second_echo, data.shape, affine)])
    if (len(echoes) == 2) != (second_echo is not None):
        raise AfterglowError("two echo times and a second echo belong together", where=path.name)
    n_time = data.shape[-1]
    first = data[0] if len(echoes) == 2 else data
    shape = first.shape[:3]
    frames, source = _times(times, tr, sidecar, n_time, path)
    prepared = DSCSeries(
        signal=data,
        time=frames,
        echo_times=echoes,
        mask=load_like(mask, shape, affine) > 0.5 if mask else brain_like(first),
        affine=affine,
        lesions=load_like(lesions, shape, affine) > 0.5 if lesions else None,
        white_matter=load_like(white_matter, shape, affine) if white_matter else None,
        censored=np.zeros(n_time, bool),
        slice_offsets=slice_offsets(sidecar, shape[2]),
    )
    result = analyse(prepared, settings)
    stated = {**sidecar, "TimingSource": source}
    inputs = DSCInputs(prepared, path.name, stated, [path.name], registered=False)
    start, stop = result.windows.baseline
    domain = domain_of(sidecar, prepared.time, None, stop - start, echoes)
    folder.mkdir(parents=True, exist_ok=True)
    summary = write_analysis(
        lambda name: folder / name, _stem(path), inputs, result, settings, domain
    )
    figure = f"{_stem(path)}_perfusion.png"
    draw(folder / figure, result, prepared.time, prepared.lesions)
    doubts = [_NOMINAL.format(frames[1])] if source == "repetition_time" else []
    summary |= {"figures": [figure], "warnings": doubts + result.warnings}
    write_json(folder / "summary.json", summary)
    return summary


def _stem(path: Path) -> str:
    """Return the name without its extensions."""
    return path.name.removesuffix(".gz").removesuffix(".nii")


def _sidecar(path: Path) -> dict[str, Any]:
    """Return the JSON sidecar beside a series, empty where there is none."""
    beside = path.with_name(f"{_stem(path)}.json")
    return read_json(beside) if beside.exists() else {}


def _echo_times(
    te: float | tuple[float, float] | None, sidecar: dict[str, Any], path: Path
) -> tuple[float, ...]:
    """Return the echo times (s)."""
    found = te if te is not None else sidecar.get("EchoTime")
    values = tuple(float(v) for v in np.atleast_1d(np.asarray(found if found else [])))
    if not values or not all(ECHO_TIMES[0] <= v < ECHO_TIMES[1] for v in values):
        raise AfterglowError(
            f"the echo time is {found!r}",
            where=path.name,
            expected="seconds, such as 0.03",
            remedy="give it, or put EchoTime into the sidecar",
        )
    return values


def _times(
    times: Path | str | None,
    tr: float | None,
    sidecar: dict[str, Any],
    n_time: int,
    path: Path,
) -> tuple[NDArray[np.float64], str | None]:
    """Return the frame times (s) and their source: a file, VolumeTiming, or a constant step."""
    source: str | None = "file"
    if times is not None:
        found = np.array(Path(times).read_text(encoding="utf-8").split(), dtype=np.float64)
    elif tr is None and sidecar.get("VolumeTiming"):
        found = np.asarray(measured_times(sidecar, path.name), dtype=np.float64)
        source = sidecar.get("TimingSource")
    elif tr or sidecar.get("RepetitionTime"):
        found = np.arange(n_time, dtype=np.float64) * _spacing(tr, sidecar, path)
        source = "given_spacing" if tr else "repetition_time"
    else:
        raise AfterglowError(
            "nothing says when the frames were taken",
            where=path.name,
            remedy="give the time between frames (s) or a file of frame times",
        )
    if found.size != n_time or np.any(np.diff(found) <= 0):
        raise AfterglowError(f"{found.size} rising frame times are needed", expected=str(n_time))
    return found, source


def _spacing(tr: float | None, sidecar: dict[str, Any], path: Path) -> np.float64:
    """Return the time between frames (s); that between excitations has the same name in DICOM."""
    spacing = np.float64(tr or sidecar["RepetitionTime"])
    if not _FRAMES[0] <= spacing <= _FRAMES[1]:
        raise AfterglowError(
            f"the time between frames would be {spacing:g} s",
            where=path.name,
            expected=f"{_FRAMES[0]:g} to {_FRAMES[1]:g} s, as bolus tracking has",
            remedy="give the time between frames in s (--tr), or a file of frame times (--times)",
        )
    return spacing
