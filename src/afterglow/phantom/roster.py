"""The subjects of the reference cohort, with the fate of every lesion."""

from __future__ import annotations

import datetime as dt
from typing import Literal, cast

from afterglow.phantom.physiology import Size, course
from afterglow.phantom.plan import (
    NORTH,
    SOUTH,
    WEST,
    CenterPlan,
    Kind,
    LesionSpec,
    SubjectPlan,
    Trouble,
    TroubleKind,
)

Site = tuple[float, float, float]


def subjects(seed: int) -> tuple[SubjectPlan, ...]:
    """Return nine subjects, three a center.

    Examples
    --------
    >>> [len(subject.lesions) for subject in subjects(1)]
    [3, 4, 5, 3, 4, 2, 2, 4, 3]
    """
    return (*_north(seed), *_south(seed), *_west(seed))


def _north(seed: int) -> tuple[SubjectPlan, ...]:
    one = _Lesions(seed, "NORTH-0001", NORTH)
    one.add((-27, -16, 36), "progression", 18, 22, Size(26, core=0.4))
    one.add((28, 34, 14), "treatment_effect", 16, 20, Size(22, core=0.5))
    one.add((31, -56, 24), "stable", Size(5, edema=1.5), Size(5.5, edema=1.5), Size(5, edema=1.5))
    two = _Lesions(seed, "NORTH-0002", NORTH)
    two.add((29, -50, 33), "progression", 13, 15, 20)
    two.add((29, -66, 26), "progression", 12, 14, Size(19, part_of=1))
    two.add((-26, 36, 16), "treatment_effect", 17, 22, Size(23, core=0.45))
    two.add((-24, -6, 42), "stable", 13, 10, 8)
    three = _Lesions(seed, "NORTH-0003", NORTH)
    three.add(
        (30, 24, 26), "progression", Size(20, core=0.5), Size(23, core=0.55), Size(27, core=0.5)
    )
    three.add((-42, -58, 20), "treatment_effect", 15, 18, 20)
    three.add((-24, -6, 42), "stable", 15, 12, 10)
    three.add((22, -52, 38), "progression", None, None, 11)
    three.add((48, -19, 29), "stable", *(Size(d, edema=1.0) for d in (4.5, 4.5, 5.0)))
    return (
        one.of(
            ("Winter^Anna", "F", "1961-05-17", 68.0), (_LUNG, "2019-03-06", 20.0, 1), (2, 97, 189)
        ),
        two.of(
            ("Sommer^Otto", "M", "1954-11-02", 81.0),
            (_MELANOMA, "2019-03-21", 24.0, 3),
            (2, 90, 181),
            cut_off=1,
        ),
        three.of(
            ("Herbst^Karla", "F", "1958-08-23", 62.0),
            (_BREAST, "2019-05-16", 18.0, 1),
            (3, 62, 160),
            duplicate_push=0,
            injection_between=1,
            corrupt_file=2,
        ),
    )


def _south(seed: int) -> tuple[SubjectPlan, ...]:
    one = _Lesions(seed, "SOUTH-0001", SOUTH)
    one.add((30, 3, 34), "progression", 16, 20, Size(25, core=0.45))
    one.add((-38, -52, 29), "treatment_effect", 17, Size(21, core=0.4), Size(23, core=0.5))
    one.add((-26, 42, 11), "stable", 13, 10, 9)
    two = _Lesions(seed, "SOUTH-0002", SOUTH)
    two.add((-25, -4, 40), "stable", 17, 16, 11)
    two.add((-29, 7, 34), "stable", Size(14, part_of=1), Size(13, part_of=1), 8.5)
    two.add((40, -62, 20), "treatment_effect", 16, 19, 21)
    two.add((27, 40, 13), "progression", 14, 18, 22)
    three = _Lesions(seed, "SOUTH-0003", SOUTH)
    three.add((28, 20, 27), "progression", 11, None, 13)
    three.add((-38, -50, 30), "treatment_effect", 18, Size(22, core=0.45), Size(24, core=0.5))
    return (
        one.of(
            ("Bach^Miriam", "F", "1965-02-09", 71.0), (_LUNG, "2020-01-15", 20.0, 1), (1, 84, 175)
        ),
        two.of(
            ("Linde^Josef", "M", "1949-12-30", 77.0),
            (_RENAL, "2020-02-05", 27.0, 3),
            (5, 70, 168),
            no_dce=1,
        ),
        three.of(
            ("Brunn^Agnes", "F", "1971-07-04", 59.0),
            (_BREAST, "2020-06-10", 22.0, 1),
            (2, 93, 186),
            wrong_tr=2,
        ),
    )


