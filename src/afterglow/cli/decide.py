"""What a person decides: rows of the decisions file, and the reference session of a subject."""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from afterglow.cli.common import JsonOption, StudyArgument, console, open_study, print_json
from afterglow.errors import AfterglowError

if TYPE_CHECKING:
    from afterglow.config import Study

# SESSION/LABEL of a decision, and SESSION/lesion/LABEL of its target
_NODE = re.compile(r"([0-9A-Za-z]+)/(?:lesion/)?(\d+)\b")
_GRAPH = "desc-lesions_graph.json"

Subject = Annotated[str, typer.Argument(help="Label of the subject.")]
Session = Annotated[str, typer.Argument(help="Label of the session.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(decide)
    app.command()(reference)


def decide(
    study: StudyArgument,
    subject: Subject,
    session: Session,
    target: Annotated[str, typer.Argument(help="What it is about: lesion/LABEL.")],
    decision: Annotated[
        str,
        typer.Argument(help="`same_as SESSION/LABEL`, `not_same_as SESSION/LABEL`, or `new`."),
    ],
    rater: Annotated[str, typer.Option(help="Who decided; a code, not a name: pages show it.")],
    reason: Annotated[str, typer.Option(help="Why; pages show it, so that no name belongs in it.")],
    date: Annotated[str | None, typer.Option(help="When, as YYYYMMDD; today by default.")] = None,
    file: Annotated[str, typer.Option(help="A file that goes with it.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Record a decision in the study's decisions file, and show what it makes run."""
    from afterglow.cli.lock import driver_lock
    from afterglow.lesions.decisions import append_decision

    loaded, _ = open_study(study)
    path = _decisions_file(loaded)
    subject, session = _labels(loaded, subject, session)
    row = {
        "subject": subject,
        "session": session,
        "target": target,
        "decision": decision,
        "file": file,
        "rater": rater,
        "date": date or f"{dt.datetime.now(dt.UTC).date():%Y%m%d}",
        "reason": reason,
    }
    _refuse_unknown_lesions(loaded.out, row)
    with driver_lock(loaded.out):
        append_decision(path, row)
    _tell(loaded, {"row": row}, f"row added to {path.name}", as_json=as_json)


def reference(
    study: StudyArgument, subject: Subject, session: Session, as_json: JsonOption = False
) -> None:
    """Make a session the reference that its subject's scans are registered to, and plan that."""
    from afterglow.cli.lock import driver_lock
    from afterglow.dicom.pinning import pin_reference

    loaded, _ = open_study(study)
    subject, session = _labels(loaded, subject, session)
    with driver_lock(loaded.out):
        before = pin_reference(loaded, subject, session)
    told = {"subject": subject, "old": before, "new": session}
    _tell(loaded, told, f"reference of {subject}: {before} -> {session}", as_json=as_json)


def _decisions_file(study: Study) -> Path:
    if study.decisions is None:
        raise AfterglowError(
            "the study names no decisions file",
            where="study.yaml",
            remedy="add the line `decisions: decisions.csv`; the file is made with the first row",
        )
    return study.decisions


def _labels(study: Study, subject: str, session: str) -> tuple[str, str]:
    """Return the labels without prefixes; raises AfterglowError where the plan lacks them."""
    from afterglow.cli.status import planned_places

    labels = subject.removeprefix("sub-"), session.removeprefix("ses-")
    if not any(place[1:] == labels for place in planned_places(study.out)):
        raise AfterglowError(
            f"the plan has no session {labels[1]} of subject {labels[0]}",
            remedy="`afterglow status STUDY` lists them",
        )
    return labels


def _refuse_unknown_lesions(out: Path, row: Mapping[str, str]) -> None:
    """Raise AfterglowError where a row names a label that its session's mask does not have.

    Labels are those of the masks, not the lesion ids, which look alike. Nothing is refused of a
    session whose lesions were not matched yet.
    """
    graph = out / "derivatives" / f"sub-{row['subject']}" / f"sub-{row['subject']}_{_GRAPH}"
    if not graph.exists():
        return
    drawn = json.loads(graph.read_text(encoding="utf-8"))["assignments"]
    for session, label in _NODE.findall(f"{row['session']}/{row['target']} {row['decision']}"):
        own = {str(a["label"]): a["lesion_id"] for a in drawn if a["session"] == session}
        if own and label not in own:
            listed = ", ".join(f"{session}/{one} ({name})" for one, name in own.items())
            raise AfterglowError(
                f"session {session} has no lesion of label {label}",
                expected=f"one of {listed}",
                remedy="a label is the lesion's number in the mask of its session, not its id",
            )


def _tell(study: Study, told: dict[str, Any], line: str, *, as_json: bool) -> None:
    """Say what was changed, and what would run for it."""
    from afterglow.cli.driver import plan_study
    from afterglow.cli.show import show_plan
    from afterglow.provenance.plan import plan_json

    dag, planned = plan_study(study)
    if as_json:
        print_json({**told, **plan_json(planned)})
    else:
        sys.stdout.write(f"{line}\n")
        show_plan(console(), dag, planned, explain=False)
