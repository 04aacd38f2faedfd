"""A study in the browser: a server for this machine only, that gives and takes nothing else."""

from __future__ import annotations

import hmac
import mimetypes
import re
import secrets
from collections.abc import Callable, Mapping
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from afterglow.errors import AfterglowError
from afterglow.provenance.job import State
from afterglow.provenance.records import read_state, state_path
from afterglow.report.render import page
from afterglow.report.viewer import program, viewer_page
from afterglow.report.viewer_session import session_view

HOST = "127.0.0.1"
SHOWN = (".html", ".png", ".svg", ".json", ".md", ".csv", ".tex", ".nii.gz")
FOLDERS = ("cohort", "derivatives", "tables")
STAGES = ("bids", "anat", "dsc", "dce", "features")
_SUBJECT = re.compile(r"view/sub-([A-Za-z0-9]+)")
VOXELS, BYTES = 8_000_000, 64_000_000


class StudyServer(ThreadingHTTPServer):
    """Serve the finished pages of a study and a viewer over the timepoints of each subject.

    Only this machine can reach it, only with the token in the address, and only to read.

    Parameters
    ----------
    out : Path
        The study's output folder.
    port : int
        0 for any free port.
    token : str, optional
        A secret of the address; a new one by default.
    """

    daemon_threads = True

    def __init__(self, out: Path, port: int = 0, token: str | None = None) -> None:
        self.out = out.resolve()
        self.token = token or secrets.token_urlsafe(24)
        super().__init__((HOST, port), _Handler)
        self.subject_page = lru_cache(maxsize=2)(self._subject_page)

    @property
    def address(self) -> str:
        """Where the study is to be seen."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    def answer(self, path: str) -> tuple[bytes, str]:
        """Return what stands at a path below the token, and its kind.

        Raises
        ------
        KeyError
            Where there is nothing that may be shown.
        """
        if path in {"", "index.html"}:
            return self._front().encode(), "text/html; charset=utf-8"
        if path == "view/niivue.js":
            return program(), "text/javascript"
        subject = _SUBJECT.fullmatch(path)
        if subject:
            return self.subject_page(subject[1]).encode(), "text/html; charset=utf-8"
        return self._file(path)

    def _file(self, path: str) -> tuple[bytes, str]:
        """Return a file of the folders that may be shown; no link leads out of them."""
        found = (self.out / path).resolve()
        inside = any(found.is_relative_to(self.out / folder) for folder in FOLDERS)
        if not inside or not found.name.endswith(SHOWN) or not found.is_file():
            raise KeyError(path)
        kind = mimetypes.guess_type(found.name)[0] or "application/octet-stream"
        return found.read_bytes(), kind

    def _front(self) -> str:
        from afterglow import __version__

        pages = [
            (path, text)
            for path, text in (
                ("cohort/study.html", "All sessions, by stage and quality"),
                ("cohort/report.html", "Cohort report"),
            )
            if (self.out / path).is_file()
        ]
        return page(
            "front.html.j2", version=__version__, pages=pages, subjects=sorted(self.sessions())
        )

    def sessions(self) -> dict[str, list[str]]:
        """Return the sessions of each subject that has a finished anatomy."""
        found: dict[str, list[str]] = {}
        for path in sorted((self.out / "ledger/states/anat").glob("sub-*_ses-*.json")):
            subject, _, session = path.stem.removeprefix("sub-").partition("_ses-")
            found.setdefault(subject, []).append(session)
        return found

    def _subject_page(self, subject: str) -> str:
        sessions = self.sessions()[subject]
        views = [
            view
            for session in sessions
            if (view := self._view(subject, session, linked=len(sessions) > 1)) is not None
        ]
        if not views:
            raise KeyError(subject)
        return viewer_page(
            views,
            title=f"sub-{subject}",
            lede="All timepoints in the space of the reference session, with one crosshair.",
            embedded=False,
        )

    def _view(self, subject: str, session: str, *, linked: bool) -> Any:
        states: Mapping[str, State] = {
            stage: state
            for stage in STAGES
            if (state := read_state(self.out / state_path(stage, subject, session))) is not None
        }
        return session_view(
            states,
            lambda relative: self.out / relative,
            title=f"ses-{session}",
            voxels=VOXELS,
            most=BYTES,
            to_reference=linked,
        )


class _Handler(BaseHTTPRequestHandler):
    server: StudyServer
    server_version = "Afterglow"
    sys_version = ""

    def do_GET(self) -> None:
        self._give(self.wfile.write)

    def do_HEAD(self) -> None:
        self._give(len)

    def _give(self, send: Callable[[bytes], Any]) -> None:
        if not self._known_host():
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        token, _, path = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
        if not hmac.compare_digest(token.encode(), self.server.token.encode()):
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        try:
            body, kind = self.server.answer(path)
        except (KeyError, AfterglowError, OSError, ValueError):
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.send_response(HTTPStatus.OK)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        ):
            self.send_header(name, value)
        self.end_headers()
        send(body)

    def _known_host(self) -> bool:
        """Refuse a foreign name for this machine: a page elsewhere could have brought it about."""
        name = self.headers.get("Host", "").rpartition(":")[0]
        return name in {HOST, "localhost"}

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name is the base's
        """Say nothing: an address holds the token."""
