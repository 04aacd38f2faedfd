"""Blood volume maps of a series: raw, leakage corrected, relative and standardized."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from afterglow.perfusion.dsc_leakage import leakage_correct
from afterglow.perfusion.dsc_measures import area
from afterglow.perfusion.dsc_normalization import normalize_rcbv, standardize_rcbv

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.perfusion.dsc_series import Work

_FEWEST_REFERENCE = 50
_FEWEST_NAWM = 30


def add_volumes(
    work: Work, good: NDArray[np.bool_], reference: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Add raw and corrected CBV, K1, K2 (and kep); return the corrected curves (1/s)."""
    work.add("CBVraw", _volume(work, work.rates), good)
    if reference.sum() < _FEWEST_REFERENCE:
        work.warnings.append(
            f"no_leakage_correction: {int(reference.sum())} voxels of intact brain are too few"
        )
        return work.rates
    config = work.config
    found = leakage_correct(
        work.rates,
        work.time,
        reference,
        config.leakage_model,
        kept=work.kept,
        max_kep=config.max_kep,
        adapt=config.adapt_reference,
    )
    work.add("CBV", _volume(work, found.corrected), good)
    work.add("K1", found.k1, good)
    work.add("K2", found.k2, good)
    if found.kep is not None:
        work.add("kep", found.kep, good)
    return found.corrected


def _volume(work: Work, rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the area under the part of the curves that the settings ask for."""
    passage = work.frames(work.windows.first_pass)
    if work.config.cbv_window == "gamma_variate":
        from afterglow.perfusion.dsc_gamma import gamma_variate_area

        return gamma_variate_area(rates, work.time, work.windows.arrival, passage)
    span = passage if work.config.cbv_window == "first_pass" else None
    return area(rates, work.time, span, work.kept)


def white_matter(work: Work, candidates: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return normal-appearing white matter of the whole brain, none where it is unknown."""
    probability = work.series.white_matter
    if probability is None:
        work.warnings.append("no_tissue: without white matter there is no rCBV")
        return np.zeros(len(candidates), bool)
    nawm: NDArray[np.bool_] = candidates & (
        probability[work.series.mask] >= work.config.nawm_probability
    )
    if nawm.sum() < _FEWEST_NAWM:
        work.warnings.append(f"no_nawm: {int(nawm.sum())} voxels of white matter are too few")
        return np.zeros(len(candidates), bool)
    return nawm


def add_relative(work: Work, nawm: NDArray[np.bool_], intact: NDArray[np.bool_]) -> None:
    """Add rCBV where there is white matter, and standardized CBV, both of corrected CBV.

    ``intact`` is evaluable brain without lesions, whose deciles are the landmarks.
    """
    if "CBV" not in work.maps:
        return
    cbv, good = work.maps["CBV"], work.evaluable["CBV"]
    if nawm.any():
        try:
            work.add("rCBV", normalize_rcbv(cbv, nawm), good)
        except ValueError as error:
            work.warnings.append(f"no_rcbv: {error}")
    try:
        work.add("sRCBV", standardize_rcbv(cbv, intact), good)
    except ValueError as error:
        work.warnings.append(f"no_srcbv: {error}")
