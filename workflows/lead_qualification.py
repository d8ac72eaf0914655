"""Lead qualification: enrich in parallel, score, then one child run per account of the lead.

Deliberately without an agent. The steps are always the same, so there is nothing to choose; the same facts must always give the same score, with
the rule behind each point; and it costs nothing. Use an agent for work whose next step depends on what it reads.
"""

from __future__ import annotations

import asyncio

from pydantic import BaseModel, Field
from temporalio import workflow

import agentgrid as ag
from activities.crm import (
    Grade,
    LeadStatus,
    enrich_company,
    enrich_contact,
    enrich_usage,
    fetch_account,
    fetch_lead,
    list_lead_accounts,
    score_lead,
    update_account,
    update_lead,
)

GOOD = frozenset({Grade.A, Grade.B})


class LeadInput(BaseModel):
    """Which lead to qualify."""

    lead_id: str = Field(description="The lead's id, for example L-201.")


class LeadResult(BaseModel):
    """How the lead was graded, and the accounts that were updated."""

    lead_id: str
    score: int
    grade: Grade
    status: LeadStatus
    accounts: list[str]


class AccountInput(BaseModel):
    """The account on which to note a lead."""

    account_id: str
    lead_id: str
    grade: Grade


@ag.workflow(title="Note a lead on an account", tags=("crm",), subject="Lead {lead_id} on account {account_id}")
class AccountUpdate:
    """Note a graded lead on one account, for its owner."""

    @workflow.run
    async def run(self, account: AccountInput) -> str:
        known = await fetch_account(account.account_id)
        note = f"{known.note}\nLead {account.lead_id} was graded {account.grade}.".strip()
        return (await update_account(account.account_id, note=note)).id


@ag.workflow(title="Lead qualification", tags=("crm", "sales"), subject="Lead {lead_id}")
class LeadQualification:
    """Grade a lead from three sources, and update the CRM."""

    @workflow.run
    async def run(self, lead: LeadInput) -> LeadResult:
        record = await fetch_lead(lead.lead_id)
        company, contact, usage = await asyncio.gather(
            enrich_company(record.domain), enrich_contact(record.email), enrich_usage(record.domain)
        )
        scored = await score_lead(record, company, contact, usage)
        status = LeadStatus.QUALIFIED if scored.grade in GOOD else LeadStatus.DISQUALIFIED
        ag.log.info("lead_scored", lead=record.id, score=scored.score, grade=scored.grade)
        accounts = await list_lead_accounts(record.id)
        children = [
            workflow.execute_child_workflow(
                AccountUpdate.run,
                AccountInput(account_id=account.id, lead_id=record.id, grade=scored.grade),
                id=f"{workflow.info().workflow_id}/account/{account.id}",
            )
            for account in accounts
        ]
        noted = await asyncio.gather(*children)
        await update_lead(record.id, status=status, score=scored.score, note="; ".join(scored.reasons))
        return LeadResult(
            lead_id=record.id, score=scored.score, grade=scored.grade, status=status, accounts=list(noted)
        )
