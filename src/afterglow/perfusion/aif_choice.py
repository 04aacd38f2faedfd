"""Which arterial input a DCE fit uses, by a rule that is written down with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.perfusion import aif, signal
from afterglow.perfusion.blood_signal import blood_concentration
from afterglow.perfusion.relaxivity import Constant, blood_t1

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TAIL_AFTER = 40.0
_RESCALE = (1.05, 3.0)
_PLAUSIBLE_PEAK = (0.5, 40.0)
_T1_AGREES = 0.25
_T1_PRECISE = 0.02
_T1_PRECISE_LATER = 0.05
_T1_AFTER_CONTRAST = 0.1
POPULATION = {"parker": aif.parker, "georgiou": aif.georgiou, "weinmann": aif.weinmann}


@dataclass(frozen=True)
class Injection:
    """What was injected, into whom, and how it was imaged.

    ``tr`` and ``te`` s, ``flip_angle`` degrees, ``relaxivity`` 1/(s mM), ``field`` T, ``dose``
    mmol/kg (None where it is not known: a population curve then has no height), ``blood_r2star``
    what 1 mM adds to R2* of blood, 1/(s mM). Without ``te`` its decay is neglected.
    """

    tr: float
    flip_angle: float
    relaxivity: float
    field: float | None
    hematocrit: float = 0.42
    dose: float | None = None
    te: float | None = None
    blood_r2star: float = 0.0


@dataclass(frozen=True)
class ArterialChoice:
    """The input of a fit.

    Attributes
    ----------
    blood, plasma : array (n_time,)
        Concentration (mM).
    source : str
        ``detected``, ``parker``, ``georgiou``, ``weinmann``, or ``none``.
    rule : str
        Why this one, in one sentence.
    arrival : float
        Arrival of the bolus (s).
    scale : float
        Factor by which the detected input was raised for partial volume, else 1.
    metrics : dict
        Quality of the detected input.
    voxels : array of bool
        Arterial voxels that were found, used or not.
    """

    blood: NDArray[np.float64]
    plasma: NDArray[np.float64]
    source: str
    rule: str
    arrival: float
    scale: float
    metrics: dict[str, Any] = field(default_factory=dict)
    voxels: NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0,), dtype=bool))
    t1: Constant | None = None
    reason: str = ""


def partial_volume_scale(
    arterial: NDArray[np.float64], venous: NDArray[np.float64], time: NDArray[np.float64]
) -> float:
    """Return the factor that brings the tail of the arterial curve to that of the venous one.

    Once mixed, artery and large vein carry the same concentration; a small artery shares its voxel
    with tissue and shows less. 1 where there is no vein, where the artery is not lower, or where
    the factor would exceed 3.

    Examples
    --------
    >>> t = np.arange(0.0, 200.0, 5.0)
    >>> vein = 5 * np.exp(-((t - 40) / 10) ** 2) + (t > 40)
    >>> round(partial_volume_scale(vein / 2, vein, t), 2)
    2.0
    """
    if not (np.isfinite(arterial).all() and np.isfinite(venous).all()):
        return 1.0
    tail = time >= time[int(np.argmax(arterial))] + _TAIL_AFTER
    if tail.sum() < 4 or arterial[tail].mean() <= 0:
        return 1.0
    scale = float(venous[tail].mean() / arterial[tail].mean())
    return scale if _RESCALE[0] < scale <= _RESCALE[1] else 1.0


def choose_input(
    series: NDArray[np.floating],
    time: NDArray[np.float64],
    mask: NDArray[np.bool_],
    baseline: signal.Baseline,
    injection: Injection,
    *,
    arrival: float,
    t1: NDArray[np.floating] | None = None,
    native: bool = True,
    b1: NDArray[np.floating] | None = None,
    wanted: str = "auto",
    min_quality: float = 0.5,
    partial_volume: bool = True,
) -> ArterialChoice:
    """Return the arterial input of a DCE series.

    Parameters
    ----------
    series : array (x, y, z, n_time)
        Signal of a spoiled gradient echo.
    time : array (n_time,)
        Frame times (s).
    mask : array (x, y, z) of bool
        Where vessels are looked for.
    baseline : int or (int, int)
        Frames before contrast.
    injection : Injection
        Agent, dose, haematocrit and sequence.
    arrival : float
        Arrival of the bolus in the series as a whole (s), for a population curve.
    t1 : array (x, y, z), optional
        T1 map (s); that of the arterial voxels is used where it agrees with that of blood.
    native : bool
        False where ``t1`` was measured after an earlier injection: that of blood without contrast
        then says nothing.
    b1 : array (x, y, z), optional
        Ratio of actual to nominal flip angle.
    wanted : str
        ``auto``, ``detected``, or the name of a population curve.
    min_quality : float
        Least quality for ``auto``.
    partial_volume : bool
        Rescale to the vein.

    Returns
    -------
    ArterialChoice
        ``blood`` is NaN, and ``reason`` says why, where ``detected`` was wanted and no vessel was
        found, or where a population curve is needed and the dose is not known.
    """
    found = aif.detect(series, time, mask, kind="dce")
    blood, constant = _blood_curve(series, found, baseline, injection, t1, native, b1)
    scale = 1.0
    if partial_volume and found.evaluable and found.venous_voxels.any() and constant is not None:
        venous = blood_concentration(
            series[found.venous_voxels], baseline, injection, constant.value,
            _ratio(b1, found.venous_voxels),
        )  # fmt: skip
        scale = partial_volume_scale(blood, venous, time)
    blood = blood * scale
    use, rule = _rule(wanted, found, float(np.max(blood)), min_quality)
    reason = ""
    if use == "detected":
        source, when = "detected", found.arrival
    else:
        source = "parker" if wanted in {"auto", "detected"} else wanted
        when = found.arrival if found.evaluable else arrival
        blood, scale, constant = np.full(time.size, np.nan), 1.0, None
        if wanted == "detected":
            reason, source = "no_arterial_input", "none"
        elif injection.dose is None:
            reason, source = "no_dose", "none"
            rule += "; a population curve needs the dose, which is not known"
        else:
            blood = _population(source, time, when, injection.dose)
    return ArterialChoice(
        blood=blood,
        plasma=aif.to_plasma(blood, injection.hematocrit),
        source=source,
        rule=rule,
        arrival=float(when),
        scale=scale,
        metrics=found.metrics,
        voxels=found.voxels,
        t1=constant,
        reason=reason,
    )


def _rule(
    wanted: str, found: aif.ArterialInput, peak: float, min_quality: float
) -> tuple[str, str]:
    """Return ``detected`` or ``population``, and why."""
    if wanted not in {"auto", "detected"}:
        return "population", f"the study asks for the population curve {wanted}"
    if not found.evaluable:
        return "population", f"no vessel was found in the image ({found.reason})"
    low, high = _PLAUSIBLE_PEAK
    if not low <= peak <= high:
        why = f"the found input peaks at {peak:.3g} mM, outside {low} to {high} mM"
        unknown = "the T1 of blood before the bolus is not known"
        return "population", why if np.isfinite(peak) else unknown
    if wanted == "detected":
        return "detected", "the study asks for the input found in the image"
    quality = found.metrics["quality"]
    if quality < min_quality:
        return "population", f"the found input has quality {quality:.2f}, below {min_quality:.2f}"
    return "detected", f"the input found in the image has quality {quality:.2f}"


def _blood_curve(
    series: NDArray[np.floating],
    found: aif.ArterialInput,
    baseline: signal.Baseline,
    injection: Injection,
    t1: NDArray[np.floating] | None,
    native: bool,
    b1: NDArray[np.floating] | None,
) -> tuple[NDArray[np.float64], Constant | None]:
    """Return the concentration in the arterial voxels and the T1 it rests on."""
    nothing = np.full(series.shape[-1], np.nan)
    if not found.evaluable:
        return nothing, None
    expected = None if injection.field is None else blood_t1(injection.hematocrit, injection.field)
    constant = _blood_constant(t1, found, expected, native)
    if constant is None:
        return nothing, None
    curve = blood_concentration(
        series[found.voxels], baseline, injection, constant.value, _ratio(b1, found.voxels)
    )
    return curve, constant


def _blood_constant(
    t1: NDArray[np.floating] | None,
    found: aif.ArterialInput,
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
    return measured if abs(measured.value / expected.value - 1.0) <= _T1_AGREES else expected


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


def _population(
    source: str, time: NDArray[np.float64], arrival: float, dose: float
) -> NDArray[np.float64]:
    """Return the named population curve, whole blood, averaged over the frames.

    The curve is drawn at ten points a frame and averaged, as the scanner does: a first pass
    narrower than a frame would otherwise be met or missed by chance.
    """
    step = np.append(np.diff(time), time[-1] - time[-2])
    fine = time[:, None] + step[:, None] * (np.arange(10) - 4.5)[None, :] / 10.0
    when = arrival if np.isfinite(arrival) else 0.0
    curve = POPULATION[source](fine.ravel(), arrival=when, dose=dose)
    return np.asarray(curve.reshape(fine.shape).mean(axis=1))
