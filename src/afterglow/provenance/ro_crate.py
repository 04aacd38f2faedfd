"""A study, or what stands behind one table, as a Workflow Run RO-Crate with its files.

Provenance Run Crate 0.5 (Leo et al., PLOS ONE 2024): the workflow, its steps and tools, one action
a job, the engine that ordered them, and every file with its sha256.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afterglow import __version__
from afterglow.config.resources import resource
from afterglow.errors import AfterglowError
from afterglow.provenance.lineage import producer
from afterglow.provenance.records import read_record, read_state, read_states, state_path, unit_name
from afterglow.provenance.stages import STAGES

if TYPE_CHECKING:
    from rocrate.rocrate import ROCrate

_PROFILES = ("process", "workflow", "provenance")
_FORMATS = {
    ".nii.gz": "application/gzip",
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
    ".html": "text/html",
    ".tsv": "text/tab-separated-values",
    ".csv": "text/csv",
    ".png": "image/png",
    ".md": "text/markdown",
}


def write_crate(root: Path, directory: Path, table: str | None = None) -> Path:
    """Write a crate and return its folder.

    Parameters
    ----------
    root : Path
        The study's ``out``.
    directory : Path
        New folder for the crate.
    table : str, optional
        The table whose chain to export; the whole study by default.

    Raises
    ------
    AfterglowError
        The folder is not empty, or nothing was recorded.
    """
    from rocrate.rocrate import ROCrate

    if directory.exists() and any(directory.iterdir()):
        raise AfterglowError("the folder for the crate is not empty", where=str(directory))
    records = _chain(root, _roots(root, table))
    if not records:
        raise AfterglowError("nothing was recorded yet", remedy="run the study first")
    # The profiles rest on version 1.1 of the standard.
    crate = ROCrate(version="1.1")
    crate.metadata.extra_terms["sha256"] = "https://w3id.org/ro/terms/workflow-run#sha256"
    crate.name = f"Afterglow results: {table or 'whole study'}"
    crate.description = "Audited tables and images with the jobs, code and settings behind them."
    crate.license = "https://spdx.org/licenses/LicenseRef-not-stated"
    newest = max(str(record["run"]["started"]) for record in records)
    crate.datePublished = newest
    tools = _add_workflow(crate)
    _add_jobs(crate, root, records, tools)
    crate.root_dataset["conformsTo"] = [_profile(crate, name) for name in _PROFILES]
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}.") as draft:
        crate.write(Path(draft) / "crate")
        # A folder takes the place of an empty one.
        (Path(draft) / "crate").replace(directory)
    return directory


def _roots(root: Path, table: str | None) -> list[str]:
    if table is None:
        return [state.key for state in read_states(root)]
    state = read_state(root / state_path(producer(root, table), None, None))
    return [state.key] if state is not None else []


def _chain(root: Path, keys: Iterable[str]) -> list[dict[str, Any]]:
    """Return records and all they rest on, oldest first."""
    found: dict[str, dict[str, Any]] = {}
    todo = list(keys)
    while todo:
        key = todo.pop()
        record = None if key in found else read_record(root, key)
        if record is not None:
            found[key] = record
            todo.extend(parent["record_id"] for parent in record["inputs"]["records"])
    order = list(STAGES)
    return sorted(found.values(), key=lambda r: (order.index(r["stage"]), r["key"]))


def _profile(crate: ROCrate, name: str) -> Any:
    from rocrate.model.contextentity import ContextEntity

    address = f"https://w3id.org/ro/wfrun/{name}/0.5"
    told = {"@type": "CreativeWork", "name": f"{name.title()} Run Crate", "version": "0.5"}
    return crate.add(ContextEntity(crate, address, properties=told))


def _add_workflow(crate: ROCrate) -> dict[str, Any]:
    """Add the workflow with a step and a tool per stage; return the tools by stage."""
    from rocrate.model.contextentity import ContextEntity

    kinds = ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"]
    workflow = crate.add_workflow(
        resource("workflow/Snakefile"),
        "workflow/Snakefile",
        main=True,
        lang="snakemake",
        properties={"@type": kinds, "name": f"Afterglow {__version__}"},
    )
    tools: dict[str, Any] = {}
    for position, stage in enumerate(STAGES.values(), start=1):
        script = f"scripts/{stage.name}.py"
        kind = ["File", "SoftwareSourceCode", "SoftwareApplication"]
        told = {"@type": kind, "name": stage.name, "version": stage.version}
        tools[stage.name] = crate.add_file(resource(script), script, properties=told)
        step = ContextEntity(
            crate, f"#step-{stage.name}", properties={"@type": "HowToStep", "position": position}
        )
        step["workExample"] = tools[stage.name]
        workflow.append_to("step", crate.add(step))
        workflow.append_to("hasPart", tools[stage.name])
    for rule in sorted(resource("rules").glob("*.smk")):
        crate.add_file(rule, f"rules/{rule.name}")
    return tools


def _add_jobs(
    crate: ROCrate, root: Path, records: Sequence[dict[str, Any]], tools: dict[str, Any]
) -> None:
    """Add an action per job, the run that holds them, and every file they made."""
    from rocrate.model.contextentity import ContextEntity

    made = {
        output["path"]: _add_file(crate, root, output)
        for record in records
        for output in record["outputs"]
    }
    controls: list[Any] = []
    for record in records:
        action = _action(crate, record, tools[record["stage"]], made)
        told = {"@type": "ControlAction", "name": f"order {action['name']}"}
        control = ContextEntity(crate, f"#order-{record['key']}", properties=told)
        control["instrument"] = crate.get(f"#step-{record['stage']}")
        control["object"] = action
        controls.append(crate.add(control))
    last = (record for record in records if STAGES[record["stage"]].level == "study")
    results = [made[output["path"]] for record in last for output in record["outputs"]]
    run = _run_action(crate, records, results)
    crate.root_dataset["mentions"] = [run, _organize_action(crate, run, controls)]


def _organize_action(crate: ROCrate, run: Any, controls: list[Any]) -> Any:
    """Add Snakemake's part: it ordered the jobs of the run."""
    from rocrate.model.contextentity import ContextEntity

    told = {"@type": "SoftwareApplication", "name": "Snakemake"}
    engine = crate.add(ContextEntity(crate, "https://snakemake.github.io", properties=told))
    told = {"@type": "OrganizeAction", "name": "order the jobs"}
    organize = ContextEntity(crate, "#engine", properties=told)
    organize["instrument"], organize["object"], organize["result"] = engine, controls, run
    organize["startTime"], organize["endTime"] = run["startTime"], run["endTime"]
    return crate.add(organize)


