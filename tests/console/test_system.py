"""Workers, the audit log, and settings: keys and sessions."""

from __future__ import annotations

import json
import re
import uuid

import httpx
from playwright.async_api import Page, expect

from tests.console.conftest import LOST, Pages, status
from tests.console.stack import Stack


async def confirm(page: Page, verb: str, reason: str) -> None:
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("textbox").fill(reason)
    await dialog.get_by_role("button", name=verb, exact=True).click()
    await expect(dialog).to_have_count(0)


async def test_a_new_key_is_shown_once_and_revoked_with_a_reason(page_of: Pages, stack: Stack):
    page = await page_of("admin", "/settings?view=keys&principal=operator")
    note = f"for {uuid.uuid4().hex[:8]}"
    await page.get_by_role("button", name="New API key").click()
    dialog = page.get_by_role("dialog", name="New API key")
    await dialog.get_by_label("Purpose").fill(note)
    await dialog.get_by_role("button", name="Create key").dblclick()
    secret = await dialog.get_by_text(re.compile("^ag_")).inner_text()
    async with httpx.AsyncClient(base_url=stack.url(), headers={"Authorization": f"Bearer {secret}"}) as http:
        assert (await http.get("/api/v1/me")).json()["name"] == "operator"
        await page.keyboard.press("Escape")  # Escape can't close it by accident
        await dialog.get_by_role("button", name="I have copied it").click()
        row = page.get_by_role("listitem").filter(has_text=note)
        await expect(row).to_have_count(1)  # a double click creates only one
        assert secret[-20:] not in await page.content()
        await row.get_by_role("button", name="Revoke").click()
        await confirm(page, "Revoke", "It was for a test")
        await expect(row).to_contain_text("revoked")
        assert (await http.get("/api/v1/me")).status_code == 401


async def test_a_session_elsewhere_is_listed_and_ended(page_of: Pages, stack: Stack):
    elsewhere = await page_of("developer", "/settings", user_agent="Mozilla/5.0 (X11; Linux) Firefox/150.0")
    here = await page_of("developer", "/settings")
    row = here.get_by_role("listitem").filter(has_text="Firefox on Linux")
    await expect(here.get_by_role("listitem").filter(has_text="this browser")).to_have_count(1)
    page_of.expect(status(401), LOST)
    await row.get_by_role("button", name="End").click()
    await confirm(here, "End", "Not mine")
    await expect(row).to_have_count(0)
    await expect(elsewhere.get_by_role("heading", name="Sign in to AgentGrid")).to_be_visible()
    await expect(here.get_by_role("heading", name="Settings")).to_be_visible()
    await expect(here.get_by_role("navigation", name="Settings")).to_have_count(0)  # only for administrators


async def test_the_audit_log_reads_as_sentences_and_keeps_its_filters_in_the_url(page_of: Pages, stack: Stack):
    reason = f"because {uuid.uuid4().hex[:8]}"
    run_id, _ = await stack.refund()
    await stack.loop.call("operator", "POST", f"/runs/{run_id}/cancel", 202, json={"reason": reason})
    await stack.loop.call("viewer", "POST", f"/runs/{run_id}/cancel", 403)
    page = await page_of("auditor", "/audit")
    log = page.get_by_role("listitem").filter(has_text=run_id[-8:])
    await expect(log).to_have_text(
        [
            re.compile("viewertried to cancel a run"),
            re.compile(f"operatorcancelled a run“{reason}”"),
            re.compile("operatorstarted Support triage"),
        ]
    )
    await page.get_by_role("button", name="Refused or failed").click()
    await page.get_by_role("group", name="Filters").get_by_role("button", name="Runs").click()
    await expect(log).to_have_count(1)
    await page.reload()
    await expect(log).to_have_count(1)
    await expect(page).to_have_url(re.compile(r"status=wrong.*kind=runs|kind=runs.*status=wrong"))
    await log.get_by_role("button", name="tried to cancel").click()
    await expect(log.get_by_text(f"POST /api/v1/runs/{run_id}/cancel")).to_be_visible()

    await page.get_by_role("button", name="Export").click()
    async with page.expect_download() as started:
        await page.get_by_role("menuitem", name="NDJSON").click()
    exported = (await (await started.value).path()).read_text().splitlines()
    assert run_id in exported[0]
    statuses = {json.loads(line)["status"] for line in exported if "command_id" in line}
    assert {"refused"} <= statuses <= {"refused", "failed"}  # other tests' commands are among them

    own = await page_of("viewer", "/audit")
    await expect(own.get_by_text("You only see your own commands.")).to_be_visible()
    await expect(own.get_by_role("listitem").filter(has_text="tried to cancel a run").first).to_be_visible()
    await expect(own.get_by_text(reason)).to_have_count(0)


async def test_workers_say_what_each_queue_serves(page_of: Pages, stack: Stack):
    page = await page_of("operator", "/workers")
    queue = page.get_by_role("heading", name="backoffice").locator("xpath=ancestor::section")
    await expect(queue.get_by_role("row")).to_have_count(2)  # the header, and this process
    await expect(queue.get_by_role("link", name="Support triage")).to_be_visible()
    await queue.get_by_role("link", name="Support triage").click()
    await expect(page).to_have_url(f"{stack.url()}/workflows/support_triage")
