"""The shell around every page: by keyboard alone, and on a phone."""

from __future__ import annotations

import re
import uuid

from playwright.async_api import Page, expect

from tests.console.conftest import Pages, shown
from tests.console.stack import Stack


async def at(page: Page, heading: str) -> None:
    await expect(page.get_by_role("heading", level=1)).to_have_text(heading)


async def test_everything_is_reachable_by_keyboard(page_of: Pages, stack: Stack):
    reference = f"keys-{uuid.uuid4().hex[:8]}"
    run_id, _ = await stack.refund("T-1015", reference=reference)
    page = await page_of("reviewer")
    await page.reload()
    await shown(page)
    await page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    await expect(skip).to_be_focused()
    await expect(skip).to_be_in_viewport()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("main")).to_be_focused()

    for keys, heading in (("ga", "Approvals"), ("gr", "Runs"), ("gt", "Tools"), ("ga", "Approvals"), ("ge", "Agents")):
        for key in keys:  # on the approvals page A and E alone mean something else
            await page.keyboard.press(key)
        await at(page, heading)
    await expect(page).to_have_title(re.compile(r"^\(\d+\) Agents · AgentGrid$"))

    palette = page.get_by_role("dialog", name="Search or jump to")
    for words in (run_id, run_id[-8:], reference):
        await page.keyboard.press("Control+k")
        await page.keyboard.type(words)
        await expect(palette.get_by_role("group", name="Runs").get_by_role("option")).to_have_count(1)
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**/runs/{run_id}**")
        await expect(palette).to_have_count(0)
    await page.keyboard.press("Control+k")
    await expect(palette.get_by_role("group", name="This run")).to_contain_text("Start a similar run")
    await page.keyboard.type("refund tick")
    await expect(palette.get_by_role("group", name="Tools").get_by_role("option")).to_have_count(1)
    for key in ("ArrowDown", "ArrowUp", "Escape"):
        await page.keyboard.press(key)
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_contain_text("Approvals")
    await page.keyboard.press("Escape")
    await page.keyboard.press("Control+k")
    await page.keyboard.type("Refund ticket")
    await expect(palette.get_by_role("group", name="Tools").get_by_role("option")).to_have_count(1)
    await palette.get_by_role("group", name="Tools").get_by_role("option").click()
    await page.wait_for_url("**/tools/refund_ticket")


async def test_a_phone_reaches_every_page_and_scrolls_only_vertically(page_of: Pages, stack: Stack):
    run_id, approval = await stack.refund("T-1015")
    page = await page_of("admin", has_touch=True)
    await page.set_viewport_size({"width": 360, "height": 740})
    bar = page.get_by_role("navigation", name="Main pages")
    more = page.get_by_role("dialog", name="More")
    for place in ("Workflows", "Agents", "Tools", "Workers", "Audit", "Settings"):
        await bar.get_by_role("button", name="More").tap()
        await more.get_by_role("link", name=place).tap()
        await at(page, place)
        await expect(more).to_have_count(0)
    await bar.get_by_role("button", name="More").tap()
    await more.get_by_role("button", name="Times in UTC").tap()
    for place in ("Runs", "Approvals", "Overview"):
        await bar.get_by_role("link", name=place).tap()
        await at(page, place)
    wide = []
    for path in ("/", "/approvals", f"/approvals/{approval['approval_id']}", "/runs", f"/runs/{run_id}", "/audit"):
        await page.evaluate("path => void history.pushState({}, '', path)", path)
        await shown(page)
        if (width := await page.evaluate("() => document.documentElement.scrollWidth")) > 360:
            wide.append((path, width))
    assert not wide
