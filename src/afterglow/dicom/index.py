"""From incoming folders to the plan: scan, sort out, classify, label, write what changed."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from afterglow.config.resources import resource
from afterglow.dicom import inventory
from afterglow.dicom.conflicts import sort_out
from afterglow.dicom.crosswalk import Crosswalk
from afterglow.dicom.deidentify import Secret, load_secret, private_folder, write_private
from afterglow.dicom.digests import replaced_content
from afterglow.dicom.masks import given_masks
from afterglow.dicom.result import IndexResult
from afterglow.dicom.series import FOUND
from afterglow.dicom.sessions import CenterIndex, Session, reference_sessions
from afterglow.dicom.site_files import srs_days, warn_of_strangers
from afterglow.errors import AfterglowError, ExitCode
from afterglow.provenance.impact import WITHDRAWN, withdrawn_subjects

if TYPE_CHECKING:
    from afterglow.config import Study
    from afterglow.config.center import CenterConfig

Tell = Callable[[str], None]

REMEMBERED = "index-state.json"
"""In the private folder: what the last index followed from, and what it found."""

PLAN = pa.schema(
    [
        ("center", pa.string()),
        ("subject", pa.string()),
        ("session", pa.string()),
        ("arrival", pa.int64()),
        ("is_reference", pa.bool_()),
        ("reference_session", pa.string()),
        ("manifest", pa.string()),
        ("manifest_sha256", pa.string()),
        ("date_shifted", pa.string()),
        ("days_from_srs", pa.int64()),
        ("has_mask", pa.bool_()),
        ("classes", pa.list_(pa.string())),
        ("objects", pa.list_(pa.string())),
        ("status", pa.string()),
        ("reason", pa.string()),
    ]
)
SERIES = pa.schema(
    [
        ("series_key", pa.string()),
        ("center", pa.string()),
        ("subject", pa.string()),
        ("session", pa.string()),
        *FOUND,
        ("status", pa.string()),
        ("skipped", pa.string()),
        ("example_file", pa.string()),
    ]
)


def build_index(study: Study, *, jobs: int = 1, progress: Tell | None = None) -> IndexResult:
    """Bring index, plan and manifests of a study up to date.

    Writes ``index/series.parquet``, ``index/plan.parquet``, ``index/manifests/*.json`` (each only
    where its content changes) and the private folder.

    Parameters
    ----------
    study : Study
        The validated study.
    jobs : int, optional
        Processes that read headers.
    progress : callable, optional
        Called with lines for a person.

    Returns
    -------
    IndexResult

    Raises
    ------
    AfterglowError
        A folder is missing, or nothing in them is readable DICOM.
    """
    secret = load_secret(study)
    private = private_folder(study)
    tables = {c.name: _scan(c, private, jobs, progress) for c in study.centers}
    if not any(pc.sum(pc.equal(t["status"], "ok")).as_py() for t in tables.values() if len(t)):
        raise AfterglowError(
            "no readable DICOM in the incoming folders",
            where=", ".join(sorted(tables)),
            remedy="check `dicom:` of each center; `private/rejected.json` lists every file seen",
            exit_code=ExitCode.NOTHING,
        )
    state = _fingerprint(study, tables)
    earlier = _unchanged(study, private, state)
    if earlier is not None:
        return earlier
    return _rebuild(study, secret, private, tables, state)


def _scan(center: CenterConfig, private: Path, jobs: int, progress: Tell | None) -> pa.Table:
    def tell(done: int, total: int) -> None:
        if progress is not None and (done == total or done % 4096 == 0):
            progress(f"{center.name}: {done} of {total} new files read")

    cache = private / f"inventory-{center.name}.parquet"
    return inventory.scan(center.dicom, cache, jobs=jobs, progress=tell)


def _fingerprint(study: Study, tables: dict[str, pa.Table]) -> str:
    """Return the digest of everything the index follows from."""
    digest = hashlib.sha256()
    for name, table in sorted(tables.items()):
        digest.update(name.encode())
        for column in ("path", "member", "size", "mtime_ns", "inode", "status"):
            for chunk in table[column].combine_chunks().buffers():
                digest.update(b"-" if chunk is None else memoryview(chunk))
    for center in study.centers:
        digest.update(center.model_dump_json().encode())
    files = [study.clinical, study.outcomes]
    files += [path for c in study.centers for path in (c.masks, c.subjects, c.visits)]
    for path in (*files, resource("config/series.yaml"), study.out / WITHDRAWN):
        if path is not None and path.is_file():
            digest.update(path.read_bytes())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _unchanged(study: Study, private: Path, state: str) -> IndexResult | None:
    """Return the last result where nothing it follows from moved and its files are there."""
    path = private / REMEMBERED
    if not path.exists():
        return None
    last = json.loads(path.read_text(encoding="utf-8"))
    index = study.out / "index"
    there = all((study.out / name).exists() for name in last["files"])
    masks_moved = any(_stamp(Path(name)) != stamp for name, stamp in last["masks"].items())
    if last["state"] != state or not there or masks_moved:
        return None
    result = IndexResult(**last["result"], unchanged=True)
    result.plan = pq.read_table(index / "plan.parquet").to_pylist()
    result.series = pq.read_table(index / "series.parquet").to_pylist()
    result.counts |= {"new": 0, "manifests_written": 0}
    return result


def _stamp(path: Path) -> list[int] | None:
    try:
        info = path.stat()
    except OSError:
        return None
    return [info.st_size, info.st_mtime_ns, info.st_ino]


def _rebuild(
    study: Study, secret: Secret, private: Path, tables: dict[str, pa.Table], state: str
) -> IndexResult:
    # An index that ends half written must not be taken for the last whole one.
    (private / REMEMBERED).unlink(missing_ok=True)
    crosswalk = Crosswalk(private / "crosswalk.json", secret)
    result = IndexResult()
    counts: Counter[str] = Counter()
    rejected: dict[str, dict[str, str]] = {}
    sessions: list[Session] = []
    series_rows: list[dict[str, Any]] = []
    for center in study.centers:
        rows = tables[center.name].to_pylist()
        counts["files"] += len({row["path"] for row in rows})
        accepted = [row for row in rows if row["status"] == "ok"]
        counts["instances"] += len(accepted)
        found = sort_out(accepted, _in_use(private, center.name))
        counts["duplicates"] += found.duplicates
        refused = [(row, str(row["reason"])) for row in rows if row["status"] != "ok"]
        result.rejected |= _added(result.rejected, (reason for _, reason in refused))
        result.quarantined |= _added(
            result.quarantined, (reason for _, reason in found.quarantined)
        )
        for row, reason in (*refused, *found.quarantined):
            name = secret.hash("path", f"{row['path']}\0{row['member']}")
            rejected[name] = {"path": row["path"], "member": row["member"], "reason": reason}
        replaced, moved = replaced_content(private, secret, center.name, found.rows)
        counts["replaced"] += moved
        built = CenterIndex(center, secret, crosswalk, found, replaced)
        masks, mask_warnings = given_masks(center, secret, private)
        result.warnings += mask_warnings
        sessions += built.sessions(masks, result.warnings)
        series_rows += built.series_rows
    withdrawn = withdrawn_subjects(study.out)
    sessions = [session for session in sessions if session.subject not in withdrawn]
    series_rows = [row for row in series_rows if row["subject"] not in withdrawn]
    for subject in withdrawn:
        for path in (private / "sessions").glob(f"sub-{subject}_*.json"):
            path.unlink()
    counts["rejected"], counts["quarantined"] = (
        sum(result.rejected.values()),
        sum(result.quarantined.values()),
    )
    srs = srs_days(study, result.warnings)
    warn_of_strangers(study, crosswalk.patients(), result.warnings)
    result.warnings += crosswalk.ignored()
    reference_sessions(sessions, crosswalk, srs)
    crosswalk.save()
    write_private(private / "rejected.json", {"instances": rejected})
    plan = [session.plan_row(srs) for session in sessions]
    plan.sort(key=lambda row: (row["center"], row["subject"], row["session"]))
    counts["manifests_written"] = _write_sessions(study, private, sessions, plan)
    series_rows.sort(key=lambda r: (r["center"], r["subject"], r["session"], r["series_key"]))
    write_table(study.out / "index" / "series.parquet", series_rows, SERIES)
    write_table(study.out / "index" / "plan.parquet", plan, PLAN)
    counts["series"], counts["sessions"] = len(series_rows), len(plan)
    result.plan, result.series, result.counts = plan, series_rows, dict(counts)
    _remember(private, state, result, sessions)
    return result


def _added(before: dict[str, int], reasons: Iterable[str]) -> dict[str, int]:
    return dict(sorted((Counter(before) + Counter(reasons)).items()))


def _in_use(private: Path, center: str) -> dict[str, str]:
    """Return the header digest in use for every instance of a center that was planned before."""
    known: dict[str, str] = {}
    for path in sorted((private / "sessions").glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.get("center") == center:
            known |= {e["sop_uid"]: e["header_sha256"] for e in content["instances"].values()}
    return known


def _write_sessions(
    study: Study, private: Path, sessions: list[Session], plan: list[dict[str, Any]]
) -> int:
    """Write manifests and private session files where they changed; drop those without session."""
    folder = study.out / "index" / "manifests"
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    for session in sessions:
        if session.status == "planned":
            path = folder / f"{session.name}.json"
            written += _write_changed(path, session.manifest.encode())
        write_private(private / "sessions" / f"{session.name}.json", session.private)
    kept = {Path(row["manifest"]).name for row in plan if row["status"] == "planned"}
    for path in sorted(folder.glob("*.json")):
        if path.name not in kept:
            path.unlink()
    return written


def write_table(path: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    """Write a table where its bytes change."""
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer, compression="zstd")
    _write_changed(path, buffer.getvalue().to_pybytes())


def _write_changed(path: Path, content: bytes) -> bool:
    """Write a file whole or not at all, where its bytes change; tell whether they did."""
    if path.exists() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    draft.write_bytes(content)
    draft.replace(path)
    return True


def _remember(private: Path, state: str, result: IndexResult, sessions: list[Session]) -> None:
    files = ["index/plan.parquet", "index/series.parquet"]
    files += [row["manifest"] for row in result.plan if row["status"] == "planned"]
    masks = {
        path: _stamp(Path(path))
        for session in sessions
        for path in session.private["masks"].values()
    }
    kept = {
        "counts": result.counts,
        "rejected": result.rejected,
        "quarantined": result.quarantined,
        "warnings": result.warnings,
    }
    content = {"state": state, "files": files, "masks": masks, "result": kept}
    write_private(private / REMEMBERED, content)
