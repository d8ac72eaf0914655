"""Browser tests: the built console in a real Chromium, on a complete installation with real servers.

Wait with locators (`expect`), never with sleeps. `page.wait_for_function` can't work under the page's content security policy, because it evaluates strings.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright, expect

from agentgrid.sdk.grid import Grid
from agentgrid.servers.child import free_port
from tests.activities.conftest import seeded_template
from tests.api.conftest import settings_for
from tests.conftest import Peopled, Postgres, Temporal, control_login
from tests.console.chromium import FLAGS, executable
from tests.console.stack import HOST, Stack, built_console, serving
from tests.e2e.conftest import looping, new_namespace
from worker import grid as backoffice

__all__ = ["seeded_template"]

expect.set_options(timeout=20_000)  # the machine is shared by several test processes

SCREENSHOTS = os.environ.get("AGENTGRID_SCREENS") == "1"
"""Whether screenshots are taken for the documentation (`test_screens.py`): the installation then has a readable name."""
LOST = re.compile("ERR_(CONNECTION|NETWORK|EMPTY|INCOMPLETE|ABORTED)")
"""The browser's errors when a server dies."""

LOADS = "() => performance.timeOrigin"
"""An expression whose value changes when the page is reloaded."""


def status(*codes: int) -> re.Pattern[str]:
    """The browser's errors about responses with these statuses."""
    return re.compile(rf"status of ({'|'.join(map(str, codes))})\b")


async def shown(page: Page) -> None:
    """Wait until the page has no placeholders left."""
    await expect(page.get_by_role("heading").first).to_be_visible()
    await expect(page.get_by_text("Loading", exact=True)).to_have_count(0)


async def live(page: Page) -> None:
    """Wait until the page is connected to the event stream."""
    await expect(page.get_by_role("navigation", name="Console").get_by_text("Live", exact=False)).to_be_visible()


@pytest.fixture(scope="session")
def dist() -> Path:
    """The built console."""
    return built_console()


@pytest.fixture(scope="package")
async def stack(
    dist: Path,
    temporal_server: Temporal,
    postgres_server: Postgres,
    peopled: Peopled,
    seeded_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Stack]:
    """API with console, projector, and a worker with the reference project."""
    port = free_port()
    dsn = postgres_server.dsn_of(await postgres_server.create(template=peopled.template))
    app_dsn = postgres_server.dsn_of(await postgres_server.create(template=seeded_template))
    settings = settings_for(
        await control_login(dsn),
        temporal_server.address,
        tmp_path_factory.mktemp("console"),
        api_url=f"http://{HOST}:{port}",
        temporal_namespace=await new_namespace(temporal_server, "backoffice" if SCREENSHOTS else None),
        installation="backoffice" if SCREENSHOTS else None,
    )
    worker: tuple[str, Grid, dict[str, Any]] = ("backoffice", backoffice, {})
    async with looping(settings, dsn, app_dsn, dict(peopled.tokens), worker) as loop, serving(loop, port) as stack:
        yield stack


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=executable(), args=FLAGS)
        yield chromium
        await chromium.close()


class Pages:
    """Opens the console as different people. Errors and warnings in the browser's console fail the test, unless expected."""

    def __init__(self, browser: Browser, stack: Stack) -> None:
        self._browser = browser
        self._stack = stack
        self._contexts: list[BrowserContext] = []
        self._expected: list[re.Pattern[str]] = []
        self.complaints: list[str] = []

    def expect(self, *complaints: re.Pattern[str]) -> None:
        """Allow these errors, which the test provokes."""
        self._expected += complaints

    async def context(self, **options: Any) -> BrowserContext:
        """A new browser profile, closed at the end of the test."""
        options = {"viewport": {"width": 1440, "height": 900}, "reduced_motion": "reduce"} | options
        context = await self._browser.new_context(**options)
        self._contexts.append(context)
        context.on("page", self._listen)
        return context

    async def __call__(
        self,
        who: str,
        path: str = "/",
        *,
        key: str | None = None,
        host: str = HOST,
        context: BrowserContext | None = None,
        **options: Any,
    ) -> Page:
        """A page of a person signed in by link. `options` are for the new browser profile, if no `context` is given."""
        page = await (context or await self.context(**options)).new_page()
        code = await self._stack.code(key or self._stack.loop.api.tokens[who])
        await page.goto(f"{self._stack.url(host)}/sign-in?to={quote(path, safe='')}#{code}")
        await expect(page.get_by_role("navigation", name="Console")).to_contain_text(who)
        return page

    async def close(self) -> None:
        for context in self._contexts:
            await context.close()
        unexpected = [line for line in self.complaints if not any(pattern.search(line) for pattern in self._expected)]
        assert not unexpected, unexpected

    def _listen(self, page: Page) -> None:
        def console(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                self.complaints.append(f"{message.text} ({message.location.get('url')})")

        page.on("console", console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))


@pytest.fixture
async def page_of(browser: Browser, stack: Stack) -> AsyncIterator[Pages]:
    pages = Pages(browser, stack)
    yield pages
    await pages.close()
