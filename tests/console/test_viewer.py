"""A viewer sees what happens, but no text by people, agents or tools: neither on a page nor in anything that reaches the browser."""

from __future__ import annotations

import json
import uuid

from playwright.async_api import expect

from tests.api.conftest import eventually
from tests.console.conftest import Pages, shown
from tests.console.stack import Stack


async def test_no_payload_reaches_a_viewers_browser_as_page_answer_or_event(page_of: Pages, stack: Stack):
    secret, reference = f"canary{uuid.uuid4().hex[:8]}", f"ref-{uuid.uuid4().hex[:8]}"
    written = {"title": f"Hours {secret}", "points": [secret], "author": secret}
    call = stack.loop.call
    seen = ""
    with stack.recorded() as exchanges:
        page = await page_of("viewer", "/runs")
        await shown(page)
        failed = await stack.loop.start("support_triage", {"ticket_id": secret}, reference=f"failed-{reference}")
        run_id = await stack.loop.start("content_publish", written, reference=reference)
        await stack.loop.until(run_id, "waiting")
        (approval,) = (await call("admin", "GET", f"/approvals?run={run_id}"))["items"]
        await stack.loop.until(failed, "failed")
        for path, ready in (
            (f"/runs/{failed}", f"failed-{reference}"),
            (f"/approvals/{approval['approval_id']}", "Hidden: your role can’t read payloads"),
            ("/approvals?whose=all", reference),
            ("/", reference),
            (f"/runs/{run_id}", reference),
        ):
            await page.goto(stack.url() + path)
            await expect(page.get_by_text(ready).first).to_be_visible()
            await shown(page)
            seen += await page.content()
        await call("operator", "POST", f"/runs/{run_id}/cancel", 202, json={"reason": secret})
        await expect(page.locator("p[role=status]").first).to_contain_text("ancelled")
        seen += await page.content()

        async def arrived() -> bool:
            return any(exchange.path.endswith("/events") and "event: end" in exchange.text for exchange in exchanges)

        await eventually(arrived)
    seen += "".join(exchange.text for exchange in exchanges)

    assert {"/api/v1/events", f"/api/v1/runs/{run_id}/timeline"} <= {exchange.path for exchange in exchanges}
    assert reference in seen
    assert secret not in seen
    whole = [await call("auditor", "GET", f"/approvals/{approval['approval_id']}")]
    whole += [await call("auditor", "GET", f"/runs/{each}") for each in (run_id, failed)]
    assert all(secret in json.dumps(each) for each in whole)  # users who can read payloads see it
