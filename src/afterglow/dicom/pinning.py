"""The reference session of a subject, chosen by a person in place of the one that was pinned."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from afterglow.config import Study
from afterglow.dicom.crosswalk import Crosswalk
from afterglow.dicom.deidentify import load_secret, private_folder, write_private
from afterglow.dicom.index import PLAN, REMEMBERED, write_table
from afterglow.errors import AfterglowError

_ANATOMICAL = {"T1w", "T1w_ce"}


def pin_reference(study: Study, subject: str, session: str) -> str:
    """Make a session the reference of its subject, in the register and in the plan.

    Parameters
    ----------
    study : Study
        The study, indexed before.
    subject, session : str
        Labels, without ``sub-`` and ``ses-``.

    Returns
    -------
    str
        The session that was the reference until now.

    Raises
    ------
    AfterglowError
        The plan has no such session, or it has no T1-weighted series to register to.
    """
    path = study.out / "index" / "plan.parquet"
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist() if path.exists() else []
    own = [row for row in rows if row["subject"] == subject and row["status"] == "planned"]
    usable = [row["session"] for row in own if _ANATOMICAL & set(row["classes"])]
    if session not in usable:
        raise AfterglowError(
            f"session {session} of subject {subject} cannot be a reference",
            expected=f"one of {', '.join(usable)}" if usable else "a planned subject's session",
            remedy="`afterglow status STUDY` lists sessions; a reference has a T1-weighted series",
        )
    before = str(own[0]["reference_session"])
    private = private_folder(study)
    crosswalk = Crosswalk(private / "crosswalk.json", load_secret(study))
    entry = next(e for e in crosswalk.subjects.values() if e["label"] == subject)
    entry["reference"] = session
    for row in own:
        row |= {"reference_session": session, "is_reference": row["session"] == session}
    with _index_forgotten(private / REMEMBERED):
        crosswalk.save()
        write_table(path, rows, PLAN)
    return before


@contextmanager
def _index_forgotten(remembered: Path) -> Iterator[None]:
    """Withhold the memory of the last index until register and plan agree again.

    A plan that was not reached would pass for the register's until some scan arrives, which would
    then change the reference on its own; without the memory the next index follows the register.
    """
    last = json.loads(remembered.read_text(encoding="utf-8")) if remembered.exists() else None
    remembered.unlink(missing_ok=True)
    yield
    if last is not None:
        write_private(remembered, last)
