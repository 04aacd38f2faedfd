"""Where a session's results go: names, files, and the summary that later stages read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.anat.grids import Volume
from afterglow.bids.images import load_nifti, save_nifti
from afterglow.bids.names import bids_path
from afterglow.bids.sidecars import write_json

if TYPE_CHECKING:
    from afterglow.anat.quality import Verdict

Find = Callable[[str], Path]


@dataclass
class Store:
    """Reads finished files and writes new ones for one session.

    Attributes
    ----------
    find, out : callable
        From a path relative to the study's ``out`` to a file to read, or to write.
    subject, session : str
        Labels.
    warn : callable
        Takes a doubt in words.
    problem : callable
        Takes what failed, why, the remedy, and where there is one the error.
    """

    find: Find
    out: Find
    subject: str
    session: str
    warn: Callable[[str], None]
    problem: Callable[..., None]
    transforms: dict[str, Any] = field(default_factory=dict)
    verdicts: dict[str, dict[str, Any]] = field(default_factory=dict)
    figures: list[str] = field(default_factory=list)

    def name(
        self, folder: str, suffix: str, ext: str = ".nii.gz", **entities: str | int | None
    ) -> str:
        """Return the path of a derivative of this session."""
        relative = bids_path(self.subject, self.session, folder, suffix, ext, **entities)
        return f"derivatives/{relative}"

    def load(self, relative: str) -> Volume:
        """Read an image; a trailing axis of length one is dropped."""
        values, affine = load_nifti(self.find(relative))
        if values.ndim == 4 and values.shape[3] == 1:
            values = values[..., 0]
        return Volume(values, affine)

    def save(
        self, volume: Volume, relative: str, dtype: str = "float32", *, packed: bool = False
    ) -> str:
        """Write an image and return its path; ``packed`` stores 16 bits with a scale factor."""
        values, path = np.asarray(volume.values), self.out(relative)
        if packed:
            save_nifti(values, volume.affine, path, packed=True)
        else:
            save_nifti(values, volume.affine, path, dtype=dtype)
        return relative

    def figure(self, description: str) -> Path:
        """Return where to draw a figure, and list it."""
        relative = self.name("figures", "figure", ".png", desc=description).replace(
            "_figure.png", ".png"
        )
        self.figures.append(relative)
        return self.out(relative)

    def judge(self, name: str, verdict: Verdict) -> bool:
        """Keep a verdict; return False where it is a failure."""
        self.verdicts[name] = verdict.as_dict()
        if verdict.verdict != "pass":
            self.warn(f"{name}: {verdict.verdict}: {'; '.join(verdict.reasons)}")
        return verdict.verdict != "fail"

    def write_transforms(self) -> str:
        """Write all matrices of the session."""
        relative = self.name("anat", "xfm", ".json", desc="transforms")
        content = {
            key: None if matrix is None else np.asarray(matrix, dtype=np.float64).tolist()
            for key, matrix in self.transforms.items()
        }
        write_json(self.out(relative), content)
        return relative
