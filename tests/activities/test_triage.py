"""The triage rules compared with labels by people."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from activities.support import Ticket, fetch_ticket
from activities.triage import Category, Classification, Sentiment, Urgency, classify_ticket

LABELS = Path(__file__).parent / "ticket_labels.csv"


async def judged() -> list[tuple[dict[str, str], Classification]]:
    with LABELS.open(encoding="utf-8", newline="") as file:
        labels = list(csv.DictReader(file))
    return [(label, await classify_ticket(await fetch_ticket(label["ticket_id"]))) for label in labels]


async def test_the_rules_agree_with_people_on_nearly_all_seeded_tickets() -> None:
    tickets = await judged()
    assert len(tickets) == 120
    share = {
        "category": sum(found.category == label["category"] for label, found in tickets) / len(tickets),
        "urgency": sum(found.urgency == label["urgency"] for label, found in tickets) / len(tickets),
        "sentiment": sum(found.sentiment == label["sentiment"] for label, found in tickets) / len(tickets),
        "refund": sum(str(found.refund_cents or "") == label["refund_cents"] for label, found in tickets)
        / len(tickets),
    }
    minimum = {"category": 0.95, "urgency": 0.8, "sentiment": 0.9, "refund": 0.99}
    assert {name: value for name, value in share.items() if value < minimum[name]} == {}


async def test_urgent_tickets_are_always_classified_as_urgent() -> None:
    for label, found in await judged():
        if label["urgency"] == "urgent":
            assert found.urgency is Urgency.URGENT, label["ticket_id"]


async def with_text(subject: str, body: str, *, charge_cents: int | None = None) -> Ticket:
    ticket = await fetch_ticket("T-1003")
    message = ticket.messages[0].model_copy(update={"body": body})
    changes = {"subject": subject, "messages": (message,), "charge_cents": charge_cents}
    return ticket.model_copy(update=changes)


@pytest.mark.parametrize(
    ("body", "charge_cents", "refund_cents"),
    [
        ("Please refund $1,249.50 of it.", None, 124_950),
        ("We pay $90 a month. I want my money back for May, that is $ 45.", 9_000, 4_500),
        ("I want a full refund.", 19_900, 19_900),
        ("I want a full refund.", None, None),
        ("Could I get a refund? Your rival asks $5.", 800, None),
    ],
)
async def test_the_refund_amount_is_read_from_the_sentence_that_asks_for_it(
    body: str, charge_cents: int | None, refund_cents: int | None
) -> None:
    found = await classify_ticket(await with_text("Refund", body, charge_cents=charge_cents))
    assert found.category is Category.REFUND
    assert found.refund_cents == refund_cents


async def test_an_amount_in_a_ticket_without_a_refund_request_is_ignored() -> None:
    found = await classify_ticket(await with_text("How do I add a deposit?", "How do I ask for $50 at booking?"))
    assert (found.category, found.refund_cents) == (Category.HOW_TO, None)


async def test_a_text_that_no_rule_matches_is_an_ordinary_question() -> None:
    found = await classify_ticket(await with_text("Hmm", "Mmm."))
    assert found == Classification(
        category=Category.HOW_TO,
        urgency=Urgency.NORMAL,
        sentiment=Sentiment.NEUTRAL,
        refund_cents=None,
        matched=(),
    )
