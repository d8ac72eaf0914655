"""Pages update live, and actions take effect exactly once. Each test has its own run, found by its reference."""

from __future__ import annotations

import re
import uuid
from typing import Any

import asyncpg
import pytest
from playwright.async_api import Page, expect

from tests.api import factories
from tests.api.conftest import eventually
from tests.console.conftest import LOADS, Pages, live, shown
from tests.console.stack import Stack

APPROVE, REJECT = re.compile("^Approve"), re.compile("^Reject")


@pytest.fixture
def reference() -> str:
    return f"ref-{uuid.uuid4().hex[:8]}"


def steps(page: Page) -> Any:
    return page.get_by_role("treegrid", name="Steps").get_by_role("row")


def sentence(page: Page) -> Any:
    """The sentence in the page's header that describes the run's state."""
    return page.locator("p[role=status]").first


async def test_the_overview_shows_a_run_as_it_starts(page_of: Pages, stack: Stack, reference: str):
    await stack.refund(reference="before")  # without runs the page shows its empty state
    page = await page_of("operator")
    await shown(page)
    loaded = await page.evaluate(LOADS)
    await expect(page.get_by_text(reference)).to_have_count(0)
    await stack.refund(reference=reference)
    await expect(page.get_by_role("link").filter(has_text=reference).first).to_be_visible()
    assert await page.evaluate(LOADS) == loaded


async def test_a_run_is_watched_live_and_approved_in_the_tab_of_a_second_person(
    page_of: Pages, stack: Stack, reference: str
):
    context = await page_of.context()
    run_id, approval = await stack.refund("T-1002", reference=reference)
    mine = await page_of("operator", f"/runs/{run_id}", context=context)
    await expect(steps(mine).filter(has_text="Refund ticket")).to_be_visible()
    await expect(sentence(mine)).to_contain_text("Refund 48.00 USD")
    loaded, before = await mine.evaluate(LOADS), await steps(mine).count()

    theirs = await page_of("reviewer", f"/approvals/{approval['approval_id']}", context=context, host="localhost")
    await expect(mine.get_by_role("button", name="operator")).to_be_visible()  # each tab keeps its own user
    await expect(theirs.get_by_text("You decide as reviewer")).to_be_visible()
    await theirs.get_by_role("button", name=APPROVE).dblclick()
    await expect(theirs.get_by_role("status").filter(has_text="Counted")).to_be_visible()

    await expect(sentence(mine)).not_to_contain_text("Refund 48.00 USD")
    await expect(steps(mine).nth(before)).to_be_visible()
    assert await mine.evaluate(LOADS) == loaded
    decided = await stack.loop.call("reviewer", "GET", f"/approvals/{approval['approval_id']}")
    assert (decided["status"], decided["decided_by"]) == ("approved", "reviewer")
    assert len(decided["decisions"]) == 1


async def test_a_models_response_streams_as_text_on_the_runs_page_and_reaches_no_viewer(
    page_of: Pages, stack: Stack, reference: str
):
    api = stack.loop.api
    run = factories.run(status="running", reference=reference)
    turn = factories.step(run, 6, kind="model", name="triager", turn=1, status="running")
    agent = factories.step(run, 5, kind="agent", name="triager", status="running")
    await factories.insert(api.plane.engine, run, factories.execution(run), agent, turn)
    theirs = await page_of("viewer", f"/runs/{run.run_id}")
    await live(theirs)
    mine = await page_of("operator", f"/runs/{run.run_id}")
    writing = mine.get_by_role("region", name="Live model output")

    async def watched() -> bool:
        return bool(api.app.state.feed.deltas._watches.get(run.run_id))

    await eventually(watched)
    login = stack.loop.worker_settings.database_url
    assert login is not None
    worker = await asyncpg.connect(login.get_secret_value())
    try:
        for sequence, words in enumerate(
            ("Let me look <img src=x onerror=document.title='owned'>", " that up."), start=1
        ):
            sent = "SELECT agentgrid_delta($1, 'triager', 'key', 1, 1, $2, $3, '{}')"
            assert await worker.fetchval(sent, run.execution_id, sequence, words)
            await expect(writing).to_contain_text(words)
    finally:
        await worker.close()
    await expect(writing).to_contain_text("onerror=document.title='owned'> that up.")  # the first delta is kept
    await expect(mine.locator("img")).to_have_count(0)
    await expect(theirs.get_by_text("Let me look")).to_have_count(0)
    ended = {
        "kind": "model",
        "name": "triager",
        "execution_id": run.execution_id,
        "turn": 1,
        "closed_at": "2026-01-01T00:00:00Z",
    }
    await factories.publish(api.plane.engine, (run.run_id, "step", ended), subject=factories.subject(turn))
    await expect(writing).to_have_count(0)


