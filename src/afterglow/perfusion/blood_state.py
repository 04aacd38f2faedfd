"""T1 and flip angle of the blood in a vessel before a bolus: what its concentration rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from afterglow.perfusion.relaxivity import Constant, blood_t1

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.perfusion.aif_choice import Injection
    from afterglow.perfusion.aif_detect import ArterialInput

_T1_AGREES = 0.25
_T1_PRECISE = 0.02
_T1_PRECISE_LATER = 0.05
_T1_AFTER_CONTRAST = 0.1
# Flip angles of 0.75 of the nominal ones show 0.56 of T1; half a dose in the blood a third of it.
_T1_FAR_BELOW = 0.5


class Blood(NamedTuple):
    """Blood of a vessel before the bolus: T1 (s), and actual over nominal flip angle there."""

    t1: Constant
    angle: float

    @property
    def numbers(self) -> tuple[float, float]:
        """T1 (s) and ratio."""
        return self.t1.value, self.angle


def arterial_state(
    t1: NDArray[np.floating] | None,
    found: ArterialInput,
    injection: Injection,
    native: bool,
    b1: NDArray[np.floating] | None,
) -> Blood | None:
    """Return what the concentration in the arterial voxels rests on, None where it is unknown."""
    if not found.evaluable:
        return None
    expected = _expected(injection, arterial=True)
    constant = _blood_constant(t1, found, expected, native)
    if constant is None:
        return None
    if native and b1 is None and expected is not None:
        return _by_angle(constant, expected)
    return Blood(constant, _ratio(b1, found.voxels))


def venous_state(
    artery: Blood,
    t1: NDArray[np.floating] | None,
    found: ArterialInput,
    injection: Injection,
    native: bool,
    b1: NDArray[np.floating] | None,
) -> Blood:
    """Return the same of the vein, with the T1 of the artery where its own is not known."""
    if b1 is not None or not native:
        return Blood(artery.t1, _ratio(b1, found.venous_voxels))
    expected = _expected(injection, arterial=False)
    measured = _measured_blood(t1, found.venous_voxels, "venous", _T1_PRECISE)
    if expected is None or measured is None or not _agrees(measured, expected):
        return artery
    return _by_angle(measured, expected)


def native_doubt(
    t1: NDArray[np.floating] | None, found: ArterialInput, injection: Injection
) -> str:
    """Return why a T1 that is taken for native may have been measured after contrast; or nothing.

    An injection whose series is not there leaves no trace but the blood: its T1 lies far below that
    of blood without contrast, in the artery and, where one was found, in the vein.
    """
    expected = _expected(injection, arterial=True)
    if not found.evaluable or expected is None:
        return ""
    vessels = (found.voxels, "arterial"), (found.venous_voxels, "venous")
    values = [_measured_blood(t1, where, name, _T1_PRECISE_LATER) for where, name in vessels]
    known = [one.value for one in values if one is not None]
    low, high = _T1_AFTER_CONTRAST, _T1_FAR_BELOW * expected.value
    if not known or not all(low <= value < high for value in known):
        return ""
    measured = " and ".join(f"{value:.2g} s" for value in known)
    return (
        f"T1 may not be native: blood has {measured} before the bolus where {expected.value:.2g} s "
        "are expected without contrast, as after an injection that is not among the series, or "
        "where fresh blood flows in; T1 of tissue and concentrations are then wrong"
    )


def _expected(injection: Injection, arterial: bool) -> Constant | None:
    """Return the T1 of blood without contrast, None where the field is not known."""
    if injection.field is None:
        return None
    return blood_t1(injection.hematocrit, injection.field, arterial)


def _agrees(measured: Constant, expected: Constant) -> bool:
    """Return whether a measured T1 can be that of blood."""
    return abs(measured.value / expected.value - 1.0) <= _T1_AGREES


def _by_angle(measured: Constant, expected: Constant) -> Blood:
    """Return blood of the expected T1 at the flip angle that its apparent T1 tells.

    T1 of blood hardly varies, the transmit field does, by 10 to 20 % at 3 T. Flip angles that are
    ``b`` times the nominal ones show ``b^2 T1``, and a concentration too low by ``b^2``.
    """
    angle = float(np.sqrt(measured.value / expected.value))
    if measured is expected:
        return Blood(expected, 1.0)
    source = f"{expected.source}; flip angle {angle:.3f} of the nominal one by T1 {measured.source}"
    return Blood(Constant(expected.value, source), angle)


def _blood_constant(
    t1: NDArray[np.floating] | None,
    found: ArterialInput,
    expected: Constant | None,
    native: bool,
) -> Constant | None:
    """Return the T1 of blood before the bolus: measured where that can be believed, else tabled.

    Blood that flows in fresh from outside the slab fakes a short T1, noise any. After an earlier
    injection nothing is tabled, and T1 must lie below that of blood without contrast.
    """
    measured = _measured_blood(t1, found.voxels, "arterial", _T1_PRECISE)
    if not native:
        # Mixed blood is the same in a large vein, whose voxels are purer.
        top = expected.value if expected else float("inf")
        venous = _measured_blood(t1, found.venous_voxels, "venous", _T1_PRECISE_LATER)
        arterial = _measured_blood(t1, found.voxels, "arterial", _T1_PRECISE_LATER)
        known = [c for c in (measured, venous, arterial) if c is not None]
        return next((c for c in known if _T1_AFTER_CONTRAST <= c.value < top), None)
    if expected is None or measured is None:
        return expected or measured
    return measured if _agrees(measured, expected) else expected


def _measured_blood(
    t1: NDArray[np.floating] | None, voxels: NDArray[np.bool_], vessel: str, precision: float
) -> Constant | None:
    """Return the median T1 of the voxels of a vessel where it is known well enough."""
    inside = np.zeros(0) if t1 is None else t1[voxels]
    inside = inside[np.isfinite(inside)]
    if inside.size < 3:
        return None
    value = float(np.median(inside))
    if 1.25 * float(np.std(inside)) / inside.size**0.5 > precision * value:
        return None
    return Constant(value, f"measured in the {vessel} voxels")


def _ratio(b1: NDArray[np.floating] | None, voxels: NDArray[np.bool_]) -> float:
    """Return the flip-angle ratio of some voxels, 1 where it was not mapped."""
    if b1 is None or not np.isfinite(b1[voxels]).any():
        return 1.0
    return float(np.nanmedian(b1[voxels]))
