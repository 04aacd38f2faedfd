"""The jobs that a study consists of, each with the key its result will be recorded under."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from afterglow.config import Section, Study
from afterglow.errors import AfterglowError, ExitCode
from afterglow.provenance.closure import cached_code_digests
from afterglow.provenance.digest import canonical_json, file_digest, value_digest
from afterglow.provenance.places import ABSENT, PLAN, TICKETS, JobId
from afterglow.provenance.records import state_path, unit_name, write_atomically
from afterglow.provenance.stages import STAGES, STUDY_STAGES, Stage

CODE = Path(".cache/code.json")
_IDENTITY_COLUMNS = ("session", "arrival", "is_reference", "has_mask")


@dataclass(frozen=True)
class PlannedJob:
    """One job: its place in the DAG and the parts its key is made of."""

    stage: str
    subject: str | None
    session: str | None
    center: str | None
    upstream: tuple[JobId, ...]
    files: tuple[str, ...]
    parts: Mapping[str, Any] = field(hash=False)
    key: str

    def upstream_key(self, upstream: JobId) -> str:
        """Return the key that an upstream job's result is recorded under."""
        stage, subject, session = upstream
        return str(self.parts["upstream"][f"{stage}/{unit_name(subject, session)}"])

    @property
    def id(self) -> JobId:
        """Stage, subject and session."""
        return self.stage, self.subject, self.session

    @property
    def unit(self) -> str:
        """Name of what the job covers."""
        return unit_name(self.subject, self.session)

    @property
    def state(self) -> str:
        """Path of the job's state, relative to ``out``."""
        return state_path(*self.id)


def write_tickets(root: Path, jobs: Iterable[PlannedJob]) -> None:
    """Write each planned job down, so that its process needs neither the plan nor other sources."""
    for job in jobs:
        path = root / TICKETS / f"{job.key}.json"
        write_atomically(path, json.dumps(vars(job)), durable=False)


