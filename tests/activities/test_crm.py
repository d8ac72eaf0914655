"""The CRM's tools against a real database."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

import agentgrid as ag
from activities.crm import (
    Grade,
    LeadStatus,
    Seniority,
    Stage,
    enrich_company,
    enrich_contact,
    enrich_usage,
    fetch_account,
    fetch_lead,
    list_lead_accounts,
    list_leads,
    score_lead,
    update_account,
    update_lead,
)
from tests.activities.conftest import OneCall


async def test_a_lead_is_read_by_its_id() -> None:
    lead = await fetch_lead("L-201")
    assert (lead.name, lead.company, lead.status) == ("Greta Vandersloot", "Waterlinie Marine Service", LeadStatus.NEW)


async def test_leads_are_listed_by_status_newest_first() -> None:
    leads = await list_leads(LeadStatus.NEW, limit=200)
    assert len(leads) == 36
    created = [lead.created_at for lead in leads]
    assert created == sorted(created, reverse=True)
    assert [lead.id for lead in await list_leads(LeadStatus.DISQUALIFIED)] == ["L-234"]


async def test_the_three_sources_answer_in_parallel() -> None:
    lead = await fetch_lead("L-201")
    company, contact, usage = await asyncio.gather(
        enrich_company(lead.domain), enrich_contact(lead.email), enrich_usage(lead.domain)
    )
    assert company is not None
    assert contact is not None
    assert usage is not None
    assert (company.employees, company.technologies) == (310, ("accounting suite", "fleet tracking"))
    assert (contact.seniority, contact.decision_maker) == (Seniority.DIRECTOR, True)
    assert (usage.bookings, usage.integrations) == (380, ("calendar", "accounting"))


async def test_an_unknown_entry_of_a_source_is_null_and_not_an_error() -> None:
    assert await enrich_company("nowhere.example") is None
    assert await enrich_contact("nobody@nowhere.example") is None
    assert await enrich_usage("nowhere.example") is None


async def test_sources_are_case_insensitive() -> None:
    company = await enrich_company("Waterlinie.Example")
    assert company is not None
    assert company.domain == "waterlinie.example"


@pytest.mark.parametrize(("lead_id", "grade"), [("L-201", Grade.A), ("L-203", Grade.B), ("L-213", Grade.D)])
async def test_a_score_follows_from_the_sources(lead_id: str, grade: Grade) -> None:
    lead = await fetch_lead(lead_id)
    sources = (await enrich_company(lead.domain), await enrich_contact(lead.email), await enrich_usage(lead.domain))
    score = await score_lead(lead, *sources)
    assert score.grade is grade
    assert 0 <= score.score <= 100
    assert score == await score_lead(lead, *sources)


async def test_a_score_gives_a_reason_for_every_point() -> None:
    lead = await fetch_lead("L-202")
    sources = (await enrich_company(lead.domain), await enrich_contact(lead.email), await enrich_usage(lead.domain))
    score = await score_lead(lead, *sources)
    assert score.score == sum(int(reason.split()[0]) for reason in score.reasons)


async def test_leads_of_a_known_company_show_its_accounts() -> None:
    accounts = await list_lead_accounts("L-234")
    assert [(account.name, account.stage) for account in accounts] == [
        ("Pemberlane Property Care", Stage.CUSTOMER),
        ("Pemberlane Lettings", Stage.PROSPECT),
    ]
    assert await list_lead_accounts("L-213") == []


async def test_an_account_is_read_by_its_id() -> None:
    account = await fetch_account("A-301")
    assert (account.name, account.customer_id, account.stage) == ("Kestrelvane Logistics", "C-101", Stage.CUSTOMER)


async def test_an_update_changes_only_what_it_names(db: asyncpg.Connection) -> None:
    before = await fetch_lead("L-201")
    after = await update_lead("L-201", status=LeadStatus.QUALIFIED, score=88, owner="ines.ortega")
    assert after == await fetch_lead("L-201")
    changed = {"status": LeadStatus.QUALIFIED, "score": 88, "owner": "ines.ortega", "updated_at": after.updated_at}
    assert after == before.model_copy(update=changed)
    log = await db.fetchrow("SELECT before->>'status' AS before, after->>'status' AS after FROM backoffice.crm_changes")
    assert dict(log) == {"before": "new", "after": "qualified"}


async def test_a_repeated_attempt_updates_a_lead_once(db: asyncpg.Connection, one_call: OneCall) -> None:
    with one_call("update-1"):
        first = await update_lead("L-201", score=88)
        await db.execute("UPDATE backoffice.leads SET score = 12 WHERE id = 'L-201'")
        assert await update_lead("L-201", score=88) == first
    assert (await fetch_lead("L-201")).score == 12
    assert await db.fetchval("SELECT count(*) FROM backoffice.crm_changes") == 1


async def test_a_repeated_attempt_updates_an_account_once(db: asyncpg.Connection, one_call: OneCall) -> None:
    with one_call("update-1"):
        updated = await asyncio.gather(*(update_account("A-301", stage=Stage.CHURNED, note="left") for _ in range(4)))
    assert len({account.model_dump_json() for account in updated}) == 1
    assert await db.fetchval("SELECT count(*) FROM backoffice.crm_changes") == 1
    account = await fetch_account("A-301")
    assert (account.stage, account.note, account.health) == (Stage.CHURNED, "left", 78)


async def test_an_update_without_changes_is_refused() -> None:
    with pytest.raises(ag.ToolError, match="nothing to change in lead 'L-201'"):
        await update_lead("L-201")
    with pytest.raises(ag.ToolError, match="nothing to change in account 'A-301'"):
        await update_account("A-301")


@pytest.mark.usefixtures("backoffice")
async def test_a_score_over_a_hundred_is_refused() -> None:
    with pytest.raises(ag.ToolError, match="leads_score_is_percent"):
        await update_lead("L-201", score=101)
    assert (await fetch_lead("L-201")).score is None


@pytest.mark.usefixtures("backoffice")
async def test_unknown_ids_are_non_retryable_errors_that_name_them() -> None:
    calls = {
        "no lead 'L-9'": (fetch_lead("L-9"), list_lead_accounts("L-9"), update_lead("L-9", score=1)),
        "no account 'A-9'": (fetch_account("A-9"), update_account("A-9", note="x")),
    }
    for message, coroutines in calls.items():
        for call in coroutines:
            with pytest.raises(ag.ToolError, match=message) as caught:
                await call
            assert not caught.value.retryable
