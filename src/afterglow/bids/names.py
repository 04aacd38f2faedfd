"""File names with their entities in the order BIDS asks for."""

from __future__ import annotations

import re

# fmt: off
ENTITIES = (
    "task", "acq", "ce", "trc", "rec", "dir", "run", "mod", "echo", "flip", "inv", "mt", "part",
    "proc", "hemi", "space", "split", "recording", "chunk", "seg", "res", "den", "label", "model",
    "param", "desc",
)
# fmt: on

_VALUE = re.compile(r"^[0-9a-zA-Z+]+$")


def bids_path(
    subject: str,
    session: str | None,
    datatype: str,
    suffix: str,
    ext: str = ".nii.gz",
    **entities: str | int | None,
) -> str:
    """Return a path relative to a BIDS dataset, entities in BIDS order.

    Parameters
    ----------
    subject, session : str
        Labels with or without the prefix ``sub-`` or ``ses-``; ``session`` may be None.
    datatype : str
        Folder (``anat``, ``perf``, ...); empty for the session folder itself.
    suffix, ext : str
        Last part of the name and its extension.
    **entities : str or int, optional
        Further entities; those that are None are left out.

    Raises
    ------
    ValueError
        An entity BIDS does not know, or a value that is not letters and digits.

    Examples
    --------
    >>> bids_path("ab12", "20190304", "perf", "dsc", ce="gadolinium", run=1)
    'sub-ab12/ses-20190304/perf/sub-ab12_ses-20190304_ce-gadolinium_run-1_dsc.nii.gz'
    >>> bids_path("sub-ab12", "ses-1", "perf", "map", space="dce", desc="se", param="Ktrans",
    ...     model="tofts")
    'sub-ab12/ses-1/perf/sub-ab12_ses-1_space-dce_model-tofts_param-Ktrans_desc-se_map.nii.gz'
    """
    unknown = sorted(set(entities) - set(ENTITIES))
    if unknown:
        message = f"no BIDS entity: {', '.join(unknown)}"
        raise ValueError(message)
    parts = [("sub", subject.removeprefix("sub-"))]
    if session is not None:
        parts.append(("ses", session.removeprefix("ses-")))
    folders = [f"{key}-{value}" for key, value in parts] + ([datatype] if datatype else [])
    parts += [(key, str(entities[key])) for key in ENTITIES if entities.get(key) is not None]
    for key, value in parts:
        if not _VALUE.match(value):
            message = f"{key}-{value!r}: a BIDS label holds letters and digits only"
            raise ValueError(message)
    name = "_".join(f"{key}-{value}" for key, value in parts)
    return f"{'/'.join(folders)}/{name}_{suffix}{ext}"
