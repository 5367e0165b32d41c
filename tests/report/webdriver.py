"""A small WebDriver client: just enough of the protocol to open a page, run a script in it and look at it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def browser_paths() -> tuple[str, str] | None:
    """Chromium and its driver, or None where one of them is not installed."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


class Browser:
    """One browser window."""

    def __init__(self, address: str, session: str) -> None:
        self._root = f"{address}/session/{session}"

    def open(self, page: Path) -> None:
        post(f"{self._root}/url", {"url": page.resolve().as_uri()})

    def script(self, code: str) -> Any:
        """The value that a piece of JavaScript returns."""
        return post(f"{self._root}/execute/sync", {"script": code, "args": []})

    def devtools(self, command: str, **parameters: Any) -> Any:
        return post(f"{self._root}/goog/cdp/execute", {"cmd": command, "params": parameters})

    def resize(self, width: int, height: int, *, phone: bool = False) -> None:
        """Gives the page exactly this many CSS pixels, as a phone would where asked."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )

    def log(self, kind: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = post(f"{self._root}/se/log", {"type": kind})
        return entries

    def requested(self) -> list[str]:
        """Addresses the page asked for since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]

    def drag(self, start: tuple[int, int], end: tuple[int, int], *, pointer: str = "mouse") -> None:
        """Presses at ``start``, moves to ``end`` (CSS pixels of the viewport) and lets go; mouse or touch."""
        moves = [
            {"type": "pointerMove", "duration": 0, "x": start[0], "y": start[1]},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerMove", "duration": 60, "x": (start[0] + end[0]) // 2, "y": end[1]},
            {"type": "pointerMove", "duration": 60, "x": end[0], "y": end[1]},
            {"type": "pointerUp", "button": 0},
        ]
        device = {"type": "pointer", "id": pointer, "parameters": {"pointerType": pointer}, "actions": moves}
        post(f"{self._root}/actions", {"actions": [device]})

    def press(self, key: str, times: int = 1) -> None:
        """Presses a key; arrows are U+E012 (left), U+E014 (right)."""
        strokes = [{"type": kind, "value": key} for _ in range(times) for kind in ("keyDown", "keyUp")]
        post(f"{self._root}/actions", {"actions": [{"type": "key", "id": "keys", "actions": strokes}]})

    def screenshot(self, path: Path, *, whole_page: bool = True) -> None:
        shot = self.devtools("Page.captureScreenshot", format="png", captureBeyondViewport=whole_page)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def chromium(profile: Path, *, dark: bool = False) -> Iterator[Browser]:
    """A headless Chromium with its own driver and profile folder; both are gone afterwards."""
    paths = browser_paths()
    assert paths is not None, "ask browser_paths() first"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    driver = subprocess.Popen([paths[1], f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    session = None
    try:
        _wait_until_ready(address)
        arguments = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={profile}"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            arguments.append("--no-sandbox")  # Chromium's sandbox refuses to start for root, as in containers
        if dark:
            arguments.append("--blink-settings=preferredColorScheme=0")
        options = {"binary": paths[0], "args": arguments}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        session = post(f"{address}/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
        yield Browser(address, session)
    finally:
        if session is not None:
            _send(urllib.request.Request(f"{address}/session/{session}", method="DELETE"))
        driver.terminate()
        driver.wait(timeout=20)


def post(address: str, content: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        address, data=json.dumps(content).encode(), headers={"Content-Type": "application/json"}
    )
    return _send(request)


def _send(request: urllib.request.Request) -> Any:
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)["value"]
    except urllib.error.HTTPError as error:
        raise RuntimeError(json.load(error)["value"]["message"]) from error


def _wait_until_ready(address: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            if _send(urllib.request.Request(f"{address}/status"))["ready"]:
                return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise RuntimeError("the browser's driver did not start within 30 seconds")
        time.sleep(0.1)
