"""A run as a table that keeps itself up to date: stages, rates, what is left, what failed."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from afterglow.cli.lock import LOCK
from afterglow.cli.progress import Event, Tracker, clock, tracker_elsewhere
from afterglow.errors import AfterglowError
from afterglow.provenance.guard import is_locked
from afterglow.provenance.records import unit_name
from afterglow.provenance.stages import STAGES

_LAST_FAILURES = 8


class LiveView:
    """Draw how far a run is, in place.

    Parameters
    ----------
    tracker : Tracker
        What the run does.
    console : Console
        Where to draw.
    """

    def __init__(self, tracker: Tracker, console: Console) -> None:
        self.tracker = tracker
        self._failures: deque[Event] = deque(maxlen=_LAST_FAILURES)
        self._live = Live(console=console, auto_refresh=False)
        self._live.start()

    def look(self, *, last: bool = False) -> int:
        """Draw anew; the last look leaves the picture standing."""
        events = self.tracker.look(last=last)
        self._failures.extend(e for e in events if e.status == "failed")
        self._live.update(self.picture(), refresh=True)
        if last:
            self._live.stop()
        return self.tracker.finished

    def picture(self) -> Group:
        """Return the table and the latest failures."""
        found = self.tracker
        table = Table(show_edge=False, pad_edge=False)
        for name in ("stage", "of", "done", "not evaluable", "failed", "running", "waiting"):
            table.add_column(name, justify="left" if name == "stage" else "right")
        running = found.running
        for stage in (name for name in STAGES if found.planned[name]):
            done, refused, failed = (
                found.ended[stage, status] for status in ("done", "not_evaluable", "failed")
            )
            waiting = found.planned[stage] - done - refused - failed - running[stage]
            numbers = (found.planned[stage], done, refused, failed, running[stage], waiting)
            table.add_row(stage, *(str(number) if number else "" for number in numbers))
        lines = [f"failed: {e.stage} {unit_name(e.subject, e.session)}" for e in self._failures]
        return Group(table, Text(self._rate()), *(Text(line, style="red") for line in lines))

    def _rate(self) -> str:
        found = self.tracker
        elapsed = time.monotonic() - found.began
        left = f", about {clock(found.left)} left" if found.left else ""
        rate = 3600 * found.finished / elapsed if elapsed > 0 else 0.0
        return f"{found.finished} of {found.total} jobs in {clock(elapsed)}{left} ({rate:.0f}/h)"


def watch(root: Path, console: Console, pause: float = 2.0) -> None:
    """Follow the run that is at work on a study until it ends.

    Raises
    ------
    AfterglowError
        No run is at work.
    """
    if not driver_at_work(root):
        raise AfterglowError(
            "no run is at work on this study",
            where=str(root),
            remedy="`afterglow status STUDY` shows how it stands",
        )
    view = LiveView(tracker_elsewhere(root), console)
    while driver_at_work(root):
        view.look()
        time.sleep(pause)
    view.look(last=True)


def driver_at_work(root: Path) -> bool:
    """Tell whether a driver holds the study, on this or another machine."""
    return is_locked(root / LOCK)
