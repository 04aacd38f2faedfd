"""Commands that ask the ledger: what stands, where from, what follows, what differs or repeats."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from afterglow.cli.common import (
    JsonOption,
    StudyArgument,
    console,
    open_study,
    print_json,
    study_out,
)
from afterglow.errors import AfterglowError, ExitCode

if TYPE_CHECKING:
    from afterglow.provenance.diff import StudyDifference
    from afterglow.provenance.impact import Impact
    from afterglow.provenance.replay import Replay

_REPLAYING = "AFTERGLOW_REPLAYING"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(verify)
    app.command()(trace)
    app.command()(impact)
    app.command()(diff)
    app.command()(replay)


def verify(
    study: StudyArgument,
    deep: Annotated[bool, typer.Option("--deep", help="Hash everything again.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare every file with the ledger."""
    # Columns of a million rows come and go: the default pool keeps what they leave behind.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    from afterglow.cli.show import show_findings
    from afterglow.provenance.audit import verify as audit
    from afterglow.provenance.audit import verify_json

    loaded, _ = open_study(study)
    findings = audit(loaded, deep=deep)
    if as_json:
        print_json(verify_json(findings))
    else:
        show_findings(console(), findings)
    raise typer.Exit(ExitCode.FINDINGS if findings else ExitCode.DONE)


def trace(
    study: StudyArgument,
    table: Annotated[str, typer.Argument(help="A table, such as features, or `study`.")],
    where: Annotated[
        list[str] | None, typer.Argument(metavar="COLUMN=VALUE...", help="Singles out a row.")
    ] = None,
    column: Annotated[str | None, typer.Option(help="The cell; `value` by default.")] = None,
    as_json: JsonOption = False,
    as_html: Annotated[bool, typer.Option("--html", help="A self-contained page.")] = False,
    as_prov: Annotated[bool, typer.Option("--prov", help="W3C PROV JSON.")] = False,
    ro_crate: Annotated[
        Path | None, typer.Option(help="Folder for an RO-Crate of the table, or of the study.")
    ] = None,
) -> None:
    """Follow one number back to the DICOM instances, code and settings behind it."""
    from afterglow.provenance.lineage import trace as follow

    out = study_out(study)
    if ro_crate is not None:
        from afterglow.provenance.ro_crate import write_crate

        made = write_crate(out, ro_crate, None if table == "study" else table)
        sys.stdout.write(f"wrote {made}\n")
        return
    wrong = [text for text in where or () if "=" not in text]
    if wrong:
        raise AfterglowError(f"`{wrong[0]}` names no value", expected="column=value")
    found = follow(out, table, dict(text.split("=", 1) for text in where or ()), column)
    if as_json:
        print_json(found.as_json())
    elif as_prov:
        from afterglow.provenance.prov import prov_document

        print_json(prov_document(found))
    elif as_html:
        from afterglow.report.trace_page import trace_page

        sys.stdout.write(trace_page(found))
    else:
        from afterglow.cli.show import show_trace

        show_trace(console(), found)


