"""The command that shows a study in the browser."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from afterglow.cli.common import StudyArgument, open_study
from afterglow.errors import AfterglowError, ExitCode


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(view)


def view(
    study: StudyArgument,
    port: Annotated[int, typer.Option(help="Port; 0 for any free one.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the browser.")] = True,
) -> None:
    """Show the study in the browser: pages, and a viewer over all timepoints. Ctrl-C ends it."""
    from afterglow.report.server import StudyServer

    loaded, _ = open_study(study)
    if not (loaded.out / "ledger").is_dir():
        raise AfterglowError(
            "the study has no results yet",
            where=str(study),
            remedy="run `afterglow run STUDY`",
            exit_code=ExitCode.NOTHING,
        )
    with StudyServer(loaded.out, port) as server:
        sys.stdout.write(f"{server.address}\nonly this machine can open it; Ctrl-C ends it\n")
        sys.stdout.flush()
        if browser:
            import webbrowser

            webbrowser.open(server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            sys.stdout.write("\n")
