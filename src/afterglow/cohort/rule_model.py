"""A published rule as data: what is measured, how it decides, and what it rests on."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from afterglow.cohort.intervals import Proportion, clopper_pearson

Call = Literal[
    "progression", "treatment_effect", "indeterminate", "not_applicable", "not_evaluable"
]
Decided = Literal["progression", "treatment_effect", "indeterminate"]
Comparator = Literal["<", "<=", ">", ">=", "=="]
ConstantStatus = Literal["read_primary", "read_secondary", "recall", "disabled"]


_COMPARE: dict[Comparator, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Measurement(_Strict):
    """Where the value of a rule comes from."""

    source: Literal["features", "lesions", "sessions"] = Field(
        "features", description="Table that holds the value."
    )
    map: str = Field(description="Map of the features table, or column of the other tables.")
    region: str = Field("lesion", description="Region of the features table.")
    statistic: str = Field(
        "mean", description="Statistic over the region; `curve`: of the region's mean curve."
    )
    statistic_status: ConstantStatus = Field(
        "read_secondary", description="How far the statistic of the source is known."
    )
    normalization: Literal["none", "contralateral_nawm", "contralateral_gm"] = Field(
        "none", description="Reference tissue that the value must have been divided by."
    )
    scale: float = Field(1.0, gt=0, description="Factor from the table's unit to the rule's unit.")
    unit: str = Field(description="Unit of value and cut-off.")


class Limit(_Strict):
    """One bound of an acquisition domain."""

    minimum: float | None = Field(None, description="Smallest value inside the domain.")
    maximum: float | None = Field(None, description="Largest value inside the domain.")
    allowed: list[str] | None = Field(None, description="Values inside the domain.")
    effect: Literal["withhold", "note"] = Field(
        "withhold", description="Outside: call not_applicable, or only add a reason."
    )

    def contains(self, value: float | str) -> bool:
        """Tell whether a value lies inside."""
        if self.allowed is not None:
            return str(value) in self.allowed
        number = float(value)
        above = self.minimum is None or number >= self.minimum
        return above and (self.maximum is None or number <= self.maximum)


class Domain(_Strict):
    """The acquisitions a cut-off was derived from; null where the source was not seen to say."""

    field_strength: Limit | None = Field(None, description="Static field (T).")
    echo_time: Limit | None = Field(None, description="DSC echo time (s).")
    flip_angle: Limit | None = Field(
        None, description="Flip angle of the dynamic series (degrees)."
    )
    preload: Limit | None = Field(None, description="Preload before DSC: none, partial, full, dce.")
    leakage_model: Limit | None = Field(None, description="Leakage model of the CBV map.")
    status: ConstantStatus = Field("read_secondary", description="How far the domain is known.")
    note: str = ""


class Cut(_Strict):
    """A second cut-off on the other side of a grey zone."""

    comparator: Comparator
    cutoff: float
    call: Decided

    def holds(self, value: float) -> bool:
        """Tell whether a value lies beyond this cut-off."""
        return _COMPARE[self.comparator](value, self.cutoff)


class Counts(_Strict):
    """The 2x2 table of the derivation cohort, for the rule's positive class."""

    tp: int | None = Field(None, ge=0)
    fn: int | None = Field(None, ge=0)
    tn: int | None = Field(None, ge=0)
    fp: int | None = Field(None, ge=0)
    derivation: str = Field(description="Whether printed, or how they follow from what is printed.")


class Published(_Strict):
    """What the source prints, in percent; decimals as printed."""

    sensitivity: float | int | None = None
    specificity: float | int | None = None
    ppv: float | int | None = None
    npv: float | int | None = None
    accuracy: float | int | None = None
    auc: float | None = None
    note: str = ""


class ExternalValidation(_Strict):
    """One attempt to repeat a rule elsewhere."""

    citation: str
    n: int
    result: str
    verdict: Literal["supported", "failed", "mixed"]


