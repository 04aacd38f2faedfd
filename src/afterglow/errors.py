"""Errors that say what happened, where, what was expected, and what to do about it."""

from __future__ import annotations

import errno
from enum import IntEnum

_PASSING = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EIO,
    errno.ENOMEM,
    errno.ESTALE,
}


class ExitCode(IntEnum):
    """Exit codes of every command."""

    DONE = 0
    USAGE = 2
    PARTIAL = 3
    NOTHING = 4
    FINDINGS = 5


class AfterglowError(Exception):
    """A failure a person can act on.

    Parameters
    ----------
    what : str
        What was seen, in one sentence.
    where : str, optional
        The file, key or series concerned; DICOM files only as ``center:<hash>``.
    expected : str, optional
        What was expected instead.
    remedy : str, optional
        What to do about it.
    transient : bool, optional
        True where trying again may help (full disk, lost permission).
    exit_code : ExitCode, optional
        Exit status of a command that ends with this error.

    Examples
    --------
    >>> print(AfterglowError("3 frames found", where="north:0a1b2c3d4e5f", expected="60 frames"))
    3 frames found; in north:0a1b2c3d4e5f; expected 60 frames
    """

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        expected: str = "",
        remedy: str = "",
        transient: bool = False,
        exit_code: ExitCode = ExitCode.USAGE,
    ) -> None:
        self.what, self.where, self.expected, self.remedy = what, where, expected, remedy
        self.transient = transient
        self.exit_code = exit_code
        parts = [what, f"in {where}" if where else "", f"expected {expected}" if expected else ""]
        parts.append(f"remedy: {remedy}" if remedy else "")
        super().__init__("; ".join(part for part in parts if part))


def is_transient(error: BaseException) -> bool:
    """Tell whether trying again may help: no memory, no space, no permission, a lost file handle.

    What an error was raised from counts too.

    Examples
    --------
    >>> is_transient(OSError(28, "No space left on device")), is_transient(ValueError("frames"))
    (True, False)
    """
    if isinstance(error, OSError) and error.errno in _PASSING:
        return True
    if isinstance(error, MemoryError) or getattr(error, "transient", False):
        return True
    return error.__cause__ is not None and is_transient(error.__cause__)


class NotEvaluable(Exception):
    """A result that honestly cannot be computed: a value of the tables, never a failure.

    Parameters
    ----------
    reason : str
        Short snake_case code, such as ``no_dsc_series`` or ``no_temporal_tag``.
    detail : str, optional
        One sentence for a person.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}" if detail else reason)
