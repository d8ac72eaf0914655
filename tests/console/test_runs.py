"""The list of runs: filters, shared views with concurrent changes, scrolling to the end, and bulk actions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from playwright.async_api import Page, expect

from tests.api import factories
from tests.console.conftest import Pages, status
from tests.console.stack import Stack

MANY = 450
ROWS = 'a[href^="/runs/"]'
MAX_RENDERED = 80


async def insert_many(stack: Stack, workflow: str) -> None:
    """Insert runs that ended long ago, so that they don't affect other tests. Every third one failed."""
    begun = datetime.now(UTC) - timedelta(days=40)
    rows = []
    for number in range(MANY):
        at = begun + timedelta(minutes=number)
        rows.append(
            factories.run(
                workflow=workflow,
                reference=f"many-{number}",
                status="completed" if number % 3 else "failed",
                created_at=at,
                closed_at=at + timedelta(minutes=1),
                initiator="operator",
            )
        )
    await factories.insert(stack.loop.api.plane.engine, *rows)


async def to_the_end(page: Page) -> None:
    """Scroll page by page, until the oldest run is loaded."""
    box = page.locator(ROWS).first.locator("xpath=ancestor::div[3]")
    for number in range(MANY // 100):
        async with page.expect_response(lambda response: "/api/v1/runs?" in response.url and "cursor=" in response.url):
            await box.evaluate("box => box.scrollTo(0, box.scrollHeight)")
        await expect(page.get_by_text(f"many-{MANY - 1 - 100 * (number + 1)}", exact=True)).to_have_count(1)
    await box.evaluate("box => box.scrollTo(0, box.scrollHeight)")


async def test_a_filtered_view_is_shared_and_never_silently_overwritten(page_of: Pages, stack: Stack):
    page_of.expect(status(409))
    await insert_many(stack, "many_runs")
    page = await page_of("operator", "/runs?workflow=many_runs")
    await expect(page.get_by_text(f"{MANY} runs", exact=True)).to_be_visible()
    await to_the_end(page)
    await expect(page.get_by_text("many-0", exact=True)).to_be_visible()
    assert await page.locator(ROWS).count() < MAX_RENDERED

    filters = page.get_by_role("complementary", name="Filters")
    await filters.get_by_role("button", name="Failed").click()
    await expect(page.get_by_text(f"{MANY // 3} runs", exact=True)).to_be_visible()
    await page.get_by_role("button", name="Save this view").click()
    await page.get_by_label("Title").fill("Failed of many")
    await page.get_by_label("Share with everyone who can sign in").check()
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_role("link", name="Failed of many")).to_have_attribute("aria-current", "page")

    other = await page_of("viewer", page.url.removeprefix(stack.url()))
    await expect(other.get_by_text(f"{MANY // 3} runs", exact=True)).to_be_visible()
    await other.get_by_role("button", name="Actions for the view Failed of many").click()
    for act in ("Rename", "Delete"):
        await expect(other.get_by_role("menuitem", name=act)).to_be_disabled()

    await filters.get_by_role("button", name="Timed out").click()
    body = {"title": "All of many", "shared": True, "filter": {"workflow": ["many_runs"]}, "expected_version": 1}
    await stack.loop.call("developer", "PUT", "/views/failed-of-many", json=body)
    await page.get_by_role("button", name="Replace", exact=True).click()
    dialog = page.get_by_role("dialog", name="Replace this view")
    await dialog.get_by_role("button", name="Replace", exact=True).click()
    await expect(dialog.get_by_role("alert")).to_contain_text("developer replaced this view")
    saved = await stack.loop.call("viewer", "GET", "/views/failed-of-many?shared=true")
    assert (saved["version"], saved["changed_by"]) == (2, "developer")
    await dialog.get_by_role("button", name="Open theirs").click()
    await expect(page.get_by_text(f"{MANY} runs", exact=True)).to_be_visible()


async def test_many_runs_are_cancelled_each_with_its_outcome_and_new_ones_wait_behind_a_button(
    page_of: Pages, stack: Stack
):
    runs = [(await stack.refund("T-1015", reference=f"herd-{n}", tags=["herd"]))[0] for n in range(2)]
    page = await page_of("operator", "/runs?tag=herd")
    await expect(page.locator(ROWS).filter(has_text="herd-1")).to_contain_text("Ticket T-1015")
    await stack.loop.start("support_triage", {"ticket_id": "T-1005"}, reference="herd-2", tags=["herd"])
    await expect(page.get_by_role("button", name="1 new run")).to_be_visible()
    await expect(page.locator(ROWS)).to_have_count(2)

    await page.get_by_role("button", name="Select", exact=True).click()
    await page.get_by_role("button", name="Select all shown").click()
    chosen = page.get_by_role("toolbar", name="Selected runs")
    await expect(chosen).to_contain_text("2 runs selected")
    await expect(chosen.get_by_role("button", name="Resume")).to_be_disabled()
    await stack.loop.call("operator", "POST", f"/runs/{runs[0]}/terminate", 202)
    await expect(page.locator(ROWS).filter(has_text="herd-0")).to_contain_text("Terminated")
    await chosen.get_by_role("button", name="Cancel", exact=True).click()
    dialog = page.get_by_role("dialog", name="Cancel 1 run?")
    await expect(dialog).to_contain_text("1 selected run can’t do this now")
    await dialog.get_by_role("button", name="Cancel 1").click()
    await expect(page.get_by_role("dialog", name="1 run cancelling").get_by_role("listitem")).to_have_count(1)
    await page.get_by_role("button", name="Close", exact=True).click()
    await stack.loop.until(runs[1], "cancelled")
    await page.get_by_role("button", name="1 new run").click()
    await expect(page.locator(ROWS)).to_have_count(3)
