"""Deciding approvals: by keyboard, with a screen reader, exactly once, and by whom. Each test finds its own approvals by reference."""

from __future__ import annotations

import asyncio
import re
import uuid
from datetime import datetime, timedelta

import pytest
from playwright.async_api import Locator, Page, Route, ViewportSize, expect

from tests.console.conftest import LOST, Pages, status
from tests.console.stack import Stack

DECISIONS = "**/api/v1/approvals/*/decisions"


@pytest.fixture
def reference() -> str:
    return f"ref-{uuid.uuid4().hex[:8]}"


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=re.compile(f"^{name}"))


def outcome(page: Page, words: str) -> Locator:
    return page.get_by_role("status").filter(has_text=words)


def letter(page: Page) -> Locator:
    return page.get_by_role("article").get_by_role("heading", level=2)


async def requested_decisions(stack: Stack, run_id: str) -> list[tuple[str, str | None]]:
    """The decisions requested on this run: by whom, and why."""
    commands = await stack.loop.call("auditor", "GET", f"/commands?run={run_id}&kind=approval.decide")
    return [(command["principal"], command["reason"]) for command in commands["items"]]


async def test_the_inbox_works_by_keyboard_alone_and_with_a_screen_reader(page_of: Pages, stack: Stack, reference: str):
    runs = [(await stack.refund(each, reference=f"{reference}-{each}"))[0] for each in ("T-1002", "T-1015")]
    page = await page_of("reviewer", f"/approvals?q={reference}")
    press = page.keyboard.press
    await expect(letter(page)).to_have_text(re.compile("T-1002"))
    await expect(page.get_by_role("main")).to_match_aria_snapshot("""
        - list:
          - listitem:
            - heading "Approvals" [level=1]
        - group "Which approvals":
          - link /For me \\d+/
          - link /All pending \\d+/
          - link "Decided"
        - searchbox "Find approvals"
        - region "Can’t be undone, 2 approvals":
          - heading /Can’t be undone/ [level=2]
          - list:
            - listitem:
              - button /Refund .* T-1002 .* left .* destructive/
            - listitem:
              - button /Refund .* T-1015 .* left .* destructive/
        - navigation "This approval"
        - article /Refund .* T-1002/:
          - heading /Refund .* T-1002/ [level=2]
          - heading /The call refund_ticket/ [level=3]:
            - button "Edit"
          - heading "What it looked at first" [level=3]
          - heading "Why this needs approval" [level=3]
          - status
          - textbox "Comment"
          - button "Reject"
          - button "Approve"
    """)
    await press("j")
    await expect(letter(page)).to_have_text(re.compile("T-1015"))
    await press("k")
    await expect(letter(page)).to_have_text(re.compile("T-1002"))
    await press("a")
    await expect(button(page, "Approve")).to_be_focused()
    assert await requested_decisions(stack, runs[0]) == []  # no single key decides
    await press("Enter")
    await press("Enter")
    await expect(outcome(page, "Counted")).to_contain_text("approved by you")
    await expect(letter(page)).to_have_text(re.compile("T-1015"))  # the next
    await expect(letter(page)).to_be_focused()
    await press("r")
    await expect(page.get_by_role("alert")).to_contain_text("a rejection needs one")
    await page.keyboard.type("Not without the receipt")  # rejecting first focuses the reason
    await press("Tab")
    await expect(button(page, "Reject")).to_be_focused()
    await press("Enter")
    await expect(outcome(page, "Counted")).to_contain_text("rejected by you")
    await expect(page.get_by_role("heading", name="No matching approvals")).to_be_visible()
    assert await requested_decisions(stack, runs[0]) == [("reviewer", None)]
    assert await requested_decisions(stack, runs[1]) == [("reviewer", "Not without the receipt")]


