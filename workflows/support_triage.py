"""Support triage: read a ticket, judge it, draft an answer, ask people where it matters, reply, and follow up."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, Field
from temporalio import workflow

import agentgrid as ag
from activities.support import fetch_ticket, post_reply, refund_ticket, search_articles
from activities.tasks import Priority, create_task
from activities.triage import Category, Sentiment, Urgency, classify_ticket, draft_reply

PATIENCE = timedelta(hours=4)
"""How long support leads have to look at a reply."""


class TicketInput(BaseModel):
    """Which ticket to triage, and how far without asking."""

    ticket_id: str = Field(description="The ticket's id, for example T-1001.")
    approval_above_cents: int = Field(
        default=5_000, ge=0, description="Replies about larger refunds are approved by people."
    )


class TriageResult(BaseModel):
    """What was done about the ticket."""

    ticket_id: str
    category: Category
    urgency: Urgency
    approved_by: str | None = None
    reply_id: str | None = None
    refund_id: str | None = None
    task_id: str | None = None


@ag.workflow(title="Support triage", tags=("support",))
class SupportTriage:
    """Answer one support ticket, with people where money or anger is involved."""

    def __init__(self) -> None:
        self.result: TriageResult | None = None

    @workflow.query
    def so_far(self) -> TriageResult | None:
        """What has been done about the ticket until now; null before it is classified."""
        return self.result

    @workflow.run
    async def run(self, ticket: TicketInput) -> TriageResult:
        record = await fetch_ticket(ticket.ticket_id)
        found = await classify_ticket(record)
        ag.log.info("ticket_classified", ticket=record.id, category=found.category, urgency=found.urgency)
        articles = await search_articles(record.subject, limit=3)
        draft = await draft_reply(record, found, articles)
        result = self.result = TriageResult(ticket_id=record.id, category=found.category, urgency=found.urgency)

        asked_back = found.refund_cents or 0
        if (
            asked_back > ticket.approval_above_cents
            or found.urgency is Urgency.URGENT
            or found.sentiment is Sentiment.NEGATIVE
        ):
            try:
                approval = await ag.approval(
                    f"Send reply to {record.id}",
                    show={"draft": draft, "classification": found},
                    approvers=["support-leads"],
                    expires=PATIENCE,
                )
            except (ag.ApprovalRejected, ag.ApprovalExpired) as no:
                task = await create_task(
                    f"Answer {record.id} by hand", no.message, priority=Priority.HIGH, about=record.id
                )
                return result.model_copy(update={"task_id": task.id})
            result.approved_by = approval.principal

        result.reply_id = (await post_reply(record.id, draft.body)).id
        if asked_back:
            # Refunds destroy money: policy asks an approver, whatever this workflow thinks.
            result.refund_id = (await refund_ticket(record.id, asked_back, f"{found.category} request")).id
        if found.category in (Category.BUG, Category.FEATURE) or found.urgency in (Urgency.HIGH, Urgency.URGENT):
            task = await create_task(
                f"Follow up on {record.id}", record.subject, priority=Priority.NORMAL, about=record.id
            )
            result.task_id = task.id
        return result
