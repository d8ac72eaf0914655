"""Each screen in light and dark, on a desktop and on a phone; `AGENTGRID_SCREENS=1` renews the pictures of `docs/screens/`.

Run it alone then, so that the installation holds what is started here and nothing else.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from playwright.async_api import Page, ViewportSize, expect

from tests.console.conftest import Pages, shown, status
from tests.console.stack import ROOT, Stack

PICTURES = ROOT / "docs" / "screens"
RENEWED = os.environ.get("AGENTGRID_SCREENS") == "1"
MOST_BYTES = 100_000
QUALITIES = (85, 70, 55, 40)
DEVICES: Mapping[str, ViewportSize] = {
    "desktop": {"width": 1440, "height": 900},
    "phone": {"width": 390, "height": 844},
}


@dataclass(frozen=True)
class Screen:
    """A page, who looks at it, and a heading that shows that it has been drawn."""

    path: str
    heading: str | re.Pattern[str]
    who: str = "admin"


SCREENS = {
    "overview": Screen("/", "Overview"),
    "approvals": Screen("/approvals", "Approvals", who="reviewer"),
    "approval": Screen("/approvals/{approval}", "Refund 76.00 USD", who="reviewer"),
    "runs": Screen("/runs", "Runs"),
    "run": Screen("/runs/{waiting}", "T-1015"),
    "run_failed": Screen("/runs/{failed}", "T-9999"),
    "workflow": Screen("/workflows/content_publish", "Content publish"),
    "agent": Screen("/agents/triager", re.compile("triager", re.IGNORECASE)),
    "tool": Screen("/tools/refund_ticket", "Refund ticket"),
    "workers": Screen("/workers", "Workers"),
    "audit": Screen("/audit", "Audit"),
    "settings": Screen("/settings?view=people", "Settings"),
    "not_found": Screen("/no/such/page", "There is nothing here"),
}


@pytest.fixture(scope="module")
async def places(stack: Stack) -> dict[str, str]:
    """What is on the screens: a run that has ended well and one badly, and three that wait for people. Ids by what they are."""
    loop = stack.loop
    done, first = await stack.refund("T-1002", reference="T-1002")
    await loop.decide(first, comment="Agreed on the phone")
    failed = await loop.start("support_triage", {"ticket_id": "T-9999"}, reference="T-9999")
    await loop.start("lead_qualification", {"lead_id": "L-201"}, reference="L-201")
    page = {"title": "Winter opening hours", "points": ["Open 10 to 18", "Closed on 25 December"], "author": "jonas"}
    await loop.start("content_publish", page, reference="winter-hours", tags=["site"])
    await loop.start("support_triage", {"ticket_id": "T-1005"}, reference="T-1005")
    waiting, approval = await stack.refund("T-1015", reference="T-1015", tags=["refunds"])
    await loop.until(failed, "failed")
    await loop.until(done, "completed")
    return {"failed": failed, "waiting": waiting, "approval": approval["approval_id"]}


async def pictured(page: Page, name: str) -> None:
    """Keep what is seen, as small as it must be."""
    session = await page.context.new_cdp_session(page)
    for quality in QUALITIES:
        taken = await session.send("Page.captureScreenshot", {"format": "webp", "quality": quality})
        picture = base64.b64decode(taken["data"])
        if len(picture) <= MOST_BYTES:
            break
    PICTURES.mkdir(exist_ok=True)
    (PICTURES / f"{name}.webp").write_bytes(picture)


async def seen(page: Page, name: str) -> None:
    """In light and in dark: nothing runs over the edge of the window."""
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        wide = await page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{name} is {wide} px wider than the window"
        if RENEWED:
            await pictured(page, f"{name}_{scheme}")


@pytest.mark.parametrize("device", DEVICES)
async def test_every_screen_is_drawn(page_of: Pages, stack: Stack, places: dict[str, str], device: str):
    page_of.expect(status(404))  # the page that doesn't exist
    pages = {who: await page_of(who, "/settings") for who in {each.who for each in SCREENS.values()}}
    for name, screen in SCREENS.items():
        page = pages[screen.who]
        await page.set_viewport_size(DEVICES[device])
        await page.goto(stack.url() + screen.path.format(**places))
        await expect(page.get_by_role("heading", name=screen.heading).first).to_be_visible()
        await shown(page)
        if RENEWED:
            await page.wait_for_timeout(1_500)  # for figures that come after the page, and have no placeholder
        await seen(page, f"{name}_{device}")


@pytest.mark.parametrize("device", DEVICES)
async def test_the_sign_in_page_is_drawn(page_of: Pages, stack: Stack, device: str):
    page = await (await page_of.context(viewport=DEVICES[device])).new_page()
    await page.goto(f"{stack.url()}/sign-in")
    await expect(page.get_by_role("heading", name="Sign in to AgentGrid")).to_be_visible()
    await seen(page, f"sign_in_{device}")