def read_ticket(root: Path, key: str) -> PlannedJob | None:
    """Return the planned job of a key, or None where the driver wrote no ticket."""
    try:
        values = json.loads((root / TICKETS / f"{key}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    values["upstream"] = tuple(tuple(upstream) for upstream in values["upstream"])
    values["files"] = tuple(values["files"])
    return PlannedJob(**values)


@dataclass(frozen=True)
class KeyText:
    """The canonical JSON of a job's parts but for what is its own: a plan asks for thousands.

    Attributes
    ----------
    before, between, after : str
        What stands before the job's data, between that and its unit, and after its upstream keys.
    """

    before: str
    between: str
    after: str

    @classmethod
    def of(cls, parts: Mapping[str, Any]) -> KeyText:
        """Return the text of the parts that jobs share: all but data, unit and upstream."""
        text = {name: f'"{name}":{canonical_json(value)}' for name, value in parts.items()}
        return cls(
            f"{{{text['code']},{text['config']}",
            f"{text['libraries']},{text['stage']}",
            f"{text['version']}}}",
        )

    def digest(self, data: Mapping[str, Any], unit: str, upstream: Mapping[str, str]) -> str:
        """Return the `value_digest` of all parts; units and stages need no escapes in JSON."""
        keys = ",".join([f'"{name}":"{upstream[name]}"' for name in sorted(upstream)])
        own = f'"data":{canonical_json(data) if data else "{}"}'
        named = f'"unit":"{unit}","upstream":{{{keys}}}'
        text = f"{self.before},{own},{self.between},{named},{self.after}"
        return hashlib.sha256(text.encode()).hexdigest()


class Dag:
    """All jobs of a study in an order in which they can run.

    Parameters
    ----------
    study : Study
        The validated study.
    rows : list of dict
        Rows of ``index/plan.parquet``.
    absent : list of dict
        Jobs that were killed and have no state; study stages do without them.
    """

    def __init__(self, study: Study, rows: list[dict[str, Any]], absent: list[dict[str, Any]]):
        self.study, self.absent = study, absent
        self.rows = [row for row in rows if row["status"] == "planned"]
        self.jobs: dict[JobId, PlannedJob] = {}
        self._code = cached_code_digests(STAGES, study.out / CODE)
        # Reading what is installed costs milliseconds a name: once a stage, not once a job.
        self._libraries = {s.name: library_versions(s.libraries) for s in STAGES.values()}
        self._file_digests: dict[Path, str] = {}
        self._shared_parts: dict[tuple[str, str | None], tuple[dict[str, Any], KeyText]] = {}
        self._names: dict[JobId, str] = {}
        check_pins(study)
        for subject, subject_rows in self.subjects.items():
            self._add_subject(subject, subject_rows)
        self._add_study()

    @cached_property
    def subjects(self) -> dict[str, list[dict[str, Any]]]:
        """Plan rows by subject, in order of session."""
        found: dict[str, list[dict[str, Any]]] = {}
        for row in sorted(self.rows, key=lambda r: (r["subject"], r["session"])):
            found.setdefault(row["subject"], []).append(row)
        return found

    def of(self, stage: str, subject: str | None = None, session: str | None = None) -> PlannedJob:
        """Return one job; raises KeyError where the plan has none."""
        return self.jobs[stage, subject, session]

    def inputs(self, job: PlannedJob) -> list[str]:
        """Return the files a job waits for: states of upstream jobs, manifest, site files."""
        return [*job.files, *(self.jobs[upstream].state for upstream in job.upstream)]

    def _add_subject(self, subject: str, rows: list[dict[str, Any]]) -> None:
        for row in sorted(rows, key=lambda r: (not r["is_reference"], r["session"])):
            for name in ("bids", "anat", "dsc", "dce"):
                self._add_session(STAGES[name], row)
        self._add_features(subject, rows)
        upstream = tuple((s, subject, r["session"]) for r in rows for s in ("bids", "anat"))
        upstream += tuple(("features", subject, r["session"]) for r in rows if not given_masks(r))
        seen = [{c: r[c] for c in _IDENTITY_COLUMNS} for r in rows]
        center = rows[0]["center"]
        unit = (subject, None, center)
        self._add(STAGES["identity"], unit, upstream, (), {"plan": seen})
        stories = STAGES["stories"]
        parts = (s for s in stories.upstream if s != "identity")
        upstream = tuple((s, subject, r["session"]) for s in parts for r in rows)
        upstream += (("identity", subject, None),)
        self._add(stories, unit, upstream, (), {"plan": seen})
        for row in rows:
            self._add_session(STAGES["report"], row)

    def _add_features(self, subject: str, rows: list[dict[str, Any]]) -> None:
        """Add the features of a subject in order of arrival.

        Without a given mask, lesions are sought where the sessions that arrived earlier show them;
        with one, only the doses that came with them are of use. Later ones are left out, so that
        no scan changes what was measured before it.
        """
        earlier: list[JobId] = []
        planned: list[JobId] = []
        for row in sorted(rows, key=lambda r: (r["arrival"], r["session"])):
            self._add_session(
                STAGES["features"], row, tuple(planned if given_masks(row) else earlier)
            )
            if "RTDOSE" in (row.get("objects") or ()):
                planned += [(name, subject, row["session"]) for name in ("bids", "anat")]
            names = ("bids", "anat") if given_masks(row) else ("bids", "anat", "features")
            earlier += [(name, subject, row["session"]) for name in names]

    def _add_study(self) -> None:
        gone = {(a["stage"], a["subject"], a["session"]) for a in self.absent}
        present = [i for i in self.jobs if i not in gone]
        for stage in (STAGES[name] for name in STUDY_STAGES):
            upstream = [i for i in present if i[0] in stage.upstream]
            upstream += [(name, None, None) for name in stage.upstream if name in STUDY_STAGES]
            extra: dict[str, Any] = {}
            files: tuple[str, ...] = ()
            if stage.name == "tables":
                extra = {"plan": value_digest(self.rows), "absent": value_digest(self.absent)}
                files = (str(ABSENT),) if self.absent else ()
            self._add(stage, (None, None, None), tuple(upstream), files, extra)

    def _add_session(
        self, stage: Stage, row: Mapping[str, Any], more: tuple[JobId, ...] = ()
    ) -> None:
        subject, session = row["subject"], row["session"]
        upstream: list[JobId] = [(name, subject, session) for name in stage.upstream]
        upstream += more
        if stage.name == "anat" and not row["is_reference"]:
            upstream.append(("anat", subject, row["reference_session"]))
        extra: dict[str, Any] = {}
        files: tuple[str, ...] = ()
        if stage.name == "bids":
            extra = {"manifest": row["manifest_sha256"]}
            files = (row["manifest"],)
        self._add(stage, (subject, session, row["center"]), tuple(upstream), files, extra)

    def _add(
        self,
        stage: Stage,
        unit: tuple[str | None, str | None, str | None],
        upstream: tuple[JobId, ...],
        files: tuple[str, ...],
        extra: Mapping[str, Any],
    ) -> None:
        subject, session, center = unit
        shared, text = self._shared(stage, center)
        named = unit_name(subject, session)
        keys = {self._names[job_id]: self.jobs[job_id].key for job_id in upstream}
        key = text.digest(dict(extra), named, keys)
        parts = {**shared, "data": dict(extra), "upstream": keys}
        job = PlannedJob(stage.name, subject, session, center, upstream, files, parts, key)
        self.jobs[job.id] = job
        self._names[job.id] = f"{stage.name}/{named}"

    def _shared(self, stage: Stage, center: str | None) -> tuple[dict[str, Any], KeyText]:
        """Return the parts that all jobs of a stage at a center share, and as text."""
        place = stage.name, center
        if place not in self._shared_parts:
            code = self._code[stage.name]
            parts = {
                "stage": stage.name,
                "version": stage.version,
                "code": dict(stage.equivalent).get(code, code),
                "libraries": self._libraries[stage.name],
                "config": self._config(stage, center),
            }
            self._shared_parts[place] = parts, KeyText.of(parts)
        return self._shared_parts[place]

    def _config(self, stage: Stage, center: str | None) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name in stage.reads:
            if name.startswith("center."):
                fact = name.removeprefix("center.")
                for entry in self.study.centers:
                    if center in {None, entry.name}:
                        label = fact if center else f"{entry.name}.{fact}"
                        values[f"center.{label}"] = self._value(getattr(entry, fact))
            else:
                value: Any = self.study
                for part in name.split("."):
                    value = getattr(value, part)
                values[name] = self._value(value)
        return values

    def _value(self, value: Any) -> Any:
        """Return a setting as JSON, files as their content."""
        if isinstance(value, Section):
            return {name: self._value(getattr(value, name)) for name in type(value).model_fields}
        if isinstance(value, Path):
            if value not in self._file_digests:
                self._file_digests[value] = file_digest(value) if value.is_file() else "absent"
            return f"sha256:{self._file_digests[value]}"
        if isinstance(value, list | tuple):
            return [self._value(item) for item in value]
        if isinstance(value, dict):
            return {str(name): self._value(item) for name, item in value.items()}
        return value


def given_masks(row: Mapping[str, Any]) -> bool:
    """Return whether a session's lesions were drawn by someone: a mask, structures, or segments."""
    return bool(row["has_mask"]) or bool({"RTSTRUCT", "SEG"} & set(row.get("objects") or ()))


def check_pins(study: Study) -> None:
    """Refuse a study that stays with other stage versions than this release has.

    Raises
    ------
    AfterglowError
        A pinned stage has another version here, or there is no such stage.
    """
    for name, pinned in study.ledger.versions.items():
        here = STAGES[name].version if name in STAGES else "no such stage"
        if here != pinned:
            raise AfterglowError(
                f"the study stays with version {pinned} of stage {name}, this release has {here}",
                where="ledger.versions in the study file",
                remedy="install the release that made the study, or change the pin to re-run it",
            )


def library_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the installed version of each distribution, ``absent`` where there is none."""
    found = {}
    for name in sorted(set(names)):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def load_dag(study: Study, subject: str | None = None) -> Dag:
    """Build the DAG from the study's plan table, or the part of it that is about one subject.

    Of a part, only the jobs of its subject have the keys they have in the whole.

    Raises
    ------
    AfterglowError
        Where the study was not indexed yet.
    """
    from afterglow.provenance.lookup import rows_where

    path = study.out / PLAN
    if not path.exists():
        raise AfterglowError(
            "the study has no plan yet",
            where=str(PLAN),
            remedy="run `afterglow index STUDY`",
            exit_code=ExitCode.NOTHING,
        )
    absent_file = study.out / ABSENT
    absent = json.loads(absent_file.read_text(encoding="utf-8")) if absent_file.exists() else []
    where = {} if subject is None else {"subject": subject}
    return Dag(study, rows_where(path, where), absent)
