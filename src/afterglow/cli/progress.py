"""What happens in a run, told from the files it writes: whoever runs the jobs, wherever."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO

from afterglow.provenance.dag import Dag
from afterglow.provenance.guard import LOCKS
from afterglow.provenance.places import TICKETS, JobId
from afterglow.provenance.records import STATES, read_state, unit_name

_MARKS = {"done": "done", "not_evaluable": "not evaluable", "failed": "FAILED"}
_ALL_AGAIN = 40


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


@dataclass(frozen=True)
class Event:
    """A job that started or ended.

    ``seconds`` is how long it ran as seen from here, or None; ``status`` is empty at the start.
    """

    event: Literal["started", "ended"]
    stage: str
    subject: str | None
    session: str | None
    status: str = ""
    reason: str = ""
    seconds: float | None = None


class Tracker:
    """Notice jobs that start and end.

    A look opens no file but the states that are new, and lists only folders that changed, so that a
    study of ten thousand sessions on a file server can be followed.

    Parameters
    ----------
    root : Path
        The study's ``out``.
    jobs : mapping of str to JobId
        The planned jobs by key.
    """

    def __init__(self, root: Path, jobs: Mapping[str, JobId]) -> None:
        self._root = root
        self.total = len(jobs)
        self.planned = Counter(stage for stage, *_ in jobs.values())
        self.ended: Counter[tuple[str, str]] = Counter()
        self.began = time.monotonic()
        self._unstarted = dict(jobs)
        self._waiting: dict[str, dict[str, tuple[str, JobId]]] = {}
        for key, job in jobs.items():
            name = f"{unit_name(job[1], job[2])}.json"
            self._waiting.setdefault(job[0], {})[name] = (key, job)
        self._seen: dict[Path, int] = {}
        self._since: dict[JobId, float] = {}
        self._looks = 0

    @property
    def finished(self) -> int:
        """How many of the planned jobs have a current state."""
        return sum(self.ended.values())

    @property
    def running(self) -> Counter[str]:
        """Jobs by stage that were seen to start and not yet to end."""
        return Counter(stage for stage, *_ in self._since)

    @property
    def left(self) -> float | None:
        """Seconds until the end at the present rate, or None before anything ended."""
        elapsed = time.monotonic() - self.began
        return elapsed / self.finished * (self.total - self.finished) if self.finished else None

    def look(self, *, last: bool = False) -> list[Event]:
        """Return what happened since the last look."""
        # Two changes within one tick of a file server's clock look like one: look at all at times.
        everything = last or self._looks % _ALL_AGAIN == 0
        self._looks += 1
        events = self._starts(everything)
        for stage, waiting in self._waiting.items():
            events += self._ends(stage, waiting, everything)
        return events

    def _starts(self, everything: bool) -> list[Event]:
        events = []
        for name in self._names(self._root / LOCKS, everything):
            job = self._unstarted.pop(name, None)
            if job is not None:
                self._since[job] = time.monotonic()
                events.append(Event("started", *job))
        return events

    def _ends(
        self, stage: str, waiting: dict[str, tuple[str, JobId]], everything: bool
    ) -> list[Event]:
        events = []
        if not waiting:
            return []
        for name in self._names(self._root / STATES / stage, everything):
            key, job = waiting.get(name, ("", None))
            state = read_state(self._root / STATES / stage / name) if job is not None else None
            if job is None or state is None or state.key != key:
                continue
            del waiting[name]
            self.ended[stage, state.status] += 1
            since = self._since.pop(job, None)
            took = round(time.monotonic() - since, 1) if since is not None else None
            events.append(Event("ended", *job, state.status, state.reason, took))
        return events

    def _names(self, folder: Path, everything: bool) -> list[str]:
        try:
            changed = folder.stat().st_mtime_ns
            if self._seen.get(folder) == changed and not everything:
                return []
            self._seen[folder] = changed
            return sorted(path.name for path in folder.iterdir())
        except FileNotFoundError:
            return []


def tracker_of(dag: Dag, jobs: Iterable[JobId]) -> Tracker:
    """Return the tracker of some planned jobs."""
    return Tracker(dag.study.out, {dag.jobs[job].key: job for job in jobs})


def tracker_elsewhere(root: Path) -> Tracker:
    """Return the tracker of the run that is at work on a study, from another shell."""
    jobs: dict[str, JobId] = {}
    for path in (root / TICKETS).glob("[!.]*.json"):
        ticket = json.loads(path.read_text(encoding="utf-8"))
        jobs[path.stem] = (ticket["stage"], ticket["subject"], ticket["session"])
    return Tracker(root, jobs)


@dataclass
class Lines:
    """Print one line per job that starts or ends: for logs."""

    tracker: Tracker
    stream: TextIO = field(default_factory=lambda: sys.stderr)

    def look(self, *, last: bool = False) -> int:
        """Report what happened since the last look."""
        done = self.tracker.finished
        for event in self.tracker.look(last=last):
            done += event.event == "ended"
            self._line(event, done)
        return self.tracker.finished

    def _line(self, event: Event, done: int) -> None:
        total = self.tracker.total
        elapsed = time.monotonic() - self.tracker.began
        left = f", about {clock(elapsed / done * (total - done))} left" if 0 < done < total else ""
        told = "started"
        if event.event == "ended":
            took = f" {clock(event.seconds)}" if event.seconds is not None else ""
            told = _MARKS[event.status] + (f" ({event.reason})" if event.reason else "") + took
        unit = unit_name(event.subject, event.session)
        count = f"[{done:{len(str(total))}}/{total}]"
        self.stream.write(f"{count} {event.stage:12} {unit:28} {told}  ({clock(elapsed)}{left})\n")
        self.stream.flush()


@dataclass
class Events:
    """Print one JSON object per event: for programs."""

    tracker: Tracker
    stream: TextIO = field(default_factory=lambda: sys.stdout)

    def __post_init__(self) -> None:
        self._write({"event": "planned", "jobs": dict(self.tracker.planned)})

    def look(self, *, last: bool = False) -> int:
        """Write what happened since the last look."""
        for event in self.tracker.look(last=last):
            self._write(asdict(event))
        return self.tracker.finished

    def _write(self, values: dict[str, Any]) -> None:
        self.stream.write(json.dumps(values) + "\n")
        self.stream.flush()
