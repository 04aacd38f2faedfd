"""Imported by every Python process of a test study: nothing there may reach the network."""

import socket

_connect = socket.socket.connect


def _refuse(self, address):
    if self.family != socket.AF_UNIX:
        message = f"a stage tried to reach the network: {address}"
        raise ConnectionRefusedError(message)
    return _connect(self, address)


socket.socket.connect = _refuse
