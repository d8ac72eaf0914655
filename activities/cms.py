"""The CMS: pages with revisions, and a website that serves its own copy of the published ones."""

import re
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field

import agentgrid as ag
from activities.backoffice import Connection, Record, Row, connection, effect_key, transaction, unknown

READ = timedelta(seconds=10)
WRITE = timedelta(seconds=20)

Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=100)]
LINK = re.compile(r"\]\(/([a-z0-9-]+)\)")
PLACEHOLDER = re.compile(r"\{\{.*?\}\}|\b(?:TODO|TBD|lorem ipsum)\b", re.IGNORECASE)


class PageKind(StrEnum):
    HELP = "help"
    BLOG = "blog"
    LANDING = "landing"
    RELEASE = "release"
    POLICY = "policy"


class PageStatus(StrEnum):
    DRAFT = "draft"
    PUBLISHED = "published"
    UNPUBLISHED = "unpublished"


class PageRevision(Record):
    """One saved revision of a page's text; immutable."""

    slug: str
    revision: int
    title: str
    summary: str
    body: str
    author: str
    saved_at: datetime


class Page(Record):
    """A page with the text of one revision."""

    slug: str
    kind: PageKind
    status: PageStatus
    latest_revision: int
    published_revision: int | None
    updated_at: datetime
    content: PageRevision


class Publication(Record):
    """An entry in the publishing history: what this call published or unpublished."""

    slug: str
    action: str
    revision: int
    live_before: int | None
    live_after: int | None
    reason: str
    done_at: datetime


class PageCheck(Record):
    """Whether the site shows a revision exactly as saved; each problem is a sentence."""

    slug: str
    revision: int
    live_revision: int | None
    ok: bool
    problems: tuple[str, ...]


def slug_of(title: str) -> str:
    """The slug of a new page; `untitled` for a title without letters or digits."""
    return "-".join(re.findall(r"[a-z0-9]+", title.lower()))[:100].strip("-") or "untitled"


@ag.tool(title="Fetch page", risk="read", timeout=READ, retries=5, idempotent=True, tags=("content",))
async def fetch_page(slug: str, revision: int | None = None) -> Page:
    """Read a page with the text of one revision; the latest by default."""
    async with connection() as db:
        row = await db.fetchrow(
            """
            SELECT p.*, to_jsonb(r) AS content
            FROM backoffice.pages p
            JOIN backoffice.page_revisions r ON r.slug = p.slug AND r.revision = coalesce($2, p.latest_revision)
            WHERE p.slug = $1
            """,
            slug,
            revision,
        )
    if row is None:
        raise unknown("page", slug) if revision is None else unknown(f"revision {revision} of page", slug)
    return Page.of(row)


@ag.tool(title="Save draft", risk="write", timeout=WRITE, retries=5, idempotent=True, tags=("content",))
async def save_draft(
    slug: Slug, title: str, body: str, author: str, summary: str = "", kind: PageKind = PageKind.BLOG
) -> PageRevision:
    """Save text as the next revision of a page, and create the page if necessary; the site does not change."""
    key = effect_key()
    async with transaction() as db:
        # A new page has no revisions, but only within this transaction. `kind` is used only for new pages.
        await db.execute(
            """
            INSERT INTO backoffice.pages (slug, kind, status, latest_revision, updated_at)
            VALUES ($1, $2, 'draft', 0, now()) ON CONFLICT DO NOTHING
            """,
            slug,
            kind,
        )
        page = await _lock_page(db, slug)
        row = await db.fetchrow(
            "SELECT * FROM backoffice.page_revisions WHERE idempotency_key = $1 AND slug = $2", key, slug
        )
        if row is None:
            row = await db.fetchrow(
                """
                INSERT INTO backoffice.page_revisions (slug, revision, title, summary, body, author, idempotency_key)
                VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING *
                """,
                slug,
                page["latest_revision"] + 1,
                title,
                summary,
                body,
                author,
                key,
            )
            await db.execute(
                """
                UPDATE backoffice.pages SET latest_revision = latest_revision + 1, updated_at = now() WHERE slug = $1
                """,
                slug,
            )
    return PageRevision.of(row)


@ag.tool(
    title="Publish page",
    risk="write",
    timeout=WRITE,
    retries=5,
    idempotent=True,
    tags=("content", "public"),
    reach=("Everybody who reads the site",),
    undoable=True,
    asks="Publish revision {revision} of {slug}",
)
async def publish_page(slug: str, revision: int) -> Publication:
    """Publish one revision of a page on the public website."""
    key = effect_key()
    async with transaction() as db:
        page = await _lock_page(db, slug)
        done = await _done(db, key, slug)
        if done is None:
            live = page["published_revision"]
            if not 0 < revision <= page["latest_revision"]:
                raise unknown(f"revision {revision} of page", slug)
            if live is not None and revision <= live:
                raise ag.ToolError(
                    f"revision {live} of page {slug!r} is live; revision {revision} is not newer. "
                    f"Save a new draft, or unpublish revision {live} to go back"
                )
            await _put_live(db, slug, revision)
            done = await _record(db, key, slug, "publish", revision, live, revision, "")
    return done


