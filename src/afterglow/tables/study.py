"""What the tables are made from: the plan and the states of all stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from afterglow.provenance.job import State

SESSION_STAGES = ("bids", "anat", "dsc", "dce", "identity", "features")

Key = tuple[str, str]


@dataclass(frozen=True)
class StudyStates:
    """Plan rows and states.

    Parameters
    ----------
    plan : sequence of mapping
        Rows of ``plan.parquet``.
    upstream : mapping
        States by stage.
    """

    plan: Sequence[Mapping[str, Any]]
    upstream: Mapping[str, Sequence[State]]

    @cached_property
    def sessions(self) -> list[Mapping[str, Any]]:
        """Planned sessions in order of center, subject and date."""
        rows = [row for row in self.plan if row.get("status", "planned") == "planned"]
        return sorted(rows, key=lambda r: (r["center"], r["subject"], when(r), r["session"]))

    @cached_property
    def by_subject(self) -> dict[str, list[Mapping[str, Any]]]:
        """Planned sessions of every subject in order of date."""
        found: dict[str, list[Mapping[str, Any]]] = {}
        for row in self.sessions:
            found.setdefault(row["subject"], []).append(row)
        return found

    @cached_property
    def _states(self) -> dict[tuple[str, str | None, str | None], State]:
        return {
            (state.stage, state.subject, state.session): state
            for states in self.upstream.values()
            for state in states
        }

    def state(self, stage: str, subject: str, session: str | None) -> State | None:
        """Return one state, None where the job never ended."""
        return self._states.get((stage, subject, None if stage == "identity" else session))

    def done(self, stage: str, subject: str, session: str | None) -> dict[str, Any]:
        """Return the summary of a finished stage, empty where it has no result."""
        state = self.state(stage, subject, session)
        return dict(state.summary) if state is not None and state.done else {}

    def center_of(self, subject: str) -> str:
        """Return the center of a subject."""
        return str(self.by_subject[subject][0]["center"])


def when(row: Mapping[str, Any]) -> str:
    """Return what orders the sessions of a subject in time."""
    return str(row.get("date_shifted") or row["session"])
