"""DSC perfusion: deconvolution, leakage correction, PSR, peak height, comparable rCBV."""

from __future__ import annotations

from afterglow.perfusion.dsc_deconvolution import Deconvolution, deconvolve
from afterglow.perfusion.dsc_domain import AcquisitionDomain, assess_domain
from afterglow.perfusion.dsc_gamma import gamma_variate_area
from afterglow.perfusion.dsc_leakage import Leakage, leakage_correct
from afterglow.perfusion.dsc_measures import area, peak_height, psr, time_to_peak
from afterglow.perfusion.dsc_normalization import (
    TumorBurden,
    fractional_tumor_burden,
    log_normalized_psr,
    normalize_rcbv,
    standardize_rcbv,
)
from afterglow.perfusion.dsc_reason import Reason
from afterglow.perfusion.dsc_windows import Windows, find_windows

__all__ = [
    "AcquisitionDomain",
    "Deconvolution",
    "Leakage",
    "Reason",
    "TumorBurden",
    "Windows",
    "area",
    "assess_domain",
    "deconvolve",
    "find_windows",
    "fractional_tumor_burden",
    "gamma_variate_area",
    "leakage_correct",
    "log_normalized_psr",
    "normalize_rcbv",
    "peak_height",
    "psr",
    "standardize_rcbv",
    "time_to_peak",
]