async def test_a_rejection_needs_a_reason_which_is_recorded(page_of: Pages, stack: Stack, reference: str):
    _, approval = await stack.refund("T-1015", reference=reference)
    page = await page_of("reviewer", f"/approvals/{approval['approval_id']}")
    await page.get_by_role("button", name=REJECT).click()
    await expect(page.get_by_role("alert")).to_contain_text("a rejection needs one")
    await page.get_by_role("textbox", name="Comment").fill("The customer has written since")
    await page.get_by_role("button", name=REJECT).click()
    await expect(page.get_by_role("status").filter(has_text="rejected by you")).to_be_visible()
    decided = await stack.loop.call("reviewer", "GET", f"/approvals/{approval['approval_id']}")
    assert decided["status"] == "rejected"
    assert [decision["comment"] for decision in decided["decisions"]] == ["The customer has written since"]


async def test_a_run_is_cancelled_from_its_page_with_a_reason(page_of: Pages, stack: Stack, reference: str):
    run_id, _ = await stack.refund("T-1015", reference=reference)
    page = await page_of("operator", f"/runs/{run_id}")
    await page.get_by_role("button", name="Cancel", exact=True).click()
    dialog = page.get_by_role("dialog", name="Cancel this run?")
    await dialog.get_by_role("textbox").fill("Asked for twice")
    await dialog.get_by_role("button", name="Cancel", exact=True).click()
    await expect(dialog).to_have_count(0)
    await expect(sentence(page)).to_contain_text("ancelled")
    await expect(page.get_by_role("button", name="Cancel", exact=True)).to_have_count(0)
    commands = await stack.loop.call("operator", "GET", f"/commands?run={run_id}")
    assert [
        (command["kind"], command["reason"]) for command in commands["items"] if command["kind"] != "run.start"
    ] == [("run.cancel", "Asked for twice")]


async def test_filters_are_in_the_url_and_survive_reload_and_back(page_of: Pages, stack: Stack, reference: str):
    await stack.refund("T-1015", reference=reference)
    page = await page_of("operator", "/runs")
    filters = page.get_by_role("complementary", name="Filters")
    await filters.get_by_role("button", name="Needs approval").click()
    await page.get_by_role("textbox", name="Search runs").fill(reference)
    await expect(page).to_have_url(re.compile(rf"status=approval.*q={reference}|q={reference}.*status=approval"))
    row = page.get_by_role("link").filter(has_text=reference)
    await expect(row).to_have_count(1)
    await page.reload()
    await expect(row).to_have_count(1)
    await expect(page.get_by_role("textbox", name="Search runs")).to_have_value(reference)
    await expect(filters.get_by_role("button", name="Needs approval")).to_have_attribute("aria-pressed", "true")
    await row.click()
    await expect(page.get_by_role("treegrid", name="Steps")).to_be_visible()
    await page.go_back()
    await expect(row).to_have_count(1)
    await expect(page.get_by_role("textbox", name="Search runs")).to_have_value(reference)
