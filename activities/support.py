"""The help desk: tickets, the knowledge base, replies and refunds."""

from datetime import date, datetime, timedelta
from enum import StrEnum

import agentgrid as ag
from activities.backoffice import Cents, Connection, Limit, Record, Row, connection, effect_key, transaction, unknown

READ = timedelta(seconds=10)
WRITE = timedelta(seconds=20)


class TicketStatus(StrEnum):
    OPEN = "open"
    PENDING = "pending"
    ESCALATED = "escalated"
    CLOSED = "closed"


class Team(StrEnum):
    """The teams that handle what the help desk can't resolve."""

    ENGINEERING = "engineering"
    BILLING = "billing"
    PRIVACY = "privacy"
    ACCOUNTS = "accounts"


class Plan(StrEnum):
    FREE = "free"
    STARTER = "starter"
    TEAM = "team"
    BUSINESS = "business"
    ENTERPRISE = "enterprise"


class Customer(Record):
    """A paying customer, and the contact who writes to us."""

    id: str
    name: str
    contact_name: str
    email: str
    industry: str
    country: str
    plan: Plan
    seats: int
    monthly_cents: int
    since: date


class Message(Record):
    """One message of a ticket's conversation."""

    number: int
    author: str
    body: str
    written_at: datetime


class TicketSummary(Record):
    """An entry in the ticket queue."""

    id: str
    subject: str
    status: TicketStatus
    customer: str
    plan: Plan
    opened_at: datetime


class Ticket(Record):
    """A ticket with its customer and the whole conversation."""

    id: str
    subject: str
    channel: str
    status: TicketStatus
    team: str | None
    charge_cents: int | None
    """The charge that the ticket is about, if any: the maximum that can be refunded."""
    refunded_cents: int
    opened_at: datetime
    updated_at: datetime
    customer: Customer
    messages: tuple[Message, ...]

    @property
    def customer_text(self) -> str:
        """The subject and everything that the customer wrote."""
        written = (message.body for message in self.messages if message.author == "customer")
        return "\n".join((self.subject, *written))


class ArticleHit(Record):
    """A published help article that matches a search; a higher rank is a better match."""

    slug: str
    title: str
    summary: str
    excerpt: str
    rank: float


class Reply(Record):
    """A reply in the mail system's outbox."""

    id: str
    ticket_id: str
    message_number: int
    recipient: str
    body: str
    queued_at: datetime


class Refund(Record):
    """An entry in the refund ledger."""

    id: str
    ticket_id: str
    amount_cents: int
    reason: str
    refunded_at: datetime


class TicketChange(Record):
    """A ticket that this call escalated or closed."""

    ticket_id: str
    status: TicketStatus
    team: str | None
    reason: str
    changed_at: datetime


@ag.tool(title="Fetch ticket", risk="read", timeout=READ, retries=5, idempotent=True, tags=("support",))
async def fetch_ticket(ticket_id: str) -> Ticket:
    """Read a ticket with its customer and the whole conversation."""
    async with connection() as db:
        row = await db.fetchrow(
            """
            SELECT t.*, to_jsonb(c) AS customer,
                   coalesce((SELECT sum(amount_cents) FROM backoffice.refunds WHERE ticket_id = t.id), 0)::bigint
                       AS refunded_cents,
                   (SELECT jsonb_agg(to_jsonb(m) ORDER BY m.number) FROM backoffice.ticket_messages m
                    WHERE m.ticket_id = t.id) AS messages
            FROM backoffice.tickets t JOIN backoffice.customers c ON c.id = t.customer_id
            WHERE t.id = $1
            """,
            ticket_id,
        )
    if row is None:
        raise unknown("ticket", ticket_id)
    return Ticket.of(row)


