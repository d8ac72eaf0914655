"""A run's page: many steps, the graph, the history, and a decision made on the page."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta

from playwright.async_api import Page, Request, expect
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from agentgrid.db.session import writing
from agentgrid.db.tables import Run, Step
from tests.api import factories
from tests.console.conftest import Pages, shown
from tests.console.stack import Stack

MANY = 5_000
MORE = 30
IN_SIGHT = 80
"""Maximum number of rendered rows: those of a tall window, plus some above and below."""


COPIES = {
    "event_id": "g",
    "name": "'tool_' || g % 2",
    "scheduled_at": "scheduled_at + g * interval '20 ms'",
    "closed_at": "scheduled_at + g * interval '20 ms' + interval '15 ms'",
}
"""The columns that differ in the copies of a step. Neighbours have different names, so that they aren't folded into one row."""


async def _fill(engine: AsyncEngine, run: Run, first: int, last: int) -> None:
    """Insert steps with these numbers, as copies of the first."""
    columns = [column.name for column in Step.__table__.columns]  # type: ignore[attr-defined]
    values = ", ".join(COPIES.get(name, name) for name in columns)
    async with writing(engine) as session:
        await session.execute(
            text(
                f"INSERT INTO steps ({', '.join(columns)}) SELECT {values} FROM steps, generate_series(CAST(:first AS int), CAST(:last AS int)) AS g "
                "WHERE run_id = :run AND event_id = 1"
            ),
            {"first": first, "last": last, "run": run.run_id},
        )


def _requests(page: Page) -> list[str]:
    requests: list[str] = []

    def note(request: Request) -> None:
        if "/api/" in request.url:
            requests.append(request.url.partition("/api/v1")[2])

    page.on("request", note)
    return requests


async def test_of_thousands_of_steps_only_visible_ones_are_rendered_and_new_ones_need_no_request(
    page_of: Pages, stack: Stack
):
    engine = stack.loop.api.plane.engine
    run = factories.run(status="completed", temporal_status="completed", step_count=MANY, reference="many")
    run.closed_at = run.created_at + timedelta(minutes=2)
    await factories.insert(engine, run, factories.execution(run, status="completed"), factories.step(run, 1))
    await _fill(engine, run, 2, MANY)
    page = await page_of("operator", "/settings")
    requests = _requests(page)
    await page.goto(f"{stack.url()}/runs/{run.run_id}")
    grid = page.get_by_role("treegrid", name="Steps")
    await expect(grid).to_have_attribute("aria-rowcount", str(MANY))
    await shown(page)
    assert len(requests) <= 6, requests
    rows = grid.get_by_role("row")
    assert 5 < await rows.count() < IN_SIGHT

    await rows.first.focus()
    await page.keyboard.press("End")
    await expect(page.locator(f'[aria-rowindex="{MANY}"]')).to_be_focused()
    assert await rows.count() < IN_SIGHT

    before = len(requests)
    await _fill(engine, run, MANY + 1, MANY + MORE)
    for number in range(MANY + 1, MANY + MORE + 1):
        event = (run.run_id, "step", {"status": "completed"})
        await factories.publish(engine, event, subject=f"{run.execution_id}/{number}")
    await expect(grid).to_have_attribute("aria-rowcount", str(MANY + MORE))
    assert len(requests) - before <= 4, requests[before:]  # the timeline is refetched every few seconds


async def test_a_run_is_shown_as_timeline_graph_and_history_and_decided_on_its_page(page_of: Pages, stack: Stack):
    run_id, approval = await stack.refund("T-1038", reference=f"ref-{uuid.uuid4().hex[:8]}")
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
    await expect(card).to_contain_text("Counted")  # and it stays, although the run now needs another approval
    await theirs.get_by_role("button", name=re.compile("^Next: ")).click()
    await expect(card).to_contain_text("Send reply")
    decided = await stack.loop.call("reviewer", "GET", f"/approvals/{approval['approval_id']}")
    assert (decided["status"], decided["decided_by"]) == ("approved", "reviewer")
