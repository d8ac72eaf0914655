"""Several tabs of one browser: they share one stream, and sessions of different installations stay separate."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from urllib.parse import parse_qs

import pytest
from playwright.async_api import expect

from agentgrid.servers.child import free_port
from tests.api.browsing import code_of
from tests.api.conftest import Api, eventually, listening, running
from tests.console.conftest import LOADS, LOST, Pages, live, shown, status
from tests.console.stack import HOST, Exchange, Stack


@pytest.fixture
async def neighbour(stack: Stack) -> AsyncIterator[tuple[Api, str]]:
    """Another installation on this machine, and its URL. It has the same principals: only the cookie separates them."""
    port = free_port()
    url = f"http://{HOST}:{port}"
    settings = stack.loop.settings.model_copy(update={"api_url": url})
    async with running(settings, stack.loop.api.tokens) as api, listening(api.app, port=port):
        yield api, url


TOOL = "unpublish_page"
WHY = "Pages stay up until someone looks"
RULE = {"effect": "require_approval", "approvers": ["role:approver"], "reason": WHY}


def streams(exchanges: Sequence[Exchange]) -> list[Exchange]:
    return [exchange for exchange in exchanges if exchange.path == "/api/v1/events"]


async def watched(exchanges: Sequence[Exchange], *runs: str) -> bool:
    """Whether exactly one stream is open, and it requests the steps of these runs."""
    now = [stream.query for stream in streams(exchanges) if stream.open]
    return len(now) == 1 and sorted(parse_qs(now[0]).get("run", [])) == sorted(runs)


async def test_five_tabs_share_one_stream_and_each_is_updated_live(page_of: Pages, stack: Stack):
    reference, reason = f"ref-{uuid.uuid4().hex[:8]}", f"because {uuid.uuid4().hex[:8]}"
    await stack.refund(reference=f"before-{reference}")  # without runs a list shows its empty state
    with stack.recorded() as exchanges:
        overview = await page_of("admin")
        await shown(overview)
        paths = ("/approvals?whose=all", "/runs", "/audit", f"/tools/{TOOL}")
        inbox, runs, audit, tool = tabs = [await overview.context.new_page() for _ in paths]
        for page, path in zip(tabs, paths, strict=True):
            await page.goto(stack.url() + path)
            await live(page)
            await shown(page)
        assert [stream.open for stream in streams(exchanges)] == [True]
        await expect(tool.get_by_role("switch")).to_be_checked()
        loaded = [await page.evaluate(LOADS) for page in tabs]

        run_id, _ = await stack.refund(reference=reference)
        await expect(overview.get_by_role("link").filter(has_text=reference).first).to_be_visible()
        await expect(inbox.get_by_text(reference, exact=False).first).to_be_visible()
        await expect(runs.get_by_role("button", name="new run")).to_be_visible()

        await stack.loop.call("admin", "PUT", f"/tools/{TOOL}/policy", json=RULE)
        await expect(tool.get_by_text(WHY, exact=False)).to_be_visible()
        await stack.loop.call("admin", "POST", f"/tools/{TOOL}/disable", json={"reason": reason})
        try:
            await expect(tool.get_by_role("switch")).not_to_be_checked()
            await expect(overview.get_by_role("status").filter(has_text=reason)).to_be_visible()
            await expect(audit.get_by_role("listitem").filter(has_text=reason)).to_be_visible()
        finally:
            await stack.loop.call("admin", "POST", f"/tools/{TOOL}/enable", json={"reason": "A test is over"})
        await expect(tool.get_by_role("switch")).to_be_checked()

        assert [await page.evaluate(LOADS) for page in tabs] == loaded
        assert [stream.open for stream in streams(exchanges)] == [True]
        await runs.goto(f"{stack.url()}/runs/{run_id}")  # the same stream then requests its steps
        await expect(runs.get_by_role("treegrid", name="Steps")).to_be_visible()
        await eventually(lambda: watched(exchanges, run_id))
        for page in (overview, inbox, runs, audit):
            await page.close()
        await live(tool)
        await eventually(lambda: watched(exchanges))


async def test_two_installations_in_one_browser_keep_separate_sessions(
    page_of: Pages, stack: Stack, neighbour: tuple[Api, str]
):
    api, url = neighbour
    mine = await page_of("operator", "/settings")
    theirs = await mine.context.new_page()
    await theirs.goto(f"{url}/sign-in?to=/settings#{await code_of(api, api.tokens['reviewer'])}")
    for _ in range(2):
        for page, name in ((mine, "operator"), (theirs, "reviewer")):
            await expect(page.get_by_role("button", name=name)).to_be_visible()
            await expect(page.get_by_text("this browser")).to_have_count(1)
            await page.reload()
    page_of.expect(status(401), LOST)
    await theirs.get_by_role("button", name="reviewer").click()
    await theirs.get_by_role("menuitem", name="Sign out").click()
    await expect(theirs.get_by_role("heading", name="Sign in to AgentGrid")).to_be_visible()
    await mine.reload()
    await expect(mine.get_by_role("button", name="operator")).to_be_visible()
