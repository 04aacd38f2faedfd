"""Agent and dose of one bolus: from its header, else from what the center says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from afterglow.dicom.agents import agent_of

if TYPE_CHECKING:
    from afterglow.config.center import CenterConfig


@dataclass(frozen=True)
class Bolus:
    """What was injected: ``agent``, ``dose`` (mmol/kg), their sources, and contradictions.

    A source is ``dicom``, ``center`` or ``none``.
    """

    agent: str | None
    agent_source: str
    dose: float | None
    dose_source: str
    doubts: tuple[str, ...] = ()


def bolus_of(sidecar: dict[str, Any], center: CenterConfig | None) -> Bolus:
    """Return agent and dose of the series of a sidecar; the header wins over the center.

    A center has one agent, so that another in the header is a doubt. Its boluses may differ in
    dose.

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
    return Bolus(
        seen or site_agent,
        _source(seen, site_agent),
        float(given) if given else site_dose,
        _source(given, site_dose),
        tuple(doubts),
    )


def _source(header: Any, site: Any) -> str:
    if header:
        return "dicom"
    return "center" if site else "none"
