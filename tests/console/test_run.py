"""The page of a run: many steps, the same steps as a graph, its history, and a decision in place."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta

from playwright.async_api import Page, Request, expect

from agentgrid.db.tables import Run, Step
from tests.api import factories
from tests.console.conftest import Pages, shown
from tests.console.stack import Stack

MANY = 5_000
MORE = 30
IN_SIGHT = 80
"""Rows in the page: those of a tall window, and some above and below."""


def _made(run: Run, number: int) -> Step:
    """Neighbours have different names, so that none of them are folded into one row."""
    began = run.created_at + timedelta(milliseconds=20 * number)
    return factories.step(
        run, number, name=f"tool_{number % 2}", scheduled_at=began, closed_at=began + timedelta(milliseconds=15)
    )


def _asked(page: Page) -> list[str]:
    asked: list[str] = []

    def note(request: Request) -> None:
        if "/api/" in request.url:
            asked.append(request.url.partition("/api/v1")[2])

    page.on("request", note)
    return asked


async def test_of_thousands_of_steps_those_in_sight_are_in_the_page_and_new_ones_cost_no_request(
    page_of: Pages, stack: Stack
):
    engine = stack.loop.api.plane.engine
    run = factories.run(status="completed", temporal_status="completed", step_count=MANY, reference="many")
    run.closed_at = run.created_at + timedelta(minutes=2)
    steps = [_made(run, number) for number in range(1, MANY + 1)]
    await factories.insert(engine, run, factories.execution(run, status="completed"), *steps)
    page = await page_of("operator", "/settings")
    asked = _asked(page)
    await page.goto(f"{stack.url()}/runs/{run.run_id}")
    grid = page.get_by_role("treegrid", name="Steps")
    await expect(grid).to_have_attribute("aria-rowcount", str(MANY))
    await shown(page)
    assert len(asked) <= 6, asked
    rows = grid.get_by_role("row")
    assert 5 < await rows.count() < IN_SIGHT

    await rows.first.focus()
    await page.keyboard.press("End")
    await expect(page.locator(f'[aria-rowindex="{MANY}"]')).to_be_focused()
    assert await rows.count() < IN_SIGHT

    before = len(asked)
    for number in range(MANY + 1, MANY + MORE + 1):
        new = _made(run, number)
        await factories.insert(engine, new)
        await factories.publish(
            engine, (run.run_id, "step", {"status": "completed"}), subject=f"{run.execution_id}/{number}"
        )
    await expect(grid).to_have_attribute("aria-rowcount", str(MANY + MORE))
    assert len(asked) - before <= 4, asked[before:]  # every few seconds the timeline is read once more


async def test_a_run_is_read_as_timeline_graph_and_history_and_decided_in_place(page_of: Pages, stack: Stack):
    run_id, approval = await stack.refund("T-1015", reference=f"ref-{uuid.uuid4().hex[:8]}")
    page = await page_of("operator", f"/runs/{run_id}")
    side = page.get_by_role("complementary", name="Step Refund ticket")
    await expect(side.get_by_role("region", name="Approval")).to_contain_text("You can’t decide this")

    await page.get_by_role("button", name="Graph", exact=True).click()
    graph = page.get_by_role("region", name="Graph of the steps")
    await graph.get_by_role("group", name=re.compile("^Classify ticket, Completed")).focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("complementary", name="Step Classify ticket")).to_be_visible()

    await page.get_by_role("button", name="History", exact=True).click()
    await expect(page.get_by_text("operator started Support triage")).to_be_visible()
    event = page.get_by_role("button", name=re.compile("Execution started"))
    await event.click()
    await expect(page.get_by_text('"workflowExecutionStartedEventAttributes"')).to_be_visible()

    theirs = await page_of("reviewer", f"/runs/{run_id}")
    card = theirs.get_by_role("region", name="Approval")
    await card.get_by_role("button", name=re.compile("^Approve")).click()
    await expect(card).to_contain_text("Counted")
    decided = await stack.loop.call("reviewer", "GET", f"/approvals/{approval['approval_id']}")
    assert (decided["status"], decided["decided_by"]) == ("approved", "reviewer")
