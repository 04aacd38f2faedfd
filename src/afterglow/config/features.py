"""Settings of the `features` stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from afterglow.config.base import Section

RadiomicsFamily = Literal["morph", "loc", "stat", "int_hist", "ivh", "texture"]


FAMILIES: tuple[RadiomicsFamily, ...] = ("morph", "loc", "stat", "int_hist", "ivh", "texture")


class RadiomicsConfig(Section):
    """IBSI radiomics of lesions."""

    engine: Literal["own", "mirp"] = Field(
        "own",
        description="What computes them: `own`, or the package MIRP where it is installed (name).",
    )
    anatomy: list[RadiomicsFamily] = Field(
        default_factory=lambda: list(FAMILIES),
        description="Families in T1w after contrast and FLAIR, over the median of white matter.",
    )
    perfusion: list[RadiomicsFamily] = Field(
        default_factory=list,
        description="Families in perfusion maps; texture there is seldom worth its price.",
    )
    bins: int = Field(32, ge=2, le=256, description="Bins over the range of a lesion (count).")
    step: float = Field(
        1.0,
        gt=0,
        le=5,
        description="Voxel size to which images are brought before (mm).",
    )
    min_voxels: int = Field(
        10, ge=4, le=10_000, description="Least voxels of any family, after resampling (voxels)."
    )
    min_voxels_texture: int = Field(
        64, ge=8, le=100_000, description="Least voxels for texture, after resampling (voxels)."
    )
    min_slices_texture: int = Field(
        3, ge=1, le=100, description="Least extent along every axis for texture (voxels)."
    )


class FeaturesConfig(Section):
    """Regions, reference tissue and measurements."""

    rim: float = Field(
        1.5, gt=0, le=10, description="Thickness of the rim inside the lesion's surface (mm)."
    )
    shell: float = Field(
        3.0, gt=0, le=20, description="Thickness of the peritumoral shell outside the surface (mm)."
    )
    lesion_margin: float = Field(
        5.0, ge=0, le=30, description="Reference tissue keeps this distance from every lesion (mm)."
    )
    midline_margin: float = Field(
        4.0, ge=0, le=20, description="Reference tissue keeps this distance from the midline (mm)."
    )
    white_matter: float = Field(
        0.9, gt=0.5, le=1, description="Least white-matter probability of reference tissue."
    )
    csf: float = Field(
        0.05, ge=0, lt=0.5, description="Largest CSF probability of reference tissue (fraction)."
    )
    reference_volume: float = Field(
        4.0, gt=0, le=50, description="Volume of contralateral reference tissue aimed at (mL)."
    )
    reference_minimum: float = Field(
        2.0, gt=0, le=50, description="Least volume of reference tissue that is used (mL)."
    )
    reference_reach: float = Field(
        40.0,
        gt=0,
        le=120,
        description="Largest distance of reference tissue from the mirrored lesion (mm).",
    )
    coverage: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Least share of a voxel of the map that a region must cover (fraction).",
    )
    evaluable_fraction: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Least share of a region's voxels that must be evaluable (fraction).",
    )
    min_voxels_perfusion: int = Field(
        5, ge=1, le=1000, description="Least voxels of a region in perfusion maps (voxels)."
    )
    min_voxels_anatomy: int = Field(
        10, ge=1, le=1000, description="Least voxels of a region in anatomical maps (voxels)."
    )
    hotspot_radius: float = Field(
        3.0, gt=0, le=20, description="Radius of the hot spot, whose mean is reported (mm)."
    )
    min_voxels_necrosis: int = Field(
        8, ge=1, le=1000, description="Smallest connected necrosis in the anatomy (voxels)."
    )
    treated_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Treated is what received this share of the plan's largest dose (fraction).",
    )
    radiomics: RadiomicsConfig = Field(
        default_factory=RadiomicsConfig, description="IBSI radiomics."
    )
    tumor_burden: tuple[float, float] = Field(
        (1.0, 1.75),
        description="Borders of the classes of fractional tumor burden (rCBV, ratio to reference "
        "tissue).",
    )
