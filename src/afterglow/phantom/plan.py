"""What the cohort holds: centers, subjects, visits, lesions; data, nothing is computed here."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from afterglow.phantom.seeds import uid

Kind = Literal["progression", "treatment_effect", "stable"]
Vendor = Literal["GE", "Siemens", "Philips"]
Part = Literal["vfa", "dce", "dsc"]
TroubleKind = Literal[
    "no_dce",
    "cut_off",
    "duplicate_push",
    "wrong_tr",
    "unclassifiable",
    "corrupt_file",
    "two_studies_one_date",
    "injection_between",
]


@dataclass(frozen=True)
class LesionState:
    """One lesion at one visit.

    Attributes
    ----------
    diameter : float
        Of the sphere of equal volume, mm.
    rcbv : float
        Blood volume of the enhancing part over that of normal white matter.
    ktrans : float
        1/min.
    ve : float
        Fraction.
    t1 : float
        Before contrast, s.
    mtt : float
        Mean transit time, s.
    r2s_ees : float
        Relaxivity R2* of contrast that has leaked, 1/s/mM; low is T1-dominant leakage.
    core : float
        Radius of the necrotic core over that of the lesion.
    edema : float
        Width of the oedema around it, mm.
    delay, dispersion : float
        Of the blood that arrives, after the large arteries, s.
    part_of : int
        Lesion in whose mask this one is drawn, where the two touch; 0 where it has its own.
    """

    diameter: float
    rcbv: float
    ktrans: float
    ve: float = 0.3
    t1: float = 1.45
    mtt: float = 5.0
    r2s_ees: float = 8.0
    core: float = 0.0
    edema: float = 7.0
    delay: float = 0.8
    dispersion: float = 0.0
    part_of: int = 0


@dataclass(frozen=True)
class LesionSpec:
    """One lesion over time.

    Attributes
    ----------
    number : int
        From 1; the label in the given masks.
    site : tuple of float
        Centre in MNI152 mm.
    kind : str
        What the growth is, the label of the outcome table; ``stable`` has none.
    states : tuple
        One state a visit; None where the lesion is not there.
    """

    number: int
    site: tuple[float, float, float]
    kind: Kind
    states: tuple[LesionState | None, ...]


@dataclass(frozen=True)
class Trouble:
    """Something that goes wrong at one visit, as it does in archives.

    Attributes
    ----------
    kind : str
        ``no_dce`` (the DCE injection and its flip angles are left out), ``cut_off`` (the DCE
        series ends within a volume), ``duplicate_push`` (the DSC series arrives twice),
        ``wrong_tr`` (RepetitionTime of the DSC series is not the spacing of its frames),
        ``unclassifiable`` (a series that no header tells), ``corrupt_file`` (a file of the FLAIR
        series ends early), ``two_studies_one_date`` (the patient is called back on the same day
        for another T1w), ``injection_between`` (DSC comes between the flip angles and DCE).
    visit : int
        From 0.
    """

    kind: TroubleKind
    visit: int


@dataclass(frozen=True)
class SubjectPlan:
    """One patient, with the identifying header values that de-identification has to remove.

    The first visit is the planning scan, days before ``srs_date``.
    """

    patient: str
    name: str
    center: str
    sex: Literal["F", "M"]
    birth: dt.date
    weight: float
    srs_date: dt.date
    dose_gy: float
    fractions: int
    histology: str
    lesions: tuple[LesionSpec, ...]
    visits: tuple[dt.date, ...]
    troubles: tuple[Trouble, ...] = ()

    def troubled(self, visit: int) -> frozenset[TroubleKind]:
        """Return what goes wrong at a visit."""
        return frozenset(trouble.kind for trouble in self.troubles if trouble.visit == visit)


@dataclass(frozen=True)
class CenterPlan:
    """One center: its scanner and what the site knows beside DICOM.

    Attributes
    ----------
    field : float
        T.
    dose, dce_dose : float
        Of the DSC and of the DCE injection, mmol/kg; one dose for both where only one is given.
    preload : str
        What the site says about the preload before DSC.
    order : tuple of str
        In which order flip angles, DCE and DSC are acquired; what is absent is not acquired.
    masks : str
        How the center gives its lesion masks: as files with a list, as objects in the archive, or
        not at all.
    own_labels : bool
        Whether the center names its subjects and visits itself.
    """

    name: str
    institution: str
    vendor: Vendor
    field: float
    agent: str
    dose: float
    preload: str
    hematocrit: float = 0.42
    dce_dose: float | None = None
    order: tuple[Part, ...] = ("vfa", "dce", "dsc")
    masks: Literal["nifti", "seg", "none"] = "nifti"
    own_labels: bool = False

    def dose_of(self, series: Literal["dce", "dsc"]) -> float:
        """Return the dose injected during a dynamic series, mmol/kg."""
        return self.dose if series == "dsc" or self.dce_dose is None else self.dce_dose


@dataclass(frozen=True)
class CohortPlan:
    """The whole cohort."""

    size: str
    seed: int
    centers: tuple[CenterPlan, ...]
    subjects: tuple[SubjectPlan, ...]

    def center(self, name: str) -> CenterPlan:
        """Return a center by name."""
        return next(center for center in self.centers if center.name == name)

    def subject(self, patient: str) -> SubjectPlan:
        """Return a subject by patient id."""
        return next(subject for subject in self.subjects if subject.patient == patient)

    def study_uid(self, patient: str, visit: int, part: str = "") -> str:
        """Return the identifier of the study of a visit, or of another one on its date."""
        return uid(self.seed, patient, visit, *filter(None, [part]), "study")


NORTH = CenterPlan("north", "North Hospital", "GE", 3.0, "gadobutrol", 0.1, "dce")
SOUTH = CenterPlan(
    "south",
    "South Clinic",
    "Siemens",
    1.5,
    "gadoterate",
    0.1,
    "dce",
    0.40,
    dce_dose=0.05,
    masks="seg",
    own_labels=True,
)
WEST = CenterPlan(
    "west",
    "West Infirmary",
    "Philips",
    3.0,
    "gadoteridol",
    0.1,
    "none",
    order=("dsc", "vfa", "dce"),
    masks="none",
)


def full_plan(seed: int) -> CohortPlan:
    """Return nine subjects of three centers, each at planning and at two follow-ups.

    Who they are and how their lesions grow is fixed; the physiology follows from the seed. Smaller
    cohorts are restrictions of this one to fewer subjects and visits.
    """
    from afterglow.phantom.roster import subjects

    return CohortPlan("full", seed, (NORTH, SOUTH, WEST), subjects(seed))
