"""Show how a run goes: stage, session, done/total, elapsed, what is left."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from afterglow.provenance.dag import Dag, JobId, PlannedJob
from afterglow.provenance.records import read_state

_MARKS = {"done": "done", "not_evaluable": "not evaluable", "failed": "FAILED"}


def clock(seconds: float) -> str:
    """Return a duration as minutes and seconds, or hours where there are any.

    Examples
    --------
    >>> clock(75), clock(3725)
    ('1:15', '1:02:05')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@dataclass
class Progress:
    """Print one line per finished job, and one when a job starts.

    It only watches states and scratch folders, so it works whoever runs the jobs.
    """

    dag: Dag
    planned: Iterable[JobId]
    stream: TextIO = field(default_factory=lambda: sys.stderr)
    begun: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._waiting = {job_id: self.dag.jobs[job_id] for job_id in self.planned}
        self._total = len(self._waiting)
        self._started: dict[JobId, float] = {}

    @property
    def finished(self) -> int:
        """How many of the planned jobs have a current state."""
        return self._total - len(self._waiting)

    def look(self) -> None:
        """Report every job that started or ended since the last look."""
        root = self.dag.study.out
        for job_id, job in list(self._waiting.items()):
            if self._ended(root, job):
                del self._waiting[job_id]
            elif job_id not in self._started and (root / ".work" / job.key).is_dir():
                self._started[job_id] = time.monotonic()
                self._line(f"{job.stage:12} {job.unit:28} started")

    def _ended(self, root: Path, job: PlannedJob) -> bool:
        path = root / job.state
        if not path.exists():
            return False
        state = read_state(path)
        if state is None or state.key != job.key:
            return False
        since = self._started.get(job.id)
        took = f" {clock(time.monotonic() - since)}" if since is not None else ""
        note = _MARKS[state.status] + (f" ({state.reason})" if state.reason else "")
        self._line(f"{job.stage:12} {job.unit:28} {note}{took}", ended=1)
        return True

    def _line(self, text: str, ended: int = 0) -> None:
        done = self.finished + ended
        elapsed = time.monotonic() - self.begun
        left = ""
        if done and self._total > done:
            left = f", about {clock(elapsed / done * (self._total - done))} left"
        width = len(str(self._total))
        self.stream.write(f"[{done:{width}}/{self._total}] {text}  ({clock(elapsed)}{left})\n")
        self.stream.flush()
