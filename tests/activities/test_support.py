"""The help desk's tools against a real database: what they read, that effects happen once, and what they refuse."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

import agentgrid as ag
from activities.support import (
    Plan,
    TicketStatus,
    close_ticket,
    escalate_ticket,
    fetch_ticket,
    list_tickets,
    post_reply,
    refund_ticket,
    search_articles,
)
from tests.activities.conftest import OneCall


async def test_a_ticket_comes_with_its_customer_and_conversation() -> None:
    ticket = await fetch_ticket("T-1005")
    assert ticket.subject == "Emergency call-outs not synced to technicians' phones"
    assert (ticket.customer.id, ticket.customer.plan) == ("C-105", Plan.ENTERPRISE)
    assert [message.author for message in ticket.messages] == ["customer", "support", "customer"]
    assert ticket.messages[0].written_at == ticket.opened_at
    assert ticket.updated_at == ticket.messages[-1].written_at
    assert ticket.refunded_cents == 0


async def test_the_customers_text_excludes_what_support_wrote() -> None:
    text = (await fetch_ticket("T-1005")).customer_text
    assert "4.18.2 on all of them" in text
    assert "passed this to the mobile team" not in text


async def test_the_queue_lists_one_status_newest_first() -> None:
    tickets = await list_tickets(TicketStatus.ESCALATED)
    assert {ticket.id for ticket in tickets} == {"T-1005", "T-1018", "T-1074"}
    opened = [ticket.opened_at for ticket in tickets]
    assert opened == sorted(opened, reverse=True)
    assert len(await list_tickets(TicketStatus.OPEN, limit=7)) == 7


@pytest.mark.parametrize(
    ("ticket_id", "slug"),
    [
        ("T-1001", "double-charge"),
        ("T-1010", "recurring-appointments-clock-change"),
        ("T-1013", "take-over-ownership"),
        ("T-1015", "refund-policy"),
        ("T-1025", "reset-password"),
        ("T-1028", "card-payments-terminal"),
        ("T-1048", "text-message-reminders"),
        ("T-1051", "webhooks-and-api-keys"),
        ("T-1112", "account-suspended"),
    ],
)
async def test_the_full_text_of_a_ticket_finds_the_article_that_answers_it(ticket_id: str, slug: str) -> None:
    ticket = await fetch_ticket(ticket_id)
    found = await search_articles(ticket.customer_text, limit=3)
    assert slug in [article.slug for article in found]


async def test_search_ranks_and_shows_an_excerpt() -> None:
    found = await search_articles("refund")
    assert found[0].slug == "refund-policy"
    assert [article.rank for article in found] == sorted((article.rank for article in found), reverse=True)
    assert "efund" in found[0].excerpt


async def test_search_ranks_articles_that_contain_every_word_first() -> None:
    found = await search_articles("webhook rotation key", limit=10)
    assert found[0].slug == "webhooks-and-api-keys"
    assert len(found) > 1


async def test_search_finds_only_published_articles() -> None:
    slugs = {article.slug for article in await search_articles("Safari intake form answers back button", limit=50)}
    assert "form-answers-lost" not in slugs


@pytest.mark.parametrize("query", ["", "   ", "the of and", "'; drop table | & ! ( :* <->", "zzyzx qwfp", '"unclosed'])
async def test_search_accepts_any_text(query: str) -> None:
    assert await search_articles(query) == []


async def test_a_reply_is_queued_and_the_ticket_becomes_pending(db: asyncpg.Connection) -> None:
    reply = await post_reply("T-1003", "There is a role for that.")
    assert reply.recipient == "wendy.lachlan@oaktern.example"
    ticket = await fetch_ticket("T-1003")
    assert ticket.status is TicketStatus.PENDING
    assert (ticket.messages[-1].author, ticket.messages[-1].body) == ("support", "There is a role for that.")
    assert await db.fetchval("SELECT count(*) FROM backoffice.replies") == 1


@pytest.mark.usefixtures("backoffice")
async def test_a_reply_leaves_an_escalated_ticket_with_its_team() -> None:
    await post_reply("T-1018", "We are on it.")
    assert (await fetch_ticket("T-1018")).status is TicketStatus.ESCALATED


async def test_a_repeated_attempt_replies_once_and_returns_the_same_reply(
    db: asyncpg.Connection, one_call: OneCall
) -> None:
    with one_call("reply-1"):
        first = await post_reply("T-1003", "Once.")
        second = await post_reply("T-1003", "Once.")
    assert second == first
    assert await db.fetchval("SELECT count(*) FROM backoffice.replies") == 1
    assert len((await fetch_ticket("T-1003")).messages) == 2


async def test_a_repeated_attempt_returns_the_reply_even_after_the_ticket_was_closed(one_call: OneCall) -> None:
    with one_call("reply-1"):
        first = await post_reply("T-1003", "Once.")
        await close_ticket("T-1003", "answered")
        assert await post_reply("T-1003", "Once.") == first


async def test_overlapping_attempts_reply_once(db: asyncpg.Connection, one_call: OneCall) -> None:
    with one_call("reply-1"):
        replies = await asyncio.gather(*(post_reply("T-1003", "Once.") for _ in range(8)))
    assert len({reply.id for reply in replies}) == 1
    assert await db.fetchval("SELECT count(*) FROM backoffice.replies") == 1


async def test_two_calls_reply_twice(one_call: OneCall) -> None:
    with one_call("reply-1"):
        first = await post_reply("T-1003", "One.")
    with one_call("reply-2"):
        second = await post_reply("T-1003", "Two.")
    assert (first.message_number, second.message_number) == (2, 3)


@pytest.mark.usefixtures("backoffice")
async def test_calls_outside_a_workflow_are_separate_effects() -> None:
    assert (await post_reply("T-1003", "Same.")).id != (await post_reply("T-1003", "Same.")).id


async def test_one_key_is_never_used_for_two_tickets(one_call: OneCall) -> None:
    with one_call("reply-1"):
        await post_reply("T-1003", "Once.")
        with pytest.raises(ag.ToolError, match="replies_idempotency_key"):
            await post_reply("T-1004", "Once.")
    assert len((await fetch_ticket("T-1004")).messages) == 1


async def test_a_refund_is_entered_in_the_ledger(db: asyncpg.Connection) -> None:
    refund = await refund_ticket("T-1015", 7_600, "charged after cancellation")
    assert refund.amount_cents == 7_600
    assert await db.fetchval("SELECT sum(amount_cents)::int FROM backoffice.refunds") == 7_600
    assert (await fetch_ticket("T-1015")).refunded_cents == 7_600


async def test_a_repeated_attempt_refunds_once(one_call: OneCall) -> None:
    with one_call("refund-1"):
        refunds = [await refund_ticket("T-1015", 7_600, "charged after cancellation") for _ in range(3)]
    assert len({refund.id for refund in refunds}) == 1
    assert (await fetch_ticket("T-1015")).refunded_cents == 7_600


@pytest.mark.usefixtures("backoffice")
async def test_total_refunds_never_exceed_the_charge() -> None:
    await refund_ticket("T-1015", 5_000, "first part")
    with pytest.raises(ag.ToolError, match=r"\$26\.01 is more than .* T-1015: \$26\.00 is left of .*\$76\.00"):
        await refund_ticket("T-1015", 2_601, "too much")
    await refund_ticket("T-1015", 2_600, "the rest")


@pytest.mark.usefixtures("backoffice")
async def test_concurrent_refunds_never_exceed_the_charge() -> None:
    outcomes = await asyncio.gather(*(refund_ticket("T-1015", 3_000, "race") for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(outcome, ag.ToolError) for outcome in outcomes) == 4
    assert (await fetch_ticket("T-1015")).refunded_cents == 6_000


@pytest.mark.usefixtures("backoffice")
async def test_a_ticket_without_a_charge_has_nothing_to_refund() -> None:
    with pytest.raises(ag.ToolError, match="T-1003 has no charge"):
        await refund_ticket("T-1003", 100, "kindness")


@pytest.mark.parametrize("amount", [0, -500])
@pytest.mark.usefixtures("backoffice")
async def test_a_refund_of_zero_or_less_is_refused(amount: int) -> None:
    with pytest.raises(ag.ToolError, match="refunds_amount_positive") as caught:
        await refund_ticket("T-1015", amount, "nothing")
    assert not caught.value.retryable


async def test_an_escalated_ticket_names_the_team_and_the_reason(db: asyncpg.Connection) -> None:
    change = await escalate_ticket("T-1010", "engineering", "series with a fixed offset")
    assert (change.status, change.team) == (TicketStatus.ESCALATED, "engineering")
    ticket = await fetch_ticket("T-1010")
    assert (ticket.status, ticket.team) == (TicketStatus.ESCALATED, "engineering")
    assert await db.fetchval("SELECT reason FROM backoffice.ticket_changes") == "series with a fixed offset"


async def test_a_repeated_attempt_closes_once(db: asyncpg.Connection, one_call: OneCall) -> None:
    with one_call("close-1"):
        first = await close_ticket("T-1003", "answered")
        assert await close_ticket("T-1003", "answered") == first
    assert await db.fetchval("SELECT count(*) FROM backoffice.ticket_changes") == 1
    assert (await fetch_ticket("T-1003")).status is TicketStatus.CLOSED


@pytest.mark.usefixtures("backoffice")
async def test_a_closed_ticket_is_neither_answered_nor_closed_again() -> None:
    await close_ticket("T-1003", "answered")
    with pytest.raises(ag.ToolError, match="T-1003 is closed and can't be answered"):
        await post_reply("T-1003", "One more thing.")
    with pytest.raises(ag.ToolError, match="T-1003 is closed and can't become closed"):
        await close_ticket("T-1003", "again")


async def test_a_blank_reply_is_refused_and_leaves_no_trace(db: asyncpg.Connection) -> None:
    with pytest.raises(ag.ToolError, match="ticket_messages_body_not_blank"):
        await post_reply("T-1003", "  ")
    assert (await fetch_ticket("T-1003")).status is TicketStatus.OPEN
    assert await db.fetchval("SELECT count(*) FROM backoffice.replies") == 0


@pytest.mark.usefixtures("backoffice")
async def test_an_unknown_ticket_is_a_non_retryable_error_that_names_it() -> None:
    calls = (
        fetch_ticket("T-9"),
        post_reply("T-9", "Hello."),
        refund_ticket("T-9", 100, "none"),
        escalate_ticket("T-9", "engineering", "none"),
        close_ticket("T-9", "none"),
    )
    for call in calls:
        with pytest.raises(ag.ToolError, match="no ticket 'T-9'") as caught:
            await call
        assert not caught.value.retryable
