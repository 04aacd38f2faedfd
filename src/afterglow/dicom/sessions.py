"""From classified series to sessions with labels, manifests and a reference."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from afterglow.dicom.clock import ordinal
from afterglow.dicom.conflicts import Sorted
from afterglow.dicom.crosswalk import Crosswalk
from afterglow.dicom.deidentify import Secret
from afterglow.dicom.linking import BY_GEOMETRY, OBJECTS, Link, link_objects
from afterglow.dicom.manifest import (
    CONVERTED,
    convertible,
    file_hash,
    manifest_text,
    numbered,
    object_entry,
    series_entry,
)
from afterglow.dicom.masks import GivenMask
from afterglow.dicom.series import describe
from afterglow.dicom.site_files import Days, shown_rows

if TYPE_CHECKING:
    from afterglow.config.center import CenterConfig

# a planning scan is rarely older when treatment starts
_PLANNING_DAYS = 42
# the rule of config/series.yaml for a series named like a flip angle whose siblings are not there
_LONE_ANGLE = "vfa_incomplete"


@dataclass
class Session:
    """One imaging study of one patient, with everything the plan needs."""

    center: str
    patient: str
    study_uid: str
    day: int | None
    subject: str
    session: str
    arrival: int
    date_shifted: str | None
    classes: list[str]
    status: str
    reason: str
    manifest: str = ""
    private: dict[str, Any] = field(default_factory=dict)
    has_mask: bool = False
    objects: list[str] = field(default_factory=list)
    reference: str = ""

    @property
    def name(self) -> str:
        """Name with both labels."""
        return f"sub-{self.subject}_ses-{self.session}"

    def plan_row(self, srs: Days) -> dict[str, Any]:
        """Return the row of ``plan.parquet``."""
        planned = self.status == "planned"
        start = srs.get((self.center, self.patient))
        digest = hashlib.sha256(self.manifest.encode()).hexdigest()
        return {
            "center": self.center,
            "subject": self.subject,
            "session": self.session,
            "arrival": self.arrival,
            "is_reference": planned and self.session == self.reference,
            "reference_session": self.reference,
            "manifest": f"index/manifests/{self.name}.json" if planned else "",
            "manifest_sha256": digest if planned else "",
            "date_shifted": self.date_shifted,
            "days_from_srs": None if start is None or self.day is None else self.day - start,
            "has_mask": self.has_mask,
            "classes": self.classes,
            "objects": self.objects,
            "status": self.status,
            "reason": self.reason,
        }


class CenterIndex:
    """The sessions and series of one center.

    Parameters
    ----------
    center : CenterConfig
        The center.
    secret : Secret
        Key of the study.
    crosswalk : Crosswalk
        Register that gives labels.
    found : Sorted
        Accepted rows of the center.
    replaced : mapping
        File hash to the keyed hash of new pixels under an old header.
    """

    def __init__(
        self,
        center: CenterConfig,
        secret: Secret,
        crosswalk: Crosswalk,
        found: Sorted,
        replaced: Mapping[str, str],
    ) -> None:
        self.center, self.secret, self.crosswalk = center, secret, crosswalk
        self.found, self.replaced = found, replaced
        self.series_rows: list[dict[str, Any]] = []
        self.links: dict[str, Link] = {}

    def sessions(self, masks: Sequence[GivenMask], warnings: list[str]) -> list[Session]:
        """Return every session, with its manifest where it can be used."""
        studies: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        patients: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for series in describe(self.found.rows, self.center.series_rules):
            key = repr((series["patient_id"], series["study_uid"], series["series_key"]))
            series["series_key"] = self.secret.hash("series", key)
            studies[series["patient_id"], series["study_uid"]].append(series)
            patients[series["patient_id"]].append(series)
        for every in patients.values():
            self.links |= link_objects(every, self.found.rows)
            for series in every:
                if series["class"] in OBJECTS and self._link(series).by == "geometry":
                    series["doubts"].append(BY_GEOMETRY)
        self.linked = self._linked(patients)
        dates = {key: self._date(study) for key, study in studies.items()}
        left = list(masks)
        built: list[Session] = []
        for patient in sorted({patient for patient, _ in studies}):
            own = [(uid, dates[patient, uid]) for p, uid in studies if p == patient]
            for uid, date in self.crosswalk.new_order(own):
                built.append(self._session(patient, uid, date, studies[patient, uid], left))
        if left:
            rows = shown_rows(sorted(mask.row for mask in left))
            warnings.append(
                f"masks of {self.center.name}: {rows} of the list fit no session; patient and "
                "study_date (YYYYMMDD) must be those of the headers"
            )
        return built

    def _linked(
        self, patients: Mapping[str, list[dict[str, Any]]]
    ) -> dict[tuple[str, str], list[dict[str, Any]]]:
        """Return the objects of every study of images, of whatever study they came in."""
        found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        for patient, every in patients.items():
            for series in every:
                link = self.links.get(series["series_key"])
                if link is not None and link.image is not None:
                    found[patient, link.image["study_uid"]].append(series)
        return found

    def _date(self, study: list[dict[str, Any]]) -> str | None:
        """Return the day of a study as the header says it."""
        rows = [self.found.rows[series["rows"][0]] for series in study]
        for name in ("study_date", "acquisition_date", "series_date", "content_date"):
            dates = sorted(row[name] for row in rows if ordinal(row.get(name)) is not None)
            if dates:
                return str(dates[0])
        return None

    def _session(
        self,
        patient: str,
        uid: str,
        date: str | None,
        study: list[dict[str, Any]],
        masks: list[GivenMask],
    ) -> Session:
        usable = numbered(study)
        refused = self.found.patients.get(patient)
        entry: dict[str, Any] = {"label": "", "arrival": 0}
        if usable and not refused:
            entry = self.crosswalk.session(self.center, patient, uid, date)
        session = Session(
            center=self.center.name,
            patient=patient,
            study_uid=uid,
            day=ordinal(date),
            subject=self.crosswalk.subject(self.center, patient)["label"],
            session=entry["label"] or f"x{self.secret.hash('study', uid, 8)}",
            arrival=entry["arrival"],
            date_shifted=self.secret.shifted(self.center.name, patient, date),
            classes=sorted(series["class"] for _, series in usable),
            status="quarantined" if refused else "planned" if usable else "skipped",
            reason=refused or ("" if usable else self._why_unusable(study)),
        )
        objects = self.linked.get((patient, uid), []) if session.status == "planned" else []
        every = [*study, *(series for series in objects if series not in study)]
        rows = [self.found.rows[number] for series in every for number in series["rows"]]
        own = _take(masks, patient, uid, session.day) if session.status == "planned" else []
        session.private = {
            "center": session.center,
            "instances": {file_hash(self.secret, row): source_entry(row) for row in rows},
            "masks": {mask.file: mask.path for mask in own},
        }
        if session.status == "planned":
            self._fill(session, study, usable, own, objects)
        self._series(session, study)
        return session

    def _why_unusable(self, study: list[dict[str, Any]]) -> str:
        links = [self.links.get(series["series_key"]) for series in study]
        moved = any(link is not None and link.image is not None for link in links)
        return "objects_of_another_session" if moved else "no_usable_series"

    def _fill(
        self,
        session: Session,
        study: list[dict[str, Any]],
        usable: list[tuple[int, dict[str, Any]]],
        masks: list[GivenMask],
        objects: list[dict[str, Any]],
    ) -> None:
        entries = []
        for run, series in usable:
            rows = self._rows(series)
            entries.append(series_entry(run, series, rows, self.secret, self.replaced))
        session.has_mask = bool(masks)
        session.objects = sorted(series["class"] for series in objects)
        session.manifest = manifest_text(
            {
                "center": session.center,
                "subject": session.subject,
                "session": session.session,
                "series": entries,
                "objects": self._objects(objects),
                "masks": [mask.public() for mask in masks],
                "facts": study[0]["study_facts"],
            }
        )

    def _rows(self, series: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [self.found.rows[number] for number in series["rows"]]

    def _objects(self, objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
        entries = []
        for series in sorted(objects, key=lambda s: (s["class"], s["series_key"])):
            link = self._link(series)
            image = str(link.image["series_key"]) if link.image is not None else ""
            rows = self._rows(series)
            entries.append(object_entry(series, image, link.by, rows, self.secret, self.replaced))
        return entries

    def _series(self, session: Session, study: list[dict[str, Any]]) -> None:
        for series in study:
            first = self.found.rows[series["rows"][0]]
            used = self._used(session, series)
            skipped = "" if used else session.reason if session.status == "quarantined" else None
            self.series_rows.append(
                {
                    **series,
                    "center": session.center,
                    "subject": session.subject,
                    "session": session.session,
                    "status": "used" if used else session.status.replace("planned", "skipped"),
                    "skipped": self._why_skipped(series) if skipped is None else skipped,
                    "example_file": f"{session.center}:{file_hash(self.secret, first)}",
                }
            )

    def _used(self, session: Session, series: Mapping[str, Any]) -> bool:
        if series["class"] in OBJECTS:
            return session.status != "quarantined" and self._link(series).image is not None
        return session.status == "planned" and convertible(series)

    def _link(self, series: Mapping[str, Any]) -> Link:
        return self.links[series["series_key"]]

    def _why_skipped(self, series: Mapping[str, Any]) -> str:
        if series["class"] in OBJECTS:
            return self._link(series).reason
        if series["class"] in CONVERTED:
            return "slices_missing" if series["lacks_slices"] else "no_complete_volume"
        if series["rule"] == _LONE_ANGLE:
            return "flip_angle_alone"
        return f"class_{series['class']}"


def source_entry(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what conversion needs to open a file."""
    names = ("path", "member", "sop_uid", "header_sha256", "bytes", "pixel_offset", "pixel_length")
    return {name: row[name] for name in (*names, "transfer_syntax", "size", "mtime_ns")}


