"""Rules, kill switches, agents and MCP servers in the console. Each test restores what it changed, bypassing the rules."""

from __future__ import annotations

import contextlib
import json
import re
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from playwright.async_api import Page, expect

from agentgrid.control import api_keys, policies, principals
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from agentgrid.errors import NotFound
from tests.api.conftest import SETUP
from tests.console.conftest import Pages, shown, status
from tests.console.stack import Stack

TOOL = "fetch_lead"
LEAD = {"lead_id": "L-201"}
HOSTILE = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script> \u202egnp.exe [x](javascript:alert(1))"
SEEN = HOSTILE.replace("\u202e", "U+202E")
"""The same text as a page shows it, with invisible characters named."""


@pytest.fixture
def reason() -> str:
    return f"because {uuid.uuid4().hex[:8]}"


@pytest.fixture
async def second_admin(stack: Stack) -> str:
    """The API key of another administrator."""
    engine = stack.loop.api.plane.engine
    person = Principal(name="governor", kind=PrincipalKind.HUMAN, roles=frozenset({Role.ADMIN}))
    await principals.put(engine, SETUP, person)
    return (await api_keys.create(engine, SETUP, principal=person.name, lifetime=timedelta(hours=1))).secret


@pytest.fixture
async def switched_on(stack: Stack) -> AsyncIterator[None]:
    yield
    await stack.loop.call("admin", "POST", f"/tools/{TOOL}/enable")


@pytest.fixture
async def rule_withdrawn(stack: Stack) -> AsyncIterator[None]:
    yield
    with contextlib.suppress(NotFound):
        await policies.withdraw(stack.loop.api.plane, SETUP, f"tool:{TOOL}", reason="the test is over")


def editor(page: Page) -> Any:
    return page.get_by_role("dialog", name="Rule for")


async def save_rule(page: Page, effect: str, reason: str, **fields: str) -> None:
    """Fill in and submit the rule form."""
    await editor(page).get_by_role("radio", name=re.compile(f"^{effect}")).check()
    for label, value in fields.items():
        await editor(page).get_by_label(label).fill(value)
    await editor(page).get_by_label("Reason").fill(reason)
    await editor(page).get_by_role("button", name="Save rule").click()


@pytest.mark.usefixtures("rule_withdrawn")
async def test_an_edited_rule_applies_to_the_next_call_and_relaxing_it_takes_two_people(
    page_of: Pages, stack: Stack, second_admin: str, reason: str
):
    loop = stack.loop
    page = await page_of("admin", f"/tools/{TOOL}")
    panel = page.get_by_role("complementary")
    await expect(panel.get_by_text("Calls pass without approval.")).to_be_visible()
    await panel.get_by_role("button", name="Edit rule").click()
    await editor(page).get_by_role("radio", name=re.compile("^Ask")).check()
    change = editor(page).get_by_role("region", name="What it would change")
    await expect(change).to_contain_text("allowed needs approval")

    # Someone else saves first: nothing is silently overwritten, and nothing typed is lost.
    await loop.call("admin", "PUT", f"/tools/{TOOL}/policy", json={"effect": "allow", "reason": "Looks only"})
    page_of.expect(status(409))
    await save_rule(page, "Ask", reason, Title="Leads are private")
    await expect(editor(page).get_by_role("alert")).to_contain_text("admin changed this rule")
    await expect(editor(page).get_by_role("alert")).to_contain_text("allowed. Looks only.")
    await editor(page).get_by_role("button", name="Continue with mine").click()
    await expect(editor(page).get_by_label("Title")).to_have_value("Leads are private")
    await editor(page).get_by_role("button", name="Save rule").click()
    await expect(editor(page)).to_have_count(0)
    await expect(panel.get_by_text("Each call needs approval from any approver")).to_be_visible()
    await expect(panel.get_by_text("Leads are private.")).to_be_visible()

    run_id = await loop.start("lead_qualification", LEAD)
    approval = await loop.approval(run_id)
    assert (approval["tool"], approval["policy"]) == (TOOL, f"tool:{TOOL}@2")

    await panel.get_by_role("button", name="Edit rule").click()
    await editor(page).get_by_role("radio", name=re.compile("^Allow")).check()
    await expect(change).to_contain_text("1 pending approval was opened under the old rule")
    await expect(change).to_contain_text("a second administrator, if there is one, must confirm it")
    await save_rule(page, "Allow", reason)
    await expect(page.get_by_role("dialog", name="Proposed")).to_contain_text("Nothing has changed yet")
    await page.keyboard.press("Escape")
    await expect(panel.get_by_text("Each call needs approval from any approver")).to_be_visible()

    other = await page_of("governor", f"/tools/{TOOL}", key=second_admin)
    waiting = other.get_by_role("complementary")
    await expect(waiting.get_by_text("admin proposed to allow")).to_be_visible()
    await waiting.get_by_role("button", name="Confirm").click()
    dialog = other.get_by_role("dialog", name="Confirm this change?")
    await dialog.get_by_role("button", name="Confirm").click()
    await expect(dialog).to_have_count(0)
    await expect(waiting.get_by_text("Calls pass without approval.")).to_be_visible()
    # The first administrator's page shows it too.
    await expect(panel.get_by_text("Calls pass without approval.")).to_be_visible()
    await loop.decide(approval)
    await loop.until(run_id)


