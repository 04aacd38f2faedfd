"""The stages of the DAG: what each depends on, reads and runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["session", "subject", "study"]

CENTER_FACTS = ("contrast_agent", "dose", "preload", "hematocrit")


@dataclass(frozen=True)
class Stage:
    """One stage.

    Parameters
    ----------
    name : str
        Name of the rule, of ``scripts/<name>.py`` and of the record's ``stage``.
    level : {"session", "subject", "study"}
        What one job of the stage covers.
    upstream : tuple of str
        Stages whose keys enter this stage's key.
    reads : tuple of str
        Study keys whose values enter the key; ``center.X`` is a fact of the session's own center.
        A value that is a file enters by its content.
    libraries : tuple of str
        Distributions whose versions enter the key.
    version : str
        Raised by hand where results change although the code's tokens do not say so. The reverse, a
        code change that is known not to alter results, is declared in ``equivalent``.
    equivalent : tuple of (str, str)
        Pairs (code digest, code digest it counts as), for changes proven not to alter results.
    """

    name: str
    level: Level
    upstream: tuple[str, ...]
    reads: tuple[str, ...]
    libraries: tuple[str, ...]
    version: str = "1"
    equivalent: tuple[tuple[str, str], ...] = ()


_CENTER = tuple(f"center.{fact}" for fact in CENTER_FACTS)
_IMAGES = ("nibabel", "numpy", "scipy")

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            "bids",
            "session",
            (),
            ("bids", "lesions.given"),
            ("dcm2niix", "highdicom", "nipype", "pydicom", *_IMAGES),
        ),
        Stage(
            "anat",
            "session",
            ("bids",),
            ("anat",),
            (
                "antspyx",
                "brainextractor",
                "matplotlib",
                "nilearn",
                "nipype",
                "numba",
                "trimesh",
                *_IMAGES,
            ),
        ),
        Stage(
            "dsc", "session", ("bids", "anat"), ("dsc", *_CENTER), ("matplotlib", "numba", *_IMAGES)
        ),
        Stage(
            "dce", "session", ("bids", "anat"), ("dce", *_CENTER), ("matplotlib", "numba", *_IMAGES)
        ),
        Stage(
            "identity",
            "subject",
            ("bids", "anat"),
            ("identity", "decisions"),
            ("pyarrow", *_IMAGES),
        ),
        Stage(
            "features",
            "session",
            ("bids", "anat", "dsc", "dce"),
            ("features", "lesions.segmentation"),
            ("mirp", "nipype", "numba", "pyarrow", "pydantic", *_IMAGES),
        ),
        Stage(
            "stories",
            "subject",
            ("bids", "anat", "dsc", "dce", "features", "identity"),
            ("report.stories",),
            ("contourpy", "matplotlib", "pyarrow", *_IMAGES),
        ),
        Stage(
            "report",
            "session",
            ("bids", "anat", "dsc", "dce", "features"),
            ("report.session",),
            ("contourpy", "jinja2", "markupsafe", "matplotlib", "pyarrow", "snakemake", *_IMAGES),
        ),
        Stage(
            "tables",
            "study",
            ("bids", "anat", "dsc", "dce", "identity", "features"),
            ("study", "tables", "clinical", "outcomes", "decisions", *_CENTER),
            ("numpy", "pyarrow", "pydantic"),
        ),
        Stage(
            "cohort",
            "study",
            ("tables",),
            ("cohort", "outcomes"),
            (
                "matplotlib",
                "numpy",
                "pyarrow",
                "pydantic",
                "pyyaml",
                "scikit-learn",
                "scipy",
                "skops",
                "threadpoolctl",
            ),
        ),
        Stage(
            "study_report",
            "study",
            ("stories", "tables", "cohort"),
            ("study", "report", "tables.repeatability"),
            ("jinja2", "markupsafe", "numpy", "pyarrow", "pyyaml"),
        ),
    )
}

SESSION_STAGES = tuple(s.name for s in STAGES.values() if s.level == "session")
SUBJECT_STAGES = tuple(s.name for s in STAGES.values() if s.level == "subject")
STUDY_STAGES = tuple(s.name for s in STAGES.values() if s.level == "study")