def impact(
    study: StudyArgument,
    sop_uid: Annotated[str | None, typer.Option(help="SOP Instance UID, or its hash.")] = None,
    file: Annotated[str | None, typer.Option(help="An output's path, or a source's hash.")] = None,
    subject: Annotated[str | None, typer.Option(help="Label of a subject.")] = None,
    stage: Annotated[str | None, typer.Option(help="Name of a stage.")] = None,
    version: Annotated[str | None, typer.Option(help="Only this version of the stage.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Delete it all, and record so.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before deleting.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show all that derives from a subject, an instance, a file or a stage; delete it if asked."""
    from afterglow.provenance import impact as question

    out = study_out(study)
    named = {"sop": sop_uid, "file": file, "subject": subject, "stage": stage}
    if sum(value is not None for value in named.values()) != 1:
        raise AfterglowError(
            "say what the impact is of", expected="one of --sop-uid, --file, --subject, --stage"
        )
    found = _impact(study, out, named, version)
    if as_json:
        print_json(found.as_json())
    else:
        _show_impact(found)
    if not remove:
        return
    if not yes and not typer.confirm(f"delete {len(found.records)} records and their files?"):
        raise typer.Exit(ExitCode.USAGE)
    from afterglow.cli.lock import driver_lock

    with driver_lock(out):
        tombstone = question.remove(out, found)
    sys.stderr.write(
        f"removed; recorded in {tombstone.relative_to(out)}\n"
        "the DICOM of the site is not touched; `afterglow run STUDY` brings the tables up to date\n"
    )


def _impact(study: Path, root: Path, named: dict[str, str | None], version: str | None) -> Impact:
    from afterglow.provenance import impact as question

    if named["subject"]:
        return question.of_subject(root, named["subject"])
    if named["stage"]:
        return question.of_stage(root, named["stage"], version)
    if named["file"]:
        return question.of_file(root, named["file"].rpartition(":")[2])
    from afterglow.dicom.deidentify import load_secret

    uid = str(named["sop"])
    hashed = load_secret(open_study(study)[0]).hash("sop", uid) if "." in uid else uid
    return question.of_instance(root, hashed)


def _show_impact(found: Impact) -> None:
    from collections import Counter

    current = [record for record in found.records if record["current"]]
    sys.stdout.write(f"{len(found.records)} records, {len(current)} of them current\n")
    for stage, number in Counter(record["stage"] for record in current).items():
        sys.stdout.write(f"  {stage:13}{number}\n")
    sys.stdout.write(f"{len(found.files)} files\n")
    for path in found.files:
        sys.stdout.write(f"  {path}\n")


def diff(
    first: Annotated[Path, typer.Argument(metavar="STUDY_A", help="study.yaml or its folder.")],
    second: Annotated[Path, typer.Argument(metavar="STUDY_B", help="study.yaml or its folder.")],
    as_json: JsonOption = False,
) -> None:
    """Show how two studies differ: jobs, what their keys are made of, outputs, table cells."""
    from afterglow.provenance.diff import diff_studies

    found = diff_studies(study_out(first), study_out(second))
    if as_json:
        print_json(found.as_json())
        return
    _show_difference(found)


def _show_difference(found: StudyDifference) -> None:
    if found.same:
        sys.stdout.write("No difference: same jobs, same keys, same bytes.\n")
    for name, places in (("first", found.only_a), ("second", found.only_b)):
        for place in places:
            sys.stdout.write(f"only in the {name}: {place}\n")
    for job in found.jobs:
        why = "; ".join(str(reason) for reason in job.reasons) or "same key, other outputs"
        sys.stdout.write(f"{job.stage} {job.unit}: {why}\n")
        for path, how in job.outputs.items():
            sys.stdout.write(f"  {path}: {how}\n")
    for table in found.tables:
        sys.stdout.write(
            f"table {table.table}: {table.changed} cells changed, "
            f"{table.only_a} rows only in the first, {table.only_b} only in the second\n"
        )
        for cell in table.cells:
            sys.stdout.write(f"  {cell['row']} {cell['column']}: {cell['a']} -> {cell['b']}\n")


def replay(
    study: StudyArgument,
    record: Annotated[
        str | None, typer.Argument(help="Key of a record, or how it starts; all by default.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run recorded jobs again, aside, and compare every output with the record."""
    from afterglow.cli.engine import stage_environment
    from afterglow.provenance.dag import load_dag
    from afterglow.provenance.replay import find_record
    from afterglow.provenance.replay import replay as repeat

    loaded, _ = open_study(study)
    if os.environ.get(_REPLAYING) is None:
        # Threads and hash seeds are settled when a process starts: be a process as jobs are.
        environment = {**stage_environment(loaded.out), _REPLAYING: "1"}
        words = [sys.executable, "-m", "afterglow.cli.app", *sys.argv[1:]]
        sys.stdout.flush()
        os.execve(sys.executable, words, environment)  # noqa: S606  this very program again
    dag = load_dag(loaded)
    keys = [find_record(loaded.out, record)] if record else [j.key for j in dag.jobs.values()]
    results = []
    for number, key in enumerate(keys, start=1):
        found = repeat(dag, key)
        results.append(found)
        sys.stderr.write(f"replayed {number} of {len(keys)}: {found.stage} {found.unit}\n")
        if not as_json:
            _show_replay(found)
    if as_json:
        print_json({"replays": [found.as_json() for found in results]})
    good = all(found.reproduced for found in results)
    raise typer.Exit(ExitCode.DONE if good else ExitCode.FINDINGS)


def _show_replay(found: Replay) -> None:
    if found.status != found.recorded_status:
        sys.stdout.write(f"different        {found.stage} {found.unit} ended {found.status}, ")
        sys.stdout.write(f"its record says {found.recorded_status}\n")
    for path, how in found.outputs.items():
        note = "" if how.same == "identical" else f" {how.difference:.3g} {how.detail}"
        sys.stdout.write(f"{how.same:17}{path}{note}\n")
