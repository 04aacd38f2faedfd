"""Randomness and identifiers that follow from the cohort's seed and a name alone."""

from __future__ import annotations

import hashlib

import numpy as np


def _digest(seed: int, *keys: object) -> bytes:
    return hashlib.sha256("/".join(str(key) for key in (seed, *keys)).encode()).digest()


def generator(seed: int, *keys: object) -> np.random.Generator:
    """Return a random generator that depends on the seed and the names given, on nothing else.

    Examples
    --------
    >>> first = generator(1, "subject", 2).random()
    >>> bool(first == generator(1, "subject", 2).random() != generator(1, "subject", 3).random())
    True
    """
    return np.random.default_rng(int.from_bytes(_digest(seed, *keys)[:16], "big"))


def uid(seed: int, *keys: object) -> str:
    """Return a DICOM UID under the UUID-derived root 2.25 (PS3.5 B.2).

    Examples
    --------
    >>> uid(1, "study") == uid(1, "study") != uid(2, "study")
    True
    """
    return f"2.25.{int.from_bytes(_digest(seed, *keys)[:15], 'big')}"
