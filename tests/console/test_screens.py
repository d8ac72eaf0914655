"""The screenshots in `docs/screens/`: each screen in light and dark, on a desktop and on a phone. `AGENTGRID_SCREENS=1` renews them.

Run it alone then: the installation must only contain what `demonstration.py` starts. Without the variable, two screens are rendered and discarded;
`test_page.py` checks that all of them fit and are accessible.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from playwright.async_api import Page, Response, expect

from tests.console.conftest import SCREENSHOTS, Pages
from tests.console.demonstration import demonstrated
from tests.console.sizes import DEVICES, Scheme, faults_of, show_in
from tests.console.stack import ROOT, Stack

FOLDER = ROOT / "docs" / "screens"
MOST_BYTES = 100_000
QUALITIES = (85, 70, 55, 40)
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
ABORTED = re.compile("ERR_ABORTED")
"""The error of requests whose page was left."""

pytestmark = pytest.mark.timeout(600 if SCREENSHOTS else 120)


@dataclass(frozen=True)
class Screen:
    """A page, who views it, a text that appears once it is rendered, and the keys to press first."""

    path: str
    text: str | re.Pattern[str]
    who: str = "both"
    press: str = ""


SCREENS = {
    "overview": Screen("/", "Coming up"),
    "approvals": Screen("/approvals", "Can’t be undone"),
    "approval": Screen("/approvals/{approval}", "Refund 76.00 USD"),
    "runs": Screen("/runs", "T-1015"),
    "run": Screen("/runs/{waiting}", "Search articles"),
    "run_failed": Screen("/runs/{failed}", "Fetch ticket"),
    "workflow": Screen("/workflows/content_publish?from={page}", "Copied from run"),
    "agent": Screen("/agents/triager", "With approval"),
    "tool": Screen("/tools/refund_ticket", "Current rule"),
    "workers": Screen("/workers", "backoffice"),
    "audit": Screen("/audit", "signed in", who="auditor"),
    "settings": Screen("/settings?view=people", "reviewer", who="admin"),
    "palette": Screen("/runs", "T-1015", press="Control+k"),
    "not_found": Screen("/no/such/page", "Not found"),
}
ALSO = {
    "run_fan_out": Screen("/runs/{many}", "Reprice item"),
    "run_retrying": Screen("/runs/{retrying}", "Book carrier"),
}
"""Screens that only the demonstration has data for."""


@pytest.fixture(scope="module")
async def places(stack: Stack) -> AsyncIterator[dict[str, str]]:
    """The ids shown on the screens, by name."""
    if not SCREENSHOTS:
        yield {}
        return
    async with demonstrated(stack) as ids:
        yield ids


RENDERED = ("workers", "not_found")
"""The screens to render if no screenshots are kept; each takes half a second."""


async def save_screenshot(page: Page, path: Path) -> None:
    """Save a screenshot, compressed until it is small enough."""
    session = await page.context.new_cdp_session(page)
    for quality in QUALITIES:
        taken = await session.send("Page.captureScreenshot", {"format": "webp", "quality": quality})
        picture = base64.b64decode(taken["data"])
        if len(picture) <= MOST_BYTES:
            break
    await asyncio.to_thread(path.write_bytes, picture)
    await session.detach()


async def open_screen(page: Page, url: str, screen: Screen) -> None:
    """Open the screen and wait until it is rendered."""
    await page.goto(url)
    await expect(page.get_by_text(screen.text).first).to_be_attached()
    if screen.press:
        await page.keyboard.press(screen.press)
        await expect(page.get_by_role("dialog")).to_be_visible()
    if SCREENSHOTS:
        await page.wait_for_timeout(1_500)  # for figures that load after the page, without a placeholder


async def capture(page: Page, name: str, folder: Path, again: Callable[[], Awaitable[None]]) -> list[str]:
    """Take screenshots on each device, in light and dark, and return the faults of the page."""
    faults = []
    for device, size in DEVICES.items():
        await page.set_viewport_size(size)
        if SCREENSHOTS:
            await again()  # a phone's initial view
        for scheme in SCHEMES:
            await show_in(page, scheme)
            await expect(page.get_by_text("Loading", exact=True)).to_have_count(0)
            await save_screenshot(page, folder / f"{name}_{device}_{scheme}.webp")
        faults += await faults_of(page, f"{name} on a {device}")
    await page.set_viewport_size(DEVICES["desktop"])
    return faults


def failed_requests(page: Page) -> list[str]:
    """The page's failed requests from now on."""
    failures: list[str] = []

    def note(response: Response) -> None:
        if response.status >= 400:
            failures.append(f"{response.status} {response.url}")

    page.on("response", note)
    page.on("requestfailed", lambda request: failures.append(f"{request.failure} {request.url}"))
    return failures


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder for screenshots."""
    if not SCREENSHOTS:
        return tmp_path
    FOLDER.mkdir(exist_ok=True)
    return FOLDER


async def test_every_screen_renders(page_of: Pages, stack: Stack, places: dict[str, str], folder: Path):
    screens = SCREENS | ALSO if SCREENSHOTS else {name: SCREENS[name] for name in RENDERED}
    pages = {
        who: await page_of(places.get(who, who), "/settings") for who in {screen.who for screen in screens.values()}
    }
    faults: list[str] = []
    failures = {who: failed_requests(page) for who, page in pages.items()}
    for name, screen in screens.items():
        page = pages[screen.who]
        url = stack.url() + screen.path.format(**places)
        await open_screen(page, url, screen)
        faults += await capture(page, name, folder, partial(open_screen, page, url, screen))
    assert not faults
    unexpected = {line for lines in failures.values() for line in lines if not ABORTED.search(line)}
    assert not unexpected


async def test_the_sign_in_page_renders(page_of: Pages, stack: Stack, folder: Path):
    page = await (await page_of.context()).new_page()
    await page.goto(f"{stack.url()}/sign-in")
    await expect(page.get_by_role("heading", name="Sign in to AgentGrid")).to_be_visible()
    assert not await capture(page, "sign_in", folder, lambda: asyncio.sleep(0))