@ag.tool(title="Verify page", risk="read", timeout=READ, retries=5, idempotent=True, tags=("content",))
async def verify_page(slug: str, revision: int) -> PageCheck:
    """Check that the site shows exactly this revision, with working links and no placeholders left."""
    async with connection() as db:
        row = await db.fetchrow(
            """
            SELECT s.revision AS live_revision, s.title AS live_title, s.body AS live_body, r.title, r.body
            FROM backoffice.page_revisions r LEFT JOIN backoffice.site_pages s USING (slug)
            WHERE r.slug = $1 AND r.revision = $2
            """,
            slug,
            revision,
        )
        if row is None:
            raise unknown(f"revision {revision} of page", slug)
        linked = sorted(set(LINK.findall(row["body"])) - {slug})
        missing = await db.fetch(
            "SELECT link FROM unnest($1::text[]) AS link WHERE link NOT IN (SELECT slug FROM backoffice.site_pages)",
            linked,
        )
    problems: list[str] = []
    if row["live_revision"] is None:
        problems.append("the page is not live")
    elif row["live_revision"] != revision:
        problems.append(f"revision {row['live_revision']} is live instead")
    elif (row["live_title"], row["live_body"]) != (row["title"], row["body"]):
        problems.append("the site shows different text than was saved")
    problems += [f"the link to /{found['link']} is broken" for found in missing]
    problems += [f"the placeholder {found[0]!r} is left in the text" for found in PLACEHOLDER.finditer(row["body"])]
    return PageCheck(
        slug=slug,
        revision=revision,
        live_revision=row["live_revision"],
        ok=not problems,
        problems=tuple(problems),
    )


@ag.tool(
    title="Unpublish page",
    risk="write",
    timeout=WRITE,
    retries=5,
    idempotent=True,
    tags=("content", "public"),
    reach=("Everybody who reads the site",),
    undoable=True,
    asks="Unpublish revision {revision} of {slug}",
)
async def unpublish_page(slug: str, revision: int, reason: str) -> Publication:
    """Remove one revision from the public website, and restore the revision that was live before it, if any."""
    key = effect_key()
    async with transaction() as db:
        page = await _lock_page(db, slug)
        done = await _done(db, key, slug)
        if done is None:
            live = page["published_revision"]
            if live != revision:
                state = f"revision {live} is live" if live else "no revision is live"
                raise ag.ToolError(f"revision {revision} of page {slug!r} is not live; {state}")
            back_to = await db.fetchval(
                """
                SELECT live_before FROM backoffice.publications
                WHERE slug = $1 AND revision = $2 AND action = 'publish' ORDER BY id DESC LIMIT 1
                """,
                slug,
                revision,
            )
            if back_to is None:
                await _take_offline(db, slug)
            else:
                await _put_live(db, slug, back_to)
            done = await _record(db, key, slug, "unpublish", revision, revision, back_to, reason)
    return done


async def _lock_page(db: Connection, slug: str) -> Row:
    """The page's row, locked until the transaction ends, which serialises changes to one page."""
    row = await db.fetchrow("SELECT * FROM backoffice.pages WHERE slug = $1 FOR UPDATE", slug)
    if row is None:
        raise unknown("page", slug)
    return row


async def _done(db: Connection, key: str, slug: str) -> Publication | None:
    """The result of an earlier attempt of this call, or None."""
    row = await db.fetchrow("SELECT * FROM backoffice.publications WHERE idempotency_key = $1 AND slug = $2", key, slug)
    return None if row is None else Publication.of(row)


async def _put_live(db: Connection, slug: str, revision: int) -> None:
    await db.execute(
        """
        INSERT INTO backoffice.site_pages (slug, revision, title, body, live_since)
        SELECT slug, revision, title, body, now() FROM backoffice.page_revisions WHERE slug = $1 AND revision = $2
        ON CONFLICT (slug) DO UPDATE
        SET revision = excluded.revision, title = excluded.title, body = excluded.body, live_since = excluded.live_since
        """,
        slug,
        revision,
    )
    await db.execute(
        """
        UPDATE backoffice.pages SET status = 'published', published_revision = $2, updated_at = now() WHERE slug = $1
        """,
        slug,
        revision,
    )


async def _take_offline(db: Connection, slug: str) -> None:
    await db.execute("DELETE FROM backoffice.site_pages WHERE slug = $1", slug)
    await db.execute(
        """
        UPDATE backoffice.pages SET status = 'unpublished', published_revision = NULL, updated_at = now()
        WHERE slug = $1
        """,
        slug,
    )


async def _record(
    db: Connection,
    key: str,
    slug: str,
    action: str,
    revision: int,
    live_before: int | None,
    live_after: int | None,
    reason: str,
) -> Publication:
    row = await db.fetchrow(
        """
        INSERT INTO backoffice.publications
            (slug, action, revision, live_before, live_after, reason, idempotency_key)
        VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING *
        """,
        slug,
        action,
        revision,
        live_before,
        live_after,
        reason,
        key,
    )
    return Publication.of(row)
