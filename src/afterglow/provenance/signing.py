"""Signed heads: who vouches for the newest checkpoint, and with it for the whole chain."""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afterglow.errors import AfterglowError
from afterglow.provenance.checkpoint import CHECKPOINTS
from afterglow.provenance.digest import file_digest
from afterglow.provenance.records import write_atomically

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_CONTEXT = b"afterglow checkpoint v1\0"


def sign_head(root: Path, key_file: Path) -> Path | None:
    """Sign the newest checkpoint with an SSH Ed25519 key and return the signature's path.

    Parameters
    ----------
    root : Path
        The study's ``out``.
    key_file : Path
        Private key in OpenSSH format, without a passphrase.

    Returns
    -------
    Path or None
        None where there is no checkpoint, or it is signed already.

    Raises
    ------
    AfterglowError
        The key cannot be read or is of another kind.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    head = max((root / CHECKPOINTS).glob("*.json"), default=None)
    if head is None or signature_path(head).exists():
        return None
    try:
        key = serialization.load_ssh_private_key(key_file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise _unusable(key_file, str(error)) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _unusable(key_file, f"it is {type(key).__name__}")
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    content = {
        "public_key": public.decode(),
        "signature": base64.b64encode(key.sign(_message(head))).decode(),
    }
    path = signature_path(head)
    write_atomically(path, json.dumps(content, sort_keys=True, indent=1) + "\n")
    return path


def check_signatures(root: Path, public_key: Path | None) -> list[tuple[Path, str]]:
    """Return every signature that does not hold, with what is wrong.

    Parameters
    ----------
    root : Path
        The study's ``out``.
    public_key : Path or None
        OpenSSH public key that must have signed. With it, an unsigned newest checkpoint is wrong
        too; without it, a signature is held against the key it names, which shows damage and not
        who signed.
    """
    heads = sorted((root / CHECKPOINTS).glob("*.json"))
    wrong = [(path, fault) for path in heads if (fault := _fault(path, public_key))]
    if public_key is not None and heads and not signature_path(heads[-1]).exists():
        wrong.append((heads[-1], "the newest checkpoint is not signed"))
    return wrong


def signature_path(checkpoint: Path) -> Path:
    """Return where the signature of a checkpoint stands."""
    return checkpoint.with_suffix(".sig")


def _fault(checkpoint: Path, public_key: Path | None) -> str:
    """Return what is wrong with a signature; empty where it holds or there is none."""
    from cryptography.exceptions import InvalidSignature

    path = signature_path(checkpoint)
    if not path.exists():
        return ""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        named = _load(content["public_key"].encode())
        signature = base64.b64decode(content["signature"], validate=True)
        if public_key is not None:
            expected = _load(public_key.read_bytes())
            if expected.public_bytes_raw() != named.public_bytes_raw():
                return "signed with another key than the study names"
        named.verify(signature, _message(checkpoint))
    except InvalidSignature:
        return "its signature does not hold"
    except (OSError, ValueError, KeyError, AttributeError, binascii.Error):
        return "its signature cannot be read"
    return ""


def _load(text: bytes) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key = serialization.load_ssh_public_key(text)
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("not an Ed25519 key")
    return key


def _message(checkpoint: Path) -> bytes:
    return _CONTEXT + file_digest(checkpoint).encode()


def _unusable(key_file: Path, why: str) -> AfterglowError:
    return AfterglowError(
        f"the signing key cannot be used: {why}",
        where=str(key_file),
        expected="an Ed25519 key in OpenSSH format, without a passphrase",
        remedy="make one with `ssh-keygen -t ed25519 -N '' -f KEY`",
    )
