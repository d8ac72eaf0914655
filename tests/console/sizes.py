"""The window sizes that every screen must fit, and the faults of one that doesn't."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from playwright.async_api import Page, ViewportSize, expect

DEVICES: Mapping[str, ViewportSize] = {
    "desktop": {"width": 1440, "height": 900},
    "phone": {"width": 390, "height": 844},
}
NARROWEST: ViewportSize = {"width": 360, "height": 740}
WIDER_THAN_WINDOW = """() => [document.scrollingElement, document.querySelector("main")]
    .map((each) => each ? each.scrollWidth - each.clientWidth : 0)"""
LONGER_THAN_WINDOW = "() => document.scrollingElement.scrollHeight - document.scrollingElement.clientHeight"
"""Panes scroll individually: if the page scrolls too, there is a second scrollbar."""

Scheme = Literal["light", "dark"]
PAINTED = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
SOME_WORDS = re.compile(r"\S+\s+\S+\s+\S")


async def show_in(page: Page, scheme: Scheme) -> None:
    """Show the page in light or dark, and wait until it is painted: the page follows the browser with a delay."""
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    await expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", scheme)
    await page.evaluate(PAINTED)


async def faults_of(page: Page, name: str) -> list[str]:
    """Whether the page overflows the right or lower edge, or is empty."""
    faults = []
    if any(wider := await page.evaluate(WIDER_THAN_WINDOW)):
        faults.append(f"{name} is {max(wider)} px wider than its window")
    if longer := await page.evaluate(LONGER_THAN_WINDOW):
        faults.append(f"{name} is {longer} px longer than its window")
    try:  # if a pane disappears at this size, the page appears with a delay
        await expect(page.get_by_role("main")).to_have_text(SOME_WORDS, use_inner_text=True, timeout=3_000)
    except AssertionError as error:
        faults.append(f"{name} is empty: {error}")
    return faults


async def faults_at_each_size(page: Page, name: str) -> list[str]:
    """The faults of the page on a phone, on the narrowest phone, and on a desktop, the size it is left at."""
    faults = []
    for size in (DEVICES["phone"], NARROWEST, DEVICES["desktop"]):
        await page.set_viewport_size(size)
        faults += await faults_of(page, f"{name} at {size['width']} px")
    return faults
