"""The CRM: leads, accounts, and three sources of further information about a lead."""

from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field

import agentgrid as ag
from activities.backoffice import Limit, Record, connection, effect_key, transaction, unknown

READ = timedelta(seconds=10)
WRITE = timedelta(seconds=20)
JUDGE = timedelta(seconds=5)

Percent = Annotated[int, Field(ge=0, le=100)]


class LeadStatus(StrEnum):
    NEW = "new"
    WORKING = "working"
    QUALIFIED = "qualified"
    DISQUALIFIED = "disqualified"
    CONVERTED = "converted"


class Stage(StrEnum):
    PROSPECT = "prospect"
    TRIAL = "trial"
    CUSTOMER = "customer"
    CHURNED = "churned"


class Seniority(StrEnum):
    JUNIOR = "junior"
    SENIOR = "senior"
    MANAGER = "manager"
    DIRECTOR = "director"
    EXECUTIVE = "executive"


class Grade(StrEnum):
    A = "A"
    B = "B"
    C = "C"
    D = "D"


class Lead(Record):
    """A potential customer."""

    id: str
    name: str
    email: str
    title: str
    company: str
    domain: str
    country: str
    source: str
    message: str
    status: LeadStatus
    score: int | None
    owner: str | None
    note: str
    created_at: datetime
    updated_at: datetime


class Account(Record):
    """A company in sales; `customer_id` is set if it is a paying customer."""

    id: str
    customer_id: str | None
    name: str
    domain: str
    industry: str
    country: str
    stage: Stage
    owner: str
    health: int | None
    note: str
    updated_at: datetime


class CompanyProfile(Record):
    """An entry in the company directory."""

    domain: str
    name: str
    industry: str
    country: str
    employees: int
    revenue_usd: int | None
    founded: int | None
    technologies: tuple[str, ...]


class ContactProfile(Record):
    """An entry in the contact directory."""

    email: str
    seniority: Seniority
    department: str
    decision_maker: bool
    deliverable: bool


class ProductUsage(Record):
    """A company's usage of its trial in the last 30 days."""

    domain: str
    trial_started_on: date
    invited_users: int
    active_users: int
    sessions: int
    bookings: int
    integrations: tuple[str, ...]
    last_seen_at: datetime


class LeadScore(Record):
    """How promising a lead is, from 0 to 100, and why."""

    lead_id: str
    score: int
    grade: Grade
    reasons: tuple[str, ...]


@ag.tool(title="Fetch lead", risk="read", timeout=READ, retries=5, idempotent=True, tags=("crm",))
async def fetch_lead(lead_id: str) -> Lead:
    """Read a lead."""
    async with connection() as db:
        row = await db.fetchrow("SELECT * FROM backoffice.leads WHERE id = $1", lead_id)
    if row is None:
        raise unknown("lead", lead_id)
    return Lead.of(row)


@ag.tool(title="List leads", risk="read", timeout=READ, retries=5, idempotent=True, tags=("crm",))
async def list_leads(status: LeadStatus = LeadStatus.NEW, limit: Limit = 50) -> list[Lead]:
    """List the leads with one status, newest first."""
    async with connection() as db:
        rows = await db.fetch(
            "SELECT * FROM backoffice.leads WHERE status = $1 ORDER BY created_at DESC, id LIMIT $2", status, limit
        )
    return [Lead.of(row) for row in rows]


@ag.tool(title="Enrich company", risk="read", timeout=READ, retries=5, idempotent=True, tags=("crm", "enrichment"))
async def enrich_company(domain: str) -> CompanyProfile | None:
    """Look a company up by its domain in the company directory; null if it isn't listed."""
    async with connection() as db:
        row = await db.fetchrow("SELECT * FROM backoffice.company_profiles WHERE domain = lower($1)", domain)
    return None if row is None else CompanyProfile.of(row)


