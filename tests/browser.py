"""A browser of this machine, and what every page must hold to in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find():
    """The browser: HUBKIT_BROWSER, or the first of the known names on the PATH; none is ever downloaded."""
    named = os.environ.get("HUBKIT_BROWSER")
    found = shutil.which(named) if named else next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        reason = (
            f"no browser: {named or ', '.join(NAMES)} not found (set HUBKIT_BROWSER to a Chromium or Chrome)"
        )
        if os.environ.get("HUBKIT_BROWSER_REQUIRED") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


class Elsewhere:
    """The machines that cards name, as far as the browser can tell; they note who calls, and say nothing."""

    def __init__(self):
        self.calls = []
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self.listening.accept()
                with caller:
                    caller.settimeout(0.2)
                    first = b"nothing"
                    with contextlib.suppress(OSError):
                        first = caller.recv(200)
                    self.calls.append(first)

    def close(self):
        self.listening.close()


def follow(link):
    """Click what leads to another page, and wait until it is there."""
    with link.page.expect_navigation():
        link.click()


@contextlib.contextmanager
def launch():
    """The browser, running without a window; no name of a machine leads anywhere."""
    path = find()
    from playwright.sync_api import sync_playwright

    with contextlib.closing(Elsewhere()) as elsewhere, sync_playwright() as playwright:
        there = f"127.0.0.1:{elsewhere.port}"
        rules = f"MAP *.invalid {there}, MAP example.org {there}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
        options = [f"--host-resolver-rules={rules}"]  # what the browser asks for itself finds nothing
        started = playwright.chromium.launch(executable_path=path, args=options)
        started.elsewhere = elsewhere
        try:
            yield started
        finally:
            started.close()


class Visit:
    """A visitor with cookies of their own, who notes all that the pages do."""

    def __init__(self, browser, endpoint, **options):
        self.endpoint, self.elsewhere = endpoint, browser.elsewhere
        self.called = len(self.elsewhere.calls)
        self.context = browser.new_context(base_url=endpoint, **options)
        self.context.set_default_timeout(10_000)
        self.requests, self.said = [], []
        self.context.on("request", lambda request: self.requests.append(request.url))
        self.context.on("console", lambda message: self.said.append(message.text))
        self.context.on("weberror", lambda error: self.said.append(str(error.error)))
        self.context.on("dialog", self._dialog)
        self.page = self.context.new_page()

    def _dialog(self, dialog):
        self.said.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def open(self, path):
        """Go to an address, and hand back the page."""
        self.answer = self.page.goto(path)
        return self.page

    def sign_in(self, token):
        """Give a token, as a person does."""
        self.open("/login").get_by_label("Token").fill(token)
        self.page.get_by_role("button", name="Sign in").click()

    def close(self, *, but=()):
        """Leave; nothing was asked of another machine, and no page complained."""
        self.context.close()
        away = [url for url in self.requests if not url.startswith(f"{self.endpoint}/")]
        calls = self.elsewhere.calls[self.called :]
        said = [text for text in self.said if not text.startswith(but or "\0")]
        assert (away, calls, said) == ([], [], []), (away, calls, said)
        assert self.requests


FAULTS = Path(__file__).with_name("page_faults.js").read_text()
