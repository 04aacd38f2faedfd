"""Turning facts into one self-contained page: no outside requests, equal bytes for equal facts."""

from __future__ import annotations

import base64
import math
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from afterglow.errors import AfterglowError

TEMPLATES = Path(__file__).parent / "templates"
DASH = "–"


def page(template: str, **facts: Any) -> str:
    """Return a page from a template of this package.

    Parameters
    ----------
    template : str
        File in ``templates``.
    **facts
        What the template names; an unknown name is an error, never an empty place.
    """
    return str(_environment().get_template(template).render(**facts))


def data_uri(path: Path) -> str:
    """Return an image file as a data URI.

    Raises
    ------
    AfterglowError
        Neither PNG nor SVG.
    """
    kinds = {".png": "image/png", ".svg": "image/svg+xml"}
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise AfterglowError("a figure is neither PNG nor SVG", where=path.name)
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def number(value: Any, digits: int = 3) -> str:
    """Return a number with so many significant digits, a dash where there is none.

    Examples
    --------
    >>> number(0.123456), number(None), number(12345.6), number(float("nan")), number(90.0)
    ('0.123', '–', '12346', '–', '90')
    """
    if value is None or isinstance(value, bool | str):
        return DASH if value is None else str(value)
    if isinstance(value, int):
        return str(value)
    number_ = float(value)
    if not math.isfinite(number_):
        return DASH
    if number_ == round(number_) and abs(number_) < 10**digits:
        return str(round(number_))
    places = digits - 1 - math.floor(math.log10(abs(number_)))
    return f"{number_:.{max(places, 0)}f}"


def known(value: Any) -> bool:
    """Tell whether a value is a finite number.

    Examples
    --------
    >>> known(0.0), known(None), known(float("nan"))
    (True, False, False)
    """
    return isinstance(value, int | float) and math.isfinite(value)


def words(value: Any) -> str:
    """Return a code such as ``too_small`` as words.

    Examples
    --------
    >>> words("no_dsc_series")
    'no dsc series'
    """
    return DASH if value in {None, ""} else str(value).replace("_", " ")


def unit(text: Any) -> str:
    """Return the unit of a map as all pages write it, without what its sidecar adds in brackets.

    Examples
    --------
    >>> unit("1/min"), unit("percent of S0"), unit("mL/100 mL/min (relative: from delta R2*)")
    ('1/min', '% of S0', 'mL/100 mL/min')
    >>> unit("1"), unit("1 (ratio to white matter)"), unit("1 (relative: area under delta R2*)")
    ('ratio', 'ratio', 'relative')
    """
    plain, _, note = str(text or "").partition(" (")
    if plain in {"", "1"}:
        return "relative" if note.startswith("relative") else "ratio"
    return plain.replace("percent", "%")


def marked(value: Any) -> Any:
    """Return a text with what stands between backticks as code, safe to put into a page.

    Examples
    --------
    >>> str(marked("see `a < b`"))
    'see <code>a &lt; b</code>'
    """
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(value))))  # noqa: S704  escaped


@lru_cache(maxsize=1)
def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, words=words, marked=marked)
    return environment
