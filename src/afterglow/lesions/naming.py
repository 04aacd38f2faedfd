"""Which structures of a file are lesions, by rules on their names and types."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# Interpreted types that no lesion has (DICOM PS3.3 C.8.8.8).
_NO_LESION = frozenset(
    {
        "EXTERNAL", "ORGAN", "AVOIDANCE", "SUPPORT", "FIXATION", "MARKER", "REGISTRATION",
        "ISOCENTER", "CAVITY", "CONTRAST_AGENT", "BOLUS", "DOSE_REGION", "CONTROL",
        "DOSE_MEASUREMENT",
    }
)  # fmt: skip
_MARGIN = frozenset({"PTV", "CTV", "ITV"})


@dataclass(frozen=True)
class Role:
    """What a structure is: ``lesion``, ``margin`` (drawn around one) or ``none``.

    The rule is the interpreted type, the pattern that matched the name, or ``default``.
    """

    role: str
    rule: str


def role_of(name: str, kind: str, no_lesion: Sequence[str], lesion: Sequence[str] = ()) -> Role:
    """Return what a structure is.

    The name decides before the type, since many writers give every structure one type: first the
    patterns of what is a lesion, then of what is none.

    Parameters
    ----------
    name, kind : str
        Name, and interpreted type (empty where there is none).
    no_lesion, lesion : sequence of str
        Regular expressions searched in the name, whatever its case.

    Examples
    --------
    >>> role_of("Skull", "", ["skull"]).role, role_of("GTV_3", "GTV", ["skull"]).role
    ('none', 'lesion')
    >>> role_of("PTV 3", "", []), role_of("target 2", "ORGAN", [])
    (Role(role='margin', rule='name:ptv'), Role(role='none', rule='type:ORGAN'))
    """
    for pattern in lesion:
        if re.search(pattern, name, re.IGNORECASE):
            return Role("lesion", f"name:{pattern}")
    for pattern in no_lesion:
        if re.search(pattern, name, re.IGNORECASE):
            return Role("none", f"name:{pattern}")
    if kind in _NO_LESION:
        return Role("none", f"type:{kind}")
    margin = re.match(r"\s*(ptv|ctv|itv)", name, re.IGNORECASE)
    if margin:
        return Role("margin", f"name:{margin.group(1).lower()}")
    if kind in _MARGIN and not re.search(r"gtv", name, re.IGNORECASE):
        return Role("margin", f"type:{kind}")
    return Role("lesion", f"type:{kind}" if kind == "GTV" else "default")
