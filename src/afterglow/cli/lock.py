"""One driver per study."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from afterglow.errors import AfterglowError, ExitCode

LOCK = ".driver.lock"
_ATTEMPTS = 3


@contextmanager
def driver_lock(out: Path) -> Iterator[None]:
    """Hold the study against a second driver; the lock falls with the process.

    Raises
    ------
    AfterglowError
        Another driver holds it, or the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        stream = (out / LOCK).open("w")
    except OSError as error:
        raise AfterglowError(
            f"the study's folder cannot be written ({error.strerror})",
            where=str(out),
            remedy="mend its permissions, or mount it for writing",
            exit_code=ExitCode.NOTHING,
        ) from error
    with stream:
        _take(stream, out)
        yield


def _take(stream: TextIO, out: Path) -> None:
    # A look from `status --watch` holds the lock for an instant: try more than once.
    for attempt in range(_ATTEMPTS):
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if attempt == _ATTEMPTS - 1:
                raise AfterglowError(
                    "another `afterglow run` is at work on this study",
                    where=str(out),
                    remedy="wait for it; `afterglow status STUDY --watch` shows how far it is",
                ) from error
            time.sleep(0.1)
        except OSError:
            # A file system without locks: the user keeps two runs apart.
            return
        else:
            return
