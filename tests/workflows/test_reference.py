"""Each reference workflow end to end: its decisions, and its effects in the back office."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.worker import Worker

from agentgrid.testing import Governance
from tests.replay.golden import record
from worker import grid

pytestmark = pytest.mark.usefixtures("backoffice")


@pytest.fixture
def governance() -> Governance:
    return Governance(groups=["support-leads", "editors"])


@pytest.fixture
async def running(client: Client, queue: str, governance: Governance) -> AsyncIterator[Worker]:
    async with Worker(client, task_queue=queue, plugins=[governance.plugin(grid)]) as worker:
        yield worker


@pytest.fixture
def start(running: Worker, client: Client, queue: str) -> Any:
    async def begin(workflow: str, value: Any) -> WorkflowHandle[Any, Any]:
        return await client.start_workflow(workflow, value, id=f"{workflow}-{queue}", task_queue=queue)

    return begin


async def keep(handle: WorkflowHandle[Any, Any], name: str) -> None:
    """Record the history for the replay tests: `AGENTGRID_RECORD=1 make test ARGS=tests/workflows`."""
    if os.environ.get("AGENTGRID_RECORD"):
        record(f"reference/{name}", await handle.fetch_history())


async def value(backoffice: str, query: str, *arguments: Any) -> Any:
    connection = await asyncpg.connect(backoffice)
    try:
        return await connection.fetchval(query, *arguments)
    finally:
        await connection.close()


async def replies(backoffice: str, ticket_id: str) -> int:
    query = "SELECT count(*) FROM backoffice.replies WHERE ticket_id = $1 AND idempotency_key IS NOT NULL"
    return int(await value(backoffice, query, ticket_id))


async def test_an_agent_requests_a_refund_and_the_ticket_is_answered(
    start: Any, governance: Governance, backoffice: str
) -> None:
    handle = await start("support_triage", {"ticket_id": "T-1002"})
    terms = await governance.approve(handle)
    assert (terms.title, terms.tool, terms.policy) == ("Refund ticket", "refund_ticket", "default:destructive@1")
    result = await handle.result()
    assert await handle.query("so_far") == result
    assert (result["urgency"], result["refunded_cents"], result["reply_approved_by"]) == ("urgent", 4_800, None)
    body = await value(backoffice, "SELECT body FROM backoffice.replies WHERE id = $1", result["reply_id"])
    assert "(/booking-page-down)" in body
    assert body.endswith("Written by AgentGrid's offline model.")
    assert await value(backoffice, "SELECT about FROM backoffice.tasks WHERE id = $1", result["task_id"]) == "T-1002"
    await keep(handle, "support_triage-approved")


async def test_after_a_rejected_refund_the_ticket_is_left_to_a_person(
    start: Any, governance: Governance, backoffice: str
) -> None:
    handle = await start("support_triage", {"ticket_id": "T-1002"})
    await governance.reject(handle)
    result = await handle.result()
    assert (result["reply_id"], result["refunded_cents"]) == (None, 0)
    assert "rejected by reviewer" in result["summary"]
    assert await replies(backoffice, "T-1002") == 0
    query = "SELECT title FROM backoffice.tasks WHERE id = $1"
    assert await value(backoffice, query, result["task_id"]) == "Answer T-1002 by hand"
    await keep(handle, "support_triage-rejected")


async def test_a_reply_about_a_large_refund_needs_approval_too(
    start: Any, governance: Governance, backoffice: str
) -> None:
    handle = await start("support_triage", {"ticket_id": "T-1015"})
    await governance.approve(handle)
    terms = await governance.approve(handle)
    assert (terms.title, terms.approvers) == ("Send reply to T-1015", ("support-leads",))
    result = await handle.result()
    assert (result["reply_approved_by"], result["refunded_cents"]) == ("reviewer", 7_600)
    body = await value(backoffice, "SELECT body FROM backoffice.replies WHERE id = $1", result["reply_id"])
    assert body == terms.shown["reply"], "the reply sent is the reply shown"
    await keep(handle, "support_triage-refund")


async def test_an_unknown_ticket_fails_the_run_with_a_clear_error(start: Any) -> None:
    handle = await start("support_triage", {"ticket_id": "T-0"})
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert "T-0" in str(caught.value.cause.cause)  # type: ignore[union-attr]


async def test_a_lead_is_scored_and_noted_on_its_accounts(start: Any, backoffice: str) -> None:
    lead = await value(
        backoffice,
        "SELECT l.id FROM backoffice.leads l JOIN backoffice.accounts a ON a.domain = l.domain ORDER BY l.id LIMIT 1",
    )
    handle = await start("lead_qualification", {"lead_id": lead})
    result = await handle.result()
    assert result["accounts"], "a lead with an account starts a child run"
    status, score = await value(backoffice, "SELECT (status, score) FROM backoffice.leads WHERE id = $1", lead)
    assert (status, score) == (result["status"], result["score"])
    note = await value(backoffice, "SELECT note FROM backoffice.accounts WHERE id = $1", result["accounts"][0])
    assert lead in note
    await keep(handle, "lead_qualification")


PAGE = {
    "title": "Booking rules for groups",
    "points": ["Groups book together.", "One person pays."],
    "author": "editor",
    "settle_seconds": 0.1,
}


async def test_a_page_is_published_after_a_review(start: Any, governance: Governance, backoffice: str) -> None:
    handle = await start("content_publish", PAGE)
    await governance.approve(handle)
    result = await handle.result()
    assert result["published"], result["problems"]
    assert (
        await value(backoffice, "SELECT revision FROM backoffice.site_pages WHERE slug = $1", result["slug"])
        == result["revision"]
    )
    await keep(handle, "content_publish")


async def test_a_live_page_that_differs_from_the_reviewed_one_is_rolled_back(
    start: Any, governance: Governance, backoffice: str
) -> None:
    handle = await start("content_publish", {**PAGE, "points": ["TODO: write this"]})
    await governance.approve(handle)
    result = await handle.result()
    assert not result["published"]
    assert result["problems"]
    assert await value(backoffice, "SELECT count(*) FROM backoffice.site_pages WHERE slug = $1", result["slug"]) == 0
    await keep(handle, "content_publish-rolled_back")


async def test_an_account_is_researched_and_the_brief_is_added_to_its_note(start: Any, backoffice: str) -> None:
    handle = await start("account_research", {"account_id": "A-302"})
    result = await handle.result()
    note = await value(backoffice, "SELECT note FROM backoffice.accounts WHERE id = 'A-302'")
    assert result["brief"]["summary"] in note
    assert result["brief"]["summary"].startswith("Offline model: no provider was asked. Tools used: fetch_account")
    assert "Found: Brightmoor opens two practices" in result["brief"]["summary"], "this comes from an MCP server"
    await keep(handle, "account_research")


async def test_a_digest_of_a_week_that_does_not_exist_fails_at_once(start: Any) -> None:
    """It matches the pattern of the input. The run must not retry a failing workflow task forever."""
    handle = await start("weekly_digest", {"week": "2025-W53"})
    with pytest.raises(WorkflowFailureError) as caught:
        await asyncio.wait_for(handle.result(), 30)
    assert "is not an ISO week" in str(caught.value.cause)


async def test_a_digest_is_saved_as_a_report(start: Any, backoffice: str) -> None:
    handle = await start("weekly_digest", {"week": "2026-W09"})
    result = await handle.result()
    assert result["complete"]
    assert (
        await value(backoffice, "SELECT title FROM backoffice.reports WHERE id = $1", result["report_id"])
        == result["title"]
    )
    await keep(handle, "weekly_digest")
