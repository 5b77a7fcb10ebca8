from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from tests.integration.http.conftest import Site, guarded, http, picture, raw, settings, site
from tests.integration.server.reports import pytest_runtest_makereport
from tests.server import REPOSITORY

__all__ = ["guarded", "http", "picture", "pytest_runtest_makereport", "raw", "settings", "site"]

FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--no-sandbox",
)
PATIENCE_MS = 20_000

Opened: TypeAlias = Callable[..., Page]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Run one Chromium for all tests of a file: while Playwright is there, no other test may run an event loop."""
    found = shutil.which("chromium")
    assert found is not None
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium: Browser) -> Iterator[Opened]:
    """Open pages as a person does for the first time; none may have an error, nor break its own policy."""
    contexts, wrong = [], []

    def say(message: Any) -> None:
        # What the server refuses, the browser tells of by itself.
        if message.type == "error" and "Failed to load resource" not in message.text:
            wrong.append(message.text)

    def open_page(url: str, **options: Any) -> Page:
        context = chromium.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        # A picker of files is the browser's own window, which nothing can press.
        context.add_init_script("delete window.showSaveFilePicker")
        page = context.new_page()
        page.on("console", say)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture(scope="session")
def axe() -> str:
    """Read axe-core, which tells what assistive technology could not use."""
    script = REPOSITORY / "server/page/node_modules/axe-core/axe.min.js"
    if not script.exists():
        pytest.skip("axe-core is not installed: make check-page")
    return script.read_text()


@pytest.fixture
def hostile(tmp_path: Path) -> str:
    """Name a file as an attacker would; it calls what `opened` hears."""
    return "<img src=x onerror=alert(1)>\u202egnp.png"


def card(page: Page, name: str) -> Any:
    return page.get_by_role("listitem").filter(has_text=name)


def progress(page: Page) -> Any:
    return page.locator(".head .said")


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def batch_url(site: Site, batch_id: str, rest: str = "") -> str:
    return f"{site.url}/#/batches/{batch_id}{rest}"
