"""Checks of every tool: it registers, it has a description, and its values survive the wire."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

import activities
import agentgrid as ag
from activities.analytics import aggregate_metrics, compare_metrics, draft_report
from activities.crm import LeadStatus, enrich_company, enrich_contact, enrich_usage, fetch_lead, score_lead, update_lead
from activities.support import fetch_ticket, list_tickets, post_reply, refund_ticket, search_articles
from activities.tasks import Priority, create_task
from activities.triage import classify_ticket
from agentgrid.protocol import ToolCall
from agentgrid.testing import keyed

GRID = ag.Grid("reference", activities)
WIRE_NAMES = """
    aggregate_metrics classify_ticket close_ticket compare_metrics create_task draft_report
    enrich_company enrich_contact enrich_usage escalate_ticket fetch_account fetch_lead fetch_page fetch_ticket
    list_lead_accounts list_leads list_reports list_tasks list_tickets news_company_news post_reply publish_page
    refund_ticket save_draft save_report score_lead search_articles unpublish_page update_account update_lead verify_page
"""


def test_the_grid_has_no_faults() -> None:
    GRID.check()


def test_the_names_on_the_wire_are_unchanged() -> None:
    """Open runs and rules refer to these names, so a renamed tool is a new tool."""
    assert [tool.name for tool in GRID.tools] == WIRE_NAMES.split()


def test_every_tool_has_a_one_line_description() -> None:
    first_lines = {tool.name: tool.description.partition("\n")[0] for tool in GRID.tools}
    assert {name: line for name, line in first_lines.items() if not line.endswith(".") or len(line) > 110} == {}


def test_every_tool_has_a_timeout_is_idempotent_if_it_writes_and_only_reads_locally() -> None:
    assert [tool.name for tool in GRID.tools if tool.timeout is None] == []
    assert [tool.name for tool in GRID.tools if tool.risk != "read" and not tool.idempotent] == []
    assert {tool.risk for tool in GRID.tools if tool.local} == {"read"}


async def on_the_wire(tool: ag.Tool[..., Any], *args: Any) -> Any:
    """Call the tool as a worker does, with arguments and outcome as JSON text."""
    arguments = json.loads(json.dumps(tool.signature.dump_arguments(*args), allow_nan=False))
    call = ToolCall(tool=tool.name, version=tool.version, args=arguments)
    with keyed(uuid.uuid4().hex):  # as the plugin does
        outcome = await ActivityEnvironment().run(tool.as_activity(), call)
    return tool.signature.result.validate_python(json.loads(json.dumps(outcome.result, allow_nan=False)))


@pytest.mark.usefixtures("backoffice")
async def test_values_survive_the_wire_between_the_tools_of_a_support_run() -> None:
    ticket = await on_the_wire(fetch_ticket, "T-1015")
    assert ticket == await fetch_ticket("T-1015")
    classification = await on_the_wire(classify_ticket, ticket)
    articles = await on_the_wire(search_articles, ticket.customer_text, 3)
    assert classification == await classify_ticket(ticket)
    assert articles == await search_articles(ticket.customer_text, 3)
    assert (await on_the_wire(post_reply, ticket.id, "Hello")).body == "Hello"
    assert await on_the_wire(list_tickets) == await list_tickets()


@pytest.mark.usefixtures("backoffice")
async def test_values_survive_the_wire_between_the_tools_of_a_lead_run() -> None:
    lead = await on_the_wire(fetch_lead, "L-204")
    company = await on_the_wire(enrich_company, lead.domain)
    contact = await on_the_wire(enrich_contact, lead.email)
    usage = await on_the_wire(enrich_usage, "nowhere.example")
    assert usage is None
    score = await on_the_wire(score_lead, lead, company, contact, usage)
    assert score == await score_lead(lead, company, contact, usage)
    updated = await on_the_wire(update_lead, lead.id, LeadStatus.QUALIFIED, score.score)
    assert (updated.status, updated.score) == (LeadStatus.QUALIFIED, score.score)


async def test_values_survive_the_wire_between_the_tools_of_a_report_run() -> None:
    current = await on_the_wire(aggregate_metrics, "2026-W09")
    previous = await on_the_wire(aggregate_metrics, "2026-W08")
    assert current == await aggregate_metrics("2026-W09")
    comparison = await on_the_wire(compare_metrics, current, previous)
    assert await on_the_wire(draft_report, [comparison]) == await draft_report([comparison])


@pytest.mark.parametrize(
    ("tool", "args"),
    [
        (refund_ticket, ("T-1015", 0, "nothing")),
        (list_tickets, ("open", 1000)),
        (update_lead, ("L-201", "excellent")),
        (aggregate_metrics, ("last week",)),
        (create_task, ("Title", "Detail", Priority.LOW, None, None, "2026-03-09T12:00:00")),
    ],
)
async def test_out_of_range_arguments_are_refused_before_the_tool_runs(tool: Any, args: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        tool.signature.dump_arguments(*args)
