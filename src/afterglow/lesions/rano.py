"""RANO-BM of a patient from imaging, with the facts used and those that were lacking.

After Lin et al. 2015 as summarized in PMC6499019, table 4. Up to five measurable lesions of the
baseline are targets. Progression is any of: at least 20 % more than the nadir of the sum of
longest diameters, unequivocal progression of a non-target lesion, a new lesion (not alone under
immunotherapy), clinical worsening. Complete and partial response need all of their conditions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from afterglow.lesions.response import VERSION, Response, ResponseSettings, grade

Overall = Literal["baseline", "CR", "PR", "SD", "PD", "NE"]


@dataclass(frozen=True)
class LesionAt:
    """One lesion at one session.

    ``longest`` in mm, 0 where it is gone, NaN where it was not measured. ``fresh`` is True for a
    lesion first seen after baseline, None where identity could not be established.
    ``progression`` is the reader's unequivocal progression of a non-target lesion. ``within`` is
    the id of the lesion that holds it, where it went into another: its size is in that one's.
    """

    longest: float
    measurable: bool = False
    fresh: bool | None = False
    progression: bool | None = None
    within: str | None = None


@dataclass(frozen=True)
class ClinicalAt:
    """Steroids and clinical status against baseline; None where not known."""

    steroids: Literal["decreased", "stable", "increased"] | None = None
    status: Literal["improved", "stable", "worse"] | None = None


@dataclass(frozen=True)
class PatientResponse:
    """RANO-BM of one patient at one session; ``sum_longest`` in mm."""

    response: Overall
    sum_longest: float
    reasons: tuple[str, ...] = field(default=())
    lacking: tuple[str, ...] = field(default=())

    @property
    def facts(self) -> str:
        """Version of the rule, what decided, and what was lacking, as one text."""
        parts = [VERSION, f"because: {', '.join(self.reasons) or '-'}"]
        return "; ".join([*parts, f"lacking: {', '.join(self.lacking) or '-'}"])


@dataclass(frozen=True)
class _Targets:
    """Target lesions and their sizes at the sessions so far."""

    names: tuple[str, ...]
    sizes: tuple[tuple[float, ...], ...]

    def response(self, now: tuple[float, ...], settings: ResponseSettings) -> Response | None:
        """Return the response of the targets, None without targets or without a sum."""
        total = sum(now)
        measured = [sizes for sizes in self.sizes if np.isfinite(sum(sizes))]
        if not self.names or not np.isfinite(total) or not measured:
            return None
        lowest = min(measured, key=sum)
        relative = ResponseSettings(increase=settings.increase, decrease=settings.decrease)
        found = grade(total, sum(measured[0]), sum(lowest), relative)
        least = settings.absolute_increase
        if found == "PD" and least is not None:
            rise = max(new - old for new, old in zip(now, lowest, strict=True))
            return "PD" if rise >= least - 1e-9 else "SD"
        return found


def patient_response(
    visits: Sequence[Mapping[str, LesionAt]],
    clinical: Sequence[ClinicalAt] | None = None,
    settings: ResponseSettings | None = None,
) -> list[PatientResponse]:
    """Return RANO-BM of a patient at every session.

    Parameters
    ----------
    visits : sequence of mapping
        For each session in order of time, every lesion known by then, by id. The first is the
        baseline.
    clinical : sequence of ClinicalAt, optional
        Same length; what is not known is listed as lacking and decides nothing.
    settings : ResponseSettings, optional
        Thresholds and options.
    """
    settings = settings or ResponseSettings()
    if not visits:
        return []
    clinical = clinical or [ClinicalAt()] * len(visits)
    names = _choose(visits[0], settings)
    targets = _Targets(names, (_sizes(visits[0], names),))
    found = [PatientResponse("baseline", _total(targets.sizes[0]))]
    for visit, facts in zip(visits[1:], clinical[1:], strict=True):
        now = _sizes(visit, names)
        found.append(_judge(visit, targets, now, facts, settings))
        targets = _Targets(names, (*targets.sizes, now))
    return found


def _choose(visit: Mapping[str, LesionAt], settings: ResponseSettings) -> tuple[str, ...]:
    """Return the ids of the largest measurable lesions."""
    able = sorted((-lesion.longest, name) for name, lesion in visit.items() if lesion.measurable)
    return tuple(name for _, name in able[: settings.max_targets])


def _sizes(visit: Mapping[str, LesionAt], names: Sequence[str]) -> tuple[float, ...]:
    return tuple(_size(visit[name], names) if name in visit else float("nan") for name in names)


def _size(lesion: LesionAt, targets: Sequence[str]) -> float:
    """Return the longest diameter; nothing of its own within another target."""
    return 0.0 if lesion.within in targets else lesion.longest


def _total(sizes: tuple[float, ...]) -> float:
    """Return the sum of longest diameters, NaN without targets."""
    return float(sum(sizes)) if sizes else float("nan")


def _judge(
    visit: Mapping[str, LesionAt],
    targets: _Targets,
    now: tuple[float, ...],
    facts: ClinicalAt,
    settings: ResponseSettings,
) -> PatientResponse:
    """Return the response at one session after baseline."""
    others = {n: x for n, x in visit.items() if n not in targets.names and not x.fresh}
    new = any(x.fresh and x.longest > 0 for x in visit.values())
    grown = targets.response(now, settings)
    lacking = _lacking(visit, others, facts, bool(targets.names))
    causes = {
        "targets_grew": grown == "PD",
        "non_target_progression": any(x.progression for x in others.values()),
        "new_lesion": new and not settings.immunotherapy,
        "clinical_worsening": facts.status == "worse",
    }
    decided = tuple(name for name, holds in causes.items() if holds)
    if decided:
        return PatientResponse("PD", _total(now), decided, lacking)
    overall, why = _without_progression(targets, others, grown, new, facts)
    return PatientResponse(overall, _total(now), why, lacking)


def _without_progression(
    targets: _Targets,
    others: Mapping[str, LesionAt],
    grown: Response | None,
    new: bool,
    facts: ClinicalAt,
) -> tuple[Overall, tuple[str, ...]]:
    """Return CR, PR, SD or NE once nothing says PD."""
    if targets.names and grown is None:
        return "NE", ("target_not_measured",)
    if any(not np.isfinite(x.longest) for x in others.values()):
        gone = False
    else:
        gone = all(x.longest == 0 for x in others.values())
    known = bool(targets.names or others)
    if not known:
        return "NE", ("no_lesion_at_baseline",)
    blocked = tuple(
        name
        for name, holds in {
            "new_lesion": new,
            "steroids_increased": facts.steroids == "increased",
        }.items()
        if holds
    )
    all_gone = gone and grown in {"CR", None}
    if all_gone and not blocked:
        return "CR", ("all_lesions_gone",)
    if grown in {"CR", "PR"} and not blocked:
        return "PR", ("targets_shrank",)
    return "SD", blocked or ("targets_stable" if targets.names else "non_targets_stable",)


def _lacking(
    visit: Mapping[str, LesionAt],
    others: Mapping[str, LesionAt],
    facts: ClinicalAt,
    has_targets: bool,
) -> tuple[str, ...]:
    """Return the names of facts that the criteria ask for and nobody gave."""
    missing = {
        "target_lesions": not has_targets,
        "non_target_reading": any(x.progression is None for x in others.values()),
        "lesion_identity": any(x.fresh is None for x in visit.values()),
        "steroids": facts.steroids is None,
        "clinical_status": facts.status is None,
    }
    return tuple(name for name, absent in missing.items() if absent)
