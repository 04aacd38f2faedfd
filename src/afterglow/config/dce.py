"""Settings of the `dce` stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from afterglow.config.base import Section


class DCEConfig(Section):
    """Settings of the `dce` stage."""

    model: Literal["tofts", "extended_tofts", "patlak", "2cum", "2cxm", "auto"] = Field(
        "extended_tofts",
        description="Tracer-kinetic model; `auto` chooses per voxel by AICc.",
    )
    fit_delay: bool = Field(
        False, description="Fit the delay of each voxel behind the arterial input."
    )
    aif: Literal["auto", "detected", "parker", "georgiou", "weinmann"] = Field(
        "auto",
        description="Arterial input: found in the image, a population curve, or `auto`: the one "
        "found where its quality suffices, else Parker's.",
    )
    aif_min_quality: float = Field(
        0.5, ge=0, le=1, description="Least quality (0 to 1) at which `auto` takes the found input."
    )
    partial_volume: bool = Field(
        True,
        description="Scale the arterial input to the tail of the venous one where it is lower.",
    )
    t1_method: Literal["nonlinear", "linear"] = Field(
        "nonlinear", description="Fit of T1 to variable flip angles."
    )
    assumed_t10: bool = Field(
        True,
        description="Where T1 cannot be measured, take that of healthy tissue at the field "
        "strength; the maps then say `t10: assumed`.",
    )
    relaxivity: float | None = Field(
        None,
        gt=0,
        le=30,
        description="Longitudinal relaxivity of the agent (1/(s mM)); null takes the table's.",
    )
    relaxivity_medium: Literal["blood", "plasma"] = Field(
        "blood",
        description="Table of relaxivities: whole blood (Shen 2015) or plasma (Rohrer 2005).",
    )
    blood_r2star: float | None = Field(
        None,
        ge=0,
        le=100,
        description="What 1 mM adds to R2* of arterial blood (1/(s mM)), for the decay of its "
        "signal at the echo time; null takes r2 of the agent in plasma (Rohrer 2005), the least "
        "it can be, 0 undoes no decay.",
    )
    max_relative_se: float = Field(
        0.25,
        gt=0,
        le=2,
        description="Largest ratio of standard error to value at which a parameter is evaluable; "
        "with 0.25 the 95 % interval stays within half of the value.",
    )
    iauc_duration: float = Field(
        60.0, gt=0, le=600, description="Length of the initial area under the curve (s)."
    )