def _run_action(crate: ROCrate, records: Sequence[dict[str, Any]], results: list[Any]) -> Any:
    from rocrate.model.contextentity import ContextEntity

    times = sorted(str(record["run"]["started"]) for record in records)
    agent = crate.add(
        ContextEntity(
            crate, "#driver", properties={"@type": "SoftwareApplication", "name": "afterglow run"}
        )
    )
    run = ContextEntity(
        crate, "#run", properties={"@type": "CreateAction", "name": "run of the workflow"}
    )
    run["instrument"], run["agent"] = crate.mainEntity, agent
    run["startTime"], run["endTime"] = times[0], times[-1]
    if results:
        run["result"] = results
    return crate.add(run)


def _action(crate: ROCrate, record: dict[str, Any], tool: Any, made: dict[str, Any]) -> Any:
    from rocrate.model.contextentity import ContextEntity

    state = "CompletedActionStatus" if record["status"] != "failed" else "FailedActionStatus"
    told = {
        "@type": "CreateAction",
        "name": f"{record['stage']} {unit_name(record['subject'], record['session'])}",
        "identifier": record["key"],
        "startTime": record["run"]["started"],
        "actionStatus": f"http://schema.org/{state}",
        "description": record["reason"] or record["status"],
    }
    action = ContextEntity(crate, f"#job-{record['key']}", properties=told)
    action["instrument"] = tool
    used = [made[path] for path in record["inputs"]["read"] if path in made]
    used += [_outside(crate, name, digest) for name, digest in record["inputs"]["files"].items()]
    used += [_setting(crate, *item) for item in sorted(record["parts"]["config"].items())]
    if used:
        action["object"] = used
    if record["outputs"]:
        action["result"] = [made[output["path"]] for output in record["outputs"]]
    return crate.add(action)


def _add_file(crate: ROCrate, root: Path, output: dict[str, Any]) -> Any:
    path = output["path"]
    form = next((kind for ending, kind in _FORMATS.items() if path.endswith(ending)), None)
    told = {
        "name": Path(path).name,
        "sha256": output["sha256"],
        "contentSize": str(output["size"]),
        "encodingFormat": form or "application/octet-stream",
    }
    return crate.add_file(root / path, path, properties=told)


def _outside(crate: ROCrate, name: str, digest: str) -> Any:
    """Return an input that stays with the site, by its digest."""
    from rocrate.model.contextentity import ContextEntity

    told = {"@type": "CreativeWork", "name": name, "identifier": f"sha256:{digest}"}
    return crate.add(ContextEntity(crate, f"#input-{digest}", properties=told))


def _setting(crate: ROCrate, name: str, value: Any) -> Any:
    from rocrate.model.contextentity import ContextEntity

    from afterglow.provenance.digest import canonical_json, value_digest

    mark = re.sub(r"[^A-Za-z0-9._-]", "-", name)
    told = {"@type": "PropertyValue", "name": name, "value": canonical_json(value)}
    return crate.add(
        ContextEntity(crate, f"#setting-{mark}-{value_digest(value)[:12]}", properties=told)
    )
