"""Names of machines and sequences without what people type into them.

Fields such as the model or the sequence name are meant to be technical and are free text all the
same. Short codes and a fixed vocabulary pass; every other word becomes ``x``.
"""

from __future__ import annotations

import re

_REFUSED = re.compile(r"[^A-Za-z0-9*_+.\- ]")
_TOKEN = re.compile(r"[A-Za-z0-9]+")
_LONGEST, _CODE, _PLAIN, _DIGITS = 32, 6, 4, 3
_WORDS = """
achieva aera ambition altea architect artist avanto biograph cima discovery dstream echelon elan
elition espree evolution excite explorer galan hdxt ingenia ingenuity intera lumina magnetom
magnus mobile optima oasis orian panorama pioneer premier prisma prodiva signa skyra sola spectra
symphony terra titan trio vantage verio vida voyager wide
bravo cube dixon efgre epirt fgret fiesta flair fspgr gems haste hyper imager lava mprage mpranage
presto propeller quick radial rapid saturation sense space spgr spiral spoiled star stejskal swift
feepi grase other triotim
thrive tricks turbo twist vibe
acc cs dir edr fast filtered freqdir phase resp gated sat spir spair spatial
"""
_VOCABULARY = frozenset(_WORDS.split())


def technical(text: str | None) -> str | None:
    """Return a technical name that can hold no identity; None where there is none.

    Examples
    --------
    >>> technical("SIGNA Architect"), technical("*tfl3d1_16ns"), technical("efgre3d")
    ('SIGNA Architect', '*tfl3d1_16ns', 'efgre3d')
    >>> technical("MAGNETOM of Dr. Kowalski 4711234")
    'MAGNETOM of Dr. x x'
    """
    if not text:
        return None
    cleaned = _REFUSED.sub("", text)[:_LONGEST].strip()
    return _TOKEN.sub(lambda found: found[0] if _passes(found[0]) else "x", cleaned)


def _passes(token: str) -> bool:
    letters = sum(character.isalpha() for character in token)
    digits = len(token) - letters
    if token.lower() in _VOCABULARY:
        return True
    return digits <= _DIGITS and letters <= (_CODE if digits else _PLAIN)
