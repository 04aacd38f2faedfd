"""Which code a stage uses: the import closure of its script within the package."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from afterglow.config.resources import resource
from afterglow.provenance.digest import file_digest, token_digest, value_digest

# These carry values that enter keys by themselves, or only move files about.
INFRASTRUCTURE = ("afterglow.provenance", "afterglow.config", "afterglow.cli", "afterglow.errors")
PACKAGE_ROOT = Path(__file__).resolve().parents[1]
_DATA_SUFFIXES = (".j2", ".css", ".js", ".yaml", ".json", ".csv")


@cache
def module_file(module: str) -> Path | None:
    """Return the file of a module of this package, or None where there is none."""
    base = PACKAGE_ROOT.joinpath(*module.split(".")[1:])
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if module != "afterglow" and candidate.is_file():
            return candidate
    return None


@cache
def imported_modules(source: str, module: str = "") -> frozenset[str]:
    r"""Return the modules of this package that a source imports, wherever the import stands.

    Examples
    --------
    >>> sorted(imported_modules("from afterglow.bids import names\nimport numpy"))
    ['afterglow.bids', 'afterglow.bids.names']
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = module.split(".")[: -node.level]
                base = ".".join([*parent, base] if base else parent)
            names = {base} | {f"{base}.{alias.name}" for alias in node.names}
        else:
            continue
        found |= {n for n in names if n.startswith("afterglow.") and module_file(n) is not None}
    return frozenset(found)


def import_closure(script: Path) -> dict[str, Path]:
    """Return every module of the package that a script reaches, by name.

    Infrastructure (records, configuration, command line) is left out: it moves results about and
    does not make them.
    """
    reached: dict[str, Path] = {}
    todo = list(imported_modules(script.read_text(encoding="utf-8")))
    while todo:
        module = todo.pop()
        if module in reached or module.startswith(INFRASTRUCTURE):
            continue
        path = module_file(module)
        if path is None:
            continue
        reached[module] = path
        todo.extend(imported_modules(path.read_text(encoding="utf-8"), module))
    return reached


def data_files(modules: Iterable[str]) -> list[Path]:
    """Return the package data (templates, styles) beside the packages that a closure reaches."""
    packages = {path.parent for module in modules if (path := module_file(module)) is not None}
    return sorted(
        file
        for package in packages
        for file in package.rglob("*")
        if file.suffix in _DATA_SUFFIXES and file.is_file()
    )


def stage_code_digest(stage: str) -> str:
    """Return the digest of all code and data that a stage's results follow from.

    The script of a stage is ``scripts/<stage>.py``; its settings and inputs have digests of their
    own.
    """
    script = resource(f"scripts/{stage}.py")
    closure = import_closure(script)
    parts = {name: token_digest(path.read_text(encoding="utf-8")) for name, path in closure.items()}
    parts["script"] = token_digest(script.read_text(encoding="utf-8"))
    for path in [*data_files(closure), *_config_data(stage)]:
        parts[f"data:{path.name}"] = file_digest(path)
    return value_digest(parts)


def cached_code_digests(stages: Iterable[str], cache_file: Path) -> dict[str, str]:
    """Return the code digest of each stage, recomputed only where a source file moved."""
    stages = list(stages)
    token = value_digest([sorted(stages), *_source_stats()])
    try:
        cached = json.loads(cache_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        cached = {}
    if cached.get("token") == token:
        return dict(cached["digests"])
    digests = {stage: stage_code_digest(stage) for stage in stages}
    temporary = cache_file.with_name(f"{cache_file.name}.{os.getpid()}")
    cache_file.parent.mkdir(parents=True, exist_ok=True)
    temporary.write_text(json.dumps({"token": token, "digests": digests}), encoding="utf-8")
    temporary.replace(cache_file)
    return digests


def _config_data(stage: str) -> list[Path]:
    """Return the data files under ``config/`` that a stage's results follow from."""
    return sorted(resource("config/rules").glob("*.yaml")) if stage == "cohort" else []


def _source_stats() -> list[list[str | int]]:
    """Return name, size and times of every file a code digest may read.

    The time of the last change of the inode counts too: nobody can set it back.
    """
    roots = [PACKAGE_ROOT, resource("scripts"), resource("config")]
    stats: list[list[str | int]] = []
    for root in roots:
        for path in sorted(root.rglob("*")):
            if path.is_file() and path.suffix in {".py", *_DATA_SUFFIXES}:
                status = path.stat()
                moved = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
                stats.append([str(path), *moved])
    return stats
