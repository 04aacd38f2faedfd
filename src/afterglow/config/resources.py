"""Where the data files that ship with the package are, in a clone and installed."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def resource(relative: str) -> Path:
    """Return a file or folder of the repository: ``config/...``, ``workflow/...``, ``rules/...``.

    In a wheel they lie in ``afterglow/_bundle``; in a clone beside ``src``. A folder named by the
    environment variable ``AFTERGLOW_RESOURCES`` comes before both.

    Raises
    ------
    FileNotFoundError
        Neither place has it.

    Examples
    --------
    >>> resource("config").is_dir()
    True
    """
    override = os.environ.get("AFTERGLOW_RESOURCES")
    bases = [Path(override)] if override else []
    for base in (*bases, _PACKAGE / "_bundle", _PACKAGE.parents[1]):
        found = base / relative
        if found.exists():
            return found
    message = f"{relative} is missing from the installation"
    raise FileNotFoundError(message)