@pytest.mark.usefixtures("switched_on")
async def test_a_kill_switch_needs_a_reason_and_says_who_may_use_it(page_of: Pages, stack: Stack, reason: str):
    page = await page_of("admin", f"/tools/{TOOL}")
    panel = page.get_by_role("complementary")
    switch = panel.get_by_role("switch", name="Fetch lead can be called")
    await switch.click()
    await panel.get_by_role("button", name="Switch off").click()
    await expect(panel.get_by_role("alert")).to_contain_text("Give a reason")  # nothing was sent
    await panel.get_by_label("Reason").fill(reason)
    await panel.get_by_role("button", name="Switch off").dblclick()
    await expect(panel.get_by_text("Switched off")).to_be_visible()
    await expect(panel.get_by_text(f"{reason.capitalize()}. By admin")).to_be_visible()
    await expect(page.get_by_role("list", name="Tools").get_by_role("link", name="Fetch lead")).to_contain_text(
        "switched off"
    )
    run = await stack.loop.until(await stack.loop.start("lead_qualification", LEAD))
    assert run["status"] == "failed"
    assert f"{TOOL} is disabled by its kill switch" in json.dumps(run["error"])

    for who in ("viewer", "operator"):
        theirs = (await page_of(who, f"/tools/{TOOL}")).get_by_role("complementary")
        await expect(theirs.get_by_role("switch")).to_be_disabled()
        await expect(theirs.get_by_role("button", name="Edit rule")).to_be_disabled()
        await expect(theirs.get_by_text("requires the role admin").first).to_be_visible()

    await switch.click()
    await panel.get_by_role("button", name="Switch on").click()
    await expect(switch).to_be_checked()
    commands = (await stack.loop.call("admin", "GET", f"/commands?target={TOOL}&limit=2"))["items"]
    assert [(command["kind"], command["reason"]) for command in commands] == [
        ("tool.enable", None),
        ("tool.disable", reason),
    ]


