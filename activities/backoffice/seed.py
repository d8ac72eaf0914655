"""Fill the back office from the files in `data/`. Running it again changes nothing, even on another day.

Times in the files count back from an anchor, the day of the first seeding, which is stored in the database. Only
missing rows are added; rows that tools have changed are not.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from activities.backoffice.metrics import daily_metrics
from activities.backoffice.records import utcnow

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]

HERE = Path(__file__).parent
DATA = HERE / "data"
# An arbitrary number, the same for every process, so that concurrent seeding is serialised.
SEED_LOCK = 7_241_905_118
CONNECT_SECONDS = 10
STATEMENT_SECONDS = 60
COUNTED = (
    "customers",
    "tickets",
    "ticket_messages",
    "pages",
    "accounts",
    "leads",
    "tasks",
    "metrics",
    "replies",
    "refunds",
    "reports",
)

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Seeded:
    """The contents of the back office after seeding."""

    anchor: date
    counts: Mapping[str, int]

    def summary(self) -> str:
        counted = ", ".join(f"{count} {table.replace('_', ' ')}" for table, count in self.counts.items())
        return f"back office ready, dated {self.anchor.isoformat()}: {counted}"


async def prepare(url: str, *, reset: bool = False, anchor: date | None = None) -> Seeded:
    """Create whatever is missing of the schema and the seed, in one transaction. `reset` drops everything first.

    `anchor` is the day to count back from, by default today; a back office that was seeded before keeps its anchor.
    """
    import asyncpg

    db = await asyncpg.connect(url, timeout=CONNECT_SECONDS, command_timeout=STATEMENT_SECONDS)
    try:
        await db.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
        async with db.transaction():
            await db.execute("SELECT pg_advisory_xact_lock($1)", SEED_LOCK)
            if reset:
                await db.execute("DROP SCHEMA IF EXISTS backoffice CASCADE")
            await db.execute((HERE / "schema.sql").read_text(encoding="utf-8"))
            kept = await _keep_anchor(db, anchor or utcnow().date())
            await _seed_customers(db, kept)
            await _seed_tickets(db, kept)
            await _seed_crm(db, kept)
            await _seed_pages(db, kept)
            await _seed_tasks(db, kept)
            await _seed_metrics(db, kept)
            counts = {table: await _count(db, table) for table in COUNTED}
    finally:
        await db.close(timeout=CONNECT_SECONDS)
    return Seeded(anchor=kept, counts=counts)


async def _keep_anchor(db: Connection, anchor: date) -> date:
    await db.execute("INSERT INTO backoffice.seeding (anchor) VALUES ($1) ON CONFLICT DO NOTHING", anchor)
    kept: date = await db.fetchval("SELECT anchor FROM backoffice.seeding")
    return kept


async def _seed_customers(db: Connection, anchor: date) -> None:
    rows = ({**_dateless(row), "since": _day(anchor, row["since_days_ago"])} for row in _csv("customers"))
    await _insert(db, "customers", rows)


async def _seed_tickets(db: Connection, anchor: date) -> None:
    tickets: list[Row] = []
    messages: list[Row] = []
    for ticket in _json("tickets"):
        opened = _moment(anchor, ticket["opened_days_ago"])
        written = opened
        for number, message in enumerate(ticket["messages"], start=1):
            written = opened + timedelta(hours=message["hours_after"])
            messages.append(
                {
                    "ticket_id": ticket["id"],
                    "number": number,
                    "author": message["author"],
                    "body": message["body"],
                    "written_at": written.isoformat(),
                }
            )
        fields = {name: value for name, value in _dateless(ticket).items() if name != "messages"}
        tickets.append({**fields, "opened_at": opened.isoformat(), "updated_at": written.isoformat()})
    await _insert(db, "tickets", tickets)
    await _insert(db, "ticket_messages", messages)


async def _seed_crm(db: Connection, anchor: date) -> None:
    accounts = ({**_dateless(row), "updated_at": _at(anchor, row["updated_days_ago"])} for row in _csv("accounts"))
    await _insert(db, "accounts", accounts)
    leads = ((row, _at(anchor, row["created_days_ago"])) for row in _csv("leads"))
    await _insert(db, "leads", ({**_dateless(row), "created_at": at, "updated_at": at} for row, at in leads))
    companies = ({**row, "technologies": _words(row["technologies"])} for row in _csv("company_profiles"))
    await _insert(db, "company_profiles", companies)
    await _insert(db, "contact_profiles", _csv("contact_profiles"))
    usage = (
        {
            **_dateless(row),
            "trial_started_on": _day(anchor, row["trial_started_days_ago"]),
            "last_seen_at": _at(anchor, row["last_seen_days_ago"]),
            "integrations": _words(row["integrations"]),
        }
        for row in _csv("product_usage")
    )
    await _insert(db, "product_usage", usage)


async def _seed_pages(db: Connection, anchor: date) -> None:
    pages: list[Row] = []
    revisions: list[Row] = []
    live: list[Row] = []
    history: list[Row] = []
    for page in (*_json("articles"), *_json("pages")):
        slug, published = page["slug"], page["published_revision"]
        for number, revision in enumerate(page["revisions"], start=1):
            saved = _at(anchor, revision["saved_days_ago"])
            content = {"slug": slug, "revision": number, **_dateless(revision)}
            revisions.append({**content, "saved_at": saved, "idempotency_key": f"seed:{slug}:{number}"})
            if number == published:
                shown = {name: content[name] for name in ("slug", "revision", "title", "body")}
                live.append({**shown, "live_since": saved})
                history.append(
                    {
                        "slug": slug,
                        "action": "publish",
                        "revision": number,
                        "live_before": number - 1 or None,
                        "live_after": number,
                        "done_at": saved,
                        "idempotency_key": f"seed:{slug}:publish",
                    }
                )
        fields = {name: page[name] for name in ("slug", "kind", "status", "published_revision")}
        pages.append({**fields, "latest_revision": len(page["revisions"]), "updated_at": revisions[-1]["saved_at"]})
    # Only pages added by this seeding go live: pages that a tool took offline stay offline.
    added = await _insert(db, "pages", pages, returning="slug")
    await _insert(db, "page_revisions", revisions)
    await _insert(db, "site_pages", (row for row in live if row["slug"] in added))
    await _insert(db, "publications", (row for row in history if row["slug"] in added))


async def _seed_tasks(db: Connection, anchor: date) -> None:
    rows: list[Row] = []
    for row in _csv("tasks"):
        due = row["due_days_ago"]
        times = {
            "created_at": _at(anchor, row["created_days_ago"]),
            "due_at": None if due is None else _at(anchor, due),
        }
        rows.append({**_dateless(row), **times, "idempotency_key": f"seed:{row['id']}"})
    await _insert(db, "tasks", rows)


async def _seed_metrics(db: Connection, anchor: date) -> None:
    await _insert(db, "metric_definitions", _csv("metric_definitions"))
    await _insert(db, "metrics", daily_metrics(anchor))


async def _insert(db: Connection, table: str, rows: Iterable[Row], *, returning: str = "1") -> set[Any]:
    """Add the missing rows. PostgreSQL parses each value as its column's type."""
    given = list(rows)
    if not given:
        return set()
    columns = ", ".join(given[0])
    added = await db.fetch(
        f"INSERT INTO backoffice.{table} ({columns}) "  # noqa: S608 - names from this module and its data files
        f"SELECT {columns} FROM jsonb_populate_recordset(NULL::backoffice.{table}, $1) "
        f"ON CONFLICT DO NOTHING RETURNING {returning}",
        given,
    )
    return {row[0] for row in added}


async def _count(db: Connection, table: str) -> int:
    count: int = await db.fetchval(f"SELECT count(*) FROM backoffice.{table}")  # noqa: S608 - names from COUNTED
    return count


def _csv(name: str) -> list[dict[str, Any]]:
    """The file's rows; an empty cell is None."""
    with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return [{column: value or None for column, value in row.items()} for row in csv.DictReader(file, strict=True)]


def _json(name: str) -> Sequence[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
    return rows


def _dateless(row: Row) -> dict[str, Any]:
    """The row without its relative times, which have no column."""
    return {name: value for name, value in row.items() if not name.endswith("_days_ago")}


def _words(cell: str | None) -> list[str]:
    return cell.split(";") if cell else []


def _moment(anchor: date, days_ago: str | float) -> datetime:
    return datetime.combine(anchor, time(), tzinfo=UTC) - timedelta(days=float(days_ago))


def _at(anchor: date, days_ago: str | float) -> str:
    return _moment(anchor, days_ago).isoformat()


def _day(anchor: date, days_ago: str | float) -> str:
    return (anchor - timedelta(days=int(days_ago))).isoformat()
