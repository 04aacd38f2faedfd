"""Settings of lesion masks: those given, and those made where none was given."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from afterglow.config.base import Section

NO_LESION = [
    r"skull|scalp|\bbody\b|external|patient|\bskin\b|outline|contour",
    r"^\s*(whole)?\s*brain\s*$|brain\s*stem|chiasm|optic|\beyes?\b|lens|cochlea|pituitary|hippocamp",
    r"couch|frame|isocen|\bring\b|\bshell\b|\bdose\b|isodose|avoid|\boar\b|\bprv\b",
]


class GivenConfig(Section):
    """Given masks."""

    no_lesion: list[str] = Field(
        default_factory=lambda: list(NO_LESION),
        description="Structures whose name matches one of these expressions are no lesions.",
    )
    lesion: list[str] = Field(
        default_factory=list,
        description="Structures whose name matches one of these are lesions, whatever else holds.",
    )
    convention: Literal["auto", "center", "inclusive"] = Field(
        "auto",
        description="Contours run around voxel centers (`center`) or through those of the border"
        " voxels (`inclusive`); `auto` sees it from the vertices of each file.",
    )
    tolerance: float = Field(
        1e-3,
        gt=0,
        le=0.1,
        description="Distance up to which a mask's voxels count as those of the image (mm).",
    )
    separate: bool = Field(
        True, description="Number the connected parts of a mask that holds only one label (switch)."
    )
    minimum_voxels: int = Field(
        3,
        ge=1,
        le=1000,
        description="Smallest connected part of a one-label mask that is a lesion (voxels).",
    )
    rater: str = Field(
        "",
        description="Rater whose masks are measured where several drew; empty: the first by name.",
    )


class SegmentationConfig(Section):
    """Masks where none was given."""

    enabled: bool = Field(
        True, description="Segment enhancing lesions of sessions without a given mask (switch)."
    )
    command: list[str] = Field(
        default_factory=list,
        description="External segmenter: program and arguments with `{t1w}` `{pre}` `{flair}`"
        " `{brain}` `{out}`; empty: the built-in method.",
    )
    timeout: float = Field(
        1800.0, gt=0, le=86_400, description="Time limit of the external segmenter (s)."
    )
    reach: float = Field(
        6.0,
        gt=0,
        le=30,
        description="How far beyond a seed from another session a lesion is sought (mm).",
    )
    threshold: float = Field(
        4.0,
        gt=1,
        le=20,
        description="Least enhancement of a seed above white matter (robust standard deviations).",
    )
    minimum_volume: float = Field(
        0.03, gt=0, le=5, description="Smallest lesion that is segmented (mL)."
    )
    unseeded: bool = Field(
        True,
        description="Also look for lesions where no other session shows one (switch).",
    )
    least_quality: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Lesions of lower segmentation quality are flagged (0 to 1).",
    )


class LesionsConfig(Section):
    """Lesion masks."""

    given: GivenConfig = Field(default_factory=GivenConfig, description="Given masks.")
    segmentation: SegmentationConfig = Field(
        default_factory=SegmentationConfig, description="Masks where none was given."
    )
