"""The study file: one strict model from which defaults, schema and reference are generated."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import Field, ValidationError, model_validator

from afterglow.config.anat import AnatConfig
from afterglow.config.base import Section
from afterglow.config.bids import BIDSConfig
from afterglow.config.center import CENTER_NAME, CenterConfig
from afterglow.config.cohort import CohortConfig
from afterglow.config.dce import DCEConfig
from afterglow.config.dsc import DSCConfig
from afterglow.config.features import FeaturesConfig
from afterglow.config.identity import IdentityConfig
from afterglow.config.ledger import LedgerConfig
from afterglow.config.lesions import LesionsConfig
from afterglow.config.report import ReportConfig
from afterglow.config.tables import TablesConfig
from afterglow.errors import AfterglowError

_STUDY_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
# what pydantic says in the words of Python
_PLAIN = {
    "string_pattern_mismatch": "{pattern}",
    "string_type": "expected text, in quotes where it is a number",
    "list_type": "expected a list, as in [a, b]",
    "too_short": "expected at least {min_length}",
    "missing": "is required",
}
_PATTERNS = {
    _STUDY_NAME: "expected plain letters, digits, dots, underscores or hyphens, without spaces",
    CENTER_NAME: "expected lower case letters and digits only",
}


class Study(Section):
    """One study: where its data are, where results go, and every setting of every stage."""

    study: str = Field(
        pattern=_STUDY_NAME,
        description="Name of the study, used in reports: letters, digits and . _ - only.",
    )
    out: Path = Field(description="Folder that receives everything Afterglow writes.")
    private: Path | None = Field(
        None,
        description="Folder (mode 0700) of the secret key and the crosswalk; default beside `out`.",
    )
    centers: list[CenterConfig] = Field(min_length=1, description="One entry per center.")
    clinical: Path | None = Field(
        None,
        description="CSV of lesions and courses: SRS day, dose, histology; rows of other therapy.",
    )
    outcomes: Path | None = Field(None, description="CSV of labels with basis, date and blinding.")
    decisions: Path | None = Field(
        None, description="CSV of manual decisions, which are all recorded."
    )
    bids: BIDSConfig = Field(
        default_factory=BIDSConfig, description="Conversion and de-identification."
    )
    anat: AnatConfig = Field(
        default_factory=AnatConfig, description="Bias, brain, registration, motion."
    )
    dsc: DSCConfig = Field(default_factory=DSCConfig, description="DSC perfusion.")
    dce: DCEConfig = Field(default_factory=DCEConfig, description="T1 mapping and DCE perfusion.")
    lesions: LesionsConfig = Field(
        default_factory=LesionsConfig, description="Lesion masks: given ones, and made ones."
    )
    identity: IdentityConfig = Field(
        default_factory=IdentityConfig, description="Lesion identity over time."
    )
    features: FeaturesConfig = Field(
        default_factory=FeaturesConfig, description="Regions and measurements."
    )
    tables: TablesConfig = Field(default_factory=TablesConfig, description="Consolidated tables.")
    cohort: CohortConfig = Field(
        default_factory=CohortConfig, description="Rules, models and statistics."
    )
    report: ReportConfig = Field(default_factory=ReportConfig, description="Pages and figures.")
    ledger: LedgerConfig = Field(
        default_factory=LedgerConfig, description="Signatures and pinned stage versions."
    )

    @model_validator(mode="after")
    def _centers_are_distinct(self) -> Study:
        names = [center.name for center in self.centers]
        if len(set(names)) != len(names):
            raise ValueError(f"centers must have distinct names, found {names}")
        return self

    def center(self, name: str) -> CenterConfig:
        """Return the facts of one center.

        Raises
        ------
        KeyError
            Where the study has no such center.
        """
        for center in self.centers:
            if center.name == name:
                return center
        raise KeyError(name)

    @property
    def private_dir(self) -> Path:
        """Folder of the secret key, the crosswalk and the raw index."""
        return (
            self.private
            if self.private is not None
            else self.out.parent / f"{self.out.name}-private"
        )


def load_study(path: Path | str) -> Study:
    """Read and validate a study file; relative paths are taken from its folder.

    Raises
    ------
    AfterglowError
        Unreadable file, unknown key (with the nearest valid name) or impossible value.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "study.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AfterglowError(
            f"the study file cannot be read ({error.strerror})",
            where=str(path),
            remedy="`afterglow init DIR` writes one",
        ) from error
    except yaml.YAMLError as error:
        raise AfterglowError(f"the study file is not YAML: {error}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise AfterglowError(
            "the study file is no text in UTF-8", where=str(path), remedy="save it in UTF-8"
        ) from error
    if not isinstance(content, dict):
        raise AfterglowError(
            "the study file holds no settings", where=str(path), expected="a mapping"
        )
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        raise AfterglowError(_explain(error), where=str(path)) from error
    study = _absolute(study, path.resolve().parent)
    _apart(study, path)
    return study


def _apart(study: Study, path: Path) -> None:
    """Refuse folders that lie in one another: results are no input, and a scan has one center.

    Raises
    ------
    AfterglowError
        Which two.
    """
    incoming = [(c.name, folder.resolve()) for c in study.centers for folder in c.dicom]
    for name, folder in incoming:
        for kind, own in (("out", study.out), ("private", study.private_dir)):
            if _nested(own.resolve(), folder):
                raise AfterglowError(
                    f"`{kind}` and the incoming folder of center {name} lie in one another",
                    where=f"{path}: {own}, {folder}",
                    remedy="keep results and incoming DICOM in folders beside each other",
                )
    for number, (name, folder) in enumerate(incoming):
        for other, further in incoming[:number]:
            if name != other and _nested(folder, further):
                raise AfterglowError(
                    f"centers {other} and {name} have incoming folders that lie in one another",
                    where=f"{path}: {further}, {folder}",
                    remedy="give each center folders of its own, else each scan counts twice",
                )


def _nested(a: Path, b: Path) -> bool:
    return a.is_relative_to(b) or b.is_relative_to(a)


def _explain(error: ValidationError) -> str:
    """Return the first lines of a validation error as a person would put them."""
    lines = []
    for item in error.errors()[:5]:
        key = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(item["loc"][-1]), _names_at(item["loc"][:-1]), n=1)
            hint = f", did you mean `{near[0]}`?" if near else ""
            lines.append(f"unknown key `{key}`{hint}")
        else:
            plain = _PLAIN.get(item["type"])
            said = plain.format(**item.get("ctx", {})) if plain else item["msg"]
            lines.append(f"`{key}`: {_PATTERNS.get(said, said)}, found {item['input']!r}")
    return "; ".join(lines)


def _names_at(location: tuple[int | str, ...]) -> list[str]:
    """Return the valid key names at a location of the model."""
    model: Any = Study
    for part in location:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        arguments = [a for a in getattr(annotation, "__args__", ()) if hasattr(a, "model_fields")]
        model = arguments[0] if arguments else annotation
        if not hasattr(model, "model_fields"):
            return []
    return list(model.model_fields)


def _absolute(study: Study, base: Path) -> Study:
    """Return the study with every path made absolute against ``base``."""

    def fix(value: Any) -> Any:
        if isinstance(value, Path):
            return value if value.is_absolute() else base / value
        if isinstance(value, list):
            return [fix(item) for item in value]
        if isinstance(value, Section):
            updates = {name: fix(getattr(value, name)) for name in type(value).model_fields}
            return value.model_copy(update=updates)
        return value

    return cast("Study", fix(study))
