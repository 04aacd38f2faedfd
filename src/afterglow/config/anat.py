"""Settings of the `anat` stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from afterglow.config.base import Section


class AnatConfig(Section):
    """Settings of the `anat` stage."""

    seed: int = Field(1, ge=1, le=2**31 - 1, description="Random seed of every ANTs call.")
    bias_mm: float = Field(
        8.0, ge=1.0, le=10.0, description="Voxel size on which N4 estimates the bias field, mm."
    )
    bias_iterations: list[int] = Field(
        [50], description="N4 iterations per level of B-spline control points."
    )
    bias_spline_mm: float = Field(
        75.0, ge=30.0, le=500.0, description="Distance of N4's first control points, mm."
    )
    brain_backend: Literal["auto", "bet", "hdbet", "synthstrip"] = Field(
        "auto",
        description=(
            "Brain extraction: `bet` is built in, `hdbet` and `synthstrip` call those programs, "
            "`auto` takes the best one that is installed."
        ),
    )
    brain_weights: str | None = Field(
        None, description="Path of the weights of `hdbet` or `synthstrip`, where they need one."
    )
    bet_mm: float = Field(
        4.0, ge=1.0, le=5.0, description="Voxel size of the BET surface step, mm."
    )
    bet_iterations: int = Field(150, ge=50, le=2000, description="Steps of the BET surface.")
    bet_threshold: float = Field(
        0.6, gt=0.0, lt=1.0, description="BET's fractional intensity threshold; larger is tighter."
    )
    brain_margin_mm: float = Field(
        6.0,
        ge=0.0,
        le=20.0,
        description="How far beyond the template's outline brain is sought, mm.",
    )
    registration_mm: float = Field(
        4.0, ge=0.5, le=6.0, description="Voxel size on which images are registered, mm."
    )
    registration_iterations: list[int] = Field(
        [80], description="Iterations per level of a rigid registration."
    )
    registration_shrink: list[int] = Field(
        [2], description="Shrink factor per level of a rigid registration, voxels."
    )
    registration_smoothing: list[float] = Field(
        [1.0], description="Smoothing per level of a rigid registration, voxels."
    )
    registration_sampling: float = Field(
        0.5, gt=0.0, le=1.0, description="Fraction of voxels the rigid metric samples."
    )
    affine_iterations: list[int] = Field(
        [100, 30], description="Iterations per level of the affine registration to the template."
    )
    affine_shrink: list[int] = Field(
        [2, 1], description="Shrink factor per level of the affine registration, voxels."
    )
    affine_smoothing: list[float] = Field(
        [1.0, 0.5], description="Smoothing per level of the affine registration, voxels."
    )
    affine_sampling: float = Field(
        0.2, gt=0.0, le=1.0, description="Fraction of voxels the affine metric samples."
    )
    deformable_mm: float = Field(
        5.0,
        ge=1.0,
        le=8.0,
        description="Voxel size of deformable registration to the template, mm.",
    )
    deformable_metric: Literal["mattes", "CC"] = Field(
        "mattes", description="Metric of the deformable registration to the template."
    )
    deformable_iterations: list[int] = Field(
        [20, 10], description="Iterations per level of the deformable registration."
    )
    deformable_smoothing: float = Field(
        3.0, ge=0.0, le=10.0, description="Smoothing of the update field, voxels squared."
    )
    longitudinal_deformable: bool = Field(
        False,
        description=(
            "Also write the reference session's T1w deformed to this session, to compare by eye "
            "(true or false); nothing is measured through it."
        ),
    )
    refine_mm: float = Field(
        2.0, ge=1.0, le=4.0, description="Smallest voxel on which registrations are refined, mm."
    )
    refine_limit_mm: float = Field(
        6.0,
        ge=0.0,
        le=30.0,
        description="A refinement that moves the brain by more is dropped, mm.",
    )
    refine_points: int = Field(
        60000,
        ge=1000,
        le=1000000,
        description="Voxels at which the last registration of DSC and DCE to T1w is refined.",
    )
    lesion_margin_mm: float = Field(
        3.0, ge=0.0, le=20.0, description="Margin around lesions left out of registrations, mm."
    )
    epi_deformation: bool = Field(
        False,
        description=(
            "Bring masks and tissues to DSC with a displacement along its phase encoding, beside "
            "the rigid registration (true or false)."
        ),
    )
    epi_knots_mm: float = Field(
        30.0, ge=10.0, le=80.0, description="Distance of the knots of that displacement, mm."
    )
    epi_stiffness: float = Field(
        5.0, ge=0.01, le=1e6, description="How much neighbouring knots are held together (ratio)."
    )
    motion_points: int = Field(
        7000, ge=1000, le=200000, description="Voxels that a frame is compared at."
    )
    motion_skip_mm: float = Field(
        0.5,
        ge=0.0,
        le=2.0,
        description="Frames whose head moved less than this anywhere are not resampled, mm.",
    )
    fd_radius_mm: float = Field(
        50.0, ge=10.0, le=100.0, description="Radius that turns rotation into displacement, mm."
    )
    fd_censor_mm: float = Field(
        1.0,
        ge=0.1,
        le=10.0,
        description="Framewise displacement above which a frame is censored, mm.",
    )
    misfit_censor: float = Field(
        4.0, ge=1.5, le=50.0, description="Residual over the series' median that censors a frame."
    )
    tissue_iterations: int = Field(
        12, ge=4, le=100, description="Steps of expectation-maximization for the tissues."
    )
    tissue_neighbours: float = Field(
        0.4, ge=0.0, le=5.0, description="Weight of the six neighbours in the tissue posteriors."
    )
    symmetry_mm: float = Field(
        4.0, ge=2.0, le=8.0, description="Voxel size on which the midsagittal plane is refined, mm."
    )
    brain_volume_look_ml: tuple[float, float] = Field(
        (900.0, 2000.0), description="Brain volumes outside this range deserve a look, mL."
    )
    brain_volume_fail_ml: tuple[float, float] = Field(
        (600.0, 2500.0), description="Brain volumes outside this range fail, mL."
    )
    brain_dice_look: float = Field(
        0.92, ge=0.0, le=1.0, description="Overlap with the template below this deserves a look."
    )
    brain_dice_fail: float = Field(
        0.85, ge=0.0, le=1.0, description="Overlap with the template below this fails."
    )
    quality_shift_mm: float = Field(
        4.0,
        ge=1.0,
        le=20.0,
        description="Shift that a good registration must beat clearly, mm.",
    )
    quality_mm: float = Field(
        3.0, ge=1.0, le=6.0, description="Voxel size on which registrations are judged, mm."
    )
    mirror_look: float = Field(
        1.03,
        ge=0.5,
        le=10.0,
        description="Similarity over that with sides exchanged below this deserves a look.",
    )
    mirror_fail: float = Field(
        1.0,
        ge=0.5,
        le=10.0,
        description="Similarity over that with sides exchanged below this fails.",
    )
    rotation_look: float = Field(
        30.0, ge=0.0, le=180.0, description="Rotation above this deserves a look, degrees."
    )
    rotation_fail: float = Field(
        60.0, ge=0.0, le=180.0, description="Rotation above this fails, degrees."
    )
    nmi_look: float = Field(
        0.05,
        ge=0.0,
        le=1.0,
        description="Normalized mutual information below this deserves a look.",
    )
    nmi_fail: float = Field(
        0.03, ge=0.0, le=1.0, description="Normalized mutual information below this fails."
    )
    peak_look: float = Field(
        1.05,
        ge=0.5,
        le=10.0,
        description="Similarity over that of the shifted images below this deserves a look.",
    )
    peak_fail: float = Field(
        1.0,
        ge=0.5,
        le=10.0,
        description="Similarity over that of the shifted images below this fails.",
    )
    coverage_look: float = Field(
        0.9, ge=0.0, le=1.0, description="Fraction of the region covered below which to look."
    )
    coverage_fail: float = Field(
        0.5, ge=0.0, le=1.0, description="Fraction of the region covered below which it fails."
    )
    support_look: float = Field(
        0.9,
        ge=0.0,
        le=1.0,
        description="Fraction of the region in which both images hold signal below which to look.",
    )
    support_fail: float = Field(
        0.7,
        ge=0.0,
        le=1.0,
        description="Fraction of the region in which both images hold signal below which it fails.",
    )
    detail_look: float = Field(
        1.9,
        ge=0.5,
        le=20.0,
        description="Agreement of details of two T1w over that after shifts below which to look.",
    )
    detail_fail: float = Field(
        1.0,
        ge=0.5,
        le=20.0,
        description="Agreement of details of two T1w over that after shifts below which it fails.",
    )
    sharpness_look: float = Field(
        1.63,
        ge=0.5,
        le=20.0,
        description="FLAIR and T1w: similarity over that after a small shift below which to look.",
    )
    sharpness_fail: float = Field(
        1.0,
        ge=0.5,
        le=20.0,
        description="FLAIR and T1w: similarity over that after a small shift below which it fails.",
    )
    dsc_detail_look: float = Field(
        3.25,
        ge=0.5,
        le=20.0,
        description="Agreement of details of DSC and T1w over that after shifts: look below this.",
    )
    dsc_detail_fail: float = Field(
        2.5,
        ge=0.5,
        le=20.0,
        description="Agreement of details of DSC and T1w over that after shifts: fail below this.",
    )
    dce_detail_look: float = Field(
        3.3,
        ge=0.5,
        le=20.0,
        description="Agreement of details of DCE and T1w over that after shifts: look below this.",
    )
    dce_detail_fail: float = Field(
        2.5,
        ge=0.5,
        le=20.0,
        description="Agreement of details of DCE and T1w over that after shifts: fail below this.",
    )
    overlap_look: float = Field(
        0.92, ge=0.0, le=1.0, description="Overlap of two brain masks below this deserves a look."
    )
    overlap_fail: float = Field(
        0.85, ge=0.0, le=1.0, description="Overlap of two brain masks below this fails."
    )
