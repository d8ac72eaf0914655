"""Account research: an agent gathers what is known about a company, and code saves the brief where sales finds it."""

from __future__ import annotations

from pydantic import BaseModel, Field
from temporalio import workflow

import agentgrid as ag
from activities.crm import fetch_account, update_account
from activities.research import TOOLS


class ResearchInput(BaseModel):
    """Which account, and what to find out."""

    account_id: str = Field(description="The account's id, for example A-302.")
    question: str = Field(
        default="What do they need next?", min_length=3, max_length=500, description="What the brief must answer."
    )


class Brief(BaseModel):
    """What the agent found."""

    summary: str = Field(
        min_length=1, max_length=2_000, description="The answer in a few sentences, from the results of the tools."
    )
    open_questions: list[str] = Field(default=[], max_length=5, description="Questions that no tool could answer.")


class ResearchResult(BaseModel):
    """Where the brief is."""

    account_id: str
    brief: Brief


researcher = ag.agent(
    "researcher",
    title="Account researcher",
    instructions="""
        You prepare somebody for a call with a customer. Look up the account, its company and how they use the product.
        Answer the question from what the tools returned, and name what nothing answered. Guess nothing.
    """,
    tools=TOOLS,
    output=Brief,
    budget=ag.Budget(usd=0.30, requests=10, tool_calls=15),
)


@ag.workflow(title="Account research", tags=("crm", "sales"), subject="Account {account_id}")
class AccountResearch:
    """Research an account, and add the brief to its note."""

    @workflow.run
    async def run(self, research: ResearchInput) -> ResearchResult:
        account = await fetch_account(research.account_id)
        brief = await researcher.run(
            f"account_id: {account.id}\ndomain: {account.domain}\nquestion: {research.question}"
        )
        await update_account(account.id, note=f"{account.note}\n{brief.summary}".strip())
        return ResearchResult(account_id=account.id, brief=brief)
