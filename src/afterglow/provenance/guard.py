"""One process per job at a time, an end to a job that hangs, and where it may write meanwhile."""

from __future__ import annotations

import faulthandler
import fcntl
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

LOCKS = Path(".work/locks")
SCRATCH = "AFTERGLOW_SCRATCH"
HUNG = "Timeout ("


@contextmanager
def alone(root: Path, key: str) -> Iterator[None]:
    """Hold a job against every other process that was asked for it.

    After a driver was killed its jobs may go on. Whoever is asked for such a job again waits here
    and then finds the result in the store. The lock falls with its process, however that ends;
    a file system without locks does without.
    """
    with _held(root / LOCKS / key) as stream:
        try:
            yield
        finally:
            # By name, since a child that a stage left behind would else hold on.
            with suppress(OSError):
                fcntl.flock(stream, fcntl.LOCK_UN)


def _held(path: Path) -> TextIO:
    """Return a locked file that still stands under its name.

    A new run clears away the locks of dead processes; who opened one just before would else hold
    a file that nobody else ever sees.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX)
        except OSError as error:
            sys.stderr.write(f"warning: the study's file system has no locks ({error.strerror})\n")
            return stream
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(stream.fileno()), path.stat()):
                return stream
        stream.close()


def began(root: Path, key: str) -> bool:
    """Tell whether a process was started on a job in this run, alive or not."""
    return (root / LOCKS / key).exists()


def forget(root: Path, key: str) -> None:
    """Remove what a dead process left of its hold on a job."""
    path = root / LOCKS / key
    try:
        stream = path.open("r+")
    except OSError:
        return
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        except OSError:
            pass
        # Held meanwhile, so that who comes now sees that the name is gone and begins anew.
        path.unlink(missing_ok=True)


def is_held(root: Path, key: str) -> bool:
    """Tell whether a live process is at work on a job, on this or another machine."""
    return is_locked(root / LOCKS / key)


def is_locked(path: Path) -> bool:
    """Tell whether a live process holds a file."""
    try:
        with path.open() as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def waited(root: Path, key: str, inputs: Iterable[Path]) -> float | None:
    """Return the seconds between the last input of a job and its start.

    All times are those of the study's file server, so that no clock of a node enters. None where
    nothing tells when the job could have started.
    """
    files = [*inputs, root / ".work/tickets" / f"{key}.json"]
    ready = [path.stat().st_mtime for path in files if path.exists()]
    lock = root / LOCKS / key
    if not ready or not lock.exists():
        return None
    os.utime(lock)
    return round(max(lock.stat().st_mtime - max(ready), 0.0), 1)


def scratch_folder(root: Path, key: str) -> Path:
    """Return where a job writes until all is well.

    Inside the study, or below the folder that the environment variable ``AFTERGLOW_SCRATCH`` names:
    the local disk of a node, possibly by another variable that is known only there
    (``$SLURM_TMPDIR``).
    """
    named = os.path.expandvars(os.environ.get(SCRATCH, ""))
    if named and "$" not in named:
        return Path(named) / f"afterglow-{key}"
    return root / ".work" / key


@contextmanager
def limited(seconds: float | None) -> Iterator[None]:
    """End this process where it is still at work after so many seconds.

    The watch is a thread without Python's lock, so that it also ends compiled code that hangs; it
    writes where that was to stderr first.
    """
    if seconds is None:
        yield
        return
    faulthandler.dump_traceback_later(seconds, exit=True, file=2)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
