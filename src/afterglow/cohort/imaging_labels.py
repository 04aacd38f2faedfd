"""Labels from later volumes, by one explicit rule, for lesions that nobody adjudicated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
BASIS = "imaging_rule"
# Below this a change of a few voxels passes for growth.
SMALLEST = 0.1


@dataclass(frozen=True)
class ImagingRule:
    """Growth that raises the question, and what answers it.

    Parameters
    ----------
    growth : float
        Fraction of volume by which a lesion exceeds its nadir; and by which a later scan must
        exceed that scan to be progression.
    confirmation, follow_up : float
        Days from the growth to the earliest scan that may confirm it, and without further growth
        after which it was treatment effect.
    """

    growth: float = 0.4
    confirmation: float = 30.0
    follow_up: float = 120.0


@dataclass(frozen=True)
class ImagingLabel:
    """A label, the session that raised the question (the landmark), and the day of the answer."""

    label: str
    session: str
    day: float


def imaging_label(visits: Sequence[Row], rule: ImagingRule) -> ImagingLabel | str:
    """Return the label of a lesion by its later volumes, or why there is none.

    The landmark is the first scan after radiosurgery on which the lesion has grown; everything
    that decides comes after it, so that features up to the landmark never hold the answer.

    Parameters
    ----------
    visits : sequence of mapping
        Rows of the lesions table of one lesion: ``session``, ``days_from_srs``, ``volume`` (mL).
    rule : ImagingRule
        Thresholds.

    Returns
    -------
    ImagingLabel or str
        ``never_grew``, ``follow_up_too_short`` or ``no_volumes_with_days`` where it stays open.

    Examples
    --------
    >>> def scan(day, volume): return {"session": f"s{day}", "days_from_srs": day, "volume": volume}
    >>> course = [scan(-1, 1.0), scan(90, 1.5), scan(150, 2.4)]
    >>> imaging_label(course, ImagingRule())
    ImagingLabel(label='progression', session='s90', day=150.0)
    >>> imaging_label([scan(-1, 1.0), scan(90, 1.5), scan(220, 1.2)], ImagingRule()).label
    'treatment_effect'
    >>> imaging_label([scan(-1, 1.0), scan(90, 1.5)], ImagingRule())
    'follow_up_too_short'
    """
    known = sorted(
        (float(v["days_from_srs"]), str(v["session"]), float(v["volume"]))
        for v in visits
        if _finite(v.get("days_from_srs")) and _finite(v.get("volume"))
    )
    if len(known) < 2:
        return "no_volumes_with_days"
    event = _growth_event(known, rule)
    if event is None:
        return "never_grew"
    day, session, volume = known[event]
    for later, _, size in known[event + 1 :]:
        gap = later - day
        if gap >= rule.confirmation and size >= (1 + rule.growth) * volume:
            return ImagingLabel("progression", session, later)
        if gap >= rule.follow_up:
            return ImagingLabel("treatment_effect", session, later)
    return "follow_up_too_short"


def _growth_event(known: Sequence[tuple[float, str, float]], rule: ImagingRule) -> int | None:
    for i in range(1, len(known)):
        day, _, volume = known[i]
        nadir = min(size for _, _, size in known[:i])
        if day > 0 and volume >= max(SMALLEST, (1 + rule.growth) * nadir):
            return i
    return None


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
