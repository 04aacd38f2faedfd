"""The command line; heavy imports only where a command needs them."""

from __future__ import annotations

import gc
import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from afterglow import __version__
from afterglow.cli import decide, ledger, standalone, view
from afterglow.cli.common import (
    JsonOption,
    StudyArgument,
    console,
    open_study,
    print_json,
    study_out,
)
from afterglow.errors import AfterglowError, ExitCode
from afterglow.precompile import use_precompiled

if TYPE_CHECKING:
    from afterglow.config import Study

app = typer.Typer(
    name="afterglow",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From raw DICOM to audited tables for brain metastases after radiosurgery.",
)

standalone.register(app)
ledger.register(app)
decide.register(app)
view.register(app)


def main() -> None:
    """Run a command; an expected error becomes one line on stderr and its exit code."""
    use_precompiled()
    try:
        app()
    except AfterglowError as error:
        sys.stderr.write(f"afterglow: {error}\n")
        sys.exit(error.exit_code)


def _tell_progress(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _cores(cores: int | None) -> int:
    return cores or len(os.sched_getaffinity(0))


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Print the version where asked."""
    if version:
        sys.stdout.write(f"afterglow {__version__}\n")
        raise typer.Exit


@app.command()
def init(directory: Annotated[Path, typer.Argument(help="Where to write study.yaml.")]) -> None:
    """Write a commented study.yaml."""
    from afterglow.config.template import write_template

    path = write_template(directory)
    sys.stdout.write(
        f"wrote {path}\nfill in the center's DICOM folder, then: "
        f"afterglow index {shlex.quote(str(directory))}\n"
        "back up the private folder that the first run makes: it holds the key of all identifiers\n"
    )


@app.command()
def index(
    study: StudyArgument,
    jobs: Annotated[int | None, typer.Option(help="Processes that read headers.")] = None,
) -> None:
    """Scan for DICOM (only what is new), classify, resolve frame times, write the plan."""
    loaded, _ = open_study(study)
    _index(loaded, _cores(jobs), quiet=False)


def _index(study: Study, jobs: int, *, quiet: bool) -> Any:
    from afterglow.dicom.index import build_index

    result = build_index(study, jobs=jobs, progress=_tell_progress)
    if not quiet:
        sys.stdout.write(result.summary() + "\n")
    else:
        for warning in result.warnings:
            _tell_progress(f"warning: {warning}")
    return result


@app.command()
def plan(
    study: StudyArgument,
    explain: Annotated[bool, typer.Option("--explain", help="Each job with its reasons.")] = False,
    as_json: JsonOption = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Include failures.")] = False,
) -> None:
    """Show what would run and why."""
    from afterglow.cli.driver import plan_study
    from afterglow.cli.show import show_plan
    from afterglow.provenance.plan import plan_json

    loaded, _ = open_study(study)
    dag, planned = plan_study(loaded, retry_failed=retry_failed)
    if as_json:
        print_json(plan_json(planned))
    else:
        show_plan(console(), dag, planned, explain=explain)
        sys.stdout.write("by the last index; `afterglow index` and `run` look for new scans\n")


@app.command(context_settings={"allow_extra_args": True})
def run(
    context: typer.Context,
    study: StudyArgument,
    profile: Annotated[str, typer.Option(help="default, slurm, or a profile folder.")] = "default",
    cores: Annotated[
        int | None, typer.Option(help="Cores; all by default, 1 per submission on a cluster.")
    ] = None,
    center: Annotated[str | None, typer.Option(help="Only this center's sessions.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only this subject (label).")] = None,
    session: Annotated[str | None, typer.Option(help="Only this session (label).")] = None,
    until: Annotated[str | None, typer.Option(help="Stop after this stage.")] = None,
    batch: Annotated[str | None, typer.Option(help="I/N: part I of N of the subjects.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Compute the selection again.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try failures again.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the plan.")] = False,
    scan: Annotated[bool, typer.Option(help="Look for new DICOM first.")] = True,
    plain: Annotated[bool, typer.Option("--plain", help="A line per event, for logs.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object per event.")] = False,
) -> None:
    """Bring the study up to date; Snakemake options may follow after `--`."""
    from afterglow.cli.driver import Selection, exit_code, plan_study, run_study
    from afterglow.cli.show import show_plan

    loaded, study_file = open_study(study)
    seen = _index(loaded, _cores(cores), quiet=True) if scan else None
    quarantined = seen is not None and bool(
        seen.quarantined or any(row["status"] == "quarantined" for row in seen.plan)
    )
    selection = Selection(center, subject, session, until, _part(batch))
    if dry_run:
        dag, planned = plan_study(loaded, selection, force=force, retry_failed=retry_failed)
        show_plan(console(), dag, planned, explain=True)
        return
    result = run_study(
        loaded,
        study_file,
        selection,
        cores=cores,
        profile=profile,
        force=force,
        retry_failed=retry_failed,
        extra=context.args,
        watch=_watcher(plain=plain, as_json=as_json),
    )
    found = exit_code(result)
    code = ExitCode.PARTIAL if found == ExitCode.DONE and quarantined else found
    if as_json:
        sys.stdout.write(json.dumps({"event": "over", "exit_code": int(code)}) + "\n")
    else:
        _tell(loaded, study_file, result)
        _tell_troubles(study_file, failed=found != ExitCode.DONE, quarantined=quarantined)
    _gate(loaded)
    raise typer.Exit(code)


def _part(text: str | None) -> tuple[int, int] | None:
    """Return the numbers of `2/10`, or None where no part was asked for."""
    if text is None:
        return None
    number, slash, parts = text.partition("/")
    fits = slash and number.isdigit() and parts.isdigit() and 1 <= int(number) <= int(parts)
    if not fits:
        raise AfterglowError(f"`{text}` is no part", expected="--batch I/N with I from 1 to N")
    return int(number), int(parts)


def _watcher(*, plain: bool, as_json: bool) -> Any:
    """Return what follows a run: a live table in a terminal, else a line or an object per event."""
    from afterglow.cli.progress import Events, Lines, tracker_of

    if as_json:
        return lambda dag, jobs: Events(tracker_of(dag, jobs))
    if plain or not sys.stderr.isatty():
        return lambda dag, jobs: Lines(tracker_of(dag, jobs))
    from rich.console import Console

    from afterglow.cli.live import LiveView

    return lambda dag, jobs: LiveView(tracker_of(dag, jobs), Console(stderr=True))


def _gate(study: Study) -> None:
    """Refuse to end well where an identifier stands in an output."""
    from afterglow.dicom.gate import check_outputs

    check_outputs(study)


def _tell(study: Study, study_file: Path, result: Any) -> None:
    """Say what a run did and where to look."""
    from afterglow.cli.show import summarize
    from afterglow.provenance.records import read_states

    out = study.out
    states = [s for s in read_states(out) if (s.stage, s.subject, s.session) in result.dag.jobs]
    if not result.ran:
        sys.stdout.write("Nothing to be done: every result is current.\n")
    sys.stdout.write(f"{len(result.ran)} jobs ran; {summarize(states)}\n")
    for job in result.absent:
        sys.stdout.write(
            f"no result: {job['stage']} {job['subject']} {job['session']}: {job['log']}\n"
        )
    shown = {"sessions": "cohort/study.html", "report": "cohort/report.html", "tables": "tables"}
    for label, relative in shown.items():
        if (out / relative).exists():
            sys.stdout.write(f"{label}: {out / relative}\n")
    if (out / "tables" / "features.parquet").exists():
        sys.stdout.write(f"trace a number: {_example_trace(out, study_file)}\n")


def _tell_troubles(study_file: Path, *, failed: bool, quarantined: bool) -> None:
    """Say which command tells more where a run ends with exit code 3."""
    where = shlex.quote(str(study_file))
    if failed:
        sys.stdout.write(f"what failed, why, and what to do: afterglow status {where}\n")
    if quarantined:
        sys.stdout.write(f"what is quarantined, and why: afterglow index {where}\n")


def _example_trace(out: Path, study_file: Path) -> str:
    """Return a trace command that works on this study: the first evaluable lesion rCBV, or any."""
    from afterglow.provenance.lineage import example_selector

    where = " ".join(f"{column}={value}" for column, value in example_selector(out).items())
    return f"afterglow trace {shlex.quote(str(study_file))} features {where}"


@app.command()
def status(
    study: StudyArgument,
    as_json: JsonOption = False,
    watch: Annotated[bool, typer.Option("--watch", help="Follow the run at work.")] = False,
    cost: Annotated[
        bool, typer.Option("--cost", help="Time, memory and disk by stage, asked for and used.")
    ] = False,
) -> None:
    """Show sessions by stages, and every failure with its remedy."""
    # It lives for a second and holds a row per job: looking for cycles would cost a third of that.
    gc.disable()
    from afterglow.cli.status import show_status, status_rows, statuses

    out = study_out(study)
    if watch:
        from afterglow.cli.live import watch as follow

        follow(out, console())
    elif cost:
        _cost(out, as_json)
    elif as_json:
        print_json({"jobs": status_rows(out)}, indent=None)
    else:
        show_status(console(), statuses(out))


def _cost(root: Path, as_json: bool) -> None:
    from afterglow.cli.cost import cost_report, show_cost

    found = cost_report(root)
    if as_json:
        print_json({"stages": found})
    else:
        show_cost(console(), found)


@app.command()
def prune(
    study: StudyArgument,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove what no current result needs: superseded results, caches, what killed jobs left."""
    from afterglow.cli.lock import driver_lock
    from afterglow.cli.prune import prune_study

    loaded, _ = open_study(study)
    with driver_lock(loaded.out):
        found = prune_study(loaded.out, dry_run=dry_run)
    if as_json:
        print_json(found)
    else:
        for kind, item in found.items():
            sys.stdout.write(f"{kind:12} {item['files']:8} files {item['bytes'] / 1e6:12.1f} MB\n")


@app.command()
def whereis(study: StudyArgument, name: Annotated[str, typer.Argument(metavar="HASH")]) -> None:
    """Print the path of a DICOM file that a message names as `center:hash`."""
    from afterglow.dicom.deidentify import whereis as find

    loaded, _ = open_study(study)
    sys.stdout.write(f"{find(loaded, name.rpartition(':')[2])}\n")


@app.command()
def demo(
    directory: Annotated[Path, typer.Argument(help="Where the demo goes.")] = Path("demo"),
    size: Annotated[str, typer.Option(help="small or full.")] = "small",
    cores: Annotated[int | None, typer.Option(help="Cores; all by default.")] = None,
) -> None:
    """Make a synthetic DICOM cohort and run the whole DAG on it."""
    from afterglow.cli.driver import Selection, run_study
    from afterglow.phantom.cohort import write_cohort

    directory = directory.resolve()
    study_file = directory / "study.yaml"
    if not study_file.exists():
        sys.stderr.write(f"writing the synthetic cohort ({size}) to {directory}\n")
        study_file = write_cohort(
            directory,
            size=size,
            jobs=_cores(cores),
            progress=_tell_progress,
        )
    loaded, study_file = open_study(study_file)
    _index(loaded, _cores(cores), quiet=False)
    result = run_study(loaded, study_file, Selection(), cores=_cores(cores))
    _tell(loaded, study_file, result)
    _gate(loaded)
    if not (loaded.out / "cohort" / "report.html").exists():
        raise AfterglowError(
            "the demo made no report", where=str(loaded.out), remedy="see `afterglow status`"
        )


if __name__ == "__main__":
    main()