async def test_an_agents_instructions_are_edited_as_a_new_version_and_no_concurrent_edit_is_lost(
    page_of: Pages, stack: Stack, reason: str
):
    place = "/agents/researcher"
    page = await page_of("developer", place)
    await page.get_by_role("button", name="New version").click()
    form = page.get_by_role("dialog", name="New version of Account researcher")
    await form.get_by_label("Instructions").fill(HOSTILE)
    await form.get_by_label("What it is for").fill(reason)
    # Another version is put into use while the form is open, and the page receives it.
    other = await stack.loop.call("developer", "PUT", place, json={"instructions": "Faster.", "note": "Faster"})
    try:
        await page.get_by_text(other["version"], exact=True).first.wait_for(state="attached")
        page_of.expect(status(409))
        await form.get_by_role("button", name="Use it for new calls").click()
        await expect(form.get_by_role("alert")).to_contain_text(f"developer switched to version {other['version']}")
        await form.get_by_role("button", name="Continue with mine").click()
        await expect(form.get_by_label("Instructions")).to_have_value(HOSTILE)
        await form.get_by_role("button", name="Use it for new calls").click()
        await expect(form).to_have_count(0)
        versions = page.get_by_role("button").filter(has_text=reason)
        await expect(versions).to_contain_text("in use")
        diff = page.get_by_role("listitem")
        await expect(diff.filter(has_text="removed: Faster.")).to_have_count(1)
        await expect(diff.filter(has_text=f"added: {SEEN}")).to_have_count(1)
        await expect(page.locator("img")).to_have_count(0)
        assert "owned" not in await page.title()
    finally:
        await stack.loop.call("developer", "POST", f"{place}/use", json={"version": "code"})

    theirs = await page_of("viewer", place)
    for name in ("New version", "Disable", "Add rule"):
        button = theirs.get_by_role("button", name=name)
        await expect(button).to_be_disabled()
        await expect(button).to_have_attribute("title", re.compile("requires the role"))


async def test_a_held_mcp_server_shows_what_changed_as_inert_text_and_how_to_accept_it(page_of: Pages, stack: Stack):
    change = {"tool": HOSTILE, "what": "changed", "before": '"Find news."', "after": f'"{HOSTILE}"'}
    held = {
        "name": "feeds",
        "reached_by": HOSTILE,
        "tools": [TOOL],
        "state": "held",
        "reason": HOSTILE,
        "changes": [change],
    }
    page = await page_of("viewer", "/tools?view=mcp")
    servers = page.get_by_role("list", name="MCP servers").get_by_role("listitem")
    await expect(servers.filter(has_text="news")).to_contain_text("As reviewed")  # this worker's own
    await report(stack, held)
    await expect(servers).to_have_count(2)
    await expect(servers.first).to_contain_text("feeds")
    await servers.first.click()
    await expect(page).to_have_url(re.compile("target=backoffice(/|%2F)desk(/|%2F)feeds"))
    panel = page.get_by_role("complementary", name="feeds")
    await expect(panel.get_by_text("agentgrid mcp accept feeds")).to_be_visible()
    await expect(panel.get_by_role("listitem").filter(has_text=f'added: "{SEEN}"')).to_be_visible()
    await panel.get_by_role("link", name="Fetch lead").click()
    await expect(page).to_have_url(re.compile(f"/tools/{TOOL}"))
    await expect(page.get_by_role("complementary").get_by_role("status")).to_contain_text("Held")
    await expect(page.get_by_role("list", name="Tools").get_by_role("link", name="Fetch lead")).to_contain_text("held")
    await shown(page)
    await expect(page.locator("img")).to_have_count(0)
    assert "owned" not in await page.title()
    await report(stack, held | {"state": "ready", "changes": []})
    await expect(page.get_by_role("complementary").get_by_role("status")).to_have_count(0)


async def report(stack: Stack, server: dict[str, Any]) -> None:
    """Report as another worker of the tool's grid, from its own queue."""
    connection = await asyncpg.connect(stack.loop.settings.require_database())
    try:
        grid = await connection.fetchval("SELECT grid FROM tools WHERE name = $1", TOOL)
        text = json.dumps({"grid": grid, "task_queue": "desk", "servers": [server]})
        await connection.execute("SELECT agentgrid_mcp_servers($1::json)", text)
    finally:
        await connection.close()
