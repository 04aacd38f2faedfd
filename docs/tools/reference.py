"""The reference, made from row models, command line and docstrings; and the site made offline."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SHIM = "https://unpkg.com/iframe-worker/shim"
API = (
    "afterglow.perfusion.dce",
    "afterglow.perfusion.dsc",
    "afterglow.perfusion.t1",
    "afterglow.perfusion.aif",
    "afterglow.perfusion.signal",
    "afterglow.dicom.inventory",
    "afterglow.dicom.series",
    "afterglow.dicom.timing",
    "afterglow.lesions.tracking",
    "afterglow.lesions.response",
    "afterglow.lesions.features",
    "afterglow.cohort.rules",
    "afterglow.cohort.validation",
)


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages to the site (a hook of mkdocs)."""
    from mkdocs.structure.files import File

    for name, text in pages().items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def on_post_build(config: Any) -> None:
    """Let every page take the search's shim from the site itself, not from the network."""
    site = Path(config["site_dir"])
    for page in site.rglob("*.html"):
        above = "../" * (len(page.relative_to(site).parts) - 1)
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace(SHIM, f"{above}javascripts/iframe-worker-shim.js"))


def pages() -> dict[str, str]:
    """Return the generated pages by name."""
    return {
        "cli": command_line(),
        "tables": tables(),
        "api": library(),
        "benchmarks": benchmarks(),
    }


def benchmarks() -> str:
    """Return every script that measures something, with what it says of itself."""
    lines = ["# Benchmark scripts", "", "Each is run as `python benchmarks/NAME`; its results"]
    lines += ["stand on the page of its part.", "", "| script | what it measures |", "|---|---|"]
    for path in sorted((Path(__file__).resolve().parents[2] / "benchmarks").glob("*.py")):
        said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        lines.append(f"| `{path.name}` | {' '.join(said.split(chr(10) * 2)[0].split())} |")
    return "\n".join(lines) + "\n"


def command_line() -> str:
    """Return every command with its arguments and options."""
    import typer.main

    from afterglow.cli.app import app

    group = typer.main.get_command(app)
    lines = ["# Command line", "", "Exit codes: 0 done; 2 usage or configuration; 3 partial:"]
    lines += ["something failed or was quarantined, and is listed; 4 nothing could run;"]
    lines += ["5 verification found something.", ""]
    for name, command in sorted(group.commands.items()):  # type: ignore[attr-defined]
        usage = command.collect_usage_pieces(typer.Context(command, info_name=name))
        lines += [f"## {name}", "", (command.help or "").split("\f")[0].strip(), ""]
        lines += ["```text", f"afterglow {name} {' '.join(usage)}", "```", ""]
        options = [p for p in command.params if p.param_type_name == "option"]
        if options:
            lines += ["| option | default | what it does |", "|---|---|---|"]
            lines += [_option(option) for option in options]
            lines.append("")
    return "\n".join(lines)


def _option(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    default = "" if option.default in {None, False} or callable(option.default) else option.default
    text = (getattr(option, "help", "") or "").replace("|", "\\|")
    return f"| {names} | {f'`{default}`' if default != '' else ''} | {text} |"


def tables() -> str:
    """Return the data dictionary."""
    from afterglow.tables.dictionary import as_markdown, dictionary

    return as_markdown(dictionary()).replace("# Data dictionary", "# Tables", 1)


def library() -> str:
    """Return the public functions and classes with their docstrings."""
    lines = ["# Library", "", "The public part of the library. Times are seconds, concentrations"]
    lines += ["mM, angles degrees; the last axis of a series is time.", ""]
    for module_name in API:
        module = importlib.import_module(module_name)
        lines += [f"## {module_name}", "", inspect.cleandoc(module.__doc__ or ""), ""]
        for name, thing in _public(module):
            lines += [f"### {module_name.rpartition('.')[2]}.{name}", ""]
            if inspect.isfunction(thing):
                lines += ["```python", f"{name}{inspect.signature(thing)}", "```", ""]
            lines += ["```text", inspect.cleandoc(thing.__doc__ or ""), "```", ""]
    return "\n".join(lines)


def _public(module: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a module names as its own and what it hands on from its package."""
    listed = getattr(module, "__all__", None)
    for name, thing in sorted(vars(module).items()):
        own = getattr(thing, "__module__", "") or ""
        mine = own == module.__name__ if listed is None else name in listed
        if (
            mine
            and not name.startswith("_")
            and (inspect.isfunction(thing) or inspect.isclass(thing))
        ):
            yield name, thing
