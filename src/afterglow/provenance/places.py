"""Names that planning, running and telling share: what a job is called, and where things are."""

from __future__ import annotations

from pathlib import Path

# Stage, subject and session; a subject's job has no session, one of the study neither.
JobId = tuple[str, str | None, str | None]

PLAN = Path("index/plan.parquet")
# Jobs that were killed and left no result, of subjects and of the study, as the last run says.
ABSENT = Path("index/absent.json")
ABSENT_STUDY = Path("index/absent_study.json")
# What the jobs of the run at work are to do.
TICKETS = Path(".work/tickets")