async def test_one_persons_decision_is_recorded_once_across_tabs_and_reloads(
    page_of: Pages, stack: Stack, reference: str
):
    run_id, approval = await stack.refund("T-1015", reference=reference)
    first = await page_of("reviewer", f"/approvals/{approval['approval_id']}")
    second = await first.context.new_page()
    await second.goto(first.url)
    keys: list[str] = []
    sent, both, go = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        sent.set()
        if len(keys) == 1:
            return  # never answered: the page is reloaded while it waits
        if len(keys) == 3:
            both.set()
        await go.wait()
        await route.continue_()

    await first.context.route(DECISIONS, hold)
    await button(first, "Approve").dblclick()
    await expect(outcome(first, "Sending")).to_be_visible()
    await sent.wait()
    await first.reload()
    for page in (first, second):
        await button(page, "Approve").click()
        await expect(outcome(page, "Sending")).to_be_visible()
    await both.wait()
    go.set()
    # The later one may arrive after the decision, or while the first is being recorded.
    page_of.expect(status(409, 503))
    for page in (first, second):
        await expect(page.get_by_text("by you").or_(page.get_by_text("You approved this")).first).to_be_visible()
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert await requested_decisions(stack, run_id) == [("reviewer", None)]


async def test_a_decision_by_someone_else_is_shown_and_the_next_approval_opens(
    page_of: Pages, stack: Stack, reference: str
):
    _, first = await stack.refund("T-1002", reference=f"{reference}-1")
    _, other = await stack.refund("T-1015", reference=f"{reference}-2")
    page = await page_of("reviewer", f"/approvals?q={reference}")
    await expect(button(page, "Approve")).to_be_enabled()
    await stack.loop.decide(first, "rejected", who="second", comment="Asked for twice")
    await expect(outcome(page, "second rejected this at")).to_be_visible()
    await expect(letter(page)).to_have_text(re.compile("T-1015"))

    page_of.expect(LOST, status(503))
    await stack.kill()
    try:
        await expect(button(page, "Approve")).to_be_disabled()
        await expect(letter(page)).to_be_visible()
    finally:
        await stack.restart()
    await expect(button(page, "Approve")).to_be_enabled()
    over = datetime.fromisoformat(other["expires_at"]) + timedelta(seconds=1)
    await page.clock.set_fixed_time(over)
    await expect(page.get_by_text("It has expired")).to_be_visible()
    await expect(button(page, "Approve")).to_have_count(0)


async def test_a_changed_call_has_the_typed_value_and_a_letter_fits_a_small_phone(
    page_of: Pages, stack: Stack, reference: str
):
    run_id, approval = await stack.refund("T-1015", reference=reference)
    small: ViewportSize = {"width": 360, "height": 740}
    page = await page_of("reviewer", f"/approvals/{approval['approval_id']}")
    await page.set_viewport_size(small)
    for name in ("Approve", "Reject"):
        box = await button(page, name).bounding_box()
        assert box is not None
        assert box["height"] >= 44
        assert box["y"] + box["height"] <= small["height"]
    await page.get_by_role("button", name="Details").click()
    sheet = page.get_by_role("dialog", name="About this approval")
    await expect(sheet.get_by_role("heading", name="Who can decide")).to_be_visible()
    await expect(sheet.get_by_text("operator may not decide: they started the run")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(sheet).to_have_count(0)
    assert await page.evaluate("() => document.documentElement.scrollWidth") <= small["width"]

    await button(page, "Edit").click()
    amount = page.get_by_role("textbox", name="Amount")
    await amount.fill("50,00")
    await button(page, "Approve").click()
    await expect(page.get_by_role("alert")).to_contain_text("typed for Amount is invalid")
    await amount.fill("50.00")
    await page.get_by_role("button", name="Approve as edited").click()
    await expect(outcome(page, "Counted")).to_contain_text("as edited")
    decided = await stack.loop.call("reviewer", "GET", f"/approvals/{approval['approval_id']}")
    assert decided["changed"]["value"] == {**decided["payload"]["value"], "amount_cents": 5000}
    assert len(await requested_decisions(stack, run_id)) == 1
