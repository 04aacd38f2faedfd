"""One session of the `dce` stage, from finished files to maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.perfusion.aif_choice import Injection
from afterglow.perfusion.bolus import bolus_of, shared_volume
from afterglow.perfusion.dce_analysis import DCEResult, analyse
from afterglow.perfusion.dce_figure import draw
from afterglow.perfusion.dce_inputs import DCEInputs, agent_facts, gather, sequence
from afterglow.perfusion.dce_output import MapWriter, write_input, write_maps
from afterglow.perfusion.dce_t10 import T10, t10_of
from afterglow.perfusion.dynamic import Find, SessionResult

if TYPE_CHECKING:
    from afterglow.config.center import CenterConfig
    from afterglow.config.dce import DCEConfig


def run_session(
    find: Find,
    out: Callable[[str], Path],
    folder: str,
    stem: str,
    bids: dict[str, Any],
    anat: dict[str, Any] | None,
    config: DCEConfig,
    center: CenterConfig,
    *,
    problems: Sequence[str] = (),
    threads: int = 1,
) -> SessionResult:
    """Analyse the DCE series of a session and write everything about it.

    Parameters
    ----------
    find, out : callable
        Give the finished file, and where to write, of a path relative to the study.
    folder, stem : str
        Folder of the session's derivatives and start of file names.
    bids, anat : dict
        Summaries of the stages before; ``anat`` None where it has no result.
    config, center : DCEConfig, CenterConfig
        Settings.
    problems : sequence of str
        What stage `bids` could not convert.
    threads : int
        Threads of the fits.

    Raises
    ------
    NotEvaluable
        Where the session honestly does not allow it.
    """
    found = gather(find, bids, anat, problems)
    found.warnings.extend(bolus_of(found.sidecar, center).doubts)
    tr, angle = sequence(found.sidecar, found.path)
    constant, facts = agent_facts(found.sidecar, center, config)
    t10 = t10_of(find, found, bids, anat, config, threads)
    strength = facts["field"]
    injection = Injection(
        tr=tr,
        flip_angle=angle,
        relaxivity=constant.value,
        field=float(strength) if strength else None,
        hematocrit=center.hematocrit,
        dose=facts["dose"],
        te=facts["te"],
        blood_r2star=facts["blood_r2star"],
    )
    result = analyse(
        found.series, found.time, found.mask, t10.values, injection, config,
        search_mask=found.search_mask, measured_t1=t10.measured, native_t1=not t10.reason,
        b1=t10.b1, censored=found.censored, threads=threads,
    )  # fmt: skip
    domain = {
        **facts,
        "tr": tr,
        "flip_angle": angle,
        "frame_interval": float(np.median(np.diff(found.time))),
        "duration": float(found.time[-1] - found.time[0]),
        "timing_source": found.sidecar.get("TimingSource"),
        "relaxivity": constant.value,
        "relaxivity_source": constant.source,
        "t10": "measured" if t10.measured else "assumed",
        "t1_native": t10.measured and not t10.reason,
        "b1": "measured" if t10.b1 is not None else "nominal",
        "aif": result.choice.source,
        "registered": found.registered,
    }
    session = SessionResult(warnings=found.warnings + result.warnings)
    if result.choice.source not in {"detected", "none"}:
        session.warnings.append(f"population input {result.choice.source}: {result.choice.rule}")
        session.warnings.extend(shared_volume(found.sidecar, center))
    _write(session, out, f"{folder}/perf/{stem}_space-dce", found, t10, result, config, domain)
    figure = f"{folder}/figures/{stem}_desc-dce_perfusion.png"
    draw(out(figure), result, found.time, t10.values, found.mask)
    session.summary["figures"] = [figure]
    return session


def _write(
    session: SessionResult,
    out: Callable[[str], Path],
    base: str,
    found: DCEInputs,
    t10: T10,
    result: DCEResult,
    config: DCEConfig,
    domain: dict[str, Any],
) -> None:
    """Write maps and input, and fill the summary."""
    parameters = {
        **domain,
        "t10_facts": t10.facts,
        "aif_rule": result.choice.rule,
        "baseline_frames": list(result.baseline),
        "censored_frames": np.flatnonzero(found.censored).tolist(),
    }
    writer = MapWriter(out, base, found.affine, [*found.sources, *t10.inputs], parameters)
    write_maps(writer, result, t10, config.model)
    arterial = write_input(out, base, found.affine, found.time, result.choice)
    start = result.choice.arrival
    session.summary = {
        "maps": writer.index,
        "aif": arterial,
        "windows": {
            "baseline": list(result.baseline),
            "arrival": result.arrival.seconds,
            "arrival_confidence": result.arrival.confidence,
            "iauc": [start, start + config.iauc_duration],
        },
        "domain": domain,
        "time": found.time.tolist(),
        "moco": found.path,
    }