class Rule(_Strict):
    """One published rule, complete enough to be applied and to be doubted.

    A rule is enabled only where its constant was read in a source; ``disabled_reason`` says why
    a rule is present without being applied.
    """

    id: str = Field(pattern=r"^[a-z0-9_]+$")
    version: int = Field(1, ge=1)
    title: str
    citation: str
    doi: str | None = Field(None, description="Null where it was not seen.")
    source: str = Field("", description="Where the numbers were read.")
    kind: Literal["threshold", "gate", "prior", "reader"] = "threshold"
    modality: Literal["DSC", "DCE", "ASL", "DWI", "MRS", "CEST", "PET", "SPECT", "MRI", "clinical"]
    measurements: list[Measurement] = Field(min_length=1)
    timepoint: Literal["single", "delta", "sequence", "baseline"] = "single"
    window_days: tuple[float, float] | None = Field(
        None, description="Days after radiosurgery inside which the rule holds."
    )
    comparator: Comparator | None = None
    cutoff: float | None = None
    positive_class: Literal["progression", "treatment_effect"] = "progression"
    otherwise: Decided | None = Field(None, description="Default: the other class.")
    second: Cut | None = None
    patience_days: float | None = Field(
        None, description="Sequence: a grey zone that lasts this long becomes treatment effect."
    )
    unit: str
    n_tp: int | None = Field(None, ge=0, description="Progressions in the derivation cohort.")
    n_rn: int | None = Field(None, ge=0, description="Treatment effects in the derivation cohort.")
    counts: Counts | Literal["unknown"]
    published: Published = Published()
    reference_standard: str
    population: str = "irradiated brain metastases"
    domain: Domain = Domain()
    evidence_level: Literal["derivation", "external_support", "failed_external", "prior", "pilot"]
    external_validations: list[ExternalValidation] = Field(default_factory=list)
    constant_status: ConstantStatus
    disabled_reason: str = ""

    @model_validator(mode="after")
    def _holds_together(self) -> Rule:
        unread = self.constant_status in {"recall", "disabled"}
        if unread and not self.disabled_reason:
            raise ValueError(f"{self.id}: a constant that was not read needs `disabled_reason`")
        if self.cutoff is not None and self.comparator is None:
            raise ValueError(f"{self.id}: a cut-off needs a comparator")
        needs_cut = self.kind in {"threshold", "gate", "reader"}
        if self.enabled and needs_cut and self.cutoff is None:
            raise ValueError(f"{self.id}: an enabled {self.kind} rule needs a cut-off")
        if self.population.startswith("glioma"):
            raise ValueError(f"{self.id}: rules derived in gliomas do not hold for metastases")
        self._check_counts()
        return self

    def _check_counts(self) -> None:
        for name in ("sensitivity", "specificity"):
            interval, printed = getattr(self, name), getattr(self.published, name)
            if interval is None or printed is None:
                continue
            decimals = len(str(printed).partition(".")[2])
            if abs(100 * interval.estimate - printed) > 0.5 * 10**-decimals + 1e-9:
                raise ValueError(f"{self.id}: counts give {name} {100 * interval.estimate:.2f} %")

    @property
    def enabled(self) -> bool:
        """True where the rule is applied."""
        return not self.disabled_reason

    @property
    def sensitivity(self) -> Proportion | None:
        """Derivation sensitivity with its exact 95 % interval, or None where counts are unknown."""
        return None if self.counts == "unknown" else _share(self.counts.tp, self.counts.fn)

    @property
    def specificity(self) -> Proportion | None:
        """Derivation specificity with its exact 95 % interval, or None where counts are unknown."""
        return None if self.counts == "unknown" else _share(self.counts.tn, self.counts.fp)

    def beyond(self, value: float) -> bool:
        """Tell whether a value lies on the positive side of the cut-off; False without one."""
        if self.comparator is None or self.cutoff is None:
            return False
        return _COMPARE[self.comparator](value, self.cutoff)

    @property
    def other_class(self) -> Decided:
        """What the rule says on the far side of its cut-off."""
        if self.otherwise is not None:
            return self.otherwise
        return "treatment_effect" if self.positive_class == "progression" else "progression"


def _share(right: int | None, wrong: int | None) -> Proportion | None:
    if right is None or wrong is None or right + wrong == 0:
        return None
    return clopper_pearson(right, right + wrong)
