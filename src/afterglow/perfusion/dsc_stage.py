"""One session of the `dsc` stage, from finished files to maps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.perfusion.bolus import bolus_of
from afterglow.perfusion.dsc_analysis import DSCResult, analyse
from afterglow.perfusion.dsc_domain import AcquisitionDomain, assess_domain
from afterglow.perfusion.dsc_figure import draw
from afterglow.perfusion.dsc_inputs import DSCInputs, gather
from afterglow.perfusion.dsc_output import DSCWriter
from afterglow.perfusion.dynamic import Find, SessionResult

if TYPE_CHECKING:
    from afterglow.config.center import CenterConfig
    from afterglow.config.dsc import DSCConfig


_PRELOADED = {
    "dsc_before_dsc": "another DSC series",
    "contrast_before_dsc": "an image after contrast",
}


def run_session(
    find: Find,
    out: Callable[[str], Path],
    folder: str,
    stem: str,
    bids: dict[str, Any],
    anat: dict[str, Any] | None,
    config: DSCConfig,
    center: CenterConfig,
    *,
    problems: tuple[str, ...] = (),
) -> SessionResult:
    """Analyse the DSC series of a session and write everything about it.

    Parameters
    ----------
    find, out : callable
        Give the finished file, and where to write, of a path relative to the study.
    folder, stem : str
        Folder of the session's derivatives and start of file names.
    bids, anat : dict
        Summaries of the stages before; ``anat`` None where it has no result.
    config, center : DSCConfig, CenterConfig
        Settings.
    problems : tuple of str
        What stage `bids` could not convert.

    Raises
    ------
    NotEvaluable
        Where the session honestly does not allow it.
    """
    found = gather(find, bids, anat, problems)
    result = analyse(found.series, config)
    start, stop = result.windows.baseline
    preload, doubts = preload_of(center.preload, bids.get("facts") or {})
    domain = domain_of(
        found.sidecar, found.series.time, center, stop - start, found.series.echo_times, preload
    )
    bolus = bolus_of(found.sidecar, center)
    doubts += bolus.doubts
    session = SessionResult(warnings=found.warnings + result.warnings + doubts)
    base = f"{folder}/perf/{stem}_space-dsc"
    session.summary = write_analysis(out, base, found, result, config, domain)
    session.summary["domain"]["dose_source"] = bolus.dose_source
    figure = f"{folder}/figures/{stem}_desc-dsc_perfusion.png"
    draw(out(figure), result, found.series.time, found.series.lesions)
    session.summary["figures"] = [figure]
    return session


def preload_of(site: str | None, facts: dict[str, Any]) -> tuple[str | None, list[str]]:
    """Return the preload of one session, and a doubt where the site's word does not hold for it.

    Where DCE serves as the preload, a session in which no DCE came before DSC had none; and a DCE
    injection before DSC is a preload, whatever the site says of others.

    Examples
    --------
    >>> preload_of("none", {"preload_evidence": "dce_before_dsc"})[0]
    'dce'
    >>> preload_of("dce", {"preload_evidence": "dce_before_dsc"})
    ('dce', [])
    >>> preload_of("dce", {"preload_evidence": "none_seen"})[0]
    'none'
    """
    if site == "dce" and facts.get("preload_evidence") == "none_seen":
        return "none", ["the site preloads by DCE, but no DCE came before DSC in this session"]
    seen = _PRELOADED.get(str(facts.get("preload_evidence")))
    if seen and site not in {"partial", "full"}:
        return None, [f"{seen} came before DSC, and nothing says how much its contrast preloads"]
    if site in {None, "none"} and facts.get("preload_evidence") == "dce_before_dsc":
        said = "the site says that nothing preloads DSC, but DCE came before it in this session"
        return "dce", [said] if site else []
    return site, []


def domain_of(
    sidecar: dict[str, Any],
    time: Any,
    center: CenterConfig | None,
    n_baseline: int,
    echo_times: tuple[float, ...],
    preload: str | None = None,
) -> AcquisitionDomain:
    """Return the acquisition domain from a sidecar and what the center knows."""

    def number(name: str) -> float | None:
        value = sidecar.get(name)
        return float(value) if value else None

    bolus = bolus_of(sidecar, center)
    return assess_domain(
        field_strength=number("MagneticFieldStrength"),
        echo_times=echo_times,
        repetition_time=float(np.median(np.diff(time))),
        flip_angle=number("FlipAngle"),
        preload=preload,
        agent=bolus.agent,
        dose=bolus.dose,
        n_baseline=n_baseline,
    )


def write_analysis(
    out: Callable[[str], Path],
    base: str,
    found: DSCInputs,
    result: DSCResult,
    config: DSCConfig,
    domain: AcquisitionDomain,
) -> dict[str, Any]:
    """Write maps, curves and arterial input; return the summary of the stage."""
    time = found.series.time
    windows = result.windows.summary(time)
    facts = {
        **domain.summary(),
        "duration": float(time[-1] - time[0]),
        "timing_source": found.sidecar.get("TimingSource"),
        "leakage_model": config.leakage_model if "CBV" in result.maps else "none",
        "deconvolution": config.deconvolution,
        "cbv_window": config.cbv_window,
        "psr_window": list(config.psr_tail),
        "psr_echo_time": found.series.echo_times[-1],
        "normalization": "whole-brain NAWM median" if "rCBV" in result.maps else "none",
        "slice_timing": "applied" if found.series.slice_offsets is not None else "unknown",
        "registered": found.registered,
    }
    parameters = {
        "domain": facts,
        "windows": windows,
        "settings": config.model_dump(mode="json"),
        "n_reference_voxels": int(result.reference.sum()),
        "n_nawm_voxels": int(result.nawm.sum()),
        "censored_frames": np.flatnonzero(found.series.censored).tolist(),
    }
    models = (config.leakage_model, config.deconvolution)
    writer = DSCWriter(out, base, found.series.affine, found.sources, models, parameters)
    return {
        "maps": writer.write_maps(result),
        "aif": writer.write_aif(result, time),
        "curves": writer.write_curves(result, time),
        "reasons": f"{base}_desc-reasons_dseg.nii.gz",
        "windows": windows,
        "domain": facts,
        "time": time.tolist(),
        "moco": found.path,
    }
