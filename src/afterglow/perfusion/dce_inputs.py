"""What the `dce` stage finds: series, timing, flip angles, masks, agent, each with its source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.bids.images import load_nifti
from afterglow.errors import NotEvaluable
from afterglow.perfusion.bolus import bolus_of
from afterglow.perfusion.dce_analysis import foreground
from afterglow.perfusion.dynamic import Find, load_dynamic
from afterglow.perfusion.relaxivity import Constant, relaxivity, transverse_relaxivity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.config.center import CenterConfig
    from afterglow.config.dce import DCEConfig


@dataclass
class DCEInputs:
    """A series ready to be analysed, and where everything about it comes from."""

    path: str
    sidecar: dict[str, Any]
    series: NDArray[np.float32]
    affine: NDArray[np.float64]
    time: NDArray[np.float64]
    mask: NDArray[np.bool_]
    search_mask: NDArray[np.bool_]
    censored: NDArray[np.bool_]
    probseg: dict[str, str]
    sources: list[str]
    registered: bool
    warnings: list[str] = field(default_factory=list)


def gather(
    find: Find,
    bids: dict[str, Any],
    anat: dict[str, Any] | None,
    problems: Sequence[str] = (),
) -> DCEInputs:
    """Return the series with its masks, motion corrected where stage `anat` has done so.

    Parameters
    ----------
    find : callable
        Gives the file at a path relative to the study (``Job.path``).
    bids, anat : dict
        Summaries of the stages; ``anat`` is None where it has no result.
    problems : sequence of str
        What stage `bids` could not convert.

    Raises
    ------
    NotEvaluable
        ``no_dce_series``, ``conversion_failed``, or the reason the series itself carries.
    AfterglowError
        Where frames, times and motion do not match.
    """
    loaded = load_dynamic(find, "dce", bids, anat, problems)
    empty = np.zeros(loaded.data.shape[:3], dtype=bool)
    found = DCEInputs(
        path=loaded.path,
        sidecar=loaded.sidecar,
        series=loaded.data,
        affine=loaded.affine,
        time=loaded.time,
        mask=empty,
        search_mask=empty,
        censored=loaded.censored,
        probseg=loaded.part.get("probseg") or {},
        sources=list(loaded.sources),
        registered=bool(loaded.part),
    )
    _add_masks(found, find, loaded.part)
    return found


def _add_masks(found: DCEInputs, find: Find, part: dict[str, Any]) -> None:
    """Set where to fit and where to look for vessels."""
    object_mask = foreground(found.series)
    if not part.get("brain"):
        found.warnings.append(
            "no anatomy: the series is used without motion correction, in all voxels with signal"
        )
        found.mask, found.search_mask = object_mask, object_mask
        return
    brain, _ = load_nifti(find(part["brain"]))
    found.mask = brain > 0.5
    found.sources.append(part["brain"])
    found.search_mask = (found.mask | _nearby(found.mask, found.affine)) & object_mask
    if not found.mask.any():
        raise NotEvaluable("no_brain_in_dce", "the brain mask does not reach the DCE volume")


def _nearby(mask: NDArray[np.bool_], affine: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the mask grown by about 6 mm: large arteries run outside the brain."""
    from scipy.ndimage import distance_transform_edt

    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    return np.asarray(distance_transform_edt(~mask, sampling=spacing) <= 6.0)


# s; a header that wrote seconds for milliseconds falls below
REPETITION_TIMES = (0.0005, 1.0)


def sequence(sidecar: dict[str, Any], where: str) -> tuple[float, float]:
    """Return repetition time (s) and flip angle (degrees) of a spoiled gradient echo.

    Raises
    ------
    NotEvaluable
        ``no_repetition_time``, ``no_flip_angle``.
    """
    tr = sidecar.get("RepetitionTimeExcitation") or sidecar.get("RepetitionTime")
    angle = sidecar.get("FlipAngle")
    if not tr or not REPETITION_TIMES[0] <= float(tr) < REPETITION_TIMES[1]:
        raise NotEvaluable("no_repetition_time", f"{where}: repetition time is {tr!r} s")
    if not angle or not 0 < float(angle) < 180:
        raise NotEvaluable("no_flip_angle", f"{where}: flip angle is {angle!r} degrees")
    return float(tr), float(angle)


def agent_facts(
    sidecar: dict[str, Any], center: CenterConfig, config: DCEConfig
) -> tuple[Constant, dict[str, Any]]:
    """Return the relaxivity, and agent, field and dose with their sources.

    Raises
    ------
    NotEvaluable
        ``no_field_strength``, ``no_contrast_agent``, ``no_relaxivity``.
    """
    field_strength = sidecar.get("MagneticFieldStrength")
    bolus = bolus_of(sidecar, center)
    agent = bolus.agent
    facts: dict[str, Any] = {
        "agent": agent,
        "agent_source": bolus.agent_source,
        "field": field_strength,
        "dose": bolus.dose,
        "dose_source": bolus.dose_source,
        "hematocrit": center.hematocrit,
        **_decay_facts(sidecar, agent, config),
    }
    if config.relaxivity is not None:
        return Constant(config.relaxivity, "dce.relaxivity of the study"), facts
    if not field_strength:
        raise NotEvaluable("no_field_strength", "relaxivity depends on the field strength")
    if agent is None:
        raise NotEvaluable(
            "no_contrast_agent",
            "set contrast_agent of the center: relaxivities differ by a factor of two",
        )
    constant = relaxivity(agent, float(field_strength), config.relaxivity_medium)
    if constant is None:
        raise NotEvaluable(
            "no_relaxivity",
            f"none is trusted for {agent} at {field_strength} T: set dce.relaxivity",
        )
    return constant, facts


def _decay_facts(sidecar: dict[str, Any], agent: str | None, config: DCEConfig) -> dict[str, Any]:
    """Return echo time (s) and R2* of blood (1/(s mM)) with its source; 0 where not corrected."""
    te, strength = sidecar.get("EchoTime"), sidecar.get("MagneticFieldStrength")
    if config.blood_r2star is not None:
        constant: Constant | None = Constant(config.blood_r2star, "dce.blood_r2star of the study")
    else:
        constant = transverse_relaxivity(agent, float(strength) if strength else None)
    if constant is None or not te:
        constant = Constant(0.0, "not known: decay is neglected")
    return {
        "te": float(te) if te else None,
        "blood_r2star": constant.value,
        "blood_r2star_source": constant.source,
    }
