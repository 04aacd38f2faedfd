"""A study seen through the keys that a stage declares."""

from __future__ import annotations

from typing import Any

from afterglow.config import Study
from afterglow.errors import AfterglowError
from afterglow.provenance.stages import Stage

# Where things are does not decide what they are: these never enter a key.
_PLACES = frozenset({"out", "private", "private_dir", "centers", "center"})


class StudyView:
    """Give a stage its declared settings and refuse the others.

    A setting that a stage reads without declaring would change results without changing keys.

    Parameters
    ----------
    study : Study
        The whole study.
    stage : Stage
        The stage; its ``reads`` are what may be seen.
    """

    def __init__(self, study: Study, stage: Stage) -> None:
        self._study = study
        self._stage = stage.name
        self._seen = {name.split(".")[0] for name in stage.reads} | _PLACES

    def __getattr__(self, name: str) -> Any:
        if name not in self._seen and name in type(self._study).model_fields:
            raise AfterglowError(
                f"stage {self._stage} reads the setting `{name}` without declaring it",
                remedy="add it to `reads` in afterglow.provenance.stages",
            )
        return getattr(self._study, name)
