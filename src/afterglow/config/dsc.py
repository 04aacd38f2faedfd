"""Settings of the `dsc` stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from afterglow.config.base import Section


class DSCConfig(Section):
    """Settings of the `dsc` stage."""

    leakage_model: Literal["bsw", "bidirectional"] = Field(
        "bsw",
        description="Leakage correction of CBV: Boxerman-Schmainda-Weisskoff, or bidirectional "
        "(Leu). Published cut-offs rest mostly on the first.",
    )
    max_kep: float = Field(
        5.0, gt=0, le=60, description="Largest efflux rate of the bidirectional model (1/min)."
    )
    adapt_reference: bool = Field(
        True,
        description="Let the vascular curve of each voxel be the reference at its best delay and "
        "transit time, so that late or slow passage does not pass for leakage.",
    )
    deconvolution: Literal["osvd", "csvd", "ssvd", "tikhonov", "vascular"] = Field(
        "osvd", description="Deconvolution for CBF, MTT and Tmax."
    )
    oscillation_index: float = Field(
        0.065, gt=0, le=1, description="Largest oscillation index of the residue (`osvd`)."
    )
    svd_threshold: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Truncation of `csvd` (null: 0.10) and `ssvd` (null: 0.20), as a fraction of "
        "the largest singular value.",
    )
    cbv_window: Literal["whole", "first_pass", "gamma_variate"] = Field(
        "whole",
        description="Part of the curve integrated for CBV: all of it, the first pass, or a gamma "
        "variate fitted to the first pass.",
    )
    psr_tail: tuple[float, float] = Field(
        (50.0, 60.0), description="Window of the recovered signal for PSR (s after arrival)."
    )
    nawm_probability: float = Field(
        0.9, gt=0.5, le=1, description="Least white-matter probability of normal white matter."
    )
    lesion_margin: float = Field(
        6.0,
        ge=0,
        le=30,
        description="Margin around lesions left out of reference tissue (mm).",
    )