@ag.tool(title="List tickets", risk="read", timeout=READ, retries=5, idempotent=True, tags=("support",))
async def list_tickets(status: TicketStatus = TicketStatus.OPEN, limit: Limit = 50) -> list[TicketSummary]:
    """List the tickets with one status, newest first."""
    async with connection() as db:
        rows = await db.fetch(
            """
            SELECT t.id, t.subject, t.status, c.name AS customer, c.plan, t.opened_at
            FROM backoffice.tickets t JOIN backoffice.customers c ON c.id = t.customer_id
            WHERE t.status = $1 ORDER BY t.opened_at DESC, t.id LIMIT $2
            """,
            status,
            limit,
        )
    return [TicketSummary.of(row) for row in rows]


@ag.tool(title="Search articles", risk="read", timeout=READ, retries=5, idempotent=True, tags=("support", "knowledge"))
async def search_articles(query: str, limit: Limit = 5) -> list[ArticleHit]:
    """Search the published help articles by words or by a whole question, best first."""
    # Articles that contain every word come first. A ticket's full text never matches that way, so any word counts.
    async with connection() as db:
        rows = await db.fetch(
            """
            WITH asked AS (
                SELECT websearch_to_tsquery('english', $1) AS every_word,
                       replace(plainto_tsquery('english', $1)::text, '&', '|')::tsquery AS any_word
            )
            SELECT r.slug, r.title, r.summary,
                   ts_headline('english', r.body, any_word,
                               'StartSel="", StopSel="", MaxWords=40, MinWords=20') AS excerpt,
                   round(ts_rank('{0.1, 0.3, 0.7, 1.0}', r.search, any_word, 1)::numeric, 4)::float8 AS rank
            FROM asked, backoffice.pages p
            JOIN backoffice.page_revisions r ON r.slug = p.slug AND r.revision = p.published_revision
            WHERE p.kind = 'help' AND r.search @@ any_word
            ORDER BY r.search @@ every_word DESC, rank DESC, r.slug
            LIMIT $2
            """,
            query,
            limit,
        )
    return [ArticleHit.of(row) for row in rows]


@ag.tool(
    title="Post reply",
    risk="write",
    timeout=WRITE,
    retries=5,
    idempotent=True,
    tags=("support",),
    reach=("Sends a mail", "One customer"),
    undoable=False,
    asks="Send a reply on ticket {ticket_id}",
)
async def post_reply(ticket_id: str, body: str) -> Reply:
    """Send a reply to the customer who opened the ticket. The ticket then becomes pending."""
    key = effect_key()
    async with transaction() as db:
        ticket = await _lock_ticket(db, ticket_id)
        row = await db.fetchrow(
            "SELECT * FROM backoffice.replies WHERE idempotency_key = $1 AND ticket_id = $2", key, ticket_id
        )
        if row is None:
            _refuse_closed(ticket, "can't be answered")
            number = await db.fetchval(
                """
                INSERT INTO backoffice.ticket_messages (ticket_id, number, author, body, written_at)
                SELECT $1, coalesce(max(number), 0) + 1, 'support', $2, now()
                FROM backoffice.ticket_messages WHERE ticket_id = $1
                RETURNING number
                """,
                ticket_id,
                body,
            )
            row = await db.fetchrow(
                """
                INSERT INTO backoffice.replies (ticket_id, message_number, recipient, body, idempotency_key)
                VALUES ($1, $2, $3, $4, $5) RETURNING *
                """,
                ticket_id,
                number,
                ticket["email"],
                body,
                key,
            )
            # An escalated ticket stays escalated: a reply does not take it away from the team that works on it.
            await db.execute(
                """
                UPDATE backoffice.tickets
                SET status = CASE status WHEN 'open' THEN 'pending' ELSE status END, updated_at = now()
                WHERE id = $1
                """,
                ticket_id,
            )
    return Reply.of(row)


