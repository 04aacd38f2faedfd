"""Agent and dose of one bolus: from its header, else from what the center says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from afterglow.dicom.agents import agent_of

if TYPE_CHECKING:
    from afterglow.config.center import CenterConfig


# volumes and weights are rounded, and doses named by one digit
_ROUNDED = 0.15


@dataclass(frozen=True)
class Bolus:
    """What was injected: ``agent``, ``dose`` (mmol/kg), their sources, and contradictions.

    A source is ``dicom``, ``center``, ``center_not_dicom`` (a header that states the total of
    several injections) or ``none``.
    """

    agent: str | None
    agent_source: str
    dose: float | None
    dose_source: str
    doubts: tuple[str, ...] = ()


def bolus_of(sidecar: dict[str, Any], center: CenterConfig | None) -> Bolus:
    """Return agent and dose of the series of a sidecar; the header wins over the center.

    A center has one agent, so that another in the header is a doubt. Its boluses may differ in
    dose; but where every injection of the study states one volume, and that is as many times the
    center's dose as there were injections, the headers state the total: the center counts.

    Examples
    --------
    >>> bolus_of({"ContrastBolusAgent": "gadolinium", "ContrastBolusDose": 0.05}, None)
    Bolus(agent=None, agent_source='none', dose=0.05, dose_source='dicom', doubts=())
    """
    seen = agent_of(sidecar.get("ContrastBolusAgent"))
    given = sidecar.get("ContrastBolusDose")
    site_agent = center.contrast_agent if center else None
    site_dose = center.dose if center else None
    doubts = []
    if seen and site_agent and seen != site_agent:
        doubts.append(f"the header says {seen}, the center {site_agent}: the header counts")
    source = _source(given, site_dose)
    injections = sidecar.get("InjectionsOfSameVolume") or 1
    if given and site_dose and injections > 1 and _total(given, site_dose, injections):
        doubts.append(
            f"each of {injections} injections states {given:g} mmol/kg, {injections} times the "
            f"{site_dose:g} of the center, as where headers state the total: the center counts"
        )
        given, source = None, "center_not_dicom"
    return Bolus(
        seen or site_agent,
        _source(seen, site_agent),
        float(given) if given else site_dose,
        source,
        tuple(doubts),
    )


def shared_volume(sidecar: dict[str, Any], center: CenterConfig | None) -> list[str]:
    """Return the doubt where a dose may be the total of several injections and no site tells."""
    injections, given = sidecar.get("InjectionsOfSameVolume") or 1, sidecar.get("ContrastBolusDose")
    if injections < 2 or not given or (center and center.dose):
        return []
    doubt = (
        f"each of {injections} injections states {given:g} mmol/kg: if that is their total, the "
        f"input is {injections} times too high; `dose` of the center settles it"
    )
    return [doubt]


def _total(given: float, site: float, injections: int) -> bool:
    return abs(float(given) / (injections * site) - 1.0) <= _ROUNDED


def _source(header: Any, site: Any) -> str:
    if header:
        return "dicom"
    return "center" if site else "none"
