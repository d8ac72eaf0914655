"""The CMS's tools against a real database: drafting, publishing, verifying the live page, and rolling back."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

import agentgrid as ag
from activities.cms import (
    PageKind,
    PageStatus,
    fetch_page,
    publish_page,
    save_draft,
    slug_of,
    unpublish_page,
    verify_page,
)
from activities.support import search_articles
from tests.activities.conftest import OneCall


async def test_a_page_is_read_with_its_latest_or_a_named_revision() -> None:
    page = await fetch_page("pricing")
    assert (page.kind, page.status, page.latest_revision, page.published_revision) == (
        PageKind.LANDING,
        PageStatus.PUBLISHED,
        2,
        1,
    )
    assert "fifty bookings" in page.content.body
    assert "forty bookings" in (await fetch_page("pricing", 1)).content.body


@pytest.mark.parametrize(
    ("title", "slug"), [("Vouchers: 5 ideas!", "vouchers-5-ideas"), ("???", "untitled"), ("a" * 120, "a" * 100)]
)
def test_the_slug_of_a_page_is_derived_from_its_title(title: str, slug: str) -> None:
    assert slug_of(title) == slug


@pytest.mark.usefixtures("backoffice")
async def test_a_new_page_starts_as_a_draft() -> None:
    saved = await save_draft("winter-tips", "Winter tips", "Stay warm.", "dana.whitlow", kind=PageKind.HELP)
    assert saved.revision == 1
    page = await fetch_page("winter-tips")
    assert (page.kind, page.status, page.published_revision) == (PageKind.HELP, PageStatus.DRAFT, None)
    assert page.content == saved


@pytest.mark.usefixtures("backoffice")
async def test_a_draft_of_a_live_page_does_not_change_the_site() -> None:
    saved = await save_draft("pricing", "Plans", "New words.", "dana.whitlow")
    assert saved.revision == 3
    assert (await fetch_page("pricing")).kind is PageKind.LANDING
    assert (await verify_page("pricing", 1)).ok


async def test_a_repeated_attempt_saves_one_revision(one_call: OneCall) -> None:
    with one_call("save-1"):
        saved = await asyncio.gather(*(save_draft("winter-tips", "Winter", "Warm.", "dana") for _ in range(6)))
    assert {revision.revision for revision in saved} == {1}
    assert (await fetch_page("winter-tips")).latest_revision == 1


@pytest.mark.usefixtures("backoffice")
async def test_a_refused_draft_leaves_no_page_behind() -> None:
    with pytest.raises(ag.ToolError, match="page_revisions_title_not_blank"):
        await save_draft("winter-tips", " ", "Warm.", "dana")
    with pytest.raises(ag.ToolError, match="no page 'winter-tips'"):
        await fetch_page("winter-tips")


@pytest.mark.usefixtures("backoffice")
async def test_an_invalid_slug_is_refused() -> None:
    for slug in ("Winter", "a b", "-a", "a--b", "../etc", ""):
        with pytest.raises(ag.ToolError, match="pages_slug_is_plain"):
            await save_draft(slug, "Title", "Body.", "dana")


@pytest.mark.usefixtures("backoffice")
async def test_publishing_puts_exactly_that_revision_live() -> None:
    published = await publish_page("pricing", 2)
    assert (published.live_before, published.live_after) == (1, 2)
    check = await verify_page("pricing", 2)
    assert (check.ok, check.live_revision, check.problems) == (True, 2, ())
    assert (await verify_page("pricing", 1)).problems == ("revision 2 is live instead",)


@pytest.mark.usefixtures("backoffice")
async def test_a_published_help_page_is_found_by_search() -> None:
    await save_draft("frost", "Frost on the windscreen", "Scrape before you drive.", "dana", kind=PageKind.HELP)
    assert await search_articles("windscreen frost") == []
    await publish_page("frost", 1)
    assert [article.slug for article in await search_articles("windscreen frost")] == ["frost"]


async def test_a_repeated_attempt_publishes_once(db: asyncpg.Connection, one_call: OneCall) -> None:
    with one_call("publish-1"):
        done = await asyncio.gather(*(publish_page("pricing", 2) for _ in range(4)))
    assert len({publication.done_at for publication in done}) == 1
    assert await db.fetchval("SELECT count(*) FROM backoffice.publications WHERE idempotency_key = 'publish-1'") == 1


async def test_a_late_attempt_does_not_overwrite_later_changes(one_call: OneCall) -> None:
    with one_call("publish-1"):
        first = await publish_page("pricing", 2)
    await unpublish_page("pricing", 2, "wrong price")
    with one_call("publish-1"):
        assert await publish_page("pricing", 2) == first
    assert (await fetch_page("pricing")).published_revision == 1


@pytest.mark.usefixtures("backoffice")
async def test_an_older_or_live_revision_is_not_published() -> None:
    with pytest.raises(ag.ToolError, match="revision 2 of page 'privacy-policy' is live; revision 1 is not newer"):
        await publish_page("privacy-policy", 1)
    with pytest.raises(ag.ToolError, match="revision 2 is not newer"):
        await publish_page("privacy-policy", 2)


@pytest.mark.usefixtures("backoffice")
async def test_unpublishing_restores_the_previously_live_revision() -> None:
    await publish_page("pricing", 2)
    undone = await unpublish_page("pricing", 2, "broken link")
    assert (undone.action, undone.live_before, undone.live_after, undone.reason) == ("unpublish", 2, 1, "broken link")
    assert (await verify_page("pricing", 1)).ok
    assert (await fetch_page("pricing")).status is PageStatus.PUBLISHED


@pytest.mark.usefixtures("backoffice")
async def test_unpublishing_a_first_revision_takes_the_page_offline() -> None:
    await publish_page("winter-hours", 1)
    undone = await unpublish_page("winter-hours", 1, "too early")
    assert undone.live_after is None
    page = await fetch_page("winter-hours")
    assert (page.status, page.published_revision) == (PageStatus.UNPUBLISHED, None)
    assert (await verify_page("winter-hours", 1)).problems == ("the page is not live",)


async def test_a_repeated_attempt_unpublishes_once(one_call: OneCall) -> None:
    await publish_page("pricing", 2)
    with one_call("undo-1"):
        first = await unpublish_page("pricing", 2, "broken link")
        assert await unpublish_page("pricing", 2, "broken link") == first
    assert (await fetch_page("pricing")).published_revision == 1


@pytest.mark.usefixtures("backoffice")
async def test_only_a_live_revision_can_be_unpublished() -> None:
    with pytest.raises(ag.ToolError, match="revision 2 of page 'pricing' is not live; revision 1 is live"):
        await unpublish_page("pricing", 2, "none")
    with pytest.raises(ag.ToolError, match="no revision is live"):
        await unpublish_page("winter-hours", 1, "none")


@pytest.mark.usefixtures("backoffice")
async def test_a_check_finds_broken_links() -> None:
    await publish_page("october-incidents", 1)
    check = await verify_page("october-incidents", 1)
    assert (check.ok, check.problems) == (False, ("the link to /incident-archive-october is broken",))


@pytest.mark.usefixtures("backoffice")
async def test_a_check_finds_placeholders() -> None:
    await publish_page("year-in-numbers", 1)
    problems = (await verify_page("year-in-numbers", 1)).problems
    assert [problem for problem in problems if "'{{bookings_total}}'" in problem]
    assert [problem for problem in problems if "'TODO'" in problem]


async def test_a_check_finds_a_site_that_shows_different_text(db: asyncpg.Connection) -> None:
    await db.execute("UPDATE backoffice.site_pages SET body = 'Hacked.' WHERE slug = 'pricing'")
    assert (await verify_page("pricing", 1)).problems == ("the site shows different text than was saved",)


@pytest.mark.usefixtures("backoffice")
async def test_unknown_pages_and_revisions_are_non_retryable_errors_that_name_them() -> None:
    calls = {
        "no page 'nope'": (fetch_page("nope"), publish_page("nope", 1), unpublish_page("nope", 1, "none")),
        "no revision 7 of page 'pricing'": (
            fetch_page("pricing", 7),
            publish_page("pricing", 7),
            verify_page("pricing", 7),
        ),
        "no revision 0 of page 'pricing'": (publish_page("pricing", 0),),
    }
    for message, coroutines in calls.items():
        for call in coroutines:
            with pytest.raises(ag.ToolError, match=message) as caught:
                await call
            assert not caught.value.retryable
