"""Snakemake as the driver calls it: command line, environment, and its end with the driver's."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

from afterglow.config import Study
from afterglow.config.resources import resource
from afterglow.errors import AfterglowError, ExitCode
from afterglow.precompile import copy_precompiled
from afterglow.provenance.dag import Dag
from afterglow.provenance.guard import began
from afterglow.provenance.places import JobId
from afterglow.provenance.stages import STAGES

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)
KERNEL_CACHE = Path(".cache/numba")
_DIE_WITH_PARENT = 1


class Watcher(Protocol):
    """What follows a run while Snakemake is at work."""

    def look(self, *, last: bool = False) -> int:
        """Tell what happened since the last look; return how many planned jobs ended so far."""


@dataclass(frozen=True)
class Snakemake:
    """One Snakemake call over the jobs of a phase.

    Parameters
    ----------
    study, study_file : Study, Path
        The study and where it was read from.
    cores : int
        Processes at once; on a cluster, processors of one submission.
    profile : Path
        Folder of the profile.
    extra : tuple of str
        Further options.
    watch : callable
        Makes the watcher of a call from the DAG and its jobs.
    """

    study: Study
    study_file: Path
    cores: int
    profile: Path
    extra: tuple[str, ...]
    watch: Callable[[Dag, list[JobId]], Watcher]

    def __call__(self, dag: Dag, jobs: list[JobId]) -> None:
        """Run jobs; those that fail leave no state.

        Raises
        ------
        AfterglowError
            Snakemake ended badly before any job started.
        """
        out = self.study.out
        level = "study" if STAGES[jobs[0][0]].level == "study" else "sessions"
        log = out / "logs" / f"snakemake-{level}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        copy_precompiled(out / KERNEL_CACHE)
        watcher = self.watch(dag, jobs)
        needed = {u for i in jobs for u in dag.jobs[i].upstream}
        leaves = [dag.jobs[i].state for i in jobs if i not in needed]
        with log.open("w", encoding="utf-8") as stream:
            process = subprocess.Popen(
                [*self.command(), "--", *leaves],
                cwd=out,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=stage_environment(out),
                preexec_fn=_end_with_parent(),  # noqa: PLW1509  the driver has one thread
            )
            _follow(process, watcher)
        if process.returncode != 0 and not any(began(out, dag.jobs[i].key) for i in jobs):
            self._explain(log, process.returncode)

    def _explain(self, log: Path, code: int) -> None:
        """Say why no job so much as started; of those that were killed each has a row."""
        tail = "".join(log.read_text(encoding="utf-8").splitlines(keepends=True)[-15:])
        raise AfterglowError(
            f"Snakemake ended with {code} before any job started:\n{tail}",
            where=str(log.relative_to(self.study.out)),
            remedy="mend what the last lines name, then run again",
            exit_code=ExitCode.NOTHING,
        )

    def command(self) -> list[str]:
        """Return Snakemake's command line without targets."""
        return [
            sys.executable,
            *("-m", "snakemake"),
            *("--snakefile", str(resource("workflow/Snakefile"))),
            *("--directory", str(self.study.out)),
            *("--profile", str(self.profile), "--workflow-profile", "none"),
            *("--cores", str(self.cores)),
            *("--config", f"study={self.study_file}"),
            *self.extra,
        ]


def find_profile(name: str) -> Path:
    """Return the folder of a profile: one of Afterglow's by name, or any by its path.

    Raises
    ------
    AfterglowError
        There is no such profile.
    """
    own = Path(name)
    if own.is_dir():
        return own.resolve()
    try:
        return resource(f"workflow/profiles/{name}")
    except FileNotFoundError as error:
        raise AfterglowError(
            f"there is no profile `{name}`", expected="default, slurm, or a profile folder"
        ) from error


def runs_elsewhere(profile: Path) -> bool:
    """Tell whether a profile hands its jobs to a cluster."""
    found = sorted(profile.glob("config*.yaml"))
    settings: dict[str, Any] = yaml.safe_load(found[0].read_text("utf-8")) if found else {}
    return bool(settings.get("executor", "local") != "local")


def default_cores(profile: Path) -> int:
    """Return all cores here, or one a submission on a cluster, so that none is held idle."""
    return 1 if runs_elsewhere(profile) else len(os.sched_getaffinity(0))


def stage_environment(out: Path) -> dict[str, str]:
    """Return the environment of a job: one thread, caches inside the study, no calls home."""
    caches = out / ".cache"
    environment = dict(os.environ)
    environment.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    # Every job is a process of its own: compiling its imports anew would cost more than its work.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment.update(
        NUMBA_CACHE_DIR=str(out / KERNEL_CACHE),
        MPLCONFIGDIR=str(caches / "matplotlib"),
        MPLBACKEND="Agg",
        XDG_CACHE_HOME=str(caches / "xdg"),
        XDG_CONFIG_HOME=str(caches / "config"),
        NIPYPE_CONFIG_DIR=str(caches / "nipype"),
        NIPYPE_NO_ET="1",
        NO_ET="1",
        PYTHONHASHSEED="0",
        AFTERGLOW_GIT_COMMIT=_git_commit(),
    )
    return environment


def _follow(process: subprocess.Popen[bytes], watcher: Watcher) -> None:
    """Look every half second at first, less often where a look over a large study takes long."""
    pause = 0.5
    while True:
        try:
            process.wait(timeout=pause)
        except subprocess.TimeoutExpired:
            began = time.monotonic()
            watcher.look()
            pause = min(max(0.5, 20 * (time.monotonic() - began)), 15.0)
            continue
        watcher.look(last=True)
        return


def _end_with_parent() -> Callable[[], None] | None:
    """Return what makes Snakemake end with a driver that is killed, where the system can.

    Two Snakemakes never meet in a study then. Jobs at work go on: the next run waits for their
    results and links them.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    return (lambda: prctl(_DIE_WITH_PARENT, signal.SIGKILL)) if prctl is not None else None


def _git_commit() -> str:
    here = Path(__file__).resolve().parent
    try:
        found = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40"],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""