@ag.tool(title="Enrich contact", risk="read", timeout=READ, retries=5, idempotent=True, tags=("crm", "enrichment"))
async def enrich_contact(email: str) -> ContactProfile | None:
    """Look a person up by email address in the contact directory; null if it isn't listed."""
    async with connection() as db:
        row = await db.fetchrow("SELECT * FROM backoffice.contact_profiles WHERE email = lower($1)", email)
    return None if row is None else ContactProfile.of(row)


@ag.tool(title="Enrich usage", risk="read", timeout=READ, retries=5, idempotent=True, tags=("crm", "enrichment"))
async def enrich_usage(domain: str) -> ProductUsage | None:
    """Read a company's usage of its trial of our product; null if it has no trial."""
    async with connection() as db:
        row = await db.fetchrow("SELECT * FROM backoffice.product_usage WHERE domain = lower($1)", domain)
    return None if row is None else ProductUsage.of(row)


@ag.tool(title="Score lead", risk="read", timeout=JUDGE, retries=2, idempotent=True, local=True, tags=("crm",))
async def score_lead(
    lead: Lead, company: CompanyProfile | None, contact: ContactProfile | None, usage: ProductUsage | None
) -> LeadScore:
    """Score a lead from 0 to 100 from the three sources, with a reason for every point."""
    points = [*_source_points(lead), *_company_points(company), *_contact_points(contact), *_usage_points(usage)]
    score = max(0, min(100, sum(worth for worth, _ in points)))
    grade = Grade.A if score >= 75 else Grade.B if score >= 50 else Grade.C if score >= 25 else Grade.D
    return LeadScore(
        lead_id=lead.id,
        score=score,
        grade=grade,
        reasons=tuple(f"{worth:+d} {reason}" for worth, reason in points),
    )


SOURCE_POINTS = {"referral": 20, "demo request": 20, "tender": 12, "signup": 10, "webinar": 6, "event": 4}
SERVED_INDUSTRIES = {
    "health care", "field services", "fitness", "education", "hospitality", "construction",
    "automotive", "beauty", "child care", "marine services", "travel", "public sector",
}  # fmt: skip


def _source_points(lead: Lead) -> list[tuple[int, str]]:
    worth = SOURCE_POINTS.get(lead.source, 0)
    return [(worth, f"came by {lead.source}")] if worth else []


def _company_points(company: CompanyProfile | None) -> list[tuple[int, str]]:
    if company is None:
        return [(-5, "the company is not in the directory")]
    employees = company.employees
    size = 25 if employees >= 200 else 20 if employees >= 50 else 12 if employees >= 10 else 4
    points = [(size, f"{employees:,} employees")]
    if company.industry in SERVED_INDUSTRIES:
        points.append((8, f"we serve {company.industry}"))
    return points


def _contact_points(contact: ContactProfile | None) -> list[tuple[int, str]]:
    if contact is None:
        return [(-5, "the person is not in the directory")]
    points = [(12 if contact.decision_maker else 2, f"{contact.seniority} in {contact.department}")]
    if contact.decision_maker:
        points.append((3, "decides on the purchase"))
    if not contact.deliverable:
        points.append((-30, "the email address can't be reached"))
    return points


def _usage_points(usage: ProductUsage | None) -> list[tuple[int, str]]:
    if usage is None:
        return []
    share = usage.active_users / usage.invited_users if usage.invited_users else 0.0
    points = [(round(10 * min(share, 1.0)), f"{usage.active_users} of {usage.invited_users} invited people are active")]
    if usage.bookings >= 50:
        points.append((12, f"{usage.bookings} bookings in the trial"))
    if usage.integrations:
        points.append((5, f"connected {', '.join(usage.integrations)}"))
    return points


