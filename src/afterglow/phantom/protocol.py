"""Which series a session has, in which order, and when contrast is injected."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from afterglow.phantom.physics import Injection
from afterglow.phantom.plan import CenterPlan, CohortPlan, Part
from afterglow.phantom.scanners import FLIP_ANGLES, SCANNERS, Scanner
from afterglow.phantom.series import Series

# When the parts with contrast begin, and how long each lasts until the next can begin, s.
_FIRST_PART, _LAST_SERIES = 700.0, 1300.0
_LASTS: dict[Part, float] = {"vfa": 100.0, "dce": 380.0, "dsc": 120.0}
# From the start of a series to the arrival of its bolus in the head, and the bolus' width, s.
_BOLUS: dict[Literal["dce", "dsc"], tuple[float, float]] = {"dce": (32.0, 2.8), "dsc": (18.0, 2.2)}


def center_of(plan: CohortPlan, patient: str, visit: int) -> CenterPlan:
    """Return a center as it works at one visit: trouble may change what it acquires and when."""
    subject = plan.subject(patient)
    center, troubles = plan.center(subject.center), subject.troubled(visit)
    if "no_dce" in troubles:
        return replace(center, order=("dsc",))
    if "injection_between" in troubles:
        return replace(center, order=("vfa", "dsc", "dce"))
    return center


def part_starts(center: CenterPlan) -> dict[Part, float]:
    """Return when flip angles, DCE and DSC begin, s on the session clock.

    Examples
    --------
    >>> from afterglow.phantom.plan import NORTH
    >>> part_starts(NORTH)
    {'vfa': 700.0, 'dce': 800.0, 'dsc': 1180.0}
    """
    starts: dict[Part, float] = {}
    clock = _FIRST_PART
    for part in center.order:
        starts[part] = clock
        clock += _LASTS[part]
    return starts


def injections(center: CenterPlan) -> tuple[Injection, ...]:
    """Return the boluses of a session in order of time; what comes first preloads the next."""
    starts = part_starts(center)
    found = [
        Injection(starts[part] + delay, center.dose_of(part), width)
        for part, (delay, width) in _BOLUS.items()
        if part in starts
    ]
    return tuple(sorted(found, key=lambda injection: injection.arrival))


def series_of(center: CenterPlan) -> tuple[Series, ...]:
    """Return the series of a session in order of acquisition."""
    scanner = SCANNERS[center.vendor]
    starts = part_starts(center)
    dynamic = {"dce": scanner.dce, "dsc": scanner.dsc}
    parts: list[Series] = []
    for part, start in starts.items():
        if part == "vfa":
            parts += _flip_angles(scanner, start)
        else:
            parts.append(replace(dynamic[part], start=start))
    after = replace(
        scanner.t1w,
        name="T1w_ce",
        number=scanner.last,
        description=scanner.after,
        start=_LAST_SERIES,
        contrast=True,
    )
    return (scanner.t1w, scanner.flair, *parts, after)


def _flip_angles(scanner: Scanner, start: float) -> list[Series]:
    first, step, name = scanner.vfa
    return [
        replace(
            scanner.dce,
            name=f"vfa-{flip:02d}",
            number=first + step * k,
            description=name.format(flip),
            flip=float(flip),
            start=start + 18.0 * k,
            scale=scanner.dce.scale * gain,
            noise=0.8 * scanner.dce.noise * gain,
            frames=1,
            frame_time=0.0,
            contrast=False,
        )
        for k, (flip, gain) in enumerate(zip(FLIP_ANGLES, scanner.gains, strict=True))
    ]
