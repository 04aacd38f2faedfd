"""What a perfusion value rests on: leakage model, part of the curve, acquisition domain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from afterglow.lesions.relative import SOURCE

if TYPE_CHECKING:
    from afterglow.lesions.measure import Cell


def with_basis(cells: Iterable[Cell], stage: Mapping[str, Any]) -> list[Cell]:
    """Return cells with leakage model, window and acquisition domain of their map.

    Parameters
    ----------
    cells : iterable of Cell
        Values of one perfusion series.
    stage : mapping
        Summary of the stage that made the maps. Values of a mean curve rest on the same windows
        as the map of their name; a map that names no window is of the whole series.
    """
    domain = _domain_text(stage.get("domain") or {})
    maps = stage.get("maps") or {}
    known: dict[str, dict[str, Any]] = {}
    out = []
    for cell in cells:
        if cell.map not in known:
            entry = maps.get(SOURCE.get(cell.map, cell.map)) or {}
            known[cell.map] = {
                "leakage_model": str(entry.get("leakage_model") or "none"),
                "window": str(entry.get("window") or "whole series"),
                "normalization": str(entry.get("normalization") or "none"),
                "domain": domain,
            }
        facts = dict(known[cell.map])
        if cell.normalization != "none":
            del facts["normalization"]
        out.append(replace(cell, **facts))
    return out


def _domain_text(domain: Mapping[str, Any]) -> str:
    """Return the stage's own line on its acquisition, else its single facts in order of name."""
    if domain.get("text"):
        return str(domain["text"])
    facts = {k: v for k, v in domain.items() if isinstance(v, str | int | float)}
    told = "; ".join(f"{name} {value}" for name, value in sorted(facts.items()))
    return told or "unknown"
