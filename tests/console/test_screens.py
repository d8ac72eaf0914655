"""The pictures of `docs/screens/`: each screen in light and dark, on a desktop and on a phone. `AGENTGRID_SCREENS=1` renews them.

Run it alone then: the installation holds what `demonstration.py` starts, and nothing else. Without it two screens are drawn and not kept: that
all of them fit and can be used is for `test_page.py` to find.
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

from tests.console.conftest import PICTURED, Pages
from tests.console.demonstration import demonstrated
from tests.console.sizes import DEVICES, Scheme, faults_of, show_in
from tests.console.stack import ROOT, Stack

PICTURES = ROOT / "docs" / "screens"
MOST_BYTES = 100_000
QUALITIES = (85, 70, 55, 40)
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
LEFT = re.compile("ERR_ABORTED")
"""What becomes of requests whose page is left."""

pytestmark = pytest.mark.timeout(600 if PICTURED else 120)


@dataclass(frozen=True)
class Screen:
    """A page, who looks at it, what shows that it has been drawn, and what is pressed before it is looked at."""

    path: str
    text: str | re.Pattern[str]
    who: str = "both"
    press: str = ""


SCREENS = {
    "overview": Screen("/", "Happens next"),
    "approvals": Screen("/approvals", "Can’t be undone"),
    "approval": Screen("/approvals/{approval}", "Refund 76.00 USD"),
    "runs": Screen("/runs", "T-1015"),
    "run": Screen("/runs/{waiting}", "Search articles"),
    "run_failed": Screen("/runs/{failed}", "Fetch ticket"),
    "workflow": Screen("/workflows/content_publish?from={page}", "Like run"),
    "agent": Screen("/agents/triager", "On asking"),
    "tool": Screen("/tools/refund_ticket", "The rule that holds"),
    "workers": Screen("/workers", "backoffice"),
    "audit": Screen("/audit", "signed in", who="auditor"),
    "settings": Screen("/settings?view=people", "reviewer", who="admin"),
    "palette": Screen("/runs", "T-1015", press="Control+k"),
    "not_found": Screen("/no/such/page", "There is nothing here"),
}
ALSO = {
    "run_fan_out": Screen("/runs/{many}", "Reprice item"),
    "run_retrying": Screen("/runs/{retrying}", "Book carrier"),
}
"""What only the demonstration has."""


@pytest.fixture(scope="module")
async def places(stack: Stack) -> AsyncIterator[dict[str, str]]:
    """Ids of what is on the screens, by what they are."""
    if not PICTURED:
        yield {}
        return
    async with demonstrated(stack) as found:
        yield found


DRAWN = ("workers", "not_found")
"""What is drawn where no picture is kept: one draws in half a second."""


async def pictured(page: Page, path: Path) -> None:
    """Keep what is seen, as small as it must be."""
    session = await page.context.new_cdp_session(page)
    for quality in QUALITIES:
        taken = await session.send("Page.captureScreenshot", {"format": "webp", "quality": quality})
        picture = base64.b64decode(taken["data"])
        if len(picture) <= MOST_BYTES:
            break
    await asyncio.to_thread(path.write_bytes, picture)
    await session.detach()


async def opened(page: Page, url: str, screen: Screen) -> None:
    """Show the screen."""
    await page.goto(url)
    await expect(page.get_by_text(screen.text).first).to_be_attached()
    if screen.press:
        await page.keyboard.press(screen.press)
        await expect(page.get_by_role("dialog")).to_be_visible()
    if PICTURED:
        await page.wait_for_timeout(1_500)  # for figures that come after the page, and have no placeholder


async def looked_at(page: Page, name: str, folder: Path, again: Callable[[], Awaitable[None]]) -> list[str]:
    """Its faults, on each device, in light and in dark; on the narrowest phone it must fit too."""
    found = []
    for device, size in DEVICES.items():
        await page.set_viewport_size(size)
        if PICTURED:
            await again()  # what a phone shows first
        for scheme in SCHEMES:
            await show_in(page, scheme)
            await expect(page.get_by_text("Loading", exact=True)).to_have_count(0)
            await pictured(page, folder / f"{name}_{device}_{scheme}.webp")
        found += await faults_of(page, f"{name} on a {device}")
    await page.set_viewport_size(DEVICES["desktop"])
    return found


def refused(page: Page) -> list[str]:
    """What the page asks for in vain, from now on."""
    found: list[str] = []

    def note(response: Response) -> None:
        if response.status >= 400:
            found.append(f"{response.status} {response.url}")

    page.on("response", note)
    page.on("requestfailed", lambda request: found.append(f"{request.failure} {request.url}"))
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where pictures are kept."""
    if not PICTURED:
        return tmp_path
    PICTURES.mkdir(exist_ok=True)
    return PICTURES


async def test_every_screen_is_drawn(page_of: Pages, stack: Stack, places: dict[str, str], folder: Path):
    screens = SCREENS | ALSO if PICTURED else {name: SCREENS[name] for name in DRAWN}
    pages = {who: await page_of(places.get(who, who), "/settings") for who in {each.who for each in screens.values()}}
    faults: list[str] = []
    failures = {who: refused(page) for who, page in pages.items()}
    for name, screen in screens.items():
        page = pages[screen.who]
        url = stack.url() + screen.path.format(**places)
        await opened(page, url, screen)
        faults += await looked_at(page, name, folder, partial(opened, page, url, screen))
    assert not faults
    vain = {line for lines in failures.values() for line in lines if not LEFT.search(line)}
    assert not vain


async def test_the_sign_in_page_is_drawn(page_of: Pages, stack: Stack, folder: Path):
    page = await (await page_of.context()).new_page()
    await page.goto(f"{stack.url()}/sign-in")
    await expect(page.get_by_role("heading", name="Sign in to AgentGrid")).to_be_visible()
    assert not await looked_at(page, "sign_in", folder, lambda: asyncio.sleep(0))
