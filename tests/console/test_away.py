"""The API or Temporal goes down behind an open page: what the page shows and allows, and that nothing is lost."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.api.conftest import Proxy
from tests.console.conftest import LOADS, LOST, Pages, live, status
from tests.console.stack import Stack

API_AWAY = "The API hasn’t responded since"
TEMPORAL_AWAY = "Temporal isn’t responding"


@pytest.fixture
async def temporal(stack: Stack) -> AsyncIterator[Proxy]:
    """A proxy between a new API and Temporal. The worker and the projector connect directly."""
    proxy = Proxy(stack.loop.settings.temporal_address)
    await proxy.open()
    await stack.kill()
    await stack.restart(temporal_address=proxy.address)
    yield proxy
    await stack.kill()
    await stack.restart()
    await proxy.close()


def cancel(page: Page) -> Any:
    return page.get_by_role("button", name="Cancel", exact=True)


async def test_an_open_page_catches_up_once_the_api_is_back(page_of: Pages, stack: Stack):
    run_id, approval = await stack.refund("T-1015")
    page = await page_of("operator", f"/runs/{run_id}")
    refund = page.get_by_role("treegrid", name="Steps").get_by_role("row").filter(has_text="Refund ticket")
    sentence = page.locator("p[role=status]").first
    await expect(sentence).to_contain_text("Refund 76.00 USD")
    await live(page)
    loaded = await page.evaluate(LOADS)
    page_of.expect(LOST, status(503))
    await stack.kill()
    try:
        await expect(page.get_by_text("Reconnecting")).to_be_visible()
        await expect(page.get_by_text(API_AWAY)).to_be_visible()
        await expect(refund).to_be_visible()  # loaded data stays
        await expect(cancel(page)).to_have_count(0)  # and nothing can be changed
        await page.get_by_role("button", name="operator").click()
        await page.get_by_role("menuitem", name="Sign out").click()
        await expect(page.get_by_role("status").filter(has_text="You are still signed in")).to_be_visible()
        await stack.loop.decide(approval)
        await stack.loop.approval(run_id, after=approval["approval_id"])
        await expect(sentence).to_contain_text("Refund 76.00 USD")  # the page can't know
    finally:
        await stack.restart()
    await expect(sentence).to_contain_text("Send reply")
    await expect(page.get_by_role("row").filter(has_text="Waits for support-leads")).to_be_visible()
    await expect(page.get_by_text(API_AWAY)).to_have_count(0)
    await expect(page.get_by_text("Reconnecting")).to_have_count(0)
    assert await page.evaluate(LOADS) == loaded


async def test_runs_cannot_be_decided_or_stopped_until_temporal_is_back(page_of: Pages, stack: Stack, temporal: Proxy):
    run_id, approval = await stack.refund("T-1015", reference=f"ref-{uuid.uuid4().hex[:8]}")
    run = await page_of("operator", f"/runs/{run_id}")
    letter = await page_of("reviewer", f"/approvals/{approval['approval_id']}")
    approve = letter.get_by_role("button", name=re.compile("^Approve"))
    await expect(approve).to_be_enabled()
    await expect(cancel(run)).to_be_visible()

    page_of.expect(status(503, 504))
    await temporal.close()
    await cancel(run).click()
    dialog = run.get_by_role("dialog")
    await dialog.get_by_role("button", name="Cancel", exact=True).click()
    await approve.click()
    for part in (dialog, letter.get_by_role("article")):
        await expect(part.get_by_role("alert")).to_contain_text("Temporal")
    await dialog.get_by_role("button", name="Back").click()
    for page in (run, letter):
        await expect(page.get_by_role("status").filter(has_text=TEMPORAL_AWAY)).to_be_visible()
    await expect(cancel(run)).to_have_count(0)
    await expect(approve).to_be_disabled()

    await temporal.open()
    for page in (run, letter):
        await expect(page.get_by_text(TEMPORAL_AWAY)).to_have_count(0)
    await expect(approve).to_be_enabled()
    await cancel(run).click()
    await dialog.get_by_role("button", name="Cancel", exact=True).click()
    await expect(letter.get_by_role("status").filter(has_text="It was cancelled")).to_be_visible()
