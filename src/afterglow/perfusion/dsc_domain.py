"""How a DSC series was acquired, against the consensus protocol of Boxerman 2020."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Protocol = Literal["consensus_preload", "consensus_low_flip", "outside", "unknown"]

_TE_RANGE = {1.5: (0.040, 0.050), 3.0: (0.020, 0.035)}
_FLIP = {"consensus_preload": 60.0, "consensus_low_flip": 30.0}
_FLIP_TOLERANCE = 5.0
_TE_TOLERANCE = 0.0005
_FULL_DOSE = (0.08, 0.12)


@dataclass(frozen=True)
class AcquisitionDomain:
    """The facts on which PSR and rCBV depend, and the protocol they amount to.

    Attributes
    ----------
    field_strength : float or None
        Tesla.
    echo_times : tuple of float
        Seconds.
    repetition_time : float or None
        Time between volumes (s).
    flip_angle : float or None
        Degrees.
    preload : str or None
        ``none``, ``partial``, ``full``, ``dce`` (a DCE injection before it) or None (unknown).
    agent : str or None
    dose : float or None
        Imaged bolus (mmol/kg).
    n_baseline : int or None
        Steady frames before the bolus.
    protocol : str
        ``consensus_preload`` (full preload, full bolus, 60 degrees), ``consensus_low_flip`` (no
        preload, 30 degrees), ``outside``, or ``unknown`` where a fact is missing.
    deviations : tuple of str
        What departs from the nearer of the two options, or is unknown.
    """

    field_strength: float | None
    echo_times: tuple[float, ...]
    repetition_time: float | None
    flip_angle: float | None
    preload: str | None
    agent: str | None
    dose: float | None
    n_baseline: int | None
    protocol: Protocol
    deviations: tuple[str, ...]

    @property
    def text(self) -> str:
        """One line for tables: the protocol it amounts to, and every fact, known or not."""

        def said(value: float | None, unit: str, factor: float = 1.0) -> str:
            return "unknown" if value is None else f"{factor * value:g} {unit}"

        echoes = "+".join(f"{1e3 * te:g}" for te in self.echo_times)
        return "; ".join(
            (
                self.protocol,
                said(self.field_strength, "T"),
                f"TE {echoes or 'unknown'} ms",
                f"TR {said(self.repetition_time, 's')}",
                f"flip {said(self.flip_angle, 'deg')}",
                f"preload {self.preload or 'unknown'}",
                f"{self.agent or 'agent unknown'} {said(self.dose, 'mmol/kg')}",
            )
        )

    def summary(self) -> dict[str, Any]:
        """Return the domain for records and tables."""
        facts = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}
        return {**facts, "text": self.text}


def assess_domain(
    *,
    field_strength: float | None,
    echo_times: tuple[float, ...],
    repetition_time: float | None,
    flip_angle: float | None,
    preload: str | None,
    agent: str | None,
    dose: float | None,
    n_baseline: int | None = None,
) -> AcquisitionDomain:
    """Compare an acquisition with the consensus options.

    Echo time 40 to 50 ms at 1.5 T and 20 to 35 ms at 3 T; either a full preload, a full bolus and
    60 degrees, or no preload and 30 degrees (Boxerman 2020, Neuro-Oncology, abstract). A fact that
    is not known never counts as met.

    Parameters
    ----------
    field_strength, echo_times, repetition_time, flip_angle, preload, agent, dose, n_baseline
        As in :class:`AcquisitionDomain`.

    Examples
    --------
    >>> assess_domain(field_strength=3.0, echo_times=(0.03,), repetition_time=1.4, flip_angle=60.0,
    ...     preload="full", agent="gadobutrol", dose=0.1).protocol
    'consensus_preload'
    >>> assess_domain(field_strength=1.5, echo_times=(0.054,), repetition_time=1.2,
    ...     flip_angle=35.0, preload="none", agent=None, dose=0.1).deviations
    ('echo time 54 ms is outside 40 to 50 ms at 1.5 T',)
    >>> assess_domain(field_strength=3.0, echo_times=(0.03,), repetition_time=1.4, flip_angle=60.0,
    ...     preload="full", agent="gadobutrol", dose=0.1).text
    'consensus_preload; 3 T; TE 30 ms; TR 1.4 s; flip 60 deg; preload full; gadobutrol 0.1 mmol/kg'
    """
    option: Protocol = _nearer(preload, flip_angle)
    unknown: list[str] = []
    wrong: list[str] = []
    for check in (
        _echo(field_strength, echo_times),
        _flip(flip_angle, option),
        _preload(preload, option),
        _dose(dose),
    ):
        if check is not None:
            (unknown if check.endswith("unknown") else wrong).append(check)
    protocol: Protocol = "outside" if wrong else "unknown" if unknown else option
    return AcquisitionDomain(
        field_strength,
        echo_times,
        repetition_time,
        flip_angle,
        preload,
        agent,
        dose,
        n_baseline,
        protocol,
        (*wrong, *unknown),
    )


def _nearer(preload: str | None, flip_angle: float | None) -> Protocol:
    """Return the consensus option to compare with."""
    if preload == "none" or (preload is None and flip_angle is not None and flip_angle < 45):
        return "consensus_low_flip"
    return "consensus_preload"


def _echo(field_strength: float | None, echo_times: tuple[float, ...]) -> str | None:
    """Compare the echo time with the range of the nearer field strength."""
    if field_strength is None or not echo_times:
        return "echo time or field strength unknown"
    nominal = min(_TE_RANGE, key=lambda value: abs(value - field_strength))
    low, high = _TE_RANGE[nominal]
    te = max(echo_times)
    if abs(nominal - field_strength) > 0.3:
        return f"the consensus covers 1.5 and 3 T, not {field_strength:g} T"
    if low - _TE_TOLERANCE <= te <= high + _TE_TOLERANCE:
        return None
    return (
        f"echo time {1e3 * te:.0f} ms is outside {1e3 * low:.0f} to {1e3 * high:.0f} ms"
        f" at {nominal:g} T"
    )


def _flip(flip_angle: float | None, option: Protocol) -> str | None:
    """Compare the flip angle."""
    if flip_angle is None:
        return "flip angle unknown"
    if abs(flip_angle - _FLIP[option]) <= _FLIP_TOLERANCE:
        return None
    return f"flip angle {flip_angle:g} is not {_FLIP[option]:g} degrees"


def _preload(preload: str | None, option: Protocol) -> str | None:
    """Compare the preload; a DCE injection is a preload of its own dose."""
    if preload is None:
        return "preload unknown"
    if option == "consensus_preload" and preload == "partial":
        return "the preload is partial"
    return None


def _dose(dose: float | None) -> str | None:
    """Compare the dose of the imaged bolus."""
    if dose is None:
        return "dose unknown"
    if _FULL_DOSE[0] <= dose <= _FULL_DOSE[1]:
        return None
    return f"dose {dose:g} mmol/kg is not a full dose"
