"""What a stage sees: its inputs, its settings, and where to write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from afterglow.errors import AfterglowError, is_transient

if TYPE_CHECKING:
    from afterglow.config import Study

RETRY = "free memory or space or mend permissions, then `afterglow run STUDY --retry-failed`"
Status = Literal["done", "failed", "not_evaluable"]


@dataclass(frozen=True)
class Problem:
    """One thing that went wrong inside a stage that otherwise went on."""

    what: str
    cause: str
    remedy: str
    transient: bool = False


@dataclass(frozen=True)
class State:
    """How one stage of one session (or subject, or cohort) ended.

    ``summary`` holds the small facts and relative paths that later stages read;
    ``outputs`` maps every written file (relative to the study's ``out``) to its sha256.
    """

    stage: str
    key: str
    subject: str | None
    session: str | None
    status: Status
    reason: str = ""
    detail: str = ""
    remedy: str = ""
    transient: bool = False
    summary: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """True where the stage wrote its outputs."""
        return self.status == "done"


@dataclass
class Job:
    """One run of one stage.

    A stage reads ``study`` only at the keys its entry in ``afterglow.provenance.stages`` declares,
    reads files only through :meth:`path`, and writes only through :meth:`out`.
    """

    stage: str
    key: str
    root: Path
    scratch: Path
    study: Study
    subject: str | None = None
    session: str | None = None
    center: str | None = None
    upstream: Mapping[str, list[State]] = field(default_factory=dict)
    threads: int = 1
    summary: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    read: set[str] = field(default_factory=set)
    say: Callable[[str], None] = print

    def state(self, stage: str) -> State:
        """Return this session's state of an upstream stage.

        For a session stage with several states of ``stage`` upstream (its own and the
        reference session's), the one of this session.
        """
        states = self.upstream.get(stage, [])
        own = [s for s in states if s.session == self.session and s.subject == self.subject]
        if len(own) != 1:
            raise AfterglowError(
                f"{len(own)} states of stage {stage} reach stage {self.stage}", expected="one"
            )
        return own[0]

    def path(self, relative: str) -> Path:
        """Return the finished file at ``relative`` (to ``out``) and note that it was read."""
        found = self.root / relative
        if not found.exists():
            raise AfterglowError(
                "a file that an earlier stage recorded is missing",
                where=relative,
                remedy="run `afterglow verify STUDY`, then `afterglow run STUDY`",
            )
        self.read.add(relative)
        return found

    def out(self, relative: str) -> Path:
        """Return where to write the output that will stand at ``relative`` once all is well."""
        if relative.startswith("/") or ".." in Path(relative).parts:
            raise AfterglowError("an output would leave the study", where=relative)
        target = self.scratch / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def warn(self, message: str) -> None:
        """Keep a warning in the record and show it in the log."""
        self.warnings.append(message)
        self.say(f"warning: {message}")

    def problem(
        self, what: str, cause: str, remedy: str, error: BaseException | None = None
    ) -> None:
        """Keep a partial failure: the stage goes on, and `failures` gets a row.

        Where ``error`` is one that may pass (no memory, no space), `--retry-failed` tries again.
        """
        transient = error is not None and is_transient(error)
        self.problems.append(Problem(what, cause, RETRY if transient else remedy, transient))
        self.say(f"problem: {what}: {cause}")