def _take(masks: list[GivenMask], patient: str, uid: str, day: int | None) -> list[GivenMask]:
    """Take the masks of one study out of the list."""
    own = [
        mask
        for mask in masks
        if mask.patient == patient
        and (mask.study_uid == uid if mask.study_uid else mask.day is not None and mask.day == day)
    ]
    for mask in own:
        masks.remove(mask)
    return sorted(own, key=lambda mask: (mask.sha256, mask.rater))


def reference_sessions(sessions: Sequence[Session], crosswalk: Crosswalk, srs: Days) -> None:
    """Set every session's reference; one that was pinned while it exists stays."""
    subjects: dict[tuple[str, str], list[Session]] = defaultdict(list)
    for session in sessions:
        if session.status == "planned":
            subjects[session.center, session.patient].append(session)
    for key, own in subjects.items():
        entry = crosswalk.subjects["\0".join(key)]
        labels = {session.session for session in own}
        if entry["reference"] not in labels:
            chosen = _choose(own, srs.get(key))
            entry["reference"] = chosen.session if _anatomical(chosen) else None
            reference = chosen.session
        else:
            reference = entry["reference"]
        for session in own:
            session.reference = reference


def _anatomical(session: Session) -> bool:
    return "T1w_ce" in session.classes or "T1w" in session.classes


def _choose(own: Sequence[Session], start: int | None) -> Session:
    ordered = sorted(own, key=lambda s: (s.day or dt.date.max.toordinal(), s.session))
    contrast = [s for s in ordered if "T1w_ce" in s.classes]
    if start is not None:
        after = [s for s in contrast if s.day is not None and s.day >= start - _PLANNING_DAYS]
        contrast = after or contrast
    anatomical = [s for s in ordered if _anatomical(s)]
    return (contrast or anatomical or ordered)[0]
