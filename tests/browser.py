"""Chromium without a window, driven over a pipe by its own protocol: what a page logs, asks the network for and shows.

No port is opened and no package is needed: messages are JSON, each ended by a zero byte, on descriptors 3 and 4.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-extensions", "--disable-dev-shm-usage"),
    *("--disable-quic", "--remote-debugging-pipe"),
)
PATIENCE = 60.0  # s for an answer, on a busy machine
COMPLAINTS = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
Message = dict[str, Any]


class Browser:
    """One page of one browser."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back, self._rest, self._last, self._session = to, back, b"", 0, ""
        self.events: list[Message] = []
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Performance"):
            self(f"{domain}.enable")

    def __call__(self, method: str, **params: Any) -> Message:
        """The answer to a command; RuntimeError where the browser refuses it."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._last:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return dict(answer["result"])

    def open(self, path: Path) -> None:
        """Load a file and wait until it is drawn; events of before are forgotten."""
        self.events.clear()
        self("Page.navigate", url=path.resolve().as_uri())
        while not self.told("Page.loadEventFired"):
            self.events.append(self._next())
        self.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def value(self, script: str) -> Any:
        """What a script (or its promise) comes to; RuntimeError with what it threw."""
        found = self("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(str(found["exceptionDetails"]))
        return found["result"].get("value")

    def look(self, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Take the place of a screen of this width in CSS pixels, in light or dark."""
        phone = width < 600
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", media="", features=[scheme])

    def picture(self, path: Path, *, whole: bool = True, clip: Message | None = None) -> None:
        """A screenshot as PNG."""
        how: Message = {"captureBeyondViewport": whole} | ({"clip": clip | {"scale": 1}} if clip else {})
        path.write_bytes(base64.b64decode(self("Page.captureScreenshot", **how)["data"]))

    def paper(self, path: Path) -> None:
        """The page as PDF, as a user's print dialogue makes it: A4, without backgrounds."""
        found = self("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, preferCSSPageSize=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def told(self, *methods: str) -> list[Message]:
        """The events of these kinds since the page was opened."""
        return [event["params"] for event in self.events if event.get("method") in methods]

    @property
    def complaints(self) -> list[Message]:
        """Whatever stands in the console: errors, exceptions, refused resources."""
        return self.told(*COMPLAINTS)

    @property
    def requests(self) -> list[str]:
        """Addresses that were asked for, but for what the page carries itself."""
        found = [event["request"]["url"] for event in self.told("Network.requestWillBeSent")]
        return [url for url in found if not url.startswith("data:")]

    def _next(self) -> Message:
        end = time.monotonic() + PATIENCE
        while b"\0" not in self._rest:
            if not select.select([self._back], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError(f"the browser gave no answer in {PATIENCE:g} s")
            if not (more := os.read(self._back, 1 << 20)):
                raise ConnectionError("the browser has ended")
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))


@contextmanager
def started() -> Iterator[Browser]:
    """A browser with a profile of its own, ended and cleaned up afterwards."""
    assert CHROMIUM is not None
    to_child, to = os.pipe()
    back, from_child = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # the child's descriptors 3 and 4, wherever ours lie
        shell = f'exec "$@" 3<&{to_child} 4>&{from_child}'
        command = ["bash", "-c", shell, "bash", CHROMIUM, *FLAGS, f"--user-data-dir={profile}"]
        with subprocess.Popen(
            command, pass_fds=(to_child, from_child), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            os.close(to_child)
            os.close(from_child)
            try:
                browser = Browser(to, back)
                yield browser
                browser._session = ""
                browser("Browser.close")
            finally:
                os.close(to)
                os.close(back)
                process.terminate()
