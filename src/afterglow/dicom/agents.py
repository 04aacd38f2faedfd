"""Contrast agents by the names that scanners and people give them."""

from __future__ import annotations

import re
from typing import NamedTuple


class Agent(NamedTuple):
    """How an agent is called, and how much of it a millilitre holds (mmol)."""

    pattern: re.Pattern[str]
    molar: float


def _agent(pattern: str, molar: float) -> Agent:
    return Agent(re.compile(pattern), molar)


# Patterns are searched in the lower-case letters and digits of a text. Some names begin like those
# of other agents: gadoteridol like gadoterate, Gd-DTPA-BMA and -BMEA like Gd-DTPA.
AGENTS: dict[str, Agent] = {
    "gadobutrol": _agent("gadobutrol|gad[ao]vist|gdbtdo3a|gddo3abutrol", 1.0),
    "gadoterate": _agent("gadoter(?!id)|dotarem|clariscan|artirem|dotagraf|gddota", 0.5),
    "gadoteridol": _agent("gadoterid|prohance|gdhpdo3a", 0.5),
    "gadopentetate": _agent("gadopentet|magnevist|magnograf|gddtpa(?!bm)", 0.5),
    "gadobenate": _agent("gadoben|multihance|gdbopta", 0.5),
    "gadodiamide": _agent("gadodiamid|omniscan|gddtpabma", 0.5),
    "gadoxetate": _agent("gadoxet|primovist|eovist|gdeobdtpa", 0.25),
    "gadoversetamide": _agent("gadoverset|optimark|gddtpabmea", 0.5),
    "gadopiclenol": _agent("gadopiclenol|elucirem|vueway", 0.5),
}
_NONE = frozenset({"", "0", "n", "no", "none", "without", "nocontrast", "nocontrastagent", "na"})


def agent_of(text: str | None) -> str | None:
    """Return the one agent that a free text (DICOM ContrastBolusAgent) names, else None.

    Examples
    --------
    >>> agent_of("GADAVIST 7.5ml"), agent_of("Gadoteric acid"), agent_of("Gadoteridol")
    ('gadobutrol', 'gadoterate', 'gadoteridol')
    >>> agent_of("Gd-DTPA-BMA"), agent_of("contrast"), agent_of("Gadovist or Dotarem")
    ('gadodiamide', None, None)
    """
    squeezed = _squeezed(text)
    found = [name for name, agent in AGENTS.items() if agent.pattern.search(squeezed)]
    return found[0] if len(found) == 1 else None


def normalized_agent(text: str | None) -> str | None:
    """Return the generic name of a contrast agent, or what else the text says of one.

    ``gadolinium`` where it names none or several of the known ones, ``unspecified`` where it
    does not even say gadolinium, None where it says that there was none.

    Examples
    --------
    >>> normalized_agent("Dotarem 15ml"), normalized_agent("GADOVIST"), normalized_agent("Gd")
    ('gadoterate', 'gadobutrol', 'gadolinium')
    >>> normalized_agent("none") is None
    True
    """
    squeezed = _squeezed(text)
    if squeezed in _NONE:
        return None
    name = agent_of(text)
    if name is not None:
        return name
    known = any(agent.pattern.search(squeezed) for agent in AGENTS.values())
    known = known or "gad" in squeezed or squeezed.startswith("gd")
    return "gadolinium" if known else "unspecified"


def _squeezed(text: str | None) -> str:
    return re.sub(r"[^a-z0-9]", "", (text or "").lower())