@ag.tool(
    title="Update lead",
    risk="write",
    timeout=WRITE,
    retries=5,
    idempotent=True,
    tags=("crm",),
    reach=("One lead",),
    undoable=True,
    asks="Update lead {lead_id}",
)
async def update_lead(
    lead_id: str,
    status: LeadStatus | None = None,
    score: Percent | None = None,
    owner: str | None = None,
    note: str | None = None,
) -> Lead:
    """Change a lead's status, score, owner or note; omitted fields don't change."""
    if status is None and score is None and owner is None and note is None:
        raise ag.ToolError(f"nothing to change in lead {lead_id!r}: give status, score, owner or note")
    key = effect_key()
    async with transaction() as db:
        before = await db.fetchval("SELECT to_jsonb(l) FROM backoffice.leads l WHERE id = $1 FOR UPDATE OF l", lead_id)
        if before is None:
            raise unknown("lead", lead_id)
        after = await db.fetchval(
            "SELECT after FROM backoffice.crm_changes WHERE idempotency_key = $1 AND lead_id = $2", key, lead_id
        )
        if after is None:
            after = await db.fetchval(
                """
                UPDATE backoffice.leads l
                SET status = coalesce($2, status), score = coalesce($3, score), owner = coalesce($4, owner),
                    note = coalesce($5, note), updated_at = now()
                WHERE id = $1 RETURNING to_jsonb(l)
                """,
                lead_id,
                status,
                score,
                owner,
                note,
            )
            await db.execute(
                "INSERT INTO backoffice.crm_changes (lead_id, before, after, idempotency_key) VALUES ($1, $2, $3, $4)",
                lead_id,
                before,
                after,
                key,
            )
    return Lead.model_validate(after)


@ag.tool(title="Fetch account", risk="read", timeout=READ, retries=5, idempotent=True, tags=("crm",))
async def fetch_account(account_id: str) -> Account:
    """Read an account."""
    async with connection() as db:
        row = await db.fetchrow("SELECT * FROM backoffice.accounts WHERE id = $1", account_id)
    if row is None:
        raise unknown("account", account_id)
    return Account.of(row)


@ag.tool(title="List a lead's accounts", risk="read", timeout=READ, retries=5, idempotent=True, tags=("crm",))
async def list_lead_accounts(lead_id: str) -> list[Account]:
    """List the existing accounts of a lead's company, by its domain."""
    async with connection() as db:
        domain = await db.fetchval("SELECT domain FROM backoffice.leads WHERE id = $1", lead_id)
        if domain is None:
            raise unknown("lead", lead_id)
        rows = await db.fetch("SELECT * FROM backoffice.accounts WHERE domain = $1 ORDER BY id", domain)
    return [Account.of(row) for row in rows]


@ag.tool(
    title="Update account",
    risk="write",
    timeout=WRITE,
    retries=5,
    idempotent=True,
    tags=("crm",),
    reach=("One account",),
    undoable=True,
    asks="Update account {account_id}",
)
async def update_account(
    account_id: str,
    stage: Stage | None = None,
    owner: str | None = None,
    health: Percent | None = None,
    note: str | None = None,
) -> Account:
    """Change an account's stage, owner, health or note; omitted fields don't change."""
    if stage is None and owner is None and health is None and note is None:
        raise ag.ToolError(f"nothing to change in account {account_id!r}: give stage, owner, health or note")
    key = effect_key()
    async with transaction() as db:
        before = await db.fetchval(
            "SELECT to_jsonb(a) FROM backoffice.accounts a WHERE id = $1 FOR UPDATE OF a", account_id
        )
        if before is None:
            raise unknown("account", account_id)
        after = await db.fetchval(
            "SELECT after FROM backoffice.crm_changes WHERE idempotency_key = $1 AND account_id = $2", key, account_id
        )
        if after is None:
            after = await db.fetchval(
                """
                UPDATE backoffice.accounts a
                SET stage = coalesce($2, stage), owner = coalesce($3, owner), health = coalesce($4, health),
                    note = coalesce($5, note), updated_at = now()
                WHERE id = $1 RETURNING to_jsonb(a)
                """,
                account_id,
                stage,
                owner,
                health,
                note,
            )
            await db.execute(
                """
                INSERT INTO backoffice.crm_changes (account_id, before, after, idempotency_key)
                VALUES ($1, $2, $3, $4)
                """,
                account_id,
                before,
                after,
                key,
            )
    return Account.model_validate(after)
