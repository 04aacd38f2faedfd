"""Settings of the ledger; none of them enters a key."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from afterglow.config.base import Section


class LedgerConfig(Section):
    """Who signs the ledger, and which stage versions the study stays with."""

    signing_key: Path | None = Field(
        None,
        description="OpenSSH Ed25519 private key that signs the newest checkpoint after each run.",
    )
    public_key: Path | None = Field(
        None,
        description="OpenSSH public key; with it, `verify` wants the newest checkpoint signed.",
    )
    versions: dict[str, str] = Field(
        default_factory=dict,
        description="Stage versions the study stays with; another release refuses to plan.",
    )
