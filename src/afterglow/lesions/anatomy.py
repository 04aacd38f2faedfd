"""The anatomical images of one session, and the regions of lesions that they tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.errors import NotEvaluable
from afterglow.lesions.edema import edema_owners, hyperintensity
from afterglow.lesions.enhancement import Enhancement, enhancement
from afterglow.lesions.inputs import Find, load_grid
from afterglow.lesions.parts import Parts, by_enhancement, by_mask
from afterglow.lesions.regions import Piece, cut

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.lesions.grids import Grid

Pieces = dict[int, dict[str, Piece]]
_EDEMA = 2  # in a given mask of parts
_NOTHING = np.zeros((1, 1, 1), dtype=bool)


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Images of one session on the grid of its lesions; None where there is none.

    ``parts`` tells core (1), edema (2) and enhancing tissue (3) apart as a person drew them,
    ``nodules`` is what a person drew on T2-weighted images.
    """

    grid: Grid
    t1w: NDArray[np.float32] | None = None
    pre: NDArray[np.float32] | None = None
    flair: NDArray[np.float32] | None = None
    brain: NDArray[np.bool_] | None = None
    white_matter: NDArray[np.float32] | None = None
    csf: NDArray[np.float32] | None = None
    parts: NDArray[np.int32] | None = None
    nodules: NDArray[np.bool_] | None = None

    @classmethod
    def load(
        cls,
        find: Find,
        anat: Mapping[str, Any],
        grid: Grid,
        drawn: Mapping[str, str | None] | None = None,
    ) -> Anatomy:
        """Read the images that lie on ``grid``; ``anat`` is empty where that stage has no result.

        Parameters
        ----------
        find : callable
            Gives the file of a path relative to the study.
        anat : mapping
            Summary of stage `anat`.
        grid : Grid
            Grid of the session's lesions.
        drawn : mapping, optional
            Paths of the given masks ``parts`` and ``nodules``.
        """
        tissue = anat.get("probseg") or {}
        paths = {
            "t1w": anat.get("t1w"),
            "pre": anat.get("pre"),
            "flair": anat.get("flair"),
            "brain": anat.get("brain"),
            "white_matter": tissue.get("WM"),
            "csf": tissue.get("CSF"),
            **(drawn or {}),
        }
        found: dict[str, Any] = {}
        for name, path in paths.items():
            if path:
                image, own = load_grid(find(path))
                if own.shape == grid.shape:
                    found[name] = image
        for name in {"brain", "nodules"} & found.keys():
            found[name] = found[name] > 0.5
        if "parts" in found:
            found["parts"] = np.rint(found["parts"]).astype(np.int32)
        return cls(grid, **found)

    def enhancement(self, labels: NDArray[np.int32]) -> Enhancement:
        """Return the enhancement, with white matter outside of lesions as reference.

        Raises
        ------
        NotEvaluable
            An image is missing, or there is too little white matter.
        """
        if self.t1w is None or self.brain is None or self.white_matter is None:
            raise NotEvaluable("no_anatomy", "the session has no segmented anatomy")
        if self.pre is None:
            raise NotEvaluable("no_precontrast_image", "there is no T1w before contrast")
        return enhancement(self.t1w, self.pre, self.white_matter, self.brain, self.grid, labels > 0)


def add_parts(pieces: Pieces, labels: NDArray[np.int32], anatomy: Anatomy, least: int) -> None:
    """Add ``enhancing`` and ``necrosis`` to the regions of every lesion.

    Parameters
    ----------
    pieces : dict
        Regions by label, which all lie in one box a lesion.
    labels : (x, y, z) integer array
        Lesions.
    anatomy : Anatomy
        Images.
    least : int
        Smallest necrosis, voxels.
    """
    found: Enhancement | None = None
    reason = ""
    if anatomy.parts is None and pieces:
        try:
            found = anatomy.enhancement(labels)
        except NotEvaluable as error:
            reason = error.reason
    for own in pieces.values():
        lesion = own["lesion"]
        box = _box_of(lesion, anatomy.grid)
        if anatomy.parts is not None:
            parts = by_mask(lesion.mask, anatomy.parts, box)
        elif found is not None:
            parts = by_enhancement(lesion.mask, found, box, least)
        else:
            parts = Parts(lesion.mask & False, lesion.mask & False, reason)
        for name in ("enhancing", "necrosis"):
            own[name] = replace(lesion, mask=getattr(parts, name), reason=parts.reason)


def _box_of(piece: Piece, grid: Grid) -> tuple[slice, ...]:
    """Return where the grid of a piece lies in the grid it was cut from."""
    inverse = np.linalg.inv(grid.affine)
    corner = np.rint(inverse[:3, :3] @ piece.grid.affine[:3, 3] + inverse[:3, 3]).astype(int)
    return tuple(slice(a, a + n) for a, n in zip(corner.tolist(), piece.mask.shape, strict=True))


def add_edema(pieces: Pieces, labels: NDArray[np.int32], anatomy: Anatomy) -> None:
    """Add ``flair``, the hyperintensity that belongs to each lesion, to its regions."""
    from scipy import ndimage

    owners, reason = _owners(labels, anatomy)
    boxes = ndimage.find_objects(owners, max_label=max(pieces, default=0)) if pieces else []
    for label, own in pieces.items():
        box = boxes[label - 1]
        if reason or box is None:
            own["flair"] = Piece(_NOTHING, anatomy.grid, reason)
            continue
        own["flair"] = Piece(owners[box] == label, cut(anatomy.grid, box))


def _owners(labels: NDArray[np.int32], anatomy: Anatomy) -> tuple[NDArray[np.int32], str]:
    nothing = np.zeros_like(labels)
    if anatomy.csf is None or anatomy.white_matter is None or anatomy.brain is None:
        return nothing, "no_anatomy"
    if anatomy.parts is not None and (anatomy.parts == _EDEMA).any():
        bright: NDArray[np.bool_] | None = anatomy.parts == _EDEMA
    elif anatomy.flair is None:
        return nothing, "no_flair"
    else:
        bright = hyperintensity(anatomy.flair, anatomy.white_matter, anatomy.brain)
    if bright is None:
        return nothing, "no_reference_tissue"
    return edema_owners(bright, labels, anatomy.csf, anatomy.grid), ""


def add_treated(pieces: Pieces, found: Mapping[int, Piece], grid: Grid, reason: str) -> None:
    """Add ``treated`` to the regions; ``reason`` says why no dose is known, empty where one is."""
    for label, own in pieces.items():
        nothing = Piece(_NOTHING, grid, reason or "not_treated")
        own["treated"] = found.get(label, nothing)
