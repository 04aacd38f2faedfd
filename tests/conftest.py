"""Fixtures and rules shared by all tests."""

from __future__ import annotations

import socket
from typing import Any

import hypothesis
import pytest

from afterglow.precompile import use_precompiled

use_precompiled()
# No test asserts a time, an example of a property neither: a busy machine would fail it.
hypothesis.settings.register_profile("afterglow", deadline=None)
hypothesis.settings.load_profile("afterglow")
_connect = socket.socket.connect


def _refuse(self: socket.socket, address: Any) -> Any:
    """Refuse every connection but those within this machine that a test makes itself."""
    local = self.family == socket.AF_UNIX or (
        isinstance(address, tuple) and address[0] in {"127.0.0.1", "::1", "localhost"}
    )
    if not local:
        raise OSError(f"no test may reach the network: {address}")
    return _connect(self, address)


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Any:
    socket.socket.connect = _refuse  # type: ignore[method-assign]
    yield
    socket.socket.connect = _connect  # type: ignore[method-assign]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long proofs to `make soak`."""
    if "soak" in (config.option.markexpr or ""):
        return
    for item in items:
        if "soak" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="a long proof: run `make soak`"))
