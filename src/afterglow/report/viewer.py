"""The viewer of one session as a page that needs nothing else, and its parts for a server."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from afterglow import __version__
from afterglow.report.render import page

Find = Callable[[str], Path]
ASSETS = Path(__file__).parent / "assets"
FIRST = ("T1w", "rCBV", "Ktrans", "PSR", "CBF", "CBV", "ve", "vp", "T1", "K2", "PH", "Tmax", "MTT")
RANGES: dict[str, tuple[float, float]] = {
    "rCBV": (0.0, 4.0),
    "PSR": (0.0, 120.0),
    "Ktrans": (0.0, 0.3),
    "ve": (0.0, 0.6),
    "vp": (0.0, 0.1),
    "T1": (0.5, 3.0),
    "PH": (0.0, 60.0),
    "Tmax": (0.0, 8.0),
    "MTT": (0.0, 10.0),
}


@dataclass(frozen=True)
class Layer:
    """One image of the viewer: either the bytes of a NIfTI file, or where to fetch them."""

    name: str
    title: str
    kind: str
    units: str = ""
    span: tuple[float, float] | None = None
    content: bytes | None = None
    url: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return what the page's script reads."""
        entry: dict[str, Any] = {"name": self.name, "title": self.title, "kind": self.kind}
        entry |= {"units": self.units, "span": self.span}
        if self.content is None:
            return entry | {"url": self.url}
        return entry | {"data": base64.b64encode(self.content).decode("ascii")}


@dataclass(frozen=True)
class View:
    """One timepoint: its layers, its lesions as points to jump to (mm), and what was left out."""

    title: str
    layers: Sequence[Layer]
    points: Mapping[str, Sequence[float]] = field(default_factory=dict)
    left_out: Sequence[str] = ()


def viewer_page(views: Sequence[View], *, title: str, lede: str, embedded: bool = True) -> str:
    """Return the page of the viewer.

    Parameters
    ----------
    views : sequence of View
        Timepoints in one space, side by side, with one crosshair.
    title, lede : str
        Heading and the sentence below it.
    embedded : bool
        Whether the program stands in the page, for the file system; else the server gives it.
    """
    content = [
        {
            "title": view.title,
            "layers": [layer.as_dict() for layer in view.layers],
            "points": {name: [round(float(x), 1) for x in p] for name, p in view.points.items()},
        }
        for view in views
    ]
    return page(
        "viewer.html.j2",
        version=__version__,
        title=title,
        lede=lede,
        program=packed_program() if embedded else "",
        # Within a script element only `</` could end it.
        config=json.dumps(content, sort_keys=True).replace("</", "<\\/"),
        left_out=[f"{v.title}: {', '.join(v.left_out)}" for v in views if v.left_out],
        titles=[v.title for v in views],
    )


def program() -> bytes:
    """Return NiiVue, as its authors publish it."""
    return (ASSETS / "niivue.umd.js").read_bytes()


@lru_cache(maxsize=1)
def packed_program() -> str:
    """Return NiiVue compressed and in letters, as it stands in a page."""
    return base64.b64encode(gzip.compress(program(), 9, mtime=0)).decode("ascii")


def chosen(layers: Sequence[Layer], most: int) -> tuple[list[Layer], list[str]]:
    """Return the layers that fit into so many bytes, and the names of those that do not.

    Anatomy and outlines come first, then maps in order of use.

    Examples
    --------
    >>> def layer(name, n):
    ...     return Layer(name, name, "map", content=bytes(n))
    >>> kept, left = chosen([layer("a", 5), layer("rCBV", 5), layer("b", 5)], 10)
    >>> [one.name for one in kept], left
    (['rCBV', 'a'], ['b'])
    """
    kept: list[Layer] = []
    left = []
    room = most
    for layer in sorted(layers, key=_rank):
        size = len(layer.content or b"")
        if size <= room:
            kept.append(layer)
            room -= size
        else:
            left.append(layer.title)
    return kept, left


def _rank(layer: Layer) -> tuple[int, int, str]:
    kind = {"anatomy": 0, "outline": 1}.get(layer.kind, 2)
    use = FIRST.index(layer.name) if layer.name in FIRST else len(FIRST)
    return kind, use, layer.name
