"""JSON files whose bytes depend on nothing but their content."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """Return ``value`` in JSON types; numpy values as Python's, non-finite numbers as null.

    Examples
    --------
    >>> plain({"a": np.float32(0.5), "b": (1, float("nan"))})
    {'a': 0.5, 'b': [1, None]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return value.as_posix()
    return value


def to_json(content: Mapping[str, Any]) -> str:
    """Return JSON text with sorted keys, two blanks of indent and a final line feed."""
    text = json.dumps(plain(content), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return text + "\n"


def write_json(path: Path | str, content: Mapping[str, Any]) -> None:
    """Write ``content`` as :func:`to_json` puts it."""
    Path(path).write_text(to_json(content), encoding="utf-8")


def read_json(path: Path | str) -> dict[str, Any]:
    """Read a JSON object."""
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        message = f"{Path(path).name} holds no JSON object"
        raise TypeError(message)
    return content


def sources_as_uris(paths: Iterable[str]) -> list[str]:
    """Return paths of the study as BIDS URIs.

    Examples
    --------
    >>> sources_as_uris(["bids/sub-1/anat/a.nii.gz", "derivatives/sub-1/b.nii.gz"])
    ['bids:raw:sub-1/anat/a.nii.gz', 'bids::sub-1/b.nii.gz']
    """
    uris = []
    for path in paths:
        head, _, rest = path.partition("/")
        uris.append(f"bids:raw:{rest}" if head == "bids" else f"bids::{rest}")
    return uris
