"""Which arterial input a DCE fit uses, by a rule that is written down with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.perfusion import aif, signal
from afterglow.perfusion.blood_signal import blood_concentration
from afterglow.perfusion.blood_state import arterial_state, native_doubt, venous_state

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.perfusion.relaxivity import Constant

_TAIL_AFTER = 40.0
_RESCALE = (1.05, 3.0)
_PLAUSIBLE_PEAK = (0.5, 40.0)
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
    doubt : str
        Why T1 may not be native although it is taken for it; mostly empty.
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
    doubt: str = ""


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
        T1 map (s); where vessels agree with that of blood, it tells their flip angle.
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
    state = arterial_state(t1, found, injection, native, b1)
    blood, scale = np.full(time.size, np.nan), 1.0
    if state is not None:
        blood = blood_concentration(series[found.voxels], baseline, injection, *state.numbers)
    if partial_volume and state is not None and found.venous_voxels.any():
        there = venous_state(state, t1, found, injection, native, b1)
        venous = blood_concentration(
            series[found.venous_voxels], baseline, injection, *there.numbers
        )
        scale = partial_volume_scale(blood, venous, time)
    constant = None if state is None else state.t1
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
            blood = _population(source, time, when, injection.dose, injection.hematocrit)
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
        doubt=native_doubt(t1, found, injection) if native else "",
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


def _population(
    source: str, time: NDArray[np.float64], arrival: float, dose: float, hematocrit: float
) -> NDArray[np.float64]:
    """Return the named population curve, whole blood, averaged over the frames.

    The curve is drawn at ten points a frame and averaged, as the scanner does: a first pass
    narrower than a frame would otherwise be met or missed by chance.
    """
    step = np.append(np.diff(time), time[-1] - time[-2])
    fine = time[:, None] + step[:, None] * (np.arange(10) - 4.5)[None, :] / 10.0
    when = arrival if np.isfinite(arrival) else 0.0
    # published for plasma: the fraction of cells must be the one by which it becomes plasma again
    cells = {"hematocrit": hematocrit} if source == "weinmann" else {}
    curve = POPULATION[source](fine.ravel(), arrival=when, dose=dose, **cells)
    return np.asarray(curve.reshape(fine.shape).mean(axis=1))
