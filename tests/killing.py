"""A driver, its jobs, or all of them at once, killed at random moments and started again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

RESULTS = ("derivatives", "tables", "bids", "cohort", "ledger/states")


@dataclass
class Killer:
    """Kills what is at work on a study now and then, and starts its driver again.

    Parameters
    ----------
    study_file : Path
        ``study.yaml``; ``out`` lies beside it.
    environment : mapping of str to str
        What the driver runs in.
    seed : int
        Of moments and victims.
    pause : tuple of float
        Shortest and longest time between two kills, in seconds.
    cores : int
        Jobs at once.
    """

    study_file: Path
    environment: Mapping[str, str]
    seed: int
    pause: tuple[float, float] = (0.2, 6.0)
    cores: int = 2
    kills: Counter[str] = field(default_factory=Counter)
    recomputed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._stored: dict[str, tuple[int, int]] = {}
        self.driver: subprocess.Popen[bytes] | None = None

    @property
    def out(self) -> Path:
        return self.study_file.parent / "out"

    def start(self) -> subprocess.Popen[bytes]:
        """Return a new driver."""
        command = [sys.executable, "-m", "afterglow.cli.app", "run", str(self.study_file)]
        return subprocess.Popen(
            [*command, "--no-scan", "--cores", str(self.cores)],
            env=dict(self.environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def jobs(self) -> dict[int, str]:
        """Return the processes that run a stage of this study, and which."""
        found = {}
        for place in Path("/proc").glob("[0-9]*"):
            try:
                words = (place / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            script = words[1].decode() if len(words) > 1 else ""
            if f"{self.out}/.snakemake/scripts/" in script:
                found[int(place.name)] = script.split(".")[-2]
        return found

    def strike(self) -> str | None:
        """Kill something after a random while; return what, or None where the run was over."""
        if self.driver is None or self.driver.poll() is not None:
            self.driver = self.start()
        time.sleep(self._random.uniform(*self.pause))
        self.look()
        jobs, choice = self.jobs(), self._random.random()
        if self.driver.poll() is not None:
            return None
        if choice < 0.2:
            what = "driver and every job"
        elif choice < 0.5 or not jobs:
            what = "driver"
        else:
            what = "a job"
        victims = dict(jobs)
        if what == "a job":
            victims = dict([self._random.choice(sorted(jobs.items()))])
            what = f"a job of {next(iter(victims.values()))}"
        if what.startswith("driver"):
            self.driver.kill()
            self.driver.wait()
        if what != "driver":
            for number in victims:
                _kill(number)
        self.kills[what] += 1
        return what

    def look(self) -> None:
        """Note results that were replaced since the last look: a finished one never is."""
        for path in (self.out / ".store").glob("*/*/.state.json"):
            try:
                found = path.stat()
            except FileNotFoundError:
                continue
            token = (found.st_ino, found.st_mtime_ns)
            if self._stored.setdefault(path.parent.name, token) != token:
                self.recomputed.append(path.parent.name)
                self._stored[path.parent.name] = token

    def finish(self) -> int:
        """Let the run end by itself, run once more, and return how that ended."""
        if self.driver is not None and self.driver.poll() is None:
            self.driver.wait()
        self.driver = self.start()
        code = self.driver.wait()
        self.look()
        return code

    def forget(self) -> None:
        """Begin to note results anew: the study was taken back to its beginning."""
        self._stored.clear()


def _kill(number: int) -> None:
    try:
        os.kill(number, signal.SIGKILL)
    except ProcessLookupError:
        return


def contents(out: Path) -> dict[str, bytes]:
    """Return the bytes of every result of a study by its path."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for folder in RESULTS
        for path in (out / folder).rglob("[!.]*")
        if path.is_file()
    }
