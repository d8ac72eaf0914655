"""Starting a run with its workflow's form: exactly once, with typed input or that of an earlier run."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

from playwright.async_api import Page, Request, Route, expect

from tests.console.conftest import Pages, status
from tests.console.stack import Stack

RUN_PAGE = re.compile(r"/runs/([0-9a-f-]{36})$")


async def started(page: Page) -> str:
    """Wait for the page of the started run, and return the run's id."""
    await expect(page).to_have_url(RUN_PAGE)
    match = RUN_PAGE.search(page.url)
    assert match
    return match[1]


def start_requests(page: Page) -> list[dict[str, Any]]:
    """Collects the bodies of the page's requests that start runs."""
    sent: list[dict[str, Any]] = []

    def note(request: Request) -> None:
        if request.method == "POST" and request.url.endswith("/runs"):
            sent.append(json.loads(request.post_data or "{}"))

    page.on("request", note)
    return sent


async def test_a_form_starts_one_run_and_then_a_similar_one(page_of: Pages, stack: Stack):
    reference, tag = f"ref-{uuid.uuid4().hex[:8]}", f"tag-{uuid.uuid4().hex[:8]}"
    page = await page_of("operator", "/workflows/support_triage")
    sent = start_requests(page)
    form = page.get_by_role("form", name="Start Support triage")
    start = form.get_by_role("button", name="Start", exact=True)
    await start.click()
    await expect(form.get_by_role("alert")).to_contain_text("required")
    ticket = form.get_by_label("Ticket id")
    await expect(ticket).to_be_focused()
    assert sent == []

    await ticket.fill("T-1005")
    await expect(form.locator("pre")).to_contain_text('"ticket_id": "T-1005"')
    await form.get_by_role("button", name="Reference, tags, start time").click()
    await form.get_by_label("Reference").fill(reference)
    await form.get_by_label("Tag, another").fill(tag)
    await form.get_by_label("Tag, another").press("Enter")
    await start.dblclick()
    run_id = await started(page)
    runs = (await stack.loop.call("operator", "GET", f"/runs?tag={tag}"))["items"]
    assert [(run["run_id"], run["reference"]) for run in runs] == [(run_id, reference)]
    assert len(sent) == 1

    await page.get_by_role("button", name="All actions").click()
    await page.get_by_role("menuitem", name="Start a similar run").click()
    await expect(page.get_by_text(f"Copied from run {run_id[-8:]}")).to_be_visible()
    await expect(ticket).to_have_value("T-1005")
    await start.click()
    await expect(page).not_to_have_url(re.compile("workflows"))
    again = await started(page)
    assert again != run_id
    runs = [await stack.loop.run(each) for each in (run_id, again)]
    assert runs[0]["input"] == runs[1]["input"]
    assert runs[1]["tags"] == [tag]
    assert runs[1]["reference"] is None  # two runs with the same reference would be confused


async def test_a_server_error_is_shown_at_its_field_until_the_value_changes(page_of: Pages, stack: Stack):
    page = await page_of("operator", "/workflows/support_triage")
    form = page.get_by_role("form", name="Start Support triage")
    start = form.get_by_role("button", name="Start", exact=True)

    async def tamper(route: Route) -> None:
        """Send the real server input that the form itself would refuse."""
        body = json.loads(route.request.post_data or "{}")
        await route.continue_(post_data=json.dumps(body | {"input": {"ticket_id": 7}}))

    page_of.expect(status(422))
    await page.route("**/support_triage/runs", tamper)
    ticket = form.get_by_label("Ticket id")
    await ticket.fill("T-1005")
    await start.click()
    await expect(ticket).to_have_attribute("aria-invalid", "true")
    alert = form.get_by_role("alert")
    await expect(alert).to_contain_text("7 is not of type")
    await alert.get_by_role("button", name="Ticket id").click()
    await expect(ticket).to_be_focused()

    await page.unroute("**/support_triage/runs")
    await ticket.fill("T-1006")
    await expect(alert).to_have_count(0)
    await expect(ticket).not_to_have_attribute("aria-invalid", "true")
    await start.click()
    run = await stack.loop.run(await started(page))
    assert run["input"]["value"]["ticket_id"] == "T-1006"


async def test_a_lost_response_does_not_start_a_second_run(page_of: Pages, stack: Stack):
    tag = f"tag-{uuid.uuid4().hex[:8]}"
    page = await page_of("operator", "/workflows/lead_qualification")
    form = page.get_by_role("form", name="Start Lead qualification")
    lost = 0

    async def lose(route: Route) -> None:
        nonlocal lost
        if lost == 0:
            lost += 1
            await route.fetch()  # the server starts it
            await route.abort()
        else:
            await route.continue_()

    page_of.expect(re.compile("ERR_FAILED"))
    await page.route("**/lead_qualification/runs", lose)
    await form.get_by_label("Lead id").fill("L-201")
    await form.get_by_role("button", name="Reference, tags, start time").click()
    await form.get_by_label("Tag, another").fill(tag)
    await form.get_by_label("Tag, another").press("Enter")
    await form.get_by_role("button", name="Start", exact=True).click()
    run_id = await started(page)
    assert lost == 1
    runs = (await stack.loop.call("operator", "GET", f"/runs?tag={tag}&workflow=lead_qualification"))["items"]
    assert [run["run_id"] for run in runs] == [run_id]