@ag.tool(
    title="Refund ticket",
    risk="destructive",
    timeout=WRITE,
    retries=5,
    idempotent=True,
    tags=("support", "money"),
    reach=("Moves money out", "One customer"),
    undoable=False,
    asks="Refund {amount_cents} on ticket {ticket_id}",
)
async def refund_ticket(ticket_id: str, amount_cents: Cents, reason: str) -> Refund:
    """Refund money for the charge that the ticket is about, never more in total than was charged."""
    key = effect_key()
    async with transaction() as db:
        ticket = await _lock_ticket(db, ticket_id)
        row = await db.fetchrow(
            "SELECT * FROM backoffice.refunds WHERE idempotency_key = $1 AND ticket_id = $2", key, ticket_id
        )
        if row is None:
            if ticket["charge_cents"] is None:
                raise ag.ToolError(f"ticket {ticket_id} has no charge, so there is nothing to refund")
            refunded = await db.fetchval(
                "SELECT coalesce(sum(amount_cents), 0)::bigint FROM backoffice.refunds WHERE ticket_id = $1", ticket_id
            )
            left = ticket["charge_cents"] - refunded
            if amount_cents > left:
                raise ag.ToolError(
                    f"{_dollars(amount_cents)} is more than can be refunded for ticket {ticket_id}: "
                    f"{_dollars(left)} is left of a charge of {_dollars(ticket['charge_cents'])}"
                )
            row = await db.fetchrow(
                """
                INSERT INTO backoffice.refunds (ticket_id, amount_cents, reason, idempotency_key)
                VALUES ($1, $2, $3, $4) RETURNING *
                """,
                ticket_id,
                amount_cents,
                reason,
                key,
            )
            await db.execute("UPDATE backoffice.tickets SET updated_at = now() WHERE id = $1", ticket_id)
    return Refund.of(row)


@ag.tool(
    title="Escalate ticket",
    risk="write",
    timeout=WRITE,
    retries=5,
    idempotent=True,
    tags=("support",),
    reach=("Gives work to another team",),
    asks="Escalate ticket {ticket_id} to {team}",
)
async def escalate_ticket(ticket_id: str, team: Team, reason: str) -> TicketChange:
    """Hand the ticket to another team, with the reason."""
    return await _change_ticket(ticket_id, TicketStatus.ESCALATED, team, reason)


@ag.tool(
    title="Close ticket",
    risk="write",
    timeout=WRITE,
    retries=5,
    idempotent=True,
    tags=("support",),
    reach=("One ticket",),
    asks="Close ticket {ticket_id}",
)
async def close_ticket(ticket_id: str, resolution: str) -> TicketChange:
    """Close the ticket, with what resolved it."""
    return await _change_ticket(ticket_id, TicketStatus.CLOSED, None, resolution)


async def _change_ticket(ticket_id: str, status: TicketStatus, team: str | None, reason: str) -> TicketChange:
    key = effect_key()
    async with transaction() as db:
        ticket = await _lock_ticket(db, ticket_id)
        row = await db.fetchrow(
            "SELECT * FROM backoffice.ticket_changes WHERE idempotency_key = $1 AND ticket_id = $2", key, ticket_id
        )
        if row is None:
            _refuse_closed(ticket, f"can't become {status}")
            row = await db.fetchrow(
                """
                INSERT INTO backoffice.ticket_changes (ticket_id, status, team, reason, idempotency_key)
                VALUES ($1, $2, $3, $4, $5) RETURNING *
                """,
                ticket_id,
                status,
                team,
                reason,
                key,
            )
            await db.execute(
                "UPDATE backoffice.tickets SET status = $2, team = coalesce($3, team), updated_at = now() WHERE id = $1",
                ticket_id,
                status,
                team,
            )
    return TicketChange.of(row)


async def _lock_ticket(db: Connection, ticket_id: str) -> Row:
    """The ticket's row, locked until the transaction ends, which serialises effects on one ticket, including repeated attempts."""
    row = await db.fetchrow(
        """
        SELECT t.id, t.status, t.charge_cents, c.email
        FROM backoffice.tickets t JOIN backoffice.customers c ON c.id = t.customer_id
        WHERE t.id = $1 FOR UPDATE OF t
        """,
        ticket_id,
    )
    if row is None:
        raise unknown("ticket", ticket_id)
    return row


def _refuse_closed(ticket: Row, what: str) -> None:
    if ticket["status"] == TicketStatus.CLOSED:
        raise ag.ToolError(f"ticket {ticket['id']} is closed and {what}")


def _dollars(cents: int) -> str:
    return f"${cents / 100:,.2f}"
