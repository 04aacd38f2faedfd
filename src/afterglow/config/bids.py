"""Settings of the `bids` stage."""

from __future__ import annotations

from pydantic import Field

from afterglow.config.base import Section


class BIDSConfig(Section):
    """Settings of the `bids` stage."""

    mask_tolerance: float = Field(
        1e-3,
        gt=0,
        le=0.1,
        description="Distance (mm) up to which a given mask counts as on the image's grid.",
    )
    separate_lesions: bool = Field(
        True,
        description="Number the connected parts of a given mask that holds only one label.",
    )
    minimum_lesion_voxels: int = Field(
        3,
        ge=1,
        description="Smallest connected part of a one-label mask that counts as a lesion (voxels).",
    )
