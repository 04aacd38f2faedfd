"""All maps of one DSC series, from signal in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from afterglow.perfusion.dsc_flow import add_flow
from afterglow.perfusion.dsc_reason import judge_voxels
from afterglow.perfusion.dsc_reference import grown, non_enhancing
from afterglow.perfusion.dsc_series import DSCSeries, Work, as_flags, as_volume
from afterglow.perfusion.dsc_signal_maps import add_signal_measures
from afterglow.perfusion.dsc_volume import add_relative, add_volumes, white_matter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.config.dsc import DSCConfig
    from afterglow.perfusion.aif_detect import ArterialInput
    from afterglow.perfusion.dsc_windows import Windows


@dataclass
class DSCResult:
    """Maps (x, y, z) with NaN outside the mask, and what they rest on.

    Attributes
    ----------
    maps : dict
        By name, see ``docs/stages.md``.
    evaluable_by : dict
        Bool arrays by map name.
    reasons : uint8 array (x, y, z)
        Bits of :class:`afterglow.perfusion.dsc_reason.Reason`.
    windows : Windows
        Frames count from the start of the series.
    aif : ArterialInput
        Its ``evaluable`` is False, for its ``reason``, where there is none.
    reference, nawm : bool array (x, y, z)
        Reference of the leakage correction; white matter of the whole brain.
    curves : dict
        Mean delta R2* (1/s) by region: ``brain``, ``reference``, ``nawm``, ``lesions``.
    signal_curve : array (n_time,)
        Mean signal of the brain.
    warnings : list of str
    """

    maps: dict[str, NDArray[np.float64]]
    evaluable_by: dict[str, NDArray[np.bool_]]
    reasons: NDArray[np.uint8]
    windows: Windows
    aif: ArterialInput
    reference: NDArray[np.bool_]
    nawm: NDArray[np.bool_]
    curves: dict[str, NDArray[np.float64]]
    signal_curve: NDArray[np.float64]
    warnings: list[str] = field(default_factory=list)


def analyse(series: DSCSeries, config: DSCConfig) -> DSCResult:
    """Compute every map of a series: quality, reference, leakage, CBV, signal measures, flow.

    Parameters
    ----------
    series : DSCSeries
    config : DSCConfig
        Settings of the stage.

    Raises
    ------
    NotEvaluable
        Reasons of :func:`afterglow.perfusion.dsc_windows.find_windows`; ``no_brain`` for an empty
        mask.
    """
    work = Work.begin(series, config)
    lesions = work.inside(series.lesions)
    passage = work.frames(work.windows.first_pass)
    baseline = work.frames(work.windows.baseline)
    reasons = judge_voxels(work.signal, work.rates, baseline, passage, lesions)
    good = reasons == 0
    intact = good & ~_near_lesions(work)
    reference = non_enhancing(work.rates, work.time, passage, intact)
    corrected = add_volumes(work, good, reference)
    nawm = white_matter(work, intact)
    add_relative(work, nawm, intact)
    add_signal_measures(work, good)
    artery = add_flow(work, corrected, good)
    regions = {"brain": good, "reference": reference, "nawm": nawm, "lesions": lesions & good}
    bits = np.zeros(series.mask.shape, np.uint8)
    bits[series.mask] = reasons
    return DSCResult(
        maps={name: as_volume(values, series.mask) for name, values in work.maps.items()},
        evaluable_by={name: as_flags(v, series.mask) for name, v in work.evaluable.items()},
        reasons=bits,
        windows=work.windows,
        aif=artery,
        reference=as_flags(reference, series.mask),
        nawm=as_flags(nawm, series.mask),
        curves=_curves(work, corrected, regions),
        signal_curve=work.mean,
        warnings=work.warnings + list(work.windows.warnings),
    )


def _near_lesions(work: Work) -> NDArray[np.bool_]:
    """Return the voxels of lesions and their margin."""
    lesions = work.series.lesions
    if lesions is None:
        return work.inside(None)
    return work.inside(grown(lesions, work.series.affine, work.config.lesion_margin))


def _curves(
    work: Work, corrected: NDArray[np.float64], regions: dict[str, NDArray[np.bool_]]
) -> dict[str, NDArray[np.float64]]:
    """Return mean curves of regions on the whole time axis, NaN in frames dropped."""
    lead = np.full(work.windows.baseline[0], np.nan)
    curves = {}
    for name, chosen in regions.items():
        if chosen.any():
            curves[name] = np.concatenate([lead, work.rates[chosen].mean(axis=0)])
            curves[f"{name}_corrected"] = np.concatenate([lead, corrected[chosen].mean(axis=0)])
    return curves