def _west(seed: int) -> tuple[SubjectPlan, ...]:
    one = _Lesions(seed, "WEST-0001", WEST)
    one.add((-31, 18, 26), "treatment_effect", 18, Size(23, core=0.5), Size(25, core=0.55))
    one.add((38, -50, 30), "progression", 15, 19, 23)
    two = _Lesions(seed, "WEST-0002", WEST)
    two.add((-40, -54, 26), "progression", 15, 18, Size(22, core=0.4))
    two.add((30, 4, 33), "treatment_effect", 14, 18, 19)
    two.add((26, 42, 10), "progression", None, 10, 14)
    two.add((-28, 30, 22), "stable", *(Size(d, edema=1.0) for d in (5.0, 4.5, 4.5)))
    three = _Lesions(seed, "WEST-0003", WEST)
    three.add((32, 2, 33), "treatment_effect", 19, Size(23, core=0.5), Size(26, core=0.6))
    three.add((-24, -52, 36), "progression", 16, 20, 24)
    three.add((-30, 28, 24), "stable", 14, 11, 9)
    return (
        one.of(
            ("Moor^Daniel", "M", "1968-03-15", 84.0), (_LUNG, "2021-04-14", 18.0, 1), (2, 88, 179)
        ),
        two.of(
            ("Heide^Lotte", "F", "1956-10-11", 65.0),
            (_MELANOMA, "2021-05-05", 24.0, 3),
            (1, 77, 161),
            two_studies_one_date=2,
        ),
        three.of(
            ("Aue^Martin", "M", "1962-01-28", 90.0),
            (_COLON, "2021-09-08", 20.0, 1),
            (6, 91, 190),
            unclassifiable=1,
        ),
    )


_LUNG, _BREAST, _COLON = "lung adenocarcinoma", "breast carcinoma", "colorectal carcinoma"
_MELANOMA, _RENAL = "melanoma", "renal cell carcinoma"


class _Lesions:
    """Collects the lesions of one subject."""

    def __init__(self, seed: int, patient: str, center: CenterPlan) -> None:
        self.seed, self.patient, self.center = seed, patient, center
        self.specs: tuple[LesionSpec, ...] = ()

    def add(self, site: Site, kind: Kind, *sizes: Size | float | None) -> None:
        """Add the next lesion with its size at every visit."""
        number = len(self.specs) + 1
        planned = tuple(Size(s) if isinstance(s, int | float) else s for s in sizes)
        states = course(self.seed, self.patient, number, kind, self.center.field, planned)
        self.specs = (*self.specs, LesionSpec(number, site, kind, states))

    def of(
        self,
        who: tuple[str, Literal["F", "M"], str, float],
        treatment: tuple[str, str, float, int],
        days: tuple[int, int, int],
        **troubles: int,
    ) -> SubjectPlan:
        """Return the subject who has these lesions.

        Parameters
        ----------
        who : tuple
            Name, sex, day of birth, weight in kg.
        treatment : tuple
            Histology, day of radiosurgery, dose in Gy, fractions.
        days : tuple of int
            Days from planning scan to radiosurgery, and from there to the follow-ups.
        **troubles
            Visit of every trouble.
        """
        name, sex, birth, weight = who
        histology, day, dose, fractions = treatment
        srs = dt.date.fromisoformat(day)
        planning, *later = days
        return SubjectPlan(
            patient=self.patient,
            name=name,
            center=self.center.name,
            sex=sex,
            birth=dt.date.fromisoformat(birth),
            weight=weight,
            srs_date=srs,
            dose_gy=dose,
            fractions=fractions,
            histology=histology,
            lesions=self.specs,
            visits=tuple(srs + dt.timedelta(n) for n in (-planning, *later)),
            troubles=tuple(Trouble(cast("TroubleKind", k), v) for k, v in troubles.items()),
        )
