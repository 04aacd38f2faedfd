"""Dates and times of day as DICOM writes them."""

from __future__ import annotations

import datetime as dt
import re

_DAY = 86400.0
# seconds are counted from 2000-01-01, so that doubles resolve them to a tenth of a microsecond
_EPOCH = dt.date(2000, 1, 1).toordinal()
_TIME = re.compile(r"^(\d{2})(\d{2})?(\d{2})?(?:\.(\d{1,6}))?$")
_OFFSET = re.compile(r"[+-]\d{4}$")


def seconds_of_day(text: str | None) -> float | None:
    """Return a DICOM time (TM) as seconds since midnight; None where it is no time.

    Examples
    --------
    >>> seconds_of_day("074121"), seconds_of_day("122500.537500"), seconds_of_day("07:41:21")
    (27681.0, 44700.5375, 27681.0)
    >>> seconds_of_day("251200") is None
    True
    """
    if not text:
        return None
    found = _TIME.match(text.strip().replace(":", ""))
    if found is None:
        return None
    hour, minute, second = (int(part or 0) for part in found.groups()[:3])
    if hour > 23 or minute > 59 or second > 60:
        return None
    return 3600.0 * hour + 60.0 * minute + second + int((found[4] or "0").ljust(6, "0")) / 1e6


def ordinal(text: str | None) -> int | None:
    """Return a DICOM date (DA) as a day number; None where it is no date.

    Examples
    --------
    >>> ordinal("20240301") - ordinal("2024.02.28")
    2
    """
    digits = (text or "").strip().replace(".", "").replace("-", "")[:8]
    if len(digits) != 8 or not digits.isdigit():
        return None
    try:
        return dt.date(int(digits[:4]), int(digits[4:6]), int(digits[6:])).toordinal()
    except ValueError:
        return None


def instant(text: str | None) -> float | None:
    """Return a DICOM date and time (DT) as seconds on one clock; a zone offset is left off.

    Examples
    --------
    >>> round(instant("20250312133143.232500") - instant("20250312133107.032500+0100"), 6)
    36.2
    """
    if not text or len(text) < 14:
        return None
    text = _OFFSET.sub("", text.strip())
    return joined(text[:8], text[8:])


def joined(date: str | None, time: str | None) -> float | None:
    """Return a date and a time of day as seconds on one clock; midnight where there is no date."""
    seconds = seconds_of_day(time)
    if seconds is None:
        return None
    day = ordinal(date)
    return (0 if day is None else day - _EPOCH) * _DAY + seconds


def is_whole(text: str | None) -> bool:
    """Tell whether a time carries no fraction of a second."""
    return "." not in (text or "") or set((text or "").split(".")[-1]) <= {"0"}
