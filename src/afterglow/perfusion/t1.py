"""T1 before contrast: variable flip angle, DESPOT1-HIFI, inversion recovery, MP2RAGE."""

from __future__ import annotations

from afterglow.perfusion.t1_hifi import fit_hifi
from afterglow.perfusion.t1_inversion import fit_inversion_recovery
from afterglow.perfusion.t1_map import T1_RANGE, T1Map
from afterglow.perfusion.t1_mp2rage import fit_mp2rage
from afterglow.perfusion.t1_vfa import fit_vfa

__all__ = [
    "T1_RANGE",
    "T1Map",
    "fit_hifi",
    "fit_inversion_recovery",
    "fit_mp2rage",
    "fit_vfa",
]
