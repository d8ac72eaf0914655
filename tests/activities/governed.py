"""A workflow that calls every write tool once."""

from __future__ import annotations

import asyncio

from temporalio import workflow

import agentgrid as ag
from activities.analytics import save_report
from activities.cms import publish_page, save_draft, unpublish_page
from activities.crm import LeadStatus, update_account, update_lead
from activities.support import close_ticket, escalate_ticket, post_reply, refund_ticket
from activities.tasks import create_task


@ag.workflow(title="Write everywhere")
class WriteEverywhere:
    @workflow.run
    async def run(self) -> None:
        await asyncio.gather(
            self.publish(),
            self.close(),
            escalate_ticket("T-1010", "engineering", "series with a fixed offset"),
            refund_ticket("T-1015", 7_600, "charged after cancellation"),
            update_lead("L-201", status=LeadStatus.QUALIFIED),
            update_account("A-301", note="called"),
            create_task("Follow up", "Next week."),
            save_report("2026-W09", "Week 9", "Busy."),
        )

    async def publish(self) -> None:
        draft = await save_draft("winter-tips", "Winter tips", "Stay warm.", "dana.whitlow")
        await publish_page(draft.slug, draft.revision)
        await unpublish_page(draft.slug, draft.revision, "too early")

    async def close(self) -> None:
        await post_reply("T-1003", "There is a role for that.")
        await close_ticket("T-1003", "answered")


@ag.workflow(title="Answer an unknown ticket")
class AnswerUnknown:
    @workflow.run
    async def run(self) -> None:
        await post_reply("T-9", "Is anybody there?")
