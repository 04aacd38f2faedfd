"""Relaxivities of contrast agents and T1 of tissue, each with its source."""

from __future__ import annotations

from typing import Literal, NamedTuple

from afterglow.dicom.agents import agent_of

__all__ = [
    "Constant",
    "Medium",
    "agent_of",
    "blood_t1",
    "relaxivity",
    "tissue_t1",
    "transverse_relaxivity",
]

Medium = Literal["blood", "plasma"]


class Constant(NamedTuple):
    """A physical constant and where it comes from."""

    value: float
    source: str


_SHEN = "Shen 2015 (Invest Radiol 50:330), whole blood, 37 C"
_ROHRER = "Rohrer 2005 (Invest Radiol 40:715), plasma, 37 C"
_STANISZ = "Stanisz 2005 (MRM 54:507)"

# By agent, then (1.5 T, 3 T), 1/(s mM).
_BLOOD: dict[str, tuple[float, float]] = {
    "gadobutrol": (4.6, 4.5),
    "gadoterate": (3.9, 3.4),
    "gadoteridol": (4.4, 3.5),
    "gadopentetate": (4.3, 3.8),
    "gadobenate": (6.2, 5.4),
    "gadodiamide": (4.5, 3.9),
    "gadoxetate": (7.2, 5.5),
    "gadoversetamide": (4.4, 4.2),
}
_PLASMA: dict[str, tuple[float, float]] = {
    "gadobutrol": (5.2, 5.0),
    "gadoterate": (3.6, 3.5),
    "gadoteridol": (4.1, 3.7),
    "gadopentetate": (4.1, 3.7),
    "gadobenate": (6.3, 5.5),
    "gadodiamide": (4.3, 4.0),
    "gadoversetamide": (4.7, 4.5),
}
# r2 in plasma. Cells and inhomogeneity only add to it, so that R2* of blood is no lower.
_TRANSVERSE: dict[str, tuple[float, float]] = {
    "gadobutrol": (6.1, 7.1),
    "gadoterate": (4.3, 4.9),
    "gadoteridol": (5.0, 5.7),
    "gadopentetate": (4.6, 5.2),
    "gadobenate": (8.7, 11.0),
    "gadodiamide": (5.2, 5.6),
    "gadoversetamide": (5.2, 5.9),
}
_TISSUE: dict[str, tuple[float, float]] = {"WM": (0.884, 1.084), "GM": (1.124, 1.820)}
_CSF = 4.2


def relaxivity(agent: str, field: float, medium: Medium = "blood") -> Constant | None:
    """Return the longitudinal relaxivity (1/(s mM)), or None where no trusted one is known.

    Parameters
    ----------
    agent : str
        Name of the agent, as :func:`agent_of` returns it.
    field : float
        Field strength (T); values from 1.4 to 1.6 and from 2.8 to 3.2 are known.
    medium : "blood" or "plasma"
        Whole blood (Shen 2015) or plasma (Rohrer 2005).

    Examples
    --------
    >>> relaxivity("gadobutrol", 3.0).value
    4.5
    >>> relaxivity("gadopiclenol", 3.0) is None
    True
    """
    table, source = (_BLOOD, _SHEN) if medium == "blood" else (_PLASMA, _ROHRER)
    column = _column(field)
    if agent not in table or column is None:
        return None
    return Constant(table[agent][column], f"{source}, {agent} at {(1.5, 3)[column]} T")


def transverse_relaxivity(agent: str | None, field: float | None) -> Constant | None:
    """Return the least that contrast adds to R2* of blood (1/(s mM)), or None where unknown.

    It is r2 in plasma: susceptibility adds to it, by an amount that depends on the sequence and
    has no trusted value.

    Examples
    --------
    >>> transverse_relaxivity("gadobutrol", 3.0).value
    7.1
    >>> transverse_relaxivity("gadopiclenol", 3.0) is None
    True
    """
    column = None if field is None else _column(field)
    if agent not in _TRANSVERSE or column is None:
        return None
    where = f"r2 of {agent} at {(1.5, 3)[column]} T, recalled and not read again"
    return Constant(_TRANSVERSE[agent][column], f"{_ROHRER}, {where}")


def tissue_t1(tissue: Literal["WM", "GM", "CSF"], field: float) -> Constant | None:
    """Return the T1 (s) of healthy tissue, or None where the field is not known.

    Examples
    --------
    >>> tissue_t1("WM", 3.0).value
    1.084
    """
    column = _column(field)
    if column is None:
        return None
    if tissue == "CSF":
        return Constant(_CSF, f"{_STANISZ}, CSF")
    return Constant(_TISSUE[tissue][column], f"{_STANISZ}, {tissue} at {(1.5, 3)[column]} T")


def blood_t1(hematocrit: float, field: float, arterial: bool = True) -> Constant | None:
    """Return the T1 (s) of blood, at 3 T by haematocrit, at 1.5 T a single value.

    Examples
    --------
    >>> round(blood_t1(0.42, 3.0).value, 3), round(blood_t1(0.42, 3.0, arterial=False).value, 3)
    (1.671, 1.591)
    """
    column = _column(field)
    if column == 1:
        slope, offset = (0.52, 0.38) if arterial else (0.83, 0.28)
        return Constant(1.0 / (slope * hematocrit + offset), "Lu 2004 (MRM 52:679), 3 T")
    if column == 0:
        return Constant(1.441, f"{_STANISZ}, blood at 1.5 T")
    return None


def _column(field: float) -> int | None:
    """Return 0 for 1.5 T, 1 for 3 T, None for other fields."""
    if 1.4 <= field <= 1.6:
        return 0
    return 1 if 2.8 <= field <= 3.2 else None
