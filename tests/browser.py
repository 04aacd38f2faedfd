"""A page in headless Chromium: what it logs, what it asks for, what axe finds, and as PDF."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)


def chromium() -> str:
    """Return the browser, or skip."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found:
            return found
    pytest.skip("Chromium is not installed")


def axe_source() -> str:
    """Return axe-core, or skip: AFTERGLOW_AXE names the file, else node_modules is looked at."""
    root = Path(__file__).resolve().parents[1]
    for place in (os.environ.get("AFTERGLOW_AXE"), root / "node_modules/axe-core/axe.min.js"):
        if place and Path(place).exists():
            return Path(place).read_text(encoding="utf-8")
    pytest.skip("axe-core is not there: `npm install --no-save axe-core@4.11.0`")


def browse(page: Path, scratch: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Open a page with a profile of its own."""
    command = [chromium(), *FLAGS, f"--user-data-dir={scratch / 'profile'}", *flags, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)


def console_errors(page: Path, scratch: Path) -> list[str]:
    """Return what the page logs as errors or refuses to do."""
    done = browse(page, scratch, "--enable-logging=stderr", "--dump-dom")
    assert "</html>" in done.stdout
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def outside_requests(page: Path, scratch: Path) -> list[str]:
    """Return the addresses that the page asks for beyond its own file."""
    log = scratch / "net.json"
    browse(page, scratch, f"--log-net-log={log}", "--dump-dom")
    text = log.read_text(encoding="utf-8")
    found = set(re.findall(r'"url":"((?:https?|wss?|ftp):[^"]+)"', text))
    # The browser's own services, which it asks for with an empty page too.
    own = re.compile(r"google|gstatic|chrome|gvt1")
    return sorted(url for url in found if not own.search(url))


def axe_violations(page: Path, scratch: Path, *flags: str) -> list[dict[str, Any]]:
    """Return what axe finds against WCAG 2.1 A and AA, by rule."""
    rules = "{runOnly:['wcag2a','wcag2aa','wcag21a','wcag21aa','best-practice']}"
    # Folded parts are opened, so that they are looked at too.
    run = (
        "document.querySelectorAll('details').forEach(d=>d.open=true);"
        f"axe.run(document,{rules}).then(r=>{{const p=document.createElement('pre');p.id='axe';"
        "p.textContent=JSON.stringify(r.violations.map(v=>({id:v.id,impact:v.impact,"
        "nodes:v.nodes.slice(0,3).map(n=>n.html.slice(0,160)),n:v.nodes.length})));"
        "document.body.append(p)})"
    )
    html = page.read_text(encoding="utf-8")
    scripts = f"<script>{axe_source()}</script><script>{run}</script></body>"
    copy = scratch / f"axe-{page.name}"
    copy.write_text(html.replace("</body>", scripts.replace("\\", "\\")), encoding="utf-8")
    done = browse(copy, scratch, "--virtual-time-budget=30000", "--dump-dom", *flags)
    found = re.search(r'<pre id="axe">(.*?)</pre>', done.stdout, flags=re.DOTALL)
    assert found, done.stderr[-2000:]
    violations: list[dict[str, Any]] = json.loads(unescape(found[1]))
    return violations


def print_pdf(page: Path, scratch: Path) -> bytes:
    """Return the page as PDF, as the browser prints it."""
    target = scratch / "page.pdf"
    browse(page, scratch, f"--print-to-pdf={target}", "--no-pdf-header-footer")
    return target.read_bytes()
