"""Headless Chromium driven over its DevTools pipe: real clicks, no further package."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from browser import chromium

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--remote-debugging-pipe",
)


class Browser:
    """One tab; ``console`` and ``asked`` collect what pages log as errors and ask for."""

    def __init__(self, process: subprocess.Popen[bytes], write: int, read: int) -> None:
        self.process, self._write, self._read = process, write, read
        self._rest, self._number, self._session = b"", 0, None
        self._waiting: deque[dict[str, Any]] = deque()
        self.console: list[str] = []
        self.asked: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            found = self._next()
            if found.get("id") == self._number:
                assert "error" not in found, (method, found["error"])
                return dict(found["result"])
            self._note(found)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._read, 1 << 20)
            assert part, "the browser ended"
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(line))

    def _note(self, event: dict[str, Any]) -> None:
        name, values = event.get("method"), event.get("params", {})
        if name == "Runtime.consoleAPICalled" and values["type"] in {"error", "warning", "assert"}:
            said = [str(a.get("value", a.get("description", ""))) for a in values["args"]]
            self.console.append(" ".join(said))
        elif name == "Runtime.exceptionThrown":
            self.console.append(json.dumps(values["exceptionDetails"])[:600])
        elif name == "Log.entryAdded" and values["entry"]["level"] in {"error", "warning"}:
            entry = values["entry"]
            self.console.append(f"{entry['text']} {entry.get('url', '')}")
        elif name == "Network.requestWillBeSent":
            self.asked.append(values["request"]["url"][:200])
        else:
            self._waiting.append(event)

    def open(self, url: str, width: int = 1280, height: int = 900, *, dark: bool = False) -> None:
        """Open a page at a size and look, and wait until it is loaded."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        look = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media="", features=[look])
        self.console.clear()
        self.asked.clear()
        self._waiting.clear()
        self.call("Page.navigate", url=url)
        while not any(e.get("method") == "Page.loadEventFired" for e in self._waiting):
            self._note(self._next())

    def run(self, expression: str) -> Any:
        """Evaluate an expression (a promise is awaited) and return its value."""
        found = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, expression: str, seconds: float = 60.0) -> None:
        """Wait until an expression is true."""
        done = self.run(
            "new Promise(done=>{const end=performance.now()+"
            f"{1000 * seconds};const look=()=>{{let ok=false;try{{ok=!!({expression})}}catch{{}}"
            "if(ok)done(true);else if(performance.now()>end)done(false);else setTimeout(look,50)};"
            "look()})"
        )
        assert done, f"never true: {expression}; console: {self.console}"

    def click(self, selector: str, part: tuple[float, float] = (0.5, 0.5)) -> None:
        """Press the mouse on an element, at a part of its box."""
        x, y = self.run(
            f"(()=>{{const e=document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block:'center',behavior:'instant'});"
            "const b=e.getBoundingClientRect();"
            f"return [b.left+b.width*{part[0]},b.top+b.height*{part[1]}]}})()"
        )
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def write(self, selector: str, text: str) -> None:
        """Put text into a field, as typed."""
        self.click(selector)
        self.run(f"document.querySelector({json.dumps(selector)}).select()")
        self.call("Input.insertText", text=text)

    def choose(self, selector: str, value: str) -> None:
        """Choose an option of a list."""
        self.run(
            f"(()=>{{const e=document.querySelector({json.dumps(selector)});"
            f"e.value={json.dumps(value)};for(const n of ['input','change'])"
            "e.dispatchEvent(new Event(n,{bubbles:true}))})()"
        )

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Write what is seen as PNG; ``whole`` beyond the window too."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def pdf(self) -> bytes:
        """Return the page as it prints."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])

    def outside(self) -> list[str]:
        """Return what the page asked for beyond its own folder and itself."""
        return [url for url in self.asked if not url.startswith(("file:", "data:", "blob:"))]


@contextmanager
def browser(scratch: Path) -> Iterator[Browser]:
    """Start Chromium with a profile of its own and end it afterwards."""
    to_child, from_us = os.pipe()
    from_child, to_us = os.pipe()

    def place() -> None:
        # Chromium reads at 3 and writes at 4; first out of the way, for they may be each other's.
        a, b = os.dup(to_child), os.dup(to_us)
        os.dup2(a, 3)
        os.dup2(b, 4)

    process = subprocess.Popen(
        [chromium(), *FLAGS, f"--user-data-dir={scratch / 'profile'}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        close_fds=False,
        preexec_fn=place,  # noqa: PLW1509
    )
    os.close(to_child)
    os.close(to_us)
    try:
        yield Browser(process, from_us, from_child)
    finally:
        process.terminate()
        process.wait(20)
        os.close(from_us)
        os.close(from_child)
