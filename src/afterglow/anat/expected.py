"""What a quality number is expected to be: the range of the same number in the cohort.

A limit that suits every scanner is a loose one. Sessions of one center are much alike, so that a
registration whose similarity lies far from that of the center's others deserves a look even where
it passes every limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

Key = tuple[str, str]

# Numbers that depend on the scanner and on the success, and little on the head's position.
NUMBERS = ("nmi", "peak", "template_dice", "brain_dice")
_LEAST_SESSIONS = 6
_LEAST_SPREAD = 0.03


def unusual(
    verdicts: Mapping[Key, Mapping[str, Any]], centers: Mapping[Key, str], limit: float
) -> dict[Key, list[str]]:
    """Return, per session, the numbers that lie far below those of the center's other sessions.

    Parameters
    ----------
    verdicts : mapping
        By subject and session, what stage `anat` says: name to ``{"verdict", "numbers", ...}``.
    centers : mapping
        Center of every session.
    limit : float
        Distance from the median that deserves a look, in robust standard deviations (1.4826 times
        the median absolute deviation, at least 3 % of the median).

    Returns
    -------
    dict
        Texts by session; sessions without any are absent. Centers with fewer than six sessions are
        not judged.

    Examples
    --------
    >>> good = {("a", str(k)): {"dsc_to_T1w": {"numbers": {"nmi": 0.1}}} for k in range(6)}
    >>> bad = {("b", "1"): {"dsc_to_T1w": {"numbers": {"nmi": 0.07}}}}
    >>> every = {**good, **bad}
    >>> unusual(every, dict.fromkeys(every, "north"), 5.0)
    {('b', '1'): ['dsc_to_T1w: look (nmi 0.07 is unusual, 0.1 in the center)']}
    """
    found: dict[Key, list[str]] = {}
    for center in sorted(set(centers.values())):
        inside = [key for key in verdicts if centers.get(key) == center]
        for name, number in sorted(_measured(verdicts, inside)):
            values = {
                key: float(verdicts[key][name]["numbers"][number])
                for key in inside
                if number in (verdicts[key].get(name) or {}).get("numbers", {})
            }
            for key, text in _low(values, limit):
                found.setdefault(key, []).append(f"{name}: look ({number} {text})")
    return found


def _measured(verdicts: Mapping[Key, Mapping[str, Any]], keys: list[Key]) -> set[tuple[str, str]]:
    return {
        (name, number)
        for key in keys
        for name, verdict in verdicts[key].items()
        for number in verdict.get("numbers", {})
        if number in NUMBERS
    }


def _low(values: Mapping[Key, float], limit: float) -> Iterator[tuple[Key, str]]:
    """Yield the sessions whose number is unusually low, with words."""
    if len(values) < _LEAST_SESSIONS:
        return
    every = np.array(list(values.values()))
    middle = float(np.median(every))
    spread = max(1.4826 * float(np.median(np.abs(every - middle))), _LEAST_SPREAD * abs(middle))
    for key, value in values.items():
        if value < middle - limit * spread:
            yield key, f"{value:.3g} is unusual, {middle:.3g} in the center"
