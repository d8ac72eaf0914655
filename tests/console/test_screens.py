"""Each screen in light and dark, on a desktop and on a phone; `AGENTGRID_SCREENS=1` renews the pictures of `docs/screens/`.

Run it alone then: the installation holds what `demonstration.py` starts, and nothing else.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Page, Response, ViewportSize, expect

from tests.console.conftest import PICTURED, Pages
from tests.console.demonstration import demonstrated
from tests.console.stack import ROOT, Stack

PICTURES = ROOT / "docs" / "screens"
MOST_BYTES = 100_000
QUALITIES = (85, 70, 55, 40)
DEVICES: Mapping[str, ViewportSize] = {
    "desktop": {"width": 1440, "height": 900},
    "phone": {"width": 390, "height": 844},
}
Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
LOOKS: Mapping[str, tuple[Scheme]] = {"desktop": ("light",), "phone": ("dark",)}
"""Which pictures are made where none is kept: making one takes half a second."""
NARROWEST: ViewportSize = {"width": 360, "height": 740}
WIDER_THAN_WINDOW = """() => [document.scrollingElement, document.querySelector("main")]
    .map((each) => each ? each.scrollWidth - each.clientWidth : 0)"""
LONGER_THAN_WINDOW = "() => document.scrollingElement.scrollHeight - document.scrollingElement.clientHeight"
"""Each pane scrolls for itself: a page that scrolls too has a second scrollbar."""
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
    if PICTURED:
        async with demonstrated(stack) as found:
            yield found
        return
    loop = stack.loop
    failed = await loop.start("support_triage", {"ticket_id": "T-9999"}, reference="T-9999")
    page = {"title": "Winter opening hours", "points": ["Open 10 to 18"], "author": "jonas"}
    page_run = await loop.start("content_publish", page, reference="winter-hours", tags=["site"])
    waiting, approval = await stack.refund("T-1015", reference="T-1015", tags=["refunds"])
    await loop.until(failed, "failed")
    yield {"failed": failed, "waiting": waiting, "approval": approval["approval_id"], "page": page_run, "both": "both"}


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


async def faults_of(page: Page, name: str) -> list[str]:
    """What runs over the right edge or the lower one, or is empty."""
    found = []
    if any(wider := await page.evaluate(WIDER_THAN_WINDOW)):
        found.append(f"{name} is {max(wider)} px wider than its window")
    if longer := await page.evaluate(LONGER_THAN_WINDOW):
        found.append(f"{name} is {longer} px longer than its window")
    words = await page.get_by_role("main").inner_text()
    if len(words.split()) < 3:
        found.append(f"{name} is empty: {words!r}")
    return found


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
        for scheme in SCHEMES if PICTURED else LOOKS[device]:
            await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            await expect(page.get_by_text("Loading", exact=True)).to_have_count(0)
            await pictured(page, folder / f"{name}_{device}_{scheme}.webp")
        found += await faults_of(page, f"{name} on a {device}")
    await page.set_viewport_size(NARROWEST)
    found += await faults_of(page, f"{name} at {NARROWEST['width']} px")
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
    screens = SCREENS | (ALSO if PICTURED else {})
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
